#!/usr/bin/env python3
"""Load without end, a fault every minute, and nothing acknowledged is lost; memory and descriptors stay flat.

    soak_test.py [--seconds 1] [--every 6] [--seed N] [--record FILE]

The faults take turns: kill -9 and start again; SIGSTOP for a while; a disk that somebody else fills up for a
while (the data is on a small filesystem of its own; skipped where no loop device can be mounted). The clients are
those of the crash test, and its ledger judges. When each fault had its turn, everything is drained, and RSS and
descriptors are compared with those after the first round. `--record` writes them as CSV.
"""
import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from ctypes import CDLL

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "crash")]
from crowd import KIB, MIB, descriptors, expect, info, report, rss  # noqa: E402
from harness import Server  # noqa: E402
from ledger import Ledger  # noqa: E402
from load import LONG_QUEUE, SHORT_QUEUES, Load  # noqa: E402

CLONE_NEWNS = 0x20000
DISK_BYTES, FREE_MIN = 512 * MIB, 64 * MIB
OPTIONS = ["--segment-bytes", "1MiB", "--disk-free-bytes-min", str(FREE_MIN), "--tail-cache-bytes", "4MiB"]
PUSHES_A_SECOND = 1500  # of each producer, at most
RSS_GROWTH_MAX = 16 * MIB
JOURNAL_FILES_MAX = 16  # how many of its segments are open at the moment of counting


class PacedLoad(Load):
    """The crash test's clients at a rate that can be kept up for hours."""

    # Keys that are held for an hour would fill the memory for an hour before it could be called flat.
    key_window = "2m"

    def new_push(self, *words):
        time.sleep(1 / PUSHES_A_SECOND)  # the pace, not a synchronisation
        return super().new_push(*words)


class SmallDisk:
    """A filesystem in a file, or just a directory where that cannot be mounted. It is mounted for this process and
    its children only, and so is gone with them however they end."""

    def __init__(self, folder):
        CDLL(None).unshare(CLONE_NEWNS)  # where that is not allowed, neither is mount
        self.path, self.why_not = pathlib.Path(folder) / "disk", ""
        self.path.mkdir()
        image = pathlib.Path(folder) / "image"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        for command in (["mkfs.ext4", "-q", "-F", "-m", "0", image], ["mount", "--make-rprivate", "/"],
                        ["mount", "-o", "loop", image, self.path]):
            try:
                done = subprocess.run(command, capture_output=True, text=True)
            except FileNotFoundError as error:
                done = subprocess.CompletedProcess(command, 1, stderr=str(error))
            if done.returncode != 0:
                self.why_not = f"{command[0]}: {done.stderr.strip()}"
                break

    def fill(self):
        """Somebody else takes the space, but for half of what the server keeps for acks and cleaning."""
        free = shutil.disk_usage(self.path).free
        with open(self.path / "somebody-else", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free - FREE_MIN // 2, KIB))

    def clear(self):
        (self.path / "somebody-else").unlink(missing_ok=True)

    def remove(self):
        if not self.why_not:
            subprocess.run(["umount", self.path], check=True)


class Soak:
    def __init__(self, options, disk):
        self.options, self.disk, self.random = options, disk, random.Random(options.seed)
        self.server = Server(directory=disk.path, options=OPTIONS, start=False)
        self.ledger, self.began = Ledger(), time.monotonic()
        self.load = PacedLoad(self.ledger, options.seed)
        self.counts, self.rows = collections.Counter(), []
        self.faults = [self.kill, self.pause] + ([] if disk.why_not else [self.full_disk])

    # -- The faults. Each leaves a server behind that runs, and clients. ----------------------------------

    def kill(self):
        self.server.kill()
        self.ledger.server_ended()
        self.load.join()
        self.start()
        self.load.run(self.server)

    def start(self):
        self.ledger.server_starts()
        self.server.start()

    def pause(self):
        self.server.process.send_signal(signal.SIGSTOP)
        time.sleep(min(5.0, self.options.every / 4))  # how long the fault lasts
        self.server.process.send_signal(signal.SIGCONT)

    def full_disk(self):
        self.disk.fill()
        time.sleep(min(20.0, self.options.every / 2))  # how long the fault lasts
        self.disk.clear()

    # -- A round: load with each fault once, then the judgement. --------------------------------------------

    def load_with(self, fault):
        end = time.monotonic() + self.options.every
        self.load.run(self.server)
        time.sleep(self.options.every * self.random.uniform(0.1, 0.5))  # when the fault comes
        fault()
        time.sleep(max(0.0, end - time.monotonic()))
        self.load.join()
        self.counts[f"faults: {fault.__name__}"] += 1

    def round(self):
        for fault in self.faults:
            self.load_with(fault)
            if self.ledger.violations:
                return
        self.load.drain(self.server)
        with self.server.client(timeout=60) as client:
            facts, pid = info(client), self.server.process.pid
            self.rows.append((round(time.monotonic() - self.began), rss(pid), descriptors(pid),
                              facts["journal_bytes"], facts["used_memory"]))

    def run(self):
        try:
            self.start()
            with self.server.client() as client:
                for queue in (*SHORT_QUEUES, LONG_QUEUE):
                    client("QUEUE", "SET", queue, "keep", "50ms")
            while not self.rows or time.monotonic() - self.began < self.options.seconds:
                self.round()
                if self.ledger.violations:
                    break
            expect(self.server.terminate() == 0, "the server did not end well")
            self.ledger.judge()
        finally:
            self.load.stopping = True
            if self.server.process:
                self.server.process.kill()
                self.server.wait_exit()
        return self.tell(time.monotonic() - self.began)

    def tell(self, seconds):
        sizes, files = [row[1] for row in self.rows] or [0], [row[2] for row in self.rows] or [0]
        print(f"soak: {seconds:.0f} s, seed {self.options.seed}; after each of {len(self.rows)} rounds RSS "
              f"{min(sizes) / MIB:.1f} to {max(sizes) / MIB:.1f} MiB, {min(files)} to {max(files)} descriptors")
        for name, count in sorted({**self.counts, **self.ledger.counts}.items()):
            print(f"  {name:<62} {count:>11,}")
        if self.options.record:
            rows = [("seconds", "rss_bytes", "descriptors", "journal_bytes", "job_bytes"), *self.rows]
            pathlib.Path(self.options.record).write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        if self.disk.why_not:
            print("skipped: the full disk, for want of a small filesystem:", self.disk.why_not)
        if max(sizes) - sizes[0] > RSS_GROWTH_MAX:
            self.ledger.violate("memory", f"grows: {sizes}")
        if max(files) > files[0] + JOURNAL_FILES_MAX:
            self.ledger.violate("descriptors", f"grow: {files}")
        violations = self.ledger.violations
        for verdict, what in violations[:20]:
            print("VIOLATION", f"{verdict}: {what}")
        report({"soak seconds": round(seconds), "soak faults": sum(self.counts.values()),
                "soak pushes acknowledged": self.ledger.counts["pushes acknowledged"]}, len(violations))
        return 1 if violations else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1, help="at least; a round is finished")
    parser.add_argument("--every", type=float, default=6, help="seconds from fault to fault")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        disk = SmallDisk(folder)
        try:
            sys.exit(Soak(options, disk).run())
        finally:
            disk.remove()


if __name__ == "__main__":
    main()
