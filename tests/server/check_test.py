"""`sluice check`: a healthy directory, damaged ones, salvage, and what the server says of the same damage."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, Server, text  # noqa: E402

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

    def jobs(self):
        done = check(self.data, "--jobs")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return {job["id"]: job for job in map(json.loads, done.stdout.splitlines())}

    def test_jobs_are_listed_as_the_server_would_restore_them(self):
        with Server(self.scratch.name, options=["--segment-bytes", "16KiB"]) as server:
            client = server.client()
            leased, acked, failed = client.pull("mail", "COUNT", 3, "AS", "ada")
            client("ACK", acked["id"], acked["token"], "RESULT", "sent")
            client("FAIL", failed["id"], failed["token"], "no such user", "DEAD")
            waiting = text(client("PUSH", "pdf", "receipt", b"\xff\x00", "PRIORITY", 7, "UNIQUE", "r:7",
                                  "AFTER", leased["id"], "HEADER", "lang", "en"))
            server.kill()
        before = self.content()
        jobs = self.jobs()
        self.assertEqual(before, self.content(), "listing the jobs changed something")
        self.assertEqual(len(jobs), JOBS + 1)
        self.assertEqual({job["state"] for job in jobs.values()},
                         {"ready", "leased", "succeeded", "dead", "waiting"})
        of = lambda delivery: jobs[text(delivery["id"])]  # noqa: E731
        self.assertEqual((of(leased)["state"], of(leased)["worker"], of(leased)["attempt"]), ("leased", "ada", 1))
        self.assertEqual(of(leased)["payload"].encode(), leased["payload"])
        self.assertEqual((of(acked)["state"], of(acked)["result_bytes"]), ("succeeded", 4))
        self.assertEqual((of(failed)["state"], of(failed)["error"]), ("dead", "no such user"))
        self.assertEqual({name: jobs[waiting][name] for name in ("queue", "type", "state", "priority", "unique",
                                                                 "after", "headers", "payload_base64")},
                         {"queue": "pdf", "type": "receipt", "state": "waiting", "priority": 7, "unique": "r:7",
                          "after": [text(leased["id"])], "headers": {"lang": "en"}, "payload_base64": "/wA="})

    def test_a_torn_end_is_not_listed(self):
        """What the next start drops is not there, though it may be intact behind the tear."""
        with Server(self.scratch.name, options=["--segment-bytes", "1MiB"]) as server:
            client = server.client()
            # One batch; what writes nothing ends a frame, so each push has one of its own.
            client.send(*[words for i in range(5) for words in (("PUSH", "mail", "welcome", f"last-{i}-" + "y" * 200),
                                                                ("QUEUE", "GET", "mail"))])
            replies = [client.receive() for _ in range(10)][::2]
            server.kill()
        file = next(file for file in self.segments() if b"last-2-" in file.read_bytes())
        content = bytearray(file.read_bytes())
        content[content.index(b"last-2-") + 50] ^= 1  # Nothing was written behind these five.
        file.write_bytes(content)
        report = check(self.data)
        self.assertEqual(report.returncode, 0, report.stdout)
        self.assertIn("torn write", report.stdout)
        self.assertIn(f"{JOBS + 2} jobs", report.stdout)
        listed = self.jobs()
        self.assertEqual([text(reply) in listed for reply in replies], [True, True, False, False, False])
        with Server(self.scratch.name) as server:
            self.assertEqual(server.client().queue("mail")["ready"], len(listed))

    def test_of_a_damaged_directory_nothing_is_listed(self):
        name, _ = self.damage()
        done = check(self.data, "--jobs")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(name, done.stderr)

    def test_jobs_goes_with_neither_json_nor_salvage(self):
        for other in (["--json"], ["--salvage", "x"]):
            self.assertEqual(check(self.data, "--jobs", *other).returncode, 2)

    def test_no_server_starts_while_a_check_reads(self):
        """A check of 2,000,000 jobs would take seconds; a pipe that nobody empties takes as long as we like."""
        (self.data / "LOCK").touch()
        reading = subprocess.Popen([str(BINARY), "check", str(self.data), "--jobs"], stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL)
        try:
            reading.stdout.read(1)  # It has begun; the rest is more than a pipe holds.
            before = self.content()
            server = Server(self.scratch.name, start=False).spawn()
            self.assertEqual(server.wait_exit(), EX_TEMPFAIL, server.output())
            self.assertIn("being read", server.output())
            self.assertEqual(before, self.content())
            reading.stdout.read()
        finally:
            reading.stdout.close()
            reading.wait()
        with Server(self.scratch.name) as server:
            self.assertEqual(server.client().queue("mail")["ready"], JOBS)

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
