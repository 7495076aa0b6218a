#!/usr/bin/env python3
"""Builds the mistakes of tests/mutants/mutants.toml and demands that the tests notice each of them.

    tools/mutants.py [NUMBER ...]        all of them, or some

The sources are copied to build/mutants with all edits made at once; a program asks for its mistake by the
environment variable SLUICE_MUTANT, so that everything is built once. Without a mistake every catcher must pass; with
each one some catcher of it must fail: by a check, not by running out of time (unless the mutant says `hangs = true`).
A mutant that nothing catches is a hole in the tests. A text that is not found exactly once fails the run, too: whoever
changes that code changes the list.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/mutants/mutants.toml"
PLACE = ROOT / "build/mutants"
FOLDERS = ("src", "include", "cmake", "tests/reference")
LAYERS_UP_TO = "gateway"  # The layers above have no mutants.
SECONDS_MAX = 120  # of one catcher

HEADER = """// Which mistake this process makes; made by tools/mutants.py.
#pragma once
#include <cstdlib>
inline bool mutant(int number) {
  static const char* const text = std::getenv("SLUICE_MUTANT");
  static const int chosen = text == nullptr ? 0 : std::atoi(text);
  return chosen == number;
}
"""


def main():
    listed = tomllib.loads(LIST.read_text())
    mutants = {each["number"]: each for each in listed["mutant"]}
    wanted = [int(number) for number in sys.argv[1:]] or sorted(mutants)
    check_list(listed, mutants, wanted)
    copy_sources(listed["edit"])
    build(listed["catchers"])
    for name, command in listed["catchers"].items():
        outcome, _, seconds = run(command, 0)
        print(f"no mutant  {name} {outcome} in {seconds:.1f} s", flush=True)
        if outcome != "passed":
            sys.exit(f"mutants: {name} {outcome} without any mutant")
    # Some catchers wait for what a mutant never lets happen; meanwhile others run.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        caught = pool.map(lambda number: is_caught(mutants[number], listed["catchers"]), wanted)
        failures = [number for number, is_fine in zip(wanted, caught) if not is_fine]
    for number in failures:
        print(f"NOT CAUGHT {number} {mutants[number]['name']}")
    counts = {"mutants": len(wanted), "caught": len(wanted) - len(failures)}
    print("ledger: " + json.dumps({"tool": "mutants", "counts": counts, "failures": len(failures)}))
    sys.exit(1 if failures else 0)


def check_list(listed, mutants, wanted):
    edited = {int(number) for edit in listed["edit"] for number in re.findall(r"mutant\((\d+)\)", edit["replacement"])}
    if len(mutants) != len(listed["mutant"]):
        sys.exit("mutants: a number is used twice")
    if edited != mutants.keys():
        sys.exit(f"mutants: edits and mutants disagree on {sorted(edited ^ mutants.keys())}")
    for mutant in listed["mutant"]:
        unknown = set(mutant["caught_by"]) - listed["catchers"].keys()
        if unknown or not mutant["caught_by"]:
            sys.exit(f"mutants: {mutant['number']} has no such catcher: {unknown or 'none'}")
    if set(wanted) - mutants.keys():
        sys.exit(f"mutants: there is no {sorted(set(wanted) - mutants.keys())}")


def copy_sources(edits):
    """A tree with the edits made; files that stay as they were keep their times, so that little is built again."""
    texts = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                texts[str(path.relative_to(ROOT))] = path.read_bytes().decode()
    for edit in edits:
        text = texts.get(edit["file"], "")
        found = text.count(edit["original"])
        if found != 1:
            sys.exit(f"mutants: {edit['file']} has this {found} times, not once:\n{edit['original']}")
        texts[edit["file"]] = text.replace(edit["original"], edit["replacement"])
    texts["mutant.h"] = HEADER
    texts["CMakeLists.txt"] = cmake_file()
    for path in [path for folder in FOLDERS for path in (PLACE / folder).rglob("*")]:
        if path.is_file() and str(path.relative_to(PLACE)) not in texts:
            path.unlink()
    for name, text in texts.items():
        path = PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def cmake_file():
    """The project's own, as far as the layers that have mutants."""
    lines = []
    for line in (ROOT / "CMakeLists.txt").read_text().splitlines():
        lines.append(line)
        if line.startswith(f"add_layer({LAYERS_UP_TO}"):
            break
    else:
        sys.exit(f"mutants: CMakeLists.txt has no layer {LAYERS_UP_TO}")
    lines.insert(lines.index("include(cmake/options.cmake)  # compiler, warnings, sanitizers, packages"),
                 "add_compile_options(-include ${CMAKE_SOURCE_DIR}/mutant.h)")
    return "\n".join(lines + ["add_subdirectory(tests/reference)", ""])


def build(catchers):
    # ccache does not see through -include unless it may hash the text itself.
    environment = dict(os.environ, CCACHE_SLOPPINESS="pch_defines,time_macros")
    targets = sorted({command[0] for command in catchers.values()})
    for command in (["cmake", "-S", PLACE, "-B", PLACE / "build", "-G", "Ninja",
                     "-DCMAKE_UNITY_BUILD=ON"],
                    ["cmake", "--build", PLACE / "build", "-j", str(os.cpu_count() or 2), "--target", *targets]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout[-8000:])
            sys.exit("mutants: the sources with the edits do not build; is the list still true to the code?")


def is_caught(mutant, catchers):
    number, outcomes = mutant["number"], []
    for name in mutant["caught_by"]:
        outcome, where, seconds = run(catchers[name], number)
        if outcome == "failed" or (outcome == "timed out" and mutant.get("hangs")):
            print(f"{number:4} {mutant['name']}: caught by {name} in {seconds:.1f} s ({where})", flush=True)
            return True
        outcomes.append(f"{name} {outcome}")
    print(f"{number:4} {mutant['name']}: NOT CAUGHT: {', '.join(outcomes)}", flush=True)
    return False


def run(command, number):
    """passed, failed or timed out; what failed; seconds."""
    program = [PLACE / "build" / command[0], *command[1:]]
    if command[0].endswith("_test"):
        program += ["--gtest_fail_fast", "--gtest_brief=1"]
    environment = dict(os.environ, SLUICE_MUTANT=str(number), RC_PARAMS="max_success=200")
    started = time.monotonic()
    try:
        done = subprocess.run(program, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS_MAX, cwd=PLACE)
    except subprocess.TimeoutExpired:
        return "timed out", "", time.monotonic() - started
    seconds = time.monotonic() - started
    if done.returncode == 0:
        return "passed", "", seconds
    output = done.stdout.decode(errors="replace")
    where = re.search(r"\[  FAILED  \] (\S+)|(seed \d+ differs: .*)|(\S+:\d+: invariant broken)", output)
    return "failed", next(filter(None, where.groups())) if where else f"exit {done.returncode}", seconds


main()
