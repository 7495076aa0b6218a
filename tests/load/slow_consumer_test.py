#!/usr/bin/env python3
"""Clients that ask for much and read a byte a second cost bounded memory, others are served, and no job is lost.

    slow_consumer_test.py [--consumers 40] [--seconds 5] [--jobs 300]

The jobs have 1 MiB. Half of the consumers pull as many as one PULL gives; the others send thousands of requests
at once for which the replies would be gigabytes; producers stop in the middle of a large push.
"""
import argparse
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from crowd import MIB, Crowd, expect, info, milliseconds, report, round_trips, rss  # noqa: E402
from harness import Server, encode, eventually  # noqa: E402

JOB_BYTES = 1 * MIB
BUFFERS, TAIL_CACHE = 128 * MIB, 16 * MIB
# docs/operations.md, "Memory and files": buffers of connections, replies on their way, journal, tail cache,
# and what the allocator keeps.
RSS_MAX = BUFFERS + TAIL_CACHE + 448 * MIB
OPTIONS = ["--payload-bytes-max", "2MiB", "--output-bytes-max", "32MiB", "--buffers-bytes-max", f"{BUFFERS // MIB}MiB",
           "--tail-cache-bytes", f"{TAIL_CACHE // MIB}MiB", "--segment-bytes", "16MiB", "--sync", "never"]


def fill(client, jobs):
    """Pushes jobs that differ in their first bytes. Returns their ids."""
    body = b"." * (JOB_BYTES - 8)
    ids = []
    for number in range(jobs):
        ids.append(client("PUSH", "large", "t", b"%08d" % number + body))
    return ids


class Attack:
    """The slow ones. Sockets with a small receive buffer, so that the kernel does not read for them."""

    def __init__(self, port, consumers, first_job):
        self.crowd = Crowd(port, consumers, receive_bytes=4096)
        pulls = encode(["PULL", "large", "COUNT", "64", "LEASE", "5s", "AS", "slow"])
        reads = encode(["JOB", first_job]) * 4000
        halves = encode(["PUSH", "large", "t", b"x" * (2 * MIB)])[:-10]
        for number, one in enumerate(self.crowd.sockets):
            one.setblocking(False)
            self.send_what_fits(one, (pulls, pulls * 4000, reads, halves)[number % 4])
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.sip)
        self.thread.start()

    @staticmethod
    def send_what_fits(one, data):
        try:
            while data:
                data = data[one.send(data):]
        except (BlockingIOError, ConnectionError):
            pass

    def sip(self):
        """One byte a second from each."""
        while not self.stopping.wait(1):
            for one in self.crowd.sockets:
                try:
                    one.recv(1)
                except OSError:
                    pass

    def end(self):
        self.stopping.set()
        self.thread.join()
        self.crowd.close(abruptly=True)


def watch(server, client, seconds):
    """Serves somebody else meanwhile. Returns the largest RSS and the round trips."""
    deadline, largest, took = time.monotonic() + seconds, 0, []
    while time.monotonic() < deadline:
        took += round_trips(client, "busy", 5)
        largest = max(largest, rss(server.process.pid))
    return largest, sorted(took)


def drain(client, ids):
    """Every job comes once the leases of the slow ones are over, and comes whole."""
    left = {int(job): number for number, job in enumerate(ids)}
    while left:
        jobs = client.pull("large", "COUNT", "8", "WAIT", "20s")
        expect(jobs, f"{len(left)} of {len(ids)} jobs did not come again")
        for job in jobs:
            expect(job["payload"][:8] == b"%08d" % left.pop(int(job["id"])), "a payload of another job")
            expect(client("ACK", job["id"], job["token"]) == "OK", "the ack of a lease was refused")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--consumers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--jobs", type=int, default=300)
    options = parser.parse_args()
    with Server(options=OPTIONS) as server, server.client(timeout=60) as client:
        ids = fill(client, options.jobs)
        alone = round_trips(client, "busy", 100)
        attack = Attack(server.port, options.consumers, ids[0])
        try:
            largest, took = watch(server, client, options.seconds)
        finally:
            attack.end()
        facts = info(client)
        slow, greedy = facts["slow_clients_closed"], facts["greedy_clients_closed"]
        print(f"slow consumers: {options.consumers} on {options.jobs} jobs of 1 MiB, largest RSS {largest / MIB:.0f} "
              f"MiB (bound {RSS_MAX / MIB:.0f}), {slow} slow and {greedy} greedy ones closed; meanwhile push, pull and "
              f"ack took {milliseconds(took)} (alone {milliseconds(alone)})")
        expect(largest <= RSS_MAX, f"RSS was {largest / MIB:.0f} MiB, at most {RSS_MAX / MIB:.0f} are promised")
        expect(slow > 0, "no slow client was closed")
        expect(greedy > 0, "the buffers never held as much as they may together")
        expect(eventually(lambda: info(client)["connected_clients"] == 1, 30), "connections are left")
        drain(client, ids)
        expect(server.terminate() == 0, "the server did not end well")
    report({"slow consumers": options.consumers})


if __name__ == "__main__":
    main()
