"""The clients of the crash test: producers, workers, and one that keeps the long queue short. What they ask and are
told goes into the ledger. They end when the server does; what outlives it (unanswered pushes, leases that are held)
goes on in the server's next life."""
import collections
import os
import random
import time

from clients import Clients
from harness import Closed, RespError, as_dict
from ledger import Ledger

SHORT_QUEUES, LONG_QUEUE = ("mail", "pdf", "card"), "archive"
LONG_JOBS_MAX = 5_000
GONE = (Closed, OSError, ValueError)  # ValueError: the kill closed the file under the reader
CLIENT_SECONDS_MAX = 20
DRAIN_SECONDS_MAX = 120


class Load(Clients):
    gone = GONE
    options = ()  # of the server
    key_window = "1h"  # how long the unique keys of pushes are held

    def __init__(self, ledger, seed):
        super().__init__(ledger, seed)
        self.unanswered, self.held, self.late = [], [], []
        self.filler = os.urandom(64 << 10)

    @staticmethod
    def prepare(server):
        with server.client() as client:
            for queue in (*SHORT_QUEUES, LONG_QUEUE):
                client("QUEUE", "SET", queue, "keep", "50ms")

    def roles(self):
        return self.produce, self.produce, self.work, self.work, self.tidy_up

    def act(self, role, server, rng, name):
        with server.client(timeout=CLIENT_SECONDS_MAX) as client:
            role(client, rng, name)

    # -- Producers. ----------------------------------------------------------------------------------

    def new_push(self, rng, name, last_id):
        with self.lock:
            uid, self.next_uid = self.next_uid, self.next_uid + 1
        is_long = rng.random() < 0.3
        queue = LONG_QUEUE if is_long else rng.choice(SHORT_QUEUES)
        size = rng.choice((0, 20, 100, 100, 300, 1000)) if rng.random() < 0.98 else rng.randrange(64 << 10)
        words = ["PUSH", queue, "step", Ledger.payload(uid, self.filler[:size]), "ATTEMPTS", "60000"]
        lane, option = (name, 0), None
        if not is_long:
            option = rng.choice((None,) * 4 + ("PRIORITY", "DELAY", "UNIQUE", "AFTER" if last_id else None))
        if option == "PRIORITY":
            priority = rng.randrange(4)
            lane, words = (name, priority), words + ["PRIORITY", priority]
        elif option:
            lane = None  # its place in the queue is another one
            words += {"DELAY": ["DELAY", rng.randrange(1, 300)], "AFTER": ["AFTER", last_id],
                      "UNIQUE": ["UNIQUE", f"u{uid}", "WINDOW", self.key_window]}[option]
        return uid, queue, lane, words

    def produce(self, client, rng, name):
        last_id = None
        with self.lock:
            again, self.unanswered = self.unanswered, []
        while not self.stopping:
            count = rng.choice((1, 1, 8, 32))
            batch = again[:32] or [self.new_push(rng, name, last_id) for _ in range(count)]
            del again[:32]
            for uid, queue, lane, _ in batch:
                self.ledger.push_begins(uid, queue, lane)
            answered = 0
            try:
                client.send(*[words for *_, words in batch])
                for uid, *_ in batch:
                    reply = client.receive()
                    self.ledger.push_answered(uid, reply)
                    answered += 1
                    last_id = reply if isinstance(reply, bytes) else last_id
            finally:
                with self.lock:  # only what has a unique key may be pushed again without harm
                    self.unanswered += [push for push in batch[answered:] + again if "UNIQUE" in push[-1]]

    # -- Workers. ------------------------------------------------------------------------------------

    def pull(self, client, rng, name, *queues):
        lease, asked = rng.choice((0.05, 10.0, 10.0, 10.0)), time.monotonic()
        jobs = client("PULL", *queues, "COUNT", rng.choice((1, 8, 32)), "WAIT", "20ms",
                      "LEASE", int(lease * 1000), "AS", name.replace(" ", "-"))
        found = [self.ledger.delivered(as_dict(job), name, asked, lease) for job in jobs or []]
        return [delivery for delivery in found if delivery]

    def work(self, client, rng, name):
        with self.lock:
            carried, self.held = self.held[:50], self.held[50:]
        self.finish(client, rng, carried)  # leases from before the restart
        while not self.stopping:
            queues = list(SHORT_QUEUES)
            rng.shuffle(queues)
            deliveries = self.pull(client, rng, name, *queues)
            self.finish_late(client)
            if rng.random() < 0.1:
                with self.lock:  # keeps them running: acked in a later life, or left to their lease
                    self.held += deliveries
            else:
                self.finish(client, rng, deliveries)

    def tidy_up(self, client, rng, name):
        """Keeps the long queue from growing without end, from its old end."""
        while not self.stopping:
            if client.queue(LONG_QUEUE)["ready"] > LONG_JOBS_MAX:
                self.finish(client, rng, self.pull(client, rng, name, LONG_QUEUE))
            else:
                client("PULL", "nothing-ever", "WAIT", "30ms")

    def finish(self, client, rng, deliveries, always_ack=False):
        """Acks most of them, and fails, releases, extends or forgets the others, or acks them too late."""
        answers = []
        for delivery in deliveries:
            what = rng.random()
            if what < 0.8 or always_ack:
                answers.append((delivery, "ACK"))
            elif what < 0.88:
                answers.append((delivery, "FAIL", "no luck", "RETRY", rng.randrange(20)))
            elif what < 0.92:
                answers.append((delivery, "RELEASE"))
            elif what < 0.95:
                answers.append((delivery, "EXTEND", rng.choice((30, 30, 15_000))))
            elif delivery.lease_seconds < 1:
                with self.lock:
                    self.late.append(delivery)
        self.answer(client, answers)

    def finish_late(self, client):
        """Acks what is past the end of its lease: all of it has to be refused."""
        with self.lock:
            over = [d for d in self.late if d.ends_until + 0.01 < time.monotonic()]
            self.late = [d for d in self.late if d not in over]
        self.answer(client, [(delivery, "ACK") for delivery in over])

    def answer(self, client, answers):
        """Sends them together: (delivery, command, further words)."""
        if not answers:
            return
        begun = [self.ledger.answer_begins(delivery, command.lower(), rest[0] / 1000 if command == "EXTEND" else None)
                 for delivery, command, *rest in answers]
        client.send(*[(command, delivery.id, delivery.token, *rest) for delivery, command, *rest in answers])
        for answer in begun:
            self.ledger.answer_ends(answer, client.receive())

    # -- The end. ------------------------------------------------------------------------------------

    def drain(self, server):
        with server.client(timeout=60) as client:
            self.drain_with(client)

    def drain_with(self, client):
        """Pulls and acks until nothing is left in any queue. What is ready all the time is starved."""
        rng, began, drained = random.Random(1), time.monotonic(), False
        while not drained and time.monotonic() < began + DRAIN_SECONDS_MAX:
            deliveries = self.pull(client, rng, "drain", *SHORT_QUEUES, LONG_QUEUE)
            self.finish(client, rng, deliveries, always_ack=True)
            drained = not deliveries and not self.unfinished(client)
        if drained:
            return
        self.ledger.violate("starved", f"not drained after {DRAIN_SECONDS_MAX} s: {self.unfinished(client)}")
        by_id = {job_id: job.uid for job in self.ledger.jobs.values() for job_id in job.ids}
        for queue in (*SHORT_QUEUES, LONG_QUEUE):
            for job in client.fields("JOBS", queue, "STATE", "ready", "COUNT", "10000")["jobs"]:
                uid = by_id.get(int(as_dict(job)["id"]))
                if uid is not None:
                    self.ledger.remains(uid, "ready", DRAIN_SECONDS_MAX, DRAIN_SECONDS_MAX / 2)

    @staticmethod
    def unfinished(client):
        left = {}
        for queue in (*SHORT_QUEUES, LONG_QUEUE):
            counts = client.queue(queue)
            left.update({f"{queue} {state}": counts[state]
                         for state in ("ready", "leased", "retry", "scheduled", "waiting") if counts[state]})
        return left
