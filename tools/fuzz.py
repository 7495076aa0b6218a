#!/usr/bin/env python3
"""Runs the libFuzzer programs of build/fuzz, each from its corpus in tests/fuzz/corpus/NAME.

    tools/fuzz.py [--seconds N] [--build] (--all | PROGRAM ...)
    tools/fuzz.py --minimise PROGRAM      merges what was found (build/fuzz/corpus) into the kept corpus

First the kept corpus is replayed, every input once; then the program looks for more for N seconds and keeps what it
finds in build/fuzz/corpus/PROGRAM. A finding is written to build/fuzz/ and printed with the command that replays it.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/fuzz"
KEPT = ROOT / "tests/fuzz/corpus"
KEPT_BYTES_MAX = 24 << 10  # of one corpus, as KEPT_INPUTS_MAX: the repository stays small
KEPT_INPUTS_MAX = 100
INPUT_BYTES_MAX = 4096
# Memory is a part of what is tested: none of the programs may need much (RELIABILITY 3.6).
LIMITS = ["-timeout=10", "-rss_limit_mb=1024", f"-max_len={INPUT_BYTES_MAX}"]


def programs():
    found = list((ROOT / "src").rglob("*_fuzz.cc")) + list((ROOT / "tests/fuzz").glob("*_fuzz.cc"))
    return sorted(path.stem for path in found)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    wanted = programs() if options.all else options.programs
    unknown = set(wanted) - set(programs())
    if unknown or not wanted:
        sys.exit(f"fuzz: which of {' '.join(programs())}?")
    if options.build:
        subprocess.run(["cmake", "--preset", "fuzz"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", BUILD, "--target", *wanted], check=True)
    if options.minimise:
        for program in wanted:
            minimise(program)
        return
    counts, failures = {"executions": 0, "seconds": 0}, 0
    for program in wanted:
        start = time.monotonic()
        executions, is_fine = fuzz(program, options.seconds)
        seconds = round(time.monotonic() - start)  # A finding ends it early.
        counts["executions"] += executions
        counts["seconds"] += seconds
        counts[f"{program}_executions"] = executions
        counts[f"{program}_seconds"] = seconds
        failures += not is_fine
    print("ledger: " + json.dumps({"tool": "fuzz", "counts": counts, "failures": failures}))
    sys.exit(1 if failures else 0)


def fuzz(program, seconds):
    """Replays the corpus, then looks for more. How many inputs were run, and whether all is well."""
    (BUILD / "corpus" / program).mkdir(parents=True, exist_ok=True)
    kept, found = KEPT / program, BUILD / "corpus" / program
    inputs = [path for path in kept.glob("*")]
    if not inputs:
        print(f"{program}: tests/fuzz/corpus has nothing for it")
        return 0, False
    replayed, is_fine = run(program, "-runs=0", kept)
    if not is_fine or seconds == 0:
        return replayed, is_fine
    executions, is_fine = run(program, f"-max_total_time={seconds}", found, kept)
    print(f"{program}: {len(inputs)} kept inputs, {executions} executions in {seconds} s", flush=True)
    return replayed + executions, is_fine


def run(program, how, *corpora):
    done = subprocess.run([BUILD / program, how, *LIMITS, "-print_final_stats=1", f"-artifact_prefix={BUILD}/", *corpora],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors="replace")
    executions = re.search(r"number_of_executed_units:\s+(\d+)", output)
    if done.returncode != 0:
        print(output[-4000:])
        artifact = re.search(r"Test unit written to (\S+)", output)
        print(f"{program} failed; replay: build/fuzz/{program} {artifact[1] if artifact else corpora[0]}")
    return int(executions[1]) if executions else 0, done.returncode == 0


def minimise(program):
    """Keeps few inputs that together reach what all of them reach, as far as they fit."""
    kept, found = KEPT / program, BUILD / "corpus" / program
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as merged:
        subprocess.run([BUILD / program, "-set_cover_merge=1", *LIMITS, merged, kept, found], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in kept.glob("*"):
            path.unlink()
        reached = sorted(pathlib.Path(merged).iterdir(), key=lambda each: (each.stat().st_size, each.name))
        # Of too many every so many-th: small ones and large ones.
        step = -(-len(reached) // KEPT_INPUTS_MAX)
        total = 0
        for path in reached[::step]:
            total += path.stat().st_size
            if total <= KEPT_BYTES_MAX:
                (kept / path.name).write_bytes(path.read_bytes())
    print(f"{program}: {len(list(kept.glob('*')))} inputs kept")


main()
