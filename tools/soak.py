#!/usr/bin/env python3
"""Runs the long forms of everything that proves something, and appends what they did to the ledger.

    ./dev soak [--scale 0.1] [--seed N] [PART ...]

Parts: sim model crash power-loss nth-call fuzz load soak mutants.

Each tool ends with a line `ledger: {...}`; with date, commit, command and seconds it becomes a line of
tests/assurance.jsonl, from which docs/assurance.md is made (tools/assurance.py). What is not built here or cannot
run on this machine is skipped, with the reason, and leaves no line. Every tool has a time limit; one that exceeds it,
or ends badly without a word, is a failure of its own. The output of each is in build/soak/.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import assurance

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77  # the exit code of our tests for what the machine cannot do
HOUR = 3600


@dataclasses.dataclass
class Run:
    """One program. `needs`: the file that has to be there, or (preset, target) to build."""
    command: list
    seconds_max: float
    needs: object


# What has pika; it need not be the first one in PATH.
DEBIANS_PYTHON = "/usr/bin/python3"


def python(script, *words, seconds_max, interpreter="python3"):
    return Run([interpreter, script, *map(str, words)], seconds_max, script)


class Plan:
    """The parts and their sizes: the long forms of issue 3, times `scale`."""

    def __init__(self, scale, seed):
        self.scale, self.seed = scale, seed

    def times(self, count):
        return max(1, round(count * self.scale))

    def limit(self, seconds):
        """Room for a machine three times slower, and for starting."""
        return 600 + 3 * seconds * self.scale

    def sim(self):
        return [Run(["build/release/sim/sluice_sim", "--seeds", str(self.times(200_000)), "--first-seed",
                     str(self.seed), "--jobs", str(os.cpu_count() or 1), "--kept", "sim/seeds.txt"],
                    self.limit(4 * HOUR), ("release", "sluice_sim"))]

    def model(self):
        return [Run(["build/release/model", "--sequences", str(self.times(1_000_000)), "--seed", str(self.seed)],
                    self.limit(HOUR), ("release", "model"))]

    def crash(self):
        return [python("tests/crash/crash_test.py", "--cycles", self.times(5_000), "--seed", self.seed,
                       seconds_max=self.limit(HOUR)),
                python("tests/crash/crash_test.py", "--amqp", "--cycles", self.times(5_000), "--seed", self.seed,
                       seconds_max=self.limit(HOUR), interpreter=DEBIANS_PYTHON)]

    def power_loss(self):
        return [python("tests/disk/power_loss_test.py", "--states", self.times(states), "--seed", self.seed, "--fs", fs,
                       seconds_max=self.limit(HOUR)) for fs, states in (("ext4", 40_000), ("xfs", 10_000))]

    def nth_call(self):
        return [python("tests/faults/nth_call_test.py", "--full", seconds_max=self.limit(2 * HOUR))]

    def fuzz(self):
        """Ten minutes each."""
        seconds = self.times(600)
        return [python("tools/fuzz.py", "--build", "--all", "--seconds", seconds, seconds_max=HOUR + 10 * seconds)]

    def load(self):
        def load(name, *words, minutes=10, interpreter="python3"):
            return python(f"tests/load/{name}_test.py", *words, seconds_max=self.limit(minutes * 60),
                          interpreter=interpreter)
        return [load("idle", "--connections", 10_000, "--seconds", self.times(60)),
                load("storm", "--connections", 10_000, "--rounds", max(4, self.times(20))),
                load("slow_consumer", "--consumers", 200, "--jobs", 500, "--seconds", self.times(60)),
                load("amqp", "--connections", 5_000, "--queues", 10_000, "--bindings", 100_000, interpreter=DEBIANS_PYTHON),
                load("backlog", "--jobs", max(1_000_000, self.times(10_000_000)), "--bytes", 200,
                     "--memory", max(256, self.times(1024))),
                load("backlog", "--jobs", max(200_000, self.times(2_000_000)), "--bytes", 2_000,
                     "--memory", max(128, self.times(512)))]

    def soak(self):
        return [python("tests/load/soak_test.py", "--seconds", self.times(HOUR), "--every", 60, "--seed", self.seed,
                       "--record", "build/soak/soak.csv", seconds_max=self.limit(HOUR))]

    def mutants(self):
        return [python("tools/mutants.py", seconds_max=self.limit(2 * HOUR))]


# What the Python tests use without naming it: the server, and the shim that makes its calls fail.
COMMON_TARGETS = ("sluice", "faults")
PARTS = ("sim", "model", "crash", "power-loss", "nth-call", "fuzz", "load", "soak", "mutants")


def quietly(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def build(preset, target):
    """Returns why there is no such program, or nothing."""
    if not (ROOT / "build" / preset / "build.ninja").exists():
        quietly("cmake", "--preset", preset)
    if not re.search(rf"^{target}: ", quietly("ninja", "-C", f"build/{preset}", "-t", "targets", "all").stdout, re.M):
        return f"there is no target {target}"
    built = quietly("cmake", "--build", f"build/{preset}", "--target", target)
    return "" if built.returncode == 0 else f"{target} does not build:\n{built.stdout[-2000:]}"


def end_late(process, late):
    """Ends the group that was made for the process; it may tidy up first."""
    late.set()
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended just now


def why_not(run):
    """Builds what the run needs. Returns why it cannot run, or nothing."""
    if isinstance(run.needs, str):
        return "" if (ROOT / run.needs).exists() else f"there is no {run.needs}"
    return build(*run.needs)


def run_bounded(command, log, seconds_max):
    """Runs it with its output shown and kept. Returns (exit code, output, whether it was in time)."""
    environment = {**os.environ, "SLUICE_BIN": str(ROOT / "build/release/sluice"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, errors="replace", start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    late = threading.Event()

    timer = threading.Timer(seconds_max, end_late, (process, late))
    timer.start()
    lines = []
    with log.open("a") as kept:
        for line in process.stdout:
            print(line, end="", flush=True)
            kept.write(line)
            lines.append(line)
    code = process.wait()
    timer.cancel()
    return code, "".join(lines[-5000:]), not late.is_set()


def told(part, output):
    """What the program said for the ledger, or nothing."""
    lines = [line[len("ledger: "):] for line in output.splitlines() if line.startswith("ledger: ")]
    entry = json.loads(lines[-1]) if lines else None
    return {"tool": part, **entry} if entry else None


def perform(run, part, log):
    """Returns the line for the ledger, or nothing if there is nothing to tell."""
    if missing := why_not(run):
        print(f"skipped: {part}: {missing}", flush=True)
        return None
    print("+", shlex.join(run.command), flush=True)
    began = time.monotonic()
    code, output, in_time = run_bounded(run.command, log, run.seconds_max)
    if code == SKIPPED:
        return None
    entry = told(part, output) or {"tool": part, "counts": {}, "failures": 0}
    if code != 0 or not in_time:
        entry["failures"] = max(1, entry["failures"])
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit(), "tool": entry["tool"], "command": shlex.join(run.command), "counts": entry["counts"],
            "seconds": round(time.monotonic() - began), "failures": entry["failures"]}


def commit():
    """The commit that was tested; with a + if the files differ from it."""
    changed = quietly("git", "status", "--porcelain", "--untracked-files=no", "--", ":!tests/assurance.jsonl",
                      ":!docs/assurance.md").stdout.strip()
    return quietly("git", "rev-parse", "--short=12", "HEAD").stdout.strip() + ("+" if changed else "")


def main():
    parser = argparse.ArgumentParser(description="the long forms of everything that proves something")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; 1 takes most of a day")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)}; default all")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {' '.join(sorted(unknown))}; parts: {' '.join(PARTS)}")
    plan, failures = Plan(options.scale, options.seed), 0
    logs = ROOT / "build/soak"
    logs.mkdir(parents=True, exist_ok=True)
    for target in COMMON_TARGETS:
        if missing := build("release", target):
            print(missing)
    print(f"soak: seed {options.seed}, scale {options.scale:g}", flush=True)
    for part in options.parts or PARTS:
        print(f"\n=== {part}", flush=True)
        log = logs / f"{part}.log"
        log.write_text("")
        for run in getattr(plan, part.replace("-", "_"))():
            if entry := perform(run, part, log):
                assurance.append(entry)
                failures += entry["failures"]
    assurance.write_page()
    print(f"\nsoak: {failures} failures; see docs/assurance.md")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
