"""The history checker: what clients asked for and were told, kept outside the server, and the judgement over it.

A job is known by the uid in its payload, never by its id or place in the journal: those could be used again by a
server that lost something, and would hide the loss. Everything is judged by what a client can know: a lease begins
somewhere between asking for it and getting it, an answer takes effect somewhere between sending it and its reply,
so what is called a fault here has no legal order of events behind it.

The verdicts (RELIABILITY 3.3):

  lost           a push was acknowledged, and the job was neither acked, nor removed, nor there at the end
  phantom        delivered and never pushed, or with other bytes, from another queue, or though its push was refused
  pushed twice   one push, two ids
  undead         delivered again after an acknowledged ack
  two owners     delivered while an earlier lease of the same server life ran
  no reason      delivered again after a restart though its lease was durable and could not have ended
  stale ok       an answer was taken though its lease had ended: newer token, earlier answer, or time
  refused        a lease that had not ended was not taken for current
  tokens         not above all tokens of earlier lives, or given twice
  reorder        one consumer got first attempts of one producer, queue and priority in another order
  starved        ready and not delivered while workers pulled

A life is what one process of the server lives through, from its start to its end. Redeliveries with a reason are
counted, by reason; so are recovered jobs, whose push was never answered.
"""
import collections
import threading
import time
import zlib

RESTART_LEASE_SECONDS = 10.0  # what a lease has left at least after a restart (guarantee D5)
ROUNDING_SECONDS = 0.002      # the server rounds a lease's end up to its next millisecond


class Job:
    """All that was heard of one uid."""

    __slots__ = ("uid", "queue", "lane", "begun", "push", "ids", "deliveries", "state", "removed")

    def __init__(self, uid, queue, lane):
        self.uid, self.queue = uid, queue
        self.begun = None         # when its only push was sent
        self.lane = lane          # producer and priority of a push whose place in the queue counts, else None
        self.push = "unanswered"  # or "acknowledged" or "refused"
        self.ids = set()          # that its push was answered with, or that it was delivered with
        self.deliveries = []      # by token
        self.state = None         # in which it was found at the end
        self.removed = None       # why it need not be there

    def answers(self, what):
        return [answer for delivery in self.deliveries for answer in delivery.answers if answer.what == what]

    def story(self):
        lines = [f"  uid {self.uid} queue {self.queue} ids {sorted(self.ids)} push {self.push}"
                 f"{', at the end ' + self.state if self.state else ''}{', ' + self.removed if self.removed else ''}"]
        for d in self.deliveries:
            lines.append(f"  life {d.life}: token {d.token} attempt {d.attempt} to {d.worker}, asked {d.asked:.4f}, "
                         f"got {d.got:.4f}, lease of {d.lease_seconds} s")
            lines += [f"    life {a.life}: {a.what} sent {a.begun:.4f}: {a.reply or 'no reply'}" for a in d.answers]
        return "\n".join(lines)


class Delivery:
    """One lease as its worker saw it. By itself it ends at `ends_from` at the earliest and `ends_until` at the
    latest, if the server does not restart; `ends_surely_from` leaves out what may not be durable."""

    __slots__ = ("job", "id", "token", "attempt", "worker", "life", "asked", "got", "lease_seconds", "answers",
                 "ends_from", "ends_until", "ends_surely_from")

    def __init__(self, job, fields, worker, life, asked, got, lease_seconds):
        self.job, self.worker, self.life, self.asked, self.got = job, worker, life, asked, got
        self.id, self.token, self.attempt = int(fields["id"]), int(fields["token"]), fields["attempt"]
        self.lease_seconds, self.answers = lease_seconds, []
        self.ends_from = self.ends_surely_from = asked + lease_seconds
        self.ends_until = got + lease_seconds


class Answer:
    """An ACK, FAIL, RELEASE or EXTEND as its worker sent it, and what it was told."""

    __slots__ = ("delivery", "what", "begun", "life", "reply", "seconds")

    def __init__(self, delivery, what, begun, life, seconds):
        self.delivery, self.what, self.begun, self.life, self.seconds = delivery, what, begun, life, seconds
        self.reply = None  # "OK", the code of an error, or None as long as there is none


