#!/usr/bin/env python3
"""Counts the instructions that the server takes for a message over AMQP, outside of the kernel, with callgrind, and says in
which functions they are.

    python3 bench/instructions.py                                    # about a minute
    python3 bench/instructions.py --top 30
    python3 bench/instructions.py --binary ../sluice-of-then/build/release/sluice

What a message takes in time differs from hour to hour on a machine that others use, too; this differs by a few in a thousand
publishing and consuming, so two builds can be compared that are hours apart. End to end it depends on how large the batches
are, and those on what else the machine does: by a tenth. It sees neither the kernel nor caches. Needs valgrind (apt-get install
valgrind) and a build with symbols.
"""
import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys

import amqp
import compare

LOADS = {"publish": "push", "consume": "drain", "end to end": "cycle"}


class Counted(amqp.Sluice):
    """A server that is slow, as all that it does is counted."""

    def command(self):
        return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.folder / 'counts'}", *super().command()]

    def control(self, order):
        subprocess.run(["callgrind_control", order, str(self.pid())], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def counts(self):
        """Instructions by function, since they were set to zero."""
        self.control("--dump")
        return functions((self.folder / "counts.1").read_text())


def functions(profile):
    """Of callgrind's format (valgrind's manual, "Callgrind Format Specification"): the costs of each function itself."""
    names, costs = {}, collections.Counter()
    function, is_of_callee = None, False
    for line in profile.splitlines():
        if found := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line):
            name = names.setdefault(found[2], found[3])  # Written out the first time only.
            if not found[1]:
                function = name
        elif line.startswith("calls="):
            is_of_callee = True
        elif re.match(r"[\d+*-]", line):
            if not is_of_callee:
                costs[function] += int(line.split()[-1])
            is_of_callee = False
    return costs


def measure(arguments, mode):
    with Counted(f"counted {mode}", arguments, arguments.binary) as server:
        server.order("reset")
        if mode == "drain":
            server.order("fill", jobs=arguments.jobs)
        server.control("--zero")
        options = {"jobs": arguments.jobs} if mode == "drain" else {"secs": arguments.secs, "window": 1000}
        result = compare.run(server.load_command(mode, options))
        jobs = arguments.jobs if mode == "drain" else result["jobs"]
        return {name: count / jobs for name, count in server.counts().items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=amqp.ROOT / "build/release/sluice")
    parser.add_argument("--peers", type=pathlib.Path, default=amqp.ROOT / "build/peers")
    parser.add_argument("--data", type=pathlib.Path, default=amqp.ROOT / "build/bench-data")
    parser.add_argument("--secs", type=int, default=6, help="of publishing, and of end to end")
    parser.add_argument("--jobs", type=int, default=60_000, help="to consume")
    parser.add_argument("--top", type=int, default=0, help="so many functions of each")
    arguments = parser.parse_args()
    arguments.binary, arguments.data, arguments.peers = (
        path.resolve() for path in (arguments.binary, arguments.data, arguments.peers))
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: apt-get install valgrind")
    subprocess.run(["make", "-s", "-C", amqp.ROOT / "bench/peers", f"OUT={arguments.peers}"], check=True)
    arguments.data.mkdir(parents=True, exist_ok=True)
    print("| | instructions a message |\n|---|---:|")
    details = {}
    for name, mode in LOADS.items():
        details[name] = measure(arguments, mode)
        print(f"| {name} | {sum(details[name].values()):,.0f} |", flush=True)
    for name, counts in details.items() if arguments.top else ():
        print(f"\n{name}:\n")
        for function, count in sorted(counts.items(), key=lambda each: -each[1])[:arguments.top]:
            print(f"    {count:7.1f}  {function}")


if __name__ == "__main__":
    main()
