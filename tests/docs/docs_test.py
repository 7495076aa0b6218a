#!/usr/bin/env python3
"""Runs the documentation: every fenced block marked `sh test` in README.md and docs/ against a fresh server,
and checks that every relative link leads somewhere.

The blocks of one file share a server and a directory and run in order. The text is run as it stands, with
`sluice` being the built one, and the ports 7770 and 5672 the test server's. Lines behind a line with `$ ` are the output
to expect; `…` stands for anything.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, OUTSIDE, ROOT, Server  # noqa: E402

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def documents():
    return [path for path in [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]


def blocks(path):
    text = path.read_text()
    for found in FENCE.finditer(text):
        if found[1].strip() == "sh test":
            yield text.count("\n", 0, found.start()) + 2, found[2]


def steps(block):
    """(commands, expected output or None). Without `$ ` the block is one script."""
    if not re.search(r"^\$ ", block, re.M):
        return [(block, None)]
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] += "\n" + line
        elif found:
            found[-1][1] += line + "\n"
    return [(command, expected or None) for command, expected in found]


def matches(expected, actual):
    pattern = ".*?".join(re.escape(part) for part in re.sub(r"[ \t]+", " ", expected.strip()).split("…"))
    return re.fullmatch(pattern, re.sub(r"[ \t]+", " ", actual.strip()), re.S)


class Documentation(unittest.TestCase):
    def run_block(self, server, folder, block):
        environment = {**OUTSIDE, "SLUICE_URL": f"sluice://127.0.0.1:{server.port}", "NO_COLOR": "1",
                       "PATH": f"{BINARY.parent}:{os.environ['PATH']}"}
        for command, expected in steps(block):
            script = command.replace("build/release/sluice", "sluice")
            script = script.replace("7770", str(server.port)).replace("5672", str(server.amqp_port))
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                                  stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
            if expected is not None:
                self.assertTrue(matches(expected, done.stdout),
                                f"$ {command}\nexpected:\n{expected}\ngot:\n{done.stdout}")

    def test_blocks_run_as_they_stand(self):
        count = 0
        for path in documents():
            found = list(blocks(path))
            if not found:
                continue
            with Server(options=["--amqp", "127.0.0.1:0"]) as server, tempfile.TemporaryDirectory() as folder:
                for line, block in found:
                    with self.subTest(f"{path.relative_to(ROOT)}:{line}"):
                        self.run_block(server, folder, block)
                        count += 1
        self.assertGreater(count, 0, "no document has a `sh test` block")

    def test_links_lead_somewhere(self):
        for path in documents():
            for target in LINK.findall(FENCE.sub("", path.read_text())):
                with self.subTest(f"{path.relative_to(ROOT)} -> {target}"):
                    self.assertTrue((path.parent / target).exists())


if __name__ == "__main__":
    unittest.main(verbosity=1)
