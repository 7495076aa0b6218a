#!/usr/bin/env python3
"""kill -9 under load, again and again on one data directory, and in the end nothing acknowledged is lost.

    crash_test.py [--cycles 100] [--seed N]

Each cycle starts the server, lets producers and workers loose, and kills it after 5 to 300 ms. Every tenth
cycle ends with SIGTERM instead (exit code 0); some are killed while they start; some see a second server
try the same directory. Segments are tiny and a third of the jobs stay for long, so that cleaning copies
and unlinks all the time. What was asked and answered is kept in ledger.py, which judges: no acknowledged
push lost, no acknowledged ack delivered again, no two acks OK for a job, tokens that only grow, nothing
delivered that nobody pushed, nothing delivered twice without a reason, one job per unique key.
"""
import argparse
import collections
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, Closed, Server, as_dict  # noqa: E402
from ledger import Ledger  # noqa: E402

SHORT_QUEUES, LONG_QUEUE = ("mail", "pdf", "card"), "archive"
LONG_JOBS_MAX = 15_000
GONE = (Closed, OSError, ValueError)  # ValueError: the kill closed the file under the reader


class Load:
    """The clients of one cycle. What has to outlive it: unanswered pushes and leases held."""

    def __init__(self, ledger, seed):
        self.ledger, self.random = ledger, random.Random(seed)
        self.next_uid, self.unanswered, self.held = 1, [], []
        self.lock = threading.Lock()
        self.cycle, self.filler = 0, os.urandom(64 << 10)

    def run(self, server, cycle):
        """Starts the threads; they end when the server does."""
        self.cycle, self.stopping = cycle, False
        roles = (self.produce, self.produce, self.work, self.work, self.tidy_up)
        clients = [server.client(timeout=20) for _ in roles]
        self.threads = [threading.Thread(target=self.guarded, args=(role, client, self.random.getrandbits(64)))
                        for role, client in zip(roles, clients)]
        for thread in self.threads:
            thread.start()

    def guarded(self, role, client, seed):
        try:
            role(client, random.Random(seed))
        except GONE as error:
            if isinstance(error, TimeoutError):
                self.ledger.violate(f"a client waited 20 s for a reply in cycle {self.cycle} ({role.__name__})")
        finally:
            client.close()

    def join(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()

    # -- Producers. ----------------------------------------------------------------------------------

    def new_push(self, rng, last_id):
        with self.lock:
            uid, self.next_uid = self.next_uid, self.next_uid + 1
        is_long = rng.random() < 0.3
        queue = LONG_QUEUE if is_long else rng.choice(SHORT_QUEUES)
        size = rng.choice((0, 20, 100, 100, 300, 1000)) if rng.random() < 0.98 else rng.randrange(64 << 10)
        words = ["PUSH", queue, "step", Ledger.payload(uid, self.filler[:size]), "ATTEMPTS", "60000"]
        if not is_long:
            words += rng.choice(([],) * 4 + (["PRIORITY", rng.randrange(4)], ["DELAY", rng.randrange(1, 300)],
                                             ["UNIQUE", f"u{uid}", "WINDOW", "1h"],
                                             ["AFTER", last_id] if last_id else []))
        return uid, queue, words

    def produce(self, client, rng):
        last_id = None
        with self.lock:
            again, self.unanswered = self.unanswered, []
        while not self.stopping:
            batch = again[:32] or [self.new_push(rng, last_id) for _ in range(rng.choice((1, 1, 8, 32)))]
            del again[:32]
            for uid, queue, _ in batch:
                self.ledger.push_begins(uid, queue)
            answered = 0
            try:
                client.send(*[words for _, _, words in batch])
                for uid, _, _ in batch:
                    reply = client.receive()
                    self.ledger.push_answered(uid, reply)
                    answered += 1
                    last_id = reply if isinstance(reply, bytes) else last_id
            finally:
                with self.lock:  # only what has a unique key may be pushed again without harm
                    self.unanswered += [push for push in batch[answered:] + again if "UNIQUE" in push[2]]

    # -- Workers. ------------------------------------------------------------------------------------

    def pull(self, client, rng, *queues):
        lease, asked = rng.choice((0.05, 10.0, 10.0, 10.0)), time.monotonic()
        jobs = client("PULL", *queues, "COUNT", rng.choice((1, 8, 32)), "WAIT", "20ms",
                      "LEASE", int(lease * 1000), "AS", threading.current_thread().name)
        found = [self.ledger.delivered(as_dict(job), self.cycle, asked, lease) for job in jobs or []]
        return [delivery for delivery in found if delivery]

    def work(self, client, rng):
        with self.lock:
            carried, self.held = self.held[:50], self.held[50:]
        self.finish(client, rng, carried)  # leases from before the restart
        while not self.stopping:
            queues = list(SHORT_QUEUES)
            rng.shuffle(queues)
            deliveries = self.pull(client, rng, *queues)
            if rng.random() < 0.1:
                with self.lock:  # keeps them running: acked in a later cycle, or left to their lease
                    self.held += deliveries
            else:
                self.finish(client, rng, deliveries)

    def tidy_up(self, client, rng):
        """Keeps the long queue from growing without end, from its old end."""
        while not self.stopping:
            if client.queue(LONG_QUEUE)["ready"] > LONG_JOBS_MAX:
                self.finish(client, rng, self.pull(client, rng, LONG_QUEUE))
            else:
                client("PULL", "nothing-ever", "WAIT", "30ms")

    def finish(self, client, rng, deliveries, always_ack=False):
        """Acks most of them, and fails, releases or forgets the others."""
        sent = collections.deque()
        for delivery in deliveries:
            what = rng.random()
            if what < 0.8 or always_ack:
                self.ledger.ack_begins(delivery)
                sent.append((delivery, "ack", ("ACK", delivery.id, delivery.token)))
            elif what < 0.88:
                delivery.ending = "failed"
                sent.append((delivery, "", ("FAIL", delivery.id, delivery.token, "no luck", "RETRY", rng.randrange(20))))
            elif what < 0.93:
                delivery.ending = "released"
                sent.append((delivery, "", ("RELEASE", delivery.id, delivery.token)))
            elif what < 0.96:
                delivery.lease_seconds = 0.03
                sent.append((delivery, "", ("EXTEND", delivery.id, delivery.token, "30ms")))
        if not sent:
            return
        client.send(*[words for _, _, words in sent])
        for delivery, kind, _ in sent:
            reply = client.receive()
            if kind == "ack":
                self.ledger.ack_answered(delivery, reply, self.cycle)

    def drain(self, client):
        """Pulls and acks until nothing is left in any queue."""
        rng, deadline = random.Random(1), time.monotonic() + 120
        while time.monotonic() < deadline:
            deliveries = self.pull(client, rng, *SHORT_QUEUES, LONG_QUEUE)
            self.finish(client, rng, deliveries, always_ack=True)
            if not deliveries:
                left = {}
                for queue in (*SHORT_QUEUES, LONG_QUEUE):
                    counts = client.queue(queue)
                    left.update({f"{queue} {state}": counts[state] for state in
                                 ("ready", "leased", "retry", "scheduled", "waiting") if counts[state]})
                if not left:
                    return
        self.ledger.violate(f"not drained after 120 s: {left}")


class Crash:
    def __init__(self, cycles, seed):
        self.cycles, self.seed, self.random = cycles, seed, random.Random(seed)
        self.ledger = Ledger()
        self.load = Load(self.ledger, seed)
        self.folder = tempfile.mkdtemp(prefix="sluice-crash-")
        self.server = Server(directory=self.folder, start=False)
        self.start_seconds, self.counts = [], collections.Counter()

    def start(self):
        size = self.random.choice(("4KiB", "16KiB", "64KiB", "64KiB", "1MiB"))
        self.server.options = ["--segment-bytes", size]
        before = time.monotonic()
        self.server.start()
        self.start_seconds.append(time.monotonic() - before)
        self.ledger.next_cycle()

    def kill_at_start(self):
        self.server.spawn()
        time.sleep(self.random.uniform(0, 0.03))  # the moment of the crash, not a synchronisation
        self.server.kill()
        self.counts["kills while starting"] += 1

    def second_server(self):
        second = Server(directory=self.folder, start=False).spawn()
        code = second.wait_exit()
        self.counts["second servers refused"] += 1
        if code == 0 or second.port is not None:
            self.ledger.violate(f"a second server started on the same directory (exit {code})")

    def cycle(self, number):
        if number % 7 == 3:
            self.kill_at_start()
        self.start()
        if number == 1:
            with self.server.client() as client:
                for queue in (*SHORT_QUEUES, LONG_QUEUE):
                    client("QUEUE", "SET", queue, "keep", "50ms")
        self.load.run(self.server, number)
        if number % 10 == 5:
            self.second_server()
        time.sleep(self.random.uniform(0.005, 0.3))  # when the crash comes, not a synchronisation
        if number % 10 == 0:
            self.load.stopping = True
            code = self.server.terminate()
            self.counts["SIGTERM"] += 1
            if code != 0:
                self.ledger.violate(f"SIGTERM: exit code {code} in cycle {number}\n{self.server.output()}")
        else:
            self.server.kill()
            self.counts["kill -9"] += 1
        self.load.join()

    def finish(self):
        self.start()
        self.load.cycle = self.cycles + 1
        with self.server.client(timeout=60) as client:
            self.load.drain(client)
        self.server.terminate()
        check = subprocess.run([BINARY, "check", self.folder + "/data"], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL)
        if check.returncode != 0:
            self.ledger.violate(f"sluice check finds fault:\n{check.stdout}{check.stderr}")

    def run(self):
        began = time.monotonic()
        try:
            for number in range(1, self.cycles + 1):
                self.cycle(number)
                if self.ledger.violations:
                    break
            if not self.ledger.violations:
                self.finish()
                self.ledger.judge()
        except AssertionError as error:
            self.ledger.violate(str(error))
        finally:
            if self.server.process:
                self.server.process.kill()
                self.server.wait_exit()
        return self.report(time.monotonic() - began)

    def report(self, seconds):
        starts = sorted(self.start_seconds)
        print(f"crash: {self.cycles} cycles in {seconds:.0f} s, seed {self.seed}; start took "
              f"{starts[len(starts) // 2] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (longest)")
        for name, count in sorted({**self.counts, **self.ledger.counts}.items()):
            print(f"  {name:<50} {count:>9,}")
        if not self.ledger.violations:
            shutil.rmtree(self.folder)
            print("  acknowledged and lost, acked twice, unexplained        0")
            return 0
        for violation in self.ledger.violations[:20]:
            print("VIOLATION", violation)
        print(f"{len(self.ledger.violations)} violations; again with: ./dev crash --cycles {self.cycles} "
              f"--seed {self.seed}\nthe data directory is kept: {self.folder}")
        return 1


def main():
    parser = argparse.ArgumentParser(description="kill -9 the server under load, again and again")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    sys.exit(Crash(options.cycles, options.seed).run())


if __name__ == "__main__":
    main()
