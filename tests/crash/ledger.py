"""What the clients of the crash test asked for and were told, kept outside the server, and the judgement
over it. A job is known by the uid in its payload, never by its id or place in the journal: those could be
used again by a server that lost something, and would hide the loss."""
import collections
import threading
import time
import zlib


class Job:
    """All that was heard of one uid."""

    __slots__ = ("uid", "queue", "ids", "acknowledged", "refused", "deliveries", "acks_ok", "acks_unknown")

    def __init__(self, uid, queue):
        self.uid, self.queue = uid, queue
        self.ids = set()            # ids that PUSH answered
        self.acknowledged = False   # a PUSH was answered
        self.refused = False        # a PUSH was answered with an error, and none with an id
        self.deliveries = []
        self.acks_ok, self.acks_unknown = [], []

    def story(self):
        lines = [f"  uid {self.uid} queue {self.queue} ids {sorted(self.ids)} "
                 f"{'acknowledged' if self.acknowledged else 'refused' if self.refused else 'push unanswered'}"]
        lines += [f"  delivered in cycle {d.cycle} as {d.id} token {d.token} attempt {d.attempt}"
                  f"{', ' + d.ending if d.ending else ''}" for d in self.deliveries]
        lines += [f"  ack OK with tokens {self.acks_ok}, unanswered with {self.acks_unknown}"]
        return "\n".join(lines)


class Delivery:
    """One lease as its worker saw it. `ending`: what the worker did about it."""

    __slots__ = ("uid", "id", "token", "attempt", "cycle", "asked", "lease_seconds", "ending")

    def __init__(self, uid, job_id, token, attempt, cycle, asked, lease_seconds):
        self.uid, self.id, self.token, self.attempt, self.cycle = uid, job_id, token, attempt, cycle
        self.asked, self.lease_seconds, self.ending = asked, lease_seconds, ""


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}
        self.violations = []
        self.counts = collections.Counter()
        self.token_max_before = 0  # the highest token of all earlier cycles
        self.token_max = 0

    def violate(self, what, job=None):
        self.violations.append(what + ("\n" + job.story() if job else ""))

    # -- Payloads. ---------------------------------------------------------------------------------

    @staticmethod
    def payload(uid, filler):
        body = b"%d:" % uid + filler
        return b"%08x:" % zlib.crc32(body) + body

    @staticmethod
    def uid_of(payload):
        checksum, _, body = payload.partition(b":")
        if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body):
            return None
        return int(body.partition(b":")[0])

    # -- What producers hear. --------------------------------------------------------------------------

    def push_begins(self, uid, queue):
        with self.lock:
            self.jobs.setdefault(uid, Job(uid, queue))
            self.counts["pushes sent"] += 1

    def push_answered(self, uid, reply):
        with self.lock:
            job = self.jobs[uid]
            if isinstance(reply, bytes):
                if not job.acknowledged:
                    self.counts["pushes acknowledged"] += 1
                job.acknowledged, job.refused = True, False
                job.ids.add(int(reply))
                if len(job.ids) > 1:
                    self.violate("one unique key gave two jobs", job)
            else:
                job.refused = not job.acknowledged
                self.counts[f"pushes refused ({reply.code})"] += 1

    # -- What workers hear. ------------------------------------------------------------------------

    def delivered(self, fields, cycle, asked, lease_seconds):
        """Judges a delivery when it comes. Returns it, or None if its job is unknown."""
        with self.lock:
            uid = self.uid_of(fields["payload"])
            job = self.jobs.get(uid)
            if job is None:
                self.violate(f"phantom: nobody pushed {fields['payload'][:60]!r}")
                return None
            delivery = Delivery(uid, int(fields["id"]), int(fields["token"]), fields["attempt"], cycle, asked,
                                lease_seconds)
            if fields["queue"].decode() != job.queue:
                self.violate(f"delivered from queue {fields['queue']!r}", job)
            if job.refused:
                self.violate("delivered though its push was refused", job)
            if job.ids and delivery.id not in job.ids:
                self.violate(f"delivered under another id: {delivery.id}", job)
            if delivery.token <= self.token_max_before:
                self.violate(f"token {delivery.token} is not above those of earlier starts", job)
            if delivery.token in [earlier.token for earlier in job.deliveries]:
                self.violate(f"token {delivery.token} was given twice", job)
            self.token_max = max(self.token_max, delivery.token)
            if job.deliveries:
                reason = self.reason(job, delivery)
                self.counts[f"redeliveries: {reason}"] += 1
                if reason == "no reason":
                    self.violate(f"redelivered for no reason with token {delivery.token}", job)
            self.counts["deliveries"] += 1
            job.deliveries.append(delivery)
            return delivery

    @staticmethod
    def reason(job, delivery):
        """Why a job may come again: only what its last lease can explain."""
        last = max((d for d in job.deliveries if d.token < delivery.token), key=lambda d: d.token, default=None)
        if last is None:
            return "replies crossed"  # the earlier lease's reply was read later, by another thread
        if last.ending:
            return last.ending
        if last.cycle != delivery.cycle:
            return "restart"
        if time.monotonic() >= last.asked + last.lease_seconds:
            return "lease expired"
        return "no reason"

    def ack_begins(self, delivery):
        with self.lock:
            self.jobs[delivery.uid].acks_unknown.append(delivery.token)

    def ack_answered(self, delivery, reply, cycle):
        with self.lock:
            job = self.jobs[delivery.uid]
            if reply == "OK":
                job.acks_unknown.remove(delivery.token)
                job.acks_ok.append(delivery.token)
                self.counts["acks acknowledged"] += 1
                if delivery.cycle != cycle:
                    self.counts["of them with a lease from before a restart"] += 1
                return
            self.counts[f"acks refused ({reply.code})"] += 1
            tried_before = job.acks_unknown.count(delivery.token) > 1
            job.acks_unknown.remove(delivery.token)
            is_finished = job.acks_ok or job.acks_unknown or tried_before
            if reply.code == "NOJOB" and not is_finished:
                self.violate("its worker was told that there is no such job", job)
            is_current = delivery.cycle == cycle and delivery is max(job.deliveries, key=lambda d: d.token)
            if is_current and not delivery.ending and not tried_before and \
                    time.monotonic() < delivery.asked + delivery.lease_seconds:
                self.violate(f"refused the ack of a current lease: {reply}", job)

    def next_cycle(self):
        with self.lock:
            self.token_max_before = self.token_max

    # -- The judgement at the end, when everything has been drained. --------------------------------

    def judge(self):
        for job in self.jobs.values():
            if len(job.acks_ok) > 1:
                self.violate("acked twice", job)
            for token in job.acks_ok:
                if any(delivery.token > token for delivery in job.deliveries):
                    self.violate(f"delivered again after the ack with token {token}", job)
            if job.acknowledged and not job.deliveries:
                self.violate("lost: acknowledged and never delivered", job)
            elif job.acknowledged and not job.acks_ok and not job.acks_unknown:
                self.violate("lost: delivered, not acked, and not there at the end", job)
            if not job.acknowledged and job.deliveries:
                self.counts["unanswered pushes that turned out done"] += 1
        return self.violations
