#!/usr/bin/env python3
"""Builds and runs the tests, part by part, and adds up what passed and what failed. See ./test.

A part is a list of steps. A `need` step (configure, build) must succeed or the rest of its part is
skipped and counted as one failure; a `check` is one test; `ctest` counts each of its tests.
"""
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = str(os.cpu_count() or 2)
# Tests wait for two fifths of their time: for a process to start, a lease to end, a disk.
TEST_JOBS = str(int(JOBS) + 1)
# Layers with threads: what ThreadSanitizer has something to say about.
THREADED = ("io", "journal", "engine", "gateway", "client", "worker")
# Layers that clang-tidy reads in ./test; `./dev clang-tidy` reads all of them.
TIDY_LAYERS = ("base", "model", "wire", "core", "journal")

FUZZ_SECONDS = 5  # each program, behind its kept corpus; `./dev fuzz` for longer

OUTPUT_LINES_MAX = 40  # of each test that failed, once more at the very end: where a CI shows it

passed, failures, timings = 0, [], []


def run(command):
    print("+", shlex.join(command), flush=True)
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode == 0


def check(name, *command):
    global passed
    if run(list(command)):
        passed += 1
    else:
        failures.append(name)


def need(name, *command):
    if run(list(command)):
        return True
    failures.append(name)
    return False


def ctest(part, *options):
    """Runs CTest in the part's build directory and counts what it ran."""
    global passed
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        succeeded = run(["ctest", "--test-dir", f"build/{part}", "--output-on-failure", "-j", TEST_JOBS,
                         "--no-tests=error", "--output-junit", report.name, *options])
        failed_here = 0
        try:
            for case in xml.etree.ElementTree.parse(report.name).getroot().iter("testcase"):
                if case.get("status") == "run":
                    passed += 1
                elif case.get("status") == "fail":
                    lines = (case.findtext("system-out") or "").strip().splitlines()[-OUTPUT_LINES_MAX:]
                    failures.append("\n    ".join([f"{part}: {case.get('name')}", *lines]))
                    failed_here += 1
        except xml.etree.ElementTree.ParseError:
            pass
        if not succeeded and not failed_here:
            failures.append(f"{part}: ctest")


def configure(part):
    return need(f"{part}: configure", "cmake", "--preset", part)


def build(part, *targets):
    options = ["--target", *targets] if targets else []
    return need(f"{part}: build", "cmake", "--build", f"build/{part}", "-j", JOBS, *options)


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cc"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if (ROOT / name).exists()]


def lint():
    check("lint: clang-format", "clang-format-19", "--dry-run", "-Werror", *sources())
    check("lint: tidy.py finds what it should", "python3", "tools/tidy_test.py")
    check("lint: tidy.py", "python3", "tools/tidy.py")
    # Clang's own compile commands, each file alone: GCC's hold warning options that Clang does not know.
    if configure("clang"):
        check("lint: clang-tidy", "tools/clang_tidy", *TIDY_LAYERS)


def release():
    if configure("release") and build("release"):
        ctest("release")


def asan():
    if configure("asan") and build("asan"):
        ctest("asan")


def tsan():
    targets = [f"{layer}_test" for layer in THREADED if any((ROOT / "src" / layer).rglob("*_test.cc"))]
    if configure("tsan") and build("tsan", *targets):
        ctest("tsan", "-L", f"^({'|'.join(THREADED)})$")


def mutants():
    check("mutants", "python3", "tools/mutants.py")


def coverage():
    check("coverage of core and journal", "python3", "tools/coverage.py")


def fuzz():
    programs = sorted(path.stem for folder in ("src", "tests/fuzz") for path in (ROOT / folder).rglob("*_fuzz.cc"))
    if configure("fuzz") and build("fuzz", *programs):
        for program in programs:
            check(f"fuzz: {program}", "python3", "tools/fuzz.py", program, "--seconds", str(FUZZ_SECONDS))


PARTS = {"lint": lint, "release": release, "asan": asan, "tsan": tsan, "mutants": mutants, "coverage": coverage,
         "fuzz": fuzz}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            sys.exit(f"test: there is no part '{name}'; parts: {' '.join(PARTS)}")
    for name in wanted:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        PARTS[name]()
        timings.append(f"{name} {time.monotonic() - started:.0f} s")
    print(f"\ntook {', '.join(timings)}")
    for failure in failures:
        print("FAILED", failure)
    print(f"{passed} passed, {len(failures)} failed", flush=True)
    sys.exit(1 if failures or not passed else 0)


main()
