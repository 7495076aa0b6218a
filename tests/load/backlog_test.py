#!/usr/bin/env python3
"""A backlog far above the memory that the server may use is taken, survives kill -9, and is delivered from disk.

    backlog_test.py [--jobs 150000] [--bytes 2000] [--memory 128]

The server runs in a memory cgroup of `--memory` MiB (and would be killed for more). What it keeps of a job is
about 100 bytes, so the memory bounds how many jobs there can be, but not how large they are: beyond
memory_bytes_max pushes are refused with BUSY, and the server goes on.
"""
import argparse
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from crowd import MIB, expect, info, report, rss, skip  # noqa: E402
from harness import RespError, Server, encode  # noqa: E402

BATCH = 500
SAMPLES = 200


class MemoryCap:
    """A cgroup (version 1 or 2) below our own, or no test."""

    def __init__(self, limit):
        self.folder = self.find() / f"sluice-{os.getpid()}"
        first = ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        names = first if self.is_first else ("memory.max", "memory.peak")
        try:
            self.folder.mkdir()
            (self.folder / names[0]).write_text(str(limit))
        except OSError as error:
            self.remove()
            skip(f"no memory cgroup can be made here: {error}")
        self.peak_file = self.folder / names[1]
        self.launcher = ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    def find(self):
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                self.is_first = True
                return pathlib.Path("/sys/fs/cgroup/memory" + path)
            if not controllers:
                self.is_first, second = False, pathlib.Path("/sys/fs/cgroup" + path)
        return second

    def peak(self):
        return int(self.peak_file.read_text())

    def remove(self):
        if self.folder.is_dir():
            self.folder.rmdir()


def push_all(client, jobs, size):
    """Pushes in pipelines. Returns how many were taken before BUSY; all of them, unless there are too many."""
    body, taken = b"." * (size - 10), 0
    while taken < jobs:
        count = min(BATCH, jobs - taken)
        client.send(*[("PUSH", "backlog", "t", b"%010d" % (taken + number) + body) for number in range(count)])
        replies = [client.receive() for _ in range(count)]
        refused = [reply for reply in replies if isinstance(reply, RespError)]
        taken += count - len(refused)
        if refused:
            expect(all(reply.code == "BUSY" for reply in refused), refused[0])
            return taken
    return taken


def deliver(client, first, count):
    """The next jobs come in the order of their pushes, whole."""
    numbers = []
    while len(numbers) < count:
        jobs = client.pull("backlog", "COUNT", "50")
        numbers += [int(job["payload"][:10]) for job in jobs]
        client.send(*[("ACK", job["id"], job["token"]) for job in jobs])
        expect(all(client.receive() == "OK" for _ in jobs), "the ack of a lease was refused")
    expect(numbers == list(range(first, first + len(numbers))), f"not in the order of the pushes: {numbers[:5]} …")
    return first + len(numbers)


def run(cap, options):
    tail = "16MiB"
    settings = ["--tail-cache-bytes", tail, "--segment-bytes", "16MiB",
                "--memory-bytes-max", f"{options.memory * 3 // 4}MiB", "--buffers-bytes-max", "64MiB",
                "--output-bytes-max", "16MiB", "--payload-bytes-max", "1MiB"]
    with Server(options=settings, launcher=cap.launcher) as server:
        began = time.monotonic()
        with server.client(timeout=60) as client:
            taken = push_all(client, options.jobs, options.bytes)
            pushed_in = time.monotonic() - began
            next_job = deliver(client, 0, SAMPLES)
            on_disk = info(client)["journal_bytes"]
        before = rss(server.process.pid)
        server.kill()
        began = time.monotonic()
        server.start()
        started_in = time.monotonic() - began
        with server.client(timeout=60) as client:
            counts = client.queue("backlog")
            expect(counts["ready"] == taken - next_job, f"{counts} of {taken} jobs")
            deliver(client, next_job, SAMPLES)
        after = rss(server.process.pid)
        expect(server.terminate() == 0, "the server did not end well")
    print(f"backlog: {taken:,} jobs, {on_disk / MIB:,.0f} MiB on disk, in {options.memory} MiB of memory (peak "
          f"{cap.peak() / MIB:.0f} with the page cache, RSS {before / MIB:.0f} and after a restart {after / MIB:.0f}); "
          f"pushed in {pushed_in:.0f} s, started again in {started_in:.1f} s, "
          f"{taken / started_in:,.0f} jobs a second")
    expect(on_disk > options.memory * MIB, "the backlog fits into the memory, this proves nothing")
    report({"backlog jobs": taken})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=150_000)
    parser.add_argument("--bytes", type=int, default=2_000)
    parser.add_argument("--memory", type=int, default=128, help="MiB")
    options = parser.parse_args()
    cap = MemoryCap(options.memory * MIB)
    try:
        run(cap, options)
    finally:
        cap.remove()


if __name__ == "__main__":
    main()
