#!/usr/bin/env python3
"""A full disk refuses new work before it is full, lets running work end, and recovers by itself (RELIABILITY S1).

On a real ext4 of 48 MiB: pushes fill it; somebody else fills it to the last byte; and the journal meets its own
limit, disk_bytes_max. Each time pushes are answered BUSY, acks, fails, releases and extends go on, cleaning gives the
space back, and pushes are taken again by the same process.
"""
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from harness import RespError, Server, eventually, text  # noqa: E402

DISK_BYTES, SEGMENT = 48 << 20, 256 << 10
RESERVE = 2 << 20
PAYLOAD = "p" * 2000
OPTIONS = ["--segment-bytes", str(SEGMENT), "--disk-free-bytes-min", str(RESERVE)]
EX_IOERR = 74
COUNTS = {"pushes_refused": 0, "acks_on_a_full_disk": 0}


def free_bytes(folder):
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def push_until_busy(test, client, most=100_000, words=("KEEP", 0)):
    """Pushes as fast as it can; returns how many were taken before the first was refused."""
    taken, window = 0, 256
    while taken < most:
        client.send(*[("PUSH", "mail", "welcome", PAYLOAD, *words)] * window)
        replies = [client.receive() for _ in range(window)]
        refused = [reply for reply in replies if isinstance(reply, RespError)]
        taken += window - len(refused)
        if refused:
            test.assertEqual({reply.code for reply in refused}, {"BUSY"}, refused[0])
            COUNTS["pushes_refused"] += len(refused)
            return taken, str(refused[0])
    test.fail(f"{taken} pushes, and none was refused")


def finish(test, client, count, batch=64):
    """Pulls and acks so many jobs, or all."""
    done = 0
    while done < count:
        jobs = client.pull("mail", "COUNT", min(batch, count - done), "LEASE", "1m")
        if not jobs:
            break
        client.send(*[("ACK", job["id"], job["token"]) for job in jobs])
        for _ in jobs:
            test.assertEqual(client.receive(), "OK")
        done += len(jobs)
    COUNTS["acks_on_a_full_disk"] += done
    return done


def is_push_taken(client):
    try:
        client("PUSH", "mail", "welcome", PAYLOAD, "KEEP", 0)
        return True
    except RespError as error:
        assert error.code == "BUSY", error
        return False


class FullDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = disks.Workshop()
        cls.shop.__enter__()
        cls.addClassCleanup(cls.shop.__exit__)

    def setUp(self):
        image = self.shop.image(f"{self.id().rsplit('.')[-1]}.image", DISK_BYTES)
        self.folder = self.enterContext(self.shop.mounted(image))
        self.addCleanup(lambda: self.assertFalse(self.server.process, "the server was ended"))
        self.server = Server(self.folder, OPTIONS)
        self.addCleanup(self.server.kill)
        self.client = self.server.client()

    def fill(self, leave=0):
        """As somebody else would, to the last byte."""
        with open(self.folder / "somebody-elses", "wb") as file:
            try:
                while free_bytes(self.folder) > leave:
                    os.write(file.fileno(), bytes(min(1 << 20, free_bytes(self.folder) - leave)))
                while leave == 0:
                    os.write(file.fileno(), bytes(4096))
            except OSError as error:
                self.assertEqual(error.errno, 28)
            os.fsync(file.fileno())

    def test_pushes_are_refused_before_it_is_full_and_taken_again_once_jobs_are_done(self):
        taken, reason = push_until_busy(self, self.client)
        self.assertIn("disk_free_bytes_min", reason)
        self.assertGreater(taken * len(PAYLOAD), DISK_BYTES // 2)
        self.assertGreaterEqual(free_bytes(self.folder), RESERVE - 2 * SEGMENT - SEGMENT // 4)
        self.assertTrue(self.server.logs("event=out_of_space"))
        one, two, three = self.client.pull("mail", "COUNT", 3, "LEASE", "1m")
        self.client("EXTEND", one["id"], one["token"], "2m")
        self.assertEqual(self.client("FAIL", one["id"], one["token"], "no luck", "RETRY", 0), "OK")
        self.assertEqual(self.client("RELEASE", two["id"], two["token"]), "OK")
        self.assertEqual(self.client("ACK", three["id"], three["token"]), "OK")
        self.assertEqual(finish(self, self.client, taken), taken - 1)
        self.assertTrue(eventually(lambda: is_push_taken(self.client), 20), self.server.output())
        self.assertTrue(self.server.logs("event=space_available"))
        self.assertEqual(self.server.terminate(), 0)

    def test_what_was_acknowledged_outlives_a_kill_on_the_full_disk(self):
        taken, _ = push_until_busy(self, self.client)
        self.assertEqual(finish(self, self.client, 1000), 1000)
        self.server.restart()
        self.client = self.server.client()
        self.assertEqual(self.client.queue("mail")["ready"], taken - 1000)
        self.assertEqual(finish(self, self.client, taken), taken - 1000)
        self.assertTrue(eventually(lambda: is_push_taken(self.client), 20), self.server.output())
        self.assertEqual(self.server.terminate(), 0)

    def test_filled_by_somebody_else_to_the_last_byte_acks_go_on(self):
        count = 8000
        for _ in range(count // 100):
            self.client.send(*[("PUSH", "mail", "welcome", PAYLOAD, "KEEP", 0)] * 100)
            self.assertTrue(all(isinstance(self.client.receive(), bytes) for _ in range(100)))
        self.fill()
        self.assertLess(free_bytes(self.folder), 8192)
        self.assertTrue(eventually(lambda: not is_push_taken(self.client)))
        self.assertEqual(self.client.queue("mail")["ready"] >= count, True)
        finish(self, self.client, 10**9)  # their leases and acks alone need several segments
        self.assertEqual(self.client.queue("mail")["ready"], 0)
        self.assertTrue(eventually(lambda: is_push_taken(self.client), 20), self.server.output())
        self.assertEqual(self.server.terminate(), 0)

    def test_killed_on_a_disk_without_a_free_byte_it_starts_at_the_latest_when_there_is_room(self):
        """A start needs a new segment. It finds the room of the one that was prepared, or says what is missing."""
        for _ in range(500):
            self.client("PUSH", "mail", "welcome", PAYLOAD, "KEEP", 0)
        self.fill()
        self.assertTrue(eventually(lambda: not is_push_taken(self.client)))
        ready = self.client.queue("mail")["ready"]
        self.server.kill()
        self.server.spawn().listening.wait()
        if self.server.port is None:
            self.assertEqual(self.server.wait_exit(), EX_IOERR)
            self.assertIn("No space left on device", self.server.output())
            (self.folder / "somebody-elses").unlink()
            self.server.start()
        self.client = self.server.client()
        self.assertEqual(self.client.queue("mail")["ready"], ready)
        self.assertEqual(finish(self, self.client, 10**9), ready)
        self.assertEqual(self.server.terminate(), 0)

    def test_disk_bytes_max_refuses_pushes_and_takes_them_again_once_jobs_are_done(self):
        self.server.kill()
        self.server.options += ["--disk-bytes-max", str(8 * SEGMENT)]
        self.server.start()
        self.client = self.server.client()
        taken, reason = push_until_busy(self, self.client)
        self.assertIn("disk_bytes_max", reason)
        self.assertLess(abs(taken * (len(PAYLOAD) + 100) - 8 * SEGMENT), SEGMENT)
        self.assertEqual(finish(self, self.client, taken), taken)
        self.assertTrue(eventually(lambda: is_push_taken(self.client), 20), self.server.output())
        self.assertEqual(self.server.terminate(), 0)


if __name__ == "__main__":
    result = unittest.main(warnings="ignore", exit=False, failfast=True).result
    failures = len(result.failures) + len(result.errors)
    print("ledger:", json.dumps({"tool": "full-disk", "counts": COUNTS, "failures": failures}))
    sys.exit(1 if failures else 0)
