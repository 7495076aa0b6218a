#!/usr/bin/env python3
"""Makes docs/assurance.md from the ledger, tests/assurance.jsonl.

    tools/assurance.py            writes the page
    tools/assurance.py --check    says whether the page is what it would write (exit code 1 if not)

The ledger has two kinds of lines. A run is written by ./dev soak:
    {"date", "commit", "tool", "command", "counts": {what: number}, "seconds", "failures"}
A finding is written by hand: what a tool found, how to see it again, and the commit that fixed it, or null.
    {"date", "tool", "finding": "a sentence", "replay": "a command or seed", "fix": "commit"}
A finding that explains a run with failures names it with "run": its date. Lines are only ever added, but that a
finding gets its fix.
"""
import collections
import json
import pathlib
import re
import shlex
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEDGER, PAGE = ROOT / "tests/assurance.jsonl", ROOT / "docs/assurance.md"

# Which counts of a tool are worth a line of the page, and what they are. The others stay in the ledger.
HEADLINES = (
    ("sim", r"seeds", "seeds simulated"),
    ("sim", r"operations|steps", "operations simulated"),
    ("sim", r"simulated.seconds", "simulated time"),
    ("model", r"sequences", "random histories compared with the model"),
    ("crash", r"kill.cycles", "servers killed under load"),
    ("crash", r"pushes.acknowledged", "pushes acknowledged meanwhile"),
    ("amqp_crash", r"amqp.kill.cycles", "servers killed under load over AMQP"),
    ("amqp_crash", r"publishes.confirmed", "publishes confirmed meanwhile"),
    ("power-loss", r"(crash.)?states", "states of the disk after a power loss"),
    ("nth_call", r"calls that failed", "system calls made to fail"),
    ("fuzz", r"executions", "inputs fuzzed"),
    ("load", r"idle.connections", "connections left idle"),
    ("load", r"storm.connections", "connections in storms"),
    ("load", r"slow.consumers", "slow consumers"),
    ("load", r"amqp.connections", "AMQP connections with a channel, a queue and a consumer"),
    ("load", r"amqp.bindings", "bindings of a topic exchange"),
    ("load", r"backlog.jobs", "jobs in backlogs far above the memory"),
    ("load", r"soak.seconds", "soak"),
    ("load", r"soak.faults", "faults during soak"),
    ("load", r"soak.pushes.acknowledged", "pushes acknowledged during soak"),
    ("mutants", r"caught|killed", "mutants caught"),
    ("mutants", r"mutants", "mutants built"),
)
# Of these it is said how rare a fault they exclude.
TRIALS = ("seeds simulated", "servers killed under load",
          "servers killed under load over AMQP", "states of the disk after a power loss")

INTRODUCTION = """# Assurance

What was run to find faults in Sluice, how often, and what it found. This page is made by `tools/assurance.py` from
`tests/assurance.jsonl`; `./dev soak` runs the long forms and adds a line there for each. What the tools do is in
[testing.md](testing.md), what they check in [guarantees.md](guarantees.md). The short forms, which run in `./test`
with every change, are not counted here.

## In all
"""


def read_ledger():
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    entries = [json.loads(line) for line in lines if line.strip()]
    return ([entry for entry in entries if "finding" not in entry],
            [entry for entry in entries if "finding" in entry])


def append(entry):
    with LEDGER.open("a") as ledger:
        ledger.write(json.dumps(entry) + "\n")


def headlines(run):
    """{what it is called on the page: number} of one run. A tool without headlines is told in its own words."""
    known = [(pattern, label) for tool, pattern, label in HEADLINES if tool == run["tool"]]
    if not known:
        return {name.replace("_", " "): count for name, count in run["counts"].items()}
    found = {}
    for pattern, label in known:
        for name, count in run["counts"].items():
            if re.fullmatch(pattern, re.sub(r"[_-]", " ", name)):
                found[label] = count
                break
    return found


def amount(label, count):
    """Large numbers in groups; time in a unit that can be imagined."""
    if label not in ("soak", "simulated time"):
        return f"{count:,}" if isinstance(count, int) else f"{count:,.1f}"
    for seconds, unit in ((365 * 86_400, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes")):
        if count >= 2 * seconds:
            return f"{count / seconds:,.1f} {unit}"
    return f"{count:,.0f} seconds"


def program(run):
    """What tells the runs of one tool apart: its script or program."""
    words = [word for word in shlex.split(run["command"]) if not pathlib.Path(word).name.startswith("python")]
    return pathlib.Path(words[0]).stem.removesuffix("_test")


def is_open(run, findings):
    return run["failures"] > 0 and not any(finding.get("run") == run["date"] and finding["fix"] for finding in findings)


def totals(runs, findings):
    sums = collections.Counter()
    for run in runs:
        sums.update(headlines(run))
    order = {label: place for place, (_, _, label) in enumerate(HEADLINES)}
    lines = ["| | in all |", "|---|---|"]
    for label in sorted(sums, key=lambda name: (order.get(name, len(order)), name)):
        lines.append(f"| {label} | {amount(label, sums[label])} |")
    open_runs = sum(is_open(run, findings) for run in runs)
    open_findings = sum(not finding["fix"] for finding in findings)
    lines.append(f"| runs, and of them with failures that are still open | {len(runs)}, {open_runs} |")
    lines.append(f"| faults found, and of them not fixed yet | {len(findings)}, {open_findings} |")
    rare = [f"once in {sums[label] // 3:,} ({label})" for label in TRIALS if sums[label] >= 300]
    if rare and not open_runs:
        lines += ["", "What was tried n times without a failure happens, with 95 % confidence, less often than 3 / n. "
                      f"So what is tested here fails less often than {', '.join(rare)}."]
    return lines


def latest(runs, findings):
    last = {(run["tool"], program(run)): run for run in runs}
    lines = ["| tool | last run | commit | did | took | failures |", "|---|---|---|---|---|---|"]
    for (tool, name), run in sorted(last.items()):
        did = ", ".join(f"{what}: {amount(what, count)}" for what, count in headlines(run).items())
        failures = "none" if not run["failures"] else f"{run['failures']}{'' if is_open(run, findings) else ', fixed'}"
        which = tool if tool == name else f"{tool}: {name}"
        lines.append(f"| {which} | {run['date'][:10]} | `{run['commit']}` | {did} | "
                     f"{amount('soak', run['seconds'])} | {failures} |")
    return lines


def told(finding):
    end = f"Fixed in `{finding['fix']}`." if finding["fix"] else "**Not fixed yet.**"
    return (f"- {finding['date'][:10]}, {finding['tool']}: {finding['finding']} {end} "
            f"Again with: `{finding['replay']}`")


def page():
    runs, findings = read_ledger()
    lines = [INTRODUCTION] + totals(runs, findings) + ["", "## The last run of each", ""] + latest(runs, findings)
    lines += ["", "## What was found", ""] + ([told(finding) for finding in findings] or ["Nothing yet."])
    return "\n".join(lines) + "\n"


def write_page():
    PAGE.write_text(page())


def main():
    if sys.argv[1:] == ["--check"]:
        if PAGE.exists() and PAGE.read_text() == page():
            return
        sys.exit("docs/assurance.md is not what tools/assurance.py makes of tests/assurance.jsonl; run it")
    write_page()


if __name__ == "__main__":
    main()