class Ledger:
    """Any thread may write into it. `clock` is monotonic, in seconds."""

    def __init__(self, clock=time.monotonic):
        self.clock, self.lock = clock, threading.Lock()
        self.jobs, self.violations, self.counts = {}, [], collections.Counter()
        self.token_max_before = self.token_max = 0  # of all earlier lives; of all
        self.life = -1
        self.starts, self.ends = [], []  # by life
        self.covered = []                # by life: leases got before this time are surely durable
        self.first_deliveries = []       # of this life, of jobs whose place in the queue counts
        self.settled = bytearray()       # by uid: pushed and acked, both acknowledged; it is not in jobs any more

    def violate(self, verdict, what, job=None):
        self.violations.append((verdict, what + ("\n" + job.story() if job else "")))

    # -- Payloads. -------------------------------------------------------------------------------------

    @staticmethod
    def payload(uid, filler=b""):
        body = b"%d:" % uid + filler
        return b"%08x:" % zlib.crc32(body) + body

    @staticmethod
    def uid_of(payload):
        checksum, _, body = payload.partition(b":")
        if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body):
            return None
        return int(body.partition(b":")[0])

    # -- The server. -----------------------------------------------------------------------------------

    def server_ended(self):
        """The process is gone."""
        with self.lock:
            self.ends.append(self.clock())

    def server_starts(self):
        """It is about to be started."""
        with self.lock:
            self._close_life()
            self.life += 1
            self.starts.append(self.clock())
            self.covered.append(0.0)
            self.token_max_before = self.token_max

    def _close_life(self):
        """All that was said in it has been read. Jobs that are done are forgotten, so that memory holds only the
        others, however long the test runs."""
        self._judge_order()
        done = [job.uid for job in self.jobs.values() if job.push == "acknowledged" and
                any(answer.reply == "OK" for answer in job.answers("ack"))]
        for uid in done:
            del self.jobs[uid]
        if done:
            self.settled.extend(bytes(max(0, max(done) + 1 - len(self.settled))))
        for uid in done:
            self.settled[uid] = 1

    # -- Producers. ------------------------------------------------------------------------------------

    def push_begins(self, uid, queue, lane=None):
        with self.lock:
            self.counts["pushes sent"] += 1
            job = self.jobs.get(uid)
            if job is None:
                job = self.jobs[uid] = Job(uid, queue, lane)
                job.begun = self.clock()
            else:
                job.begun = None  # A second push with its key may be answered without writing anything.

    def push_answered(self, uid, reply):
        """`reply` is the id in bytes, or an error."""
        with self.lock:
            job = self.jobs[uid]
            if not isinstance(reply, bytes):
                self.counts[f"pushes refused ({reply.code})"] += 1
                if job.push != "acknowledged":
                    job.push = "refused"
                return
            if job.push != "acknowledged":
                self.counts["pushes acknowledged"] += 1
            job.push = "acknowledged"
            if job.begun:
                self._covers(job.begun)
            self._has_id(job, int(reply))

    def _covers(self, begun):
        """What was begun then is written and acknowledged: so all that the server had said before it is durable."""
        self.covered[self.life] = max(self.covered[self.life], begun)

    def _has_id(self, job, job_id):
        job.ids.add(job_id)
        if len(job.ids) > 1:
            self.violate("pushed twice", f"one push, ids {sorted(job.ids)}", job)

    # -- Workers. --------------------------------------------------------------------------------------

    def delivered(self, fields, worker, asked, lease_seconds):
        """Judges a delivery when it comes. Returns it, or None if nobody knows the job."""
        with self.lock:
            uid = self.uid_of(fields["payload"])
            job = self.jobs.get(uid)
            if job is None:
                is_settled = uid is not None and uid < len(self.settled) and self.settled[uid]
                self.violate("undead" if is_settled else "phantom",
                             f"{'acked in an earlier life' if is_settled else 'nobody pushed'}: {fields}"[:300])
                return None
            delivery = Delivery(job, fields, worker, self.life, asked, self.clock(), lease_seconds)
            self.counts["deliveries"] += 1
            if fields["queue"].decode() != job.queue:
                self.violate("phantom", f"delivered from queue {fields['queue']!r}", job)
            if job.push == "refused":
                self.violate("phantom", "delivered though its push was refused", job)
            self._has_id(job, delivery.id)
            self._take_token(job, delivery)
            return delivery

    def _take_token(self, job, delivery):
        if delivery.token <= self.token_max_before:
            self.violate("tokens", f"token {delivery.token} is not above those of earlier lives", job)
        if any(other.token == delivery.token for other in job.deliveries):
            self.violate("tokens", f"token {delivery.token} was given twice", job)
        self.token_max = max(self.token_max, delivery.token)
        job.deliveries.append(delivery)
        job.deliveries.sort(key=lambda d: d.token)  # replies of two connections may be read in any order
        if job.lane and delivery.attempt == 1:
            self.first_deliveries.append(delivery)
        place = job.deliveries.index(delivery)
        around = job.deliveries[max(place - 1, 0):place + 2]
        for earlier, later in zip(around, around[1:]):
            self._judge_redelivery(earlier, later)
        for answer in job.answers("ack"):
            if answer.reply == "OK" and answer.delivery.token < delivery.token:
                self.violate("undead", f"token {delivery.token} was given after an acknowledged ack", job)

    def _judge_redelivery(self, earlier, later):
        reason = self._reason(earlier, later)
        if reason:
            self.counts[f"redeliveries: {reason}"] += 1
        elif earlier.life == later.life:
            self.violate("two owners", f"token {later.token} was given while the lease {earlier.token} ran", later.job)
        else:
            self.violate("no reason", f"token {later.token} was given though the lease {earlier.token} was durable "
                                      "and had not ended", later.job)

    def _reason(self, earlier, later):
        """Why a job may come again: only what its last lease can explain. None if nothing does."""
        for answer in earlier.answers:
            if answer.what in ("fail", "release") and answer.reply in (None, "OK") and answer.begun < later.got:
                return {"fail": "failed", "release": "released"}[answer.what]
        if earlier.life == later.life:
            return "lease expired" if later.got >= earlier.ends_from else None
        if earlier.got >= self.covered[earlier.life]:
            return "its lease was not durable"
        return "lease expired" if self._may_have_expired(earlier, later.life, later.got) else None

    def _may_have_expired(self, delivery, life, moment):
        """Whether the durable lease of an earlier life can have ended by a moment of this life: before its own life
        did, because one of the lives since was longer than what every lease has left at a start, or because it was
        told to end soon in one of them."""
        if self.ends[delivery.life] >= delivery.ends_surely_from:
            return True
        if any(answer.what == "extend" and answer.life > delivery.life and answer.begun + answer.seconds <= moment
               for answer in delivery.answers):
            return True
        since = range(delivery.life + 1, life + 1)
        ends = [*self.ends[:life], moment]
        return any(ends[each] - self.starts[each] >= RESTART_LEASE_SECONDS for each in since)

    def answer_begins(self, delivery, what, seconds=None):
        """`what` is ack, fail, release or extend; `seconds` the length that an extend asks for."""
        with self.lock:
            answer = Answer(delivery, what, self.clock(), self.life, seconds)
            delivery.answers.append(answer)
            if what == "extend":  # from now on it may have either end
                for end in ("ends_from", "ends_surely_from"):
                    setattr(delivery, end, min(getattr(delivery, end), answer.begun + seconds))
                delivery.ends_until = float("inf")
            return answer

    def answer_ends(self, answer, reply):
        """`reply` is an error, or anything else for success."""
        with self.lock:
            delivery = answer.delivery
            code = getattr(reply, "code", None)
            answer.reply = code or "OK"
            self.counts[f"{answer.what}s {'refused (' + code + ')' if code else 'acknowledged'}"] += 1
            if code:
                return self._judge_refusal(answer)
            self._judge_acceptance(answer)
            if answer.what == "extend":
                delivery.ends_from = answer.begun + answer.seconds
                delivery.ends_until = self.clock() + answer.seconds
            else:
                self._covers(answer.begun)
            if answer.what == "ack" and delivery.life != self.life:
                self.counts["acks with a lease from before a restart"] += 1

    def _judge_acceptance(self, answer):
        delivery, job = answer.delivery, answer.delivery.job
        newer = [d for d in job.deliveries if d.token > delivery.token]
        if any(d.got <= answer.begun for d in newer):
            self.violate("stale ok", f"{answer.what} with token {delivery.token}: a newer one was out", job)
        elif newer and answer.what == "ack":
            self.violate("undead", f"token {newer[0].token} was given after the ack of {delivery.token}", job)
        before = delivery.answers[:delivery.answers.index(answer)]
        if any(other.what != "extend" and other.reply == "OK" for other in before):
            self.violate("stale ok", f"{answer.what} with token {delivery.token}: that lease was answered before", job)
        if delivery.life == self.life and answer.begun > delivery.ends_until + ROUNDING_SECONDS:
            self.violate("stale ok", f"{answer.what} with token {delivery.token}: "
                                     f"{answer.begun - delivery.ends_until:.3f} s after the end of its lease", job)

    def _judge_refusal(self, answer):
        delivery, job = answer.delivery, answer.delivery.job
        if answer.reply == "NOJOB" and not any(other is not answer for other in job.answers("ack")):
            self.violate("refused", "a worker was told that there is no such job", job)
        now = self.clock()
        if delivery.life == self.life:
            is_current = now < delivery.ends_from
        else:
            is_durable = delivery.got < self.covered[delivery.life]
            is_current = is_durable and not self._may_have_expired(delivery, self.life, now)
        is_answered = any(other.what != "extend" for other in delivery.answers if other is not answer)
        if is_current and not is_answered and delivery is job.deliveries[-1]:
            self.violate("refused", f"the {answer.what} of a current lease: {answer.reply}", job)

    # -- The end. --------------------------------------------------------------------------------------

    def remains(self, uid, state, ready_seconds=0.0, starved_after=float("inf")):
        """Found at the end, in this state; if it is ready, for how long it has been while workers pulled."""
        job = self.jobs[uid]
        job.state = state
        if state == "ready" and ready_seconds > starved_after:
            self.violate("starved", f"ready for {ready_seconds:.0f} s while workers pulled", job)

    def was_removed(self, uid, why):
        """Expired, purged, cancelled or deleted: it need not be there."""
        self.jobs[uid].removed = why

    def judge(self):
        for job in self.jobs.values():
            if job.push == "acknowledged":
                self._judge_loss(job)
            elif job.push == "unanswered" and (job.deliveries or job.state):
                self.counts["recovered: pushes without an answer that turned out done"] += 1
        self._judge_order()
        return self.violations

    def _judge_loss(self, job):
        is_acked = any(answer.reply in (None, "OK") for answer in job.answers("ack"))
        if is_acked or job.removed or job.state not in (None, "succeeded"):
            return
        self.violate("lost", "done though nobody acked it" if job.state else
                     "delivered, not acked, and not there at the end" if job.deliveries else
                     "never delivered, and not there at the end", job)

    def _judge_order(self):
        """Uids grow in each producer, tokens in the order of the deliveries. Within one life, because a crash
        may forget the earlier lease of a job whose delivery nobody saw."""
        lanes = collections.defaultdict(list)
        for delivery in self.first_deliveries:
            job = delivery.job
            if job.push == "acknowledged" and delivery is job.deliveries[0]:
                lanes[delivery.worker, job.queue, job.lane].append(delivery)
        self.first_deliveries = []
        for deliveries in lanes.values():
            deliveries.sort(key=lambda d: d.token)
            for before, after in zip(deliveries, deliveries[1:]):
                if after.job.uid < before.job.uid:
                    self.violate("reorder", f"delivered after uid {before.job.uid} and pushed before it", after.job)
