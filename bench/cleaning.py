#!/usr/bin/env python3
"""Does cleaning disturb anyone, and does it keep the disk small? Two runs of the same latency load, in turn,
each with jobs beside it that are pushed in batches and wait for an hour:

    quiet     every second batch is deleted again at once: little to clean
    cleaning  of three batches two are deleted, some seconds later: every old segment holds some jobs that live
              and more that do not, so that cleaning copies all the time

and while they run, the journal's size and the bytes that live in it, as INFO tells them, ten times a second.
Printed: p50 and p99 of both and their ratio; how much cleaning read; the journal's size at its worst,
against the promise: below twice what lives and four segments.

    python3 bench/cleaning.py [--rounds 3] [--secs 10] [--segment-mib 8] [--per-batch 20000]
"""
import argparse
import pathlib
import statistics
import sys
import threading
import time

from compare import ROOT, Sluice, run

sys.path.insert(0, str(ROOT / "tests"))
from harness import Client  # noqa: E402

BATCH_SECONDS = 0.5
BATCHES_KEPT = 9


class Server(Sluice):
    def command(self):
        return [*super().command(), "--segment-bytes", f"{self.segment_mib}MiB"]


class Watch(threading.Thread):
    """Samples INFO until told to stop."""

    def __init__(self, server):
        super().__init__()
        self.client, self.segment = Client(server.port), server.segment_mib << 20
        self.worst, self.journal_max, self.over = 0.0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            info = self.info()
            promise = 2 * info["live_bytes"] + 4 * self.segment
            self.worst = max(self.worst, info["journal_bytes"] / promise)
            self.journal_max = max(self.journal_max, info["journal_bytes"])

    def info(self):
        lines = self.client("INFO", "persistence").decode().split("\r\n")
        return {name: int(value) for name, _, value in (line.partition(":") for line in lines) if value.isdigit()}


def long_jobs(server, jobs, is_cleaning, over):
    """Batch after batch of jobs that wait for an hour."""
    client, number = Client(server.port), 0
    while not over.wait(BATCH_SECONDS):
        name = f"archive-{number}"
        run([*server.load_command("delayed", {"queue": name, "over": "1h"}), jobs])
        old = f"archive-{number - BATCHES_KEPT}" if is_cleaning else name
        if is_cleaning and number >= BATCHES_KEPT and number % 3 != 0 or not is_cleaning and number % 2 != 0:
            client("QUEUE", "DELETE", old, "FORCE")
        number += 1


def measure(server, secs, jobs, is_cleaning):
    over = threading.Event()
    beside = threading.Thread(target=long_jobs, args=(server, jobs, is_cleaning, over))
    beside.start()
    try:
        return server.load("latency", {"secs": secs, "rate": 5000})
    finally:
        over.set()
        beside.join()


def main():
    parser = argparse.ArgumentParser(description="latency and disk use while the journal is cleaned")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sluice")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "build/bench-data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=10)
    parser.add_argument("--segment-mib", type=int, default=8)
    parser.add_argument("--per-batch", type=int, default=20_000)
    arguments = parser.parse_args()
    Server.segment_mib = arguments.segment_mib
    results = {"quiet": [], "cleaning": []}
    with Server(arguments) as server:
        watch = Watch(server)
        watch.start()
        try:
            for _ in range(arguments.rounds):
                for name in results:
                    results[name].append(measure(server, arguments.secs, arguments.per_batch, name == "cleaning"))
                    print(f"  {name}: p50 {results[name][-1]['p50_us']:,.0f} us, p99 {results[name][-1]['p99_us']:,.0f} us,"
                          f" max {results[name][-1]['max_us']:,.0f} us", file=sys.stderr)
        finally:
            watch.over.set()
            watch.join()
        info = watch.info()
    print(f"5,000 jobs/s for {arguments.secs:.0f} s, medians of {arguments.rounds} rounds; segments of"
          f" {arguments.segment_mib} MiB, {arguments.per_batch:,} long jobs every {BATCH_SECONDS} s")
    print("| | quiet | cleaning | ratio |\n|---|--:|--:|--:|")
    for figure in ("p50_us", "p99_us", "max_us"):
        quiet, cleaning = (statistics.median(result[figure] for result in runs) for runs in results.values())
        print(f"| {figure.replace('_', ', ')} | {quiet:,.0f} | {cleaning:,.0f} | {cleaning / quiet:.2f} × |")
    print(f"written {info['written_bytes_total'] >> 20:,} MiB, of it read again by cleaning"
          f" {info['cleaned_bytes_total'] >> 20:,} MiB; at its largest the journal had"
          f" {watch.journal_max >> 20:,} MiB, at its worst {watch.worst:.2f} × (2 × live + 4 segments)")


if __name__ == "__main__":
    main()
