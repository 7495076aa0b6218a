#!/usr/bin/env python3
"""How much of the core and the journal the tests reach: lines, and each way of each branch.

    ./dev coverage [LAYER ...]        default: core journal

Builds the tests with Clang's source-based coverage (preset `coverage`), runs them, and prints a table and every
branch of which one way was never taken. Those that no test can or need reach are listed with the reason in
docs/testing.md ("Branches that no test takes"), by file and text of the condition; what is not there is told as
unexplained. Ends with 1 if a branch is unexplained, if an explained one is taken both ways or gone, and if a layer
has fewer than 90 % of its lines.
"""
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/coverage"
LINES_MIN = 90.0
# Whatever drives core and journal; what a build does not have is left out.
PROGRAMS = (("core_test",), ("journal_test",), ("engine_test",), ("model", "--sequences", "10000"),
            ("sim/sluice_sim", "--seeds", "1000"))
HEADING = "Branches that no test takes"
EXCEPTION = re.compile(r"^\| `([^`]+)` \| `(.+?)` \| (.+) \|$", re.M)


def run(*command, **options):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, capture_output=True, **options)
    if done.returncode != 0:
        said = done.stdout[-4000:] + done.stderr[-4000:]
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
    return done.stdout


def measure():
    """Builds and runs the programs. Returns what llvm-cov exports."""
    run("cmake", "--preset", "coverage")
    targets = run("ninja", "-C", BUILD, "-t", "targets", "all")
    programs = [words for words in PROGRAMS if re.search(rf"^{words[0]}: ", targets, re.M)]
    run("cmake", "--build", BUILD, "--target", *[words[0] for words in programs])
    profiles = []
    for name, *words in programs:
        profiles.append(BUILD / f"{pathlib.Path(name).name}.profraw")
        profiles[-1].unlink(missing_ok=True)
        print("+", name, *words, flush=True)
        run(BUILD / name, *words, env={**os.environ, "LLVM_PROFILE_FILE": f"%c{profiles[-1]}"})
    merged = BUILD / "all.profdata"
    run("llvm-profdata-19", "merge", "-sparse", "-o", merged, *profiles)
    objects = [word for name, *_ in programs for word in ("-object", BUILD / name)][1:]
    return json.loads(run("llvm-cov-19", "export", "-instr-profile", merged, *objects))["data"][0]["files"]


def is_wanted(name, layers):
    path = pathlib.Path(name)
    return path.is_relative_to(ROOT / "src") and path.relative_to(ROOT / "src").parts[0] in layers and \
        not re.search(r"_(test|fuzz)\.cc$|/test_", name)


def branches(file):
    """{(line, column, end line, end column): [times true, times false]}, added up over instantiations."""
    found = collections.defaultdict(lambda: [0, 0])
    for line, column, end_line, end_column, true, false, *_ in file["branches"]:
        counts = found[line, column, end_line, end_column]
        counts[0] += true
        counts[1] += false
    return found


def condition(lines, where):
    line, column, end_line, end_column = where
    if line == end_line:
        return lines[line - 1][column - 1:end_column - 1]
    parts = [lines[line - 1][column - 1:], *lines[line:end_line - 1], lines[end_line - 1][:end_column - 1]]
    return " ".join(" ".join(parts).split())


def exceptions():
    text = (ROOT / "docs/testing.md").read_text().partition(f"## {HEADING}")[2].partition("\n## ")[0]
    return {(file, text.replace("\\|", "|")) for file, text, _ in EXCEPTION.findall(text)}


class Report:
    def __init__(self, layers):
        self.layers, self.rows, self.missed = layers, [], []
        self.sums = {layer: [0, 0, 0, 0] for layer in layers}

    def add(self, file):
        name = str(pathlib.Path(file["filename"]).relative_to(ROOT / "src"))
        lines = pathlib.Path(file["filename"]).read_text().splitlines()
        taken = total = 0
        for where, counts in sorted(branches(file).items()):
            total += 2
            taken += sum(count > 0 for count in counts)
            missing = " and ".join(word for word, count in zip(("true", "false"), counts) if count == 0)
            if missing:
                self.missed.append((name, where[0], condition(lines, where), missing))
        summary = file["summary"]["lines"]
        row = [summary["covered"], summary["count"], taken, total]
        self.rows.append((name, row))
        sums = self.sums[name.split("/")[0]]
        for index, number in enumerate(row):
            sums[index] += number

    def tell(self):
        """Prints everything; returns what is wrong, a sentence each."""
        known = {each for each in exceptions() if each[0].split("/")[0] in self.layers}
        print(f"{'file':<32}{'lines':>18}{'branches':>20}")
        for name, row in sorted(self.rows) + [(f"all of {layer}", row) for layer, row in self.sums.items()]:
            print(f"{name:<32}{share(*row[:2]):>18}{share(*row[2:]):>20}")
        unexplained = [each for each in self.missed if (each[0], each[2]) not in known]
        unused = known - {(each[0], each[2]) for each in self.missed}
        print(f"\n{len(self.missed)} branches of which one way was never taken, {len(unexplained)} of them unexplained")
        for name, line, text, missing in unexplained:
            print(f"  src/{name}:{line}: `{text}` was never {missing}")
        for name, text in sorted(unused):
            print(f"  docs/testing.md explains `{text}` of {name}, which is taken both ways or is not there any more")
        problems = [f"{layer} has fewer than {LINES_MIN:.0f} % of its lines reached"
                    for layer, row in self.sums.items() if row[0] < row[1] * LINES_MIN / 100]
        if unexplained:
            problems.append(f'{len(unexplained)} unexplained: each needs a test, or a row of docs/testing.md, "{HEADING}"')
        if unused:
            problems.append(f"{len(unused)} to be removed from docs/testing.md: what needs no explanation any more")
        return problems


def share(part, whole):
    return f"{part}/{whole} {100 * part / max(whole, 1):5.1f} %"


def main():
    report = Report(sys.argv[1:] or ["core", "journal"])
    for file in measure():
        if is_wanted(file["filename"], report.layers):
            report.add(file)
    if problems := report.tell():
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
