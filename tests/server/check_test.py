"""`sluice check`: a healthy directory, damaged ones, salvage, and what the server says of the same damage."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, Server  # noqa: E402

EX_DATAERR, EX_IOERR, EX_TEMPFAIL = 65, 74, 75
JOBS = 300


def check(directory, *options):
    return subprocess.run([str(BINARY), "check", str(directory), *options], capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)


class Check(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """One directory with several segments, to be copied by each test."""
        cls.temporary = tempfile.TemporaryDirectory(prefix="sluice-check-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.server = Server(cls.temporary.name, options=["--segment-bytes", "16KiB"])
        with cls.server as server:
            client = server.client()
            for i in range(JOBS):  # One by one: many frames.
                client("PUSH", "mail", "welcome", f"payload-{i:04d}-" + "x" * 200)
            assert server.terminate() == 0

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="sluice-check-")
        self.addCleanup(self.scratch.cleanup)
        self.data = pathlib.Path(self.scratch.name) / "data"
        shutil.copytree(pathlib.Path(self.temporary.name) / "data", self.data)

    def segments(self):
        return sorted(file for file in self.data.iterdir() if file.name != "LOCK" and file.stat().st_size > 4096)

    def content(self):
        return {file.name: file.read_bytes() for file in self.data.iterdir()}

    def damage(self):
        """Flips one bit in the payload of a job in the oldest segment."""
        file = self.segments()[0]
        content = bytearray(file.read_bytes())
        at = content.index(b"payload-0010-") + 20
        content[at] ^= 1
        file.write_bytes(content)
        return file.name, at

    def test_a_healthy_directory_is_healthy_and_unchanged(self):
        before = self.content()
        done = check(self.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("healthy", done.stdout)
        self.assertIn(f"{JOBS} jobs in 1 queues", done.stdout)
        self.assertEqual(before, self.content())

    def test_json_says_the_same(self):
        done = check(self.data, "--json")
        report = json.loads(done.stdout)
        self.assertTrue(report["healthy"])
        self.assertEqual(report["jobs"], JOBS)
        self.assertGreater(report["segments"], 1)

    def test_damage_is_named_with_file_and_offset_and_the_server_refuses(self):
        name, at = self.damage()
        before = self.content()
        done = check(self.data, "--json")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        fatal = [finding for finding in json.loads(done.stdout)["findings"] if finding["fatal"]]
        self.assertEqual(fatal[0]["file"], name)
        self.assertLessEqual(fatal[0]["offset"], at)
        self.assertGreater(fatal[0]["offset"], at - 1000)
        self.assertIn("--salvage", check(self.data).stdout)
        server = Server(self.scratch.name, start=False).spawn()
        self.assertEqual(server.wait_exit(), EX_DATAERR, server.output())
        self.assertIn(name, server.output())
        self.assertIn("sluice check", server.output())
        after = self.content()
        after.pop("LOCK", None), before.pop("LOCK", None)
        self.assertEqual(before, after, "a refused start changed the data")

    def test_salvage_copies_everything_else(self):
        self.damage()
        target = pathlib.Path(self.scratch.name) / "salvaged"
        target.mkdir()
        done = check(self.data, "--salvage", str(target / "data"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with Server(target) as server:
            # One frame is one job here, and only the damaged one is gone.
            self.assertEqual(server.client().queue("mail")["ready"], JOBS - 1)

    def test_a_directory_in_use_is_refused(self):
        with Server(self.scratch.name):
            done = check(self.data)
            self.assertEqual(done.returncode, EX_TEMPFAIL, done.stdout)
            self.assertIn("in use by process", done.stderr)

    def test_a_directory_that_is_not_there_is_said(self):
        done = check(self.data / "nowhere")
        self.assertEqual(done.returncode, EX_IOERR)
        self.assertIn("nowhere", done.stderr)


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets may be left to the end of the process.
