#!/usr/bin/env python3
"""A disk that fails, and one that is slow: nothing is acknowledged that is not on it (RELIABILITY S2, D8).

A real server on a real ext4 on a disk whose writes, flushes and reads fail on command while it is mounted
(failing_disk.py behind nbdkit, nbdfuse and a loop device). A failed write or flush ends the server with code
74; the next start believes what the disk has and not what the page cache shows.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from harness import BINARY, Closed, Server, eventually, text  # noqa: E402

DISK_BYTES = 64 << 20
EX_IOERR = 74
END_SECONDS_MAX = 10.0  # the promise is one second; a machine under load gets more
# Scrubbing is off where it would read back into the page cache what a test has made the system forget.
OPTIONS = ["--segment-bytes", "64KiB", "--disk-free-bytes-min", "1MiB", "--scrub-period", "0"]
COUNTS = {"faults": 0, "acknowledged_checked": 0}


class FailingDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = disks.Workshop("nbdkit", "nbdfuse")
        cls.shop.__enter__()
        cls.addClassCleanup(cls.shop.__exit__)
        if subprocess.run(["nbdkit", "python", "--dump-plugin"], capture_output=True).returncode != 0:
            disks.skip("nbdkit has no Python here (Debian package nbdkit-plugin-python)")

    def setUp(self):
        base = self.shop.folder / self.id().rsplit(".")[-1]
        self.faults = base / "faults"
        self.faults.mkdir(parents=True)
        (base / "fuse").mkdir()
        self.disk = base / "fuse/disk"
        plugin = pathlib.Path(__file__).resolve().parent / "failing_disk.py"
        self.shop.run(["nbdfuse", str(self.disk), "--command", "nbdkit", "-s", "--exit-with-parent", "python",
                       str(plugin), f"disk-bytes={DISK_BYTES}", f"faults={self.faults}"], ready=self.disk.exists)
        disks.make_filesystem(self.disk, "ext4")
        self.folder, self.mounting = None, None
        self.addCleanup(self.unmount)
        self.mount()
        self.server = Server(self.folder, OPTIONS)
        self.addCleanup(self.end_server)
        self.client = self.server.client()
        self.acknowledged = set()

    def mount(self):
        self.mounting = self.shop.mounted(self.disk, make=False)
        self.folder = self.mounting.__enter__()

    def unmount(self):
        if self.mounting:
            self.mounting.__exit__(None, None, None)
            self.mounting = None

    def remount(self):
        """The page cache is gone, and so is an ext4 journal that gave up."""
        self.unmount()
        self.mount()

    def end_server(self):
        self.heal()
        if self.server.process:
            self.server.process.kill()
            self.server.wait_exit()

    def fault(self, *names):
        for name in names:
            (self.faults / name).touch()
        COUNTS["faults"] += len(names)

    def heal(self):
        for file in self.faults.iterdir():
            file.unlink()

    def push(self, count):
        """Pushes one after the other until the server is gone; returns how many it did not answer."""
        try:
            for number in range(count):
                self.acknowledged.add(text(self.client("PUSH", "mail", "welcome", f"payload-{number}" + "x" * 300)))
        except (Closed, OSError):
            return count - number
        return 0

    def assert_ended_for_the_disk(self):
        self.assertEqual(self.server.wait_exit(END_SECONDS_MAX), EX_IOERR, self.server.output())
        failures = [line for line in self.server.lines if "event=disk_failure" in line or "event=failed" in line]
        self.assertEqual(len(failures), 1, self.server.output())
        self.assertRegex(failures[0], re.escape(str(self.folder / "data")))
        return failures[0]

    def jobs(self):
        """The ids that the data directory has, as a server would restore them."""
        done = subprocess.run([BINARY, "check", self.folder / "data", "--jobs"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {json.loads(line)["id"] for line in done.stdout.splitlines()}

    def assert_nothing_is_lost(self):
        COUNTS["acknowledged_checked"] += len(self.acknowledged)
        self.server.start()
        self.client = self.server.client()
        ready = self.client.queue("mail")["ready"]
        self.server.kill()
        shown = self.jobs()
        self.assertEqual(len(shown), ready)
        self.assertEqual(self.acknowledged - shown, set(), "acknowledged and lost")
        self.remount()
        self.assertEqual(self.jobs(), shown, "a start showed what was in the page cache only")

    # -- While it serves. ----------------------------------------------------------------------------

    def end_it_with(self, fault):
        self.assertEqual(self.push(200), 0)
        self.fault(fault)
        self.assertGreater(self.push(10_000), 0)
        line = self.assert_ended_for_the_disk()
        self.assertIn(".seg", line)

    def test_a_failed_write_ends_it_and_loses_nothing(self):
        self.end_it_with("fail-write")
        self.heal()
        self.assert_nothing_is_lost()

    def test_a_failed_flush_ends_it_and_loses_nothing(self):
        self.end_it_with("fail-flush")
        self.heal()
        self.assert_nothing_is_lost()

    def test_what_a_failed_write_left_in_the_page_cache_is_not_believed(self):
        """The pages of the failed write stay readable; a start right afterwards, on the same mount, has to ask
        the disk."""
        self.assertEqual(self.push(50), 0)
        self.fault("fail-write")
        self.client.send(("PUSH", "mail", "welcome", "never-on-the-disk" + "x" * 300))
        self.assert_ended_for_the_disk()
        self.assertTrue(any(b"never-on-the-disk" in file.read_bytes()
                            for file in (self.folder / "data").glob("*.seg")), "the cache does not show it")
        self.heal()
        self.assertEqual(self.jobs(), self.acknowledged)
        self.assert_nothing_is_lost()

    def forget_all_but_the_end(self, file):
        """Of the page cache. The pages at the log's end have to be there: to write the lease into one that is not, it
        would be read first, and what fails then is a write, which ends the server."""
        end = len(file.read_bytes().rstrip(b"\0"))
        with open(file, "rb", buffering=0) as opened:
            os.fsync(opened.fileno())  # a dirty page is not forgotten, nor are its neighbours
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
            os.pread(opened.fileno(), 8192, end // 4096 * 4096)

    def test_a_record_that_cannot_be_read_is_not_delivered_until_it_can(self):
        payload = "read me back" + "x" * 30_000
        self.client("PUSH", "mail", "welcome", payload)
        self.server.restart("terminate")  # what was read by a start is in no cache but the system's
        self.client = self.server.client()
        for file in (self.folder / "data").glob("*.seg"):
            self.forget_all_but_the_end(file)
        with open(self.disk, "rb") as opened:  # the second cache: of the file that is the disk
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.fault("fail-read")
        self.assertEqual(self.client.pull("mail", "LEASE", "20ms"), [])
        self.assertTrue(self.server.logs("event=record_unreadable"), self.server.output())
        self.heal()
        jobs = self.client.pull("mail", "WAIT", "10s")
        self.assertEqual([job["payload"].decode() for job in jobs], [payload])
        self.assertEqual(self.client("ACK", jobs[0]["id"], jobs[0]["token"]), "OK")
        self.server.kill()

    # -- While it starts. ----------------------------------------------------------------------------

    def test_a_failure_during_recovery_ends_it_and_loses_nothing(self):
        self.assertEqual(self.push(600), 0)
        self.server.kill()
        for fault in ("fail-read", "fail-write", "fail-flush"):
            with self.subTest(fault=fault):
                self.remount()
                self.fault(fault)
                self.server.spawn()
                self.assert_ended_for_the_disk()
                self.heal()
                self.remount()
                self.assert_nothing_is_lost()

    # -- A slow one. ---------------------------------------------------------------------------------

    def test_replies_wait_for_a_slow_disk_and_everything_else_goes_on(self):
        self.assertEqual(self.push(20), 0)
        self.fault("hold")
        self.client.send(*[("PUSH", "mail", "welcome", f"held-{number}") for number in range(20)])
        with self.server.client() as other:
            for _ in range(20):
                self.assertEqual(other("PING"), "PONG")
        self.client.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError, msg="a push was acknowledged that is not on the disk"):
            self.client.socket.recv(1)
        self.client.socket.settimeout(30)
        self.heal()
        self.client.file = self.client.socket.makefile("rb")  # a file is of no use after a timeout
        self.acknowledged |= {text(self.client.receive()) for _ in range(20)}
        self.assertEqual(len(self.acknowledged), 40)
        self.server.kill()
        self.assert_nothing_is_lost()

    def test_a_kill_while_the_disk_is_stuck_loses_nothing(self):
        self.assertEqual(self.push(20), 0)
        self.fault("hold")
        self.client.send(*[("PUSH", "mail", "welcome", f"held-{number}") for number in range(20)])
        self.server.process.kill()  # it ends once the disk lets go of its thread
        self.heal()
        self.server.wait_exit()
        self.assert_nothing_is_lost()


if __name__ == "__main__":
    result = unittest.main(warnings="ignore", exit=False, failfast=True).result
    failures = len(result.failures) + len(result.errors)
    print("ledger:", json.dumps({"tool": "eio", "counts": COUNTS, "failures": failures}))
    sys.exit(1 if failures else 0)
