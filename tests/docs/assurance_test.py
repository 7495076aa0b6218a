#!/usr/bin/env python3
"""docs/assurance.md is what the ledger says, and every test that docs/guarantees.md names exists."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import assurance  # noqa: E402

PROMISE = re.compile(r"^- \*\*([A-Z]\d) .*?(?=^- \*\*|^\n|\Z)", re.M | re.S)
GOOGLE_TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P|RC_GTEST_PROP|RC_GTEST_FIXTURE_PROP)\(\s*(\w+),\s*(\w+)", re.M)


def run(tool="crash", failures=0, date="2026-01-02T03:04:05Z", **counts):
    return {"date": date, "commit": "0123456789ab", "tool": tool, "command": f"python3 tests/{tool}_test.py",
            "counts": counts, "seconds": 60, "failures": failures}


class Guarantees(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = (ROOT / "docs/guarantees.md").read_text()
        cls.promises = {found[1]: found[0] for found in PROMISE.finditer(text)}
        cls.google = {".".join(found.groups()) for path in (ROOT / "src").rglob("*_test.cc")
                      for found in GOOGLE_TEST.finditer(path.read_text())}

    def exists(self, name):
        if ".py" not in name:
            return name in self.google
        file, _, function = name.partition(": ")
        path = ROOT / "tests" / file
        return path.exists() and (not function or f"def {function}(" in path.read_text())

    def test_the_promises_are_there(self):
        for promise in ("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "L1", "L2", "L3", "L4", "L5", "F1", "F2", "F3",
                        "O1", "P1", "A1", "A2", "A3", "A4", "T1", "T2", "S1", "S2", "S3", "S4", "S5", "S6", "S8", "B1", "B2", "B3"):
            self.assertIn(promise, self.promises)

    def test_each_names_tests_and_they_exist(self):
        for promise, text in self.promises.items():
            names = re.findall(r"`([^`]+)`", " ".join(text.split()).partition("Tests: ")[2])
            self.assertTrue(names, f"{promise} names no test")
            for name in names:
                with self.subTest(f"{promise}: {name}"):
                    self.assertTrue(self.exists(name), f"there is no test {name}")

    def test_a_name_that_is_wrong_would_be_found(self):
        self.assertFalse(self.exists("CoreProperty.NoSuchTest"))
        self.assertFalse(self.exists("crash/no_such_test.py"))
        self.assertFalse(self.exists("docs/assurance_test.py: test_no_such"))
        self.assertTrue(self.exists("docs/assurance_test.py: test_the_promises_are_there"))


class Assurance(unittest.TestCase):
    def page_of(self, *entries):
        with tempfile.TemporaryDirectory() as folder:
            kept, assurance.LEDGER = assurance.LEDGER, pathlib.Path(folder) / "ledger.jsonl"
            try:
                for entry in entries:
                    assurance.append(entry)
                return assurance.page()
            finally:
                assurance.LEDGER = kept

    def test_the_page_is_what_the_ledger_says(self):
        done = subprocess.run([sys.executable, ROOT / "tools/assurance.py", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_ledger_is_one_object_a_line(self):
        for line in assurance.LEDGER.read_text().splitlines():
            entry = json.loads(line)
            needed = {"date", "tool", "finding", "replay", "fix"} if "finding" in entry else set(run())
            self.assertLessEqual(needed, set(entry), line)

    def test_counts_add_up_over_runs_and_the_last_one_is_shown(self):
        page = self.page_of(run(kill_cycles=300), run(kill_cycles=5000, date="2026-02-03T00:00:00Z"))
        self.assertIn("| servers killed under load | 5,300 |", page)
        self.assertIn("less often than once in 1,766", page)
        self.assertIn("| crash | 2026-02-03 | `0123456789ab` | servers killed under load: 5,000 | 60 seconds | none |",
                      page)

    def test_failures_are_open_until_a_finding_with_a_fix_explains_them(self):
        failed = run(failures=2, kill_cycles=900)
        finding = {"date": "2026-01-03", "tool": "crash", "run": failed["date"], "finding": "It lost a job.",
                   "replay": "./dev crash --seed 7", "fix": None}
        self.assertIn("failures that are still open | 1, 1 |", self.page_of(failed))
        page = self.page_of(failed, finding)
        self.assertIn("failures that are still open | 1, 1 |", page)
        self.assertIn("not fixed yet | 1, 1 |", page)
        self.assertIn("**Not fixed yet.**", page)
        self.assertNotIn("less often than once", page)
        page = self.page_of(failed, {**finding, "fix": "abcdef"})
        self.assertIn("failures that are still open | 1, 0 |", page)
        self.assertIn("Fixed in `abcdef`. Again with: `./dev crash --seed 7`", page)

    def test_time_is_told_in_units_that_can_be_imagined(self):
        self.assertEqual(assurance.amount("soak", 3600 * 3), "3.0 hours")
        self.assertEqual(assurance.amount("simulated time", 86_400 * 365 * 100), "100.0 years")
        self.assertEqual(assurance.amount("soak", 59), "59 seconds")


if __name__ == "__main__":
    unittest.main()
