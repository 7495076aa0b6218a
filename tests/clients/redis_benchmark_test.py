#!/usr/bin/env python3
"""redis-benchmark drives the server, pipelined and not, in both protocol versions."""
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Server  # noqa: E402


class RedisBenchmark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def bench(self, *words):
        done = subprocess.run(["redis-benchmark", "-p", str(self.server.port), "-q", *words], timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("requests per second", done.stdout)
        self.assertNotIn("Error from server", done.stdout)

    def pushed(self, queue):
        with self.server.client() as client:
            return client.queue(queue)["pushed_total"]

    def test_custom_command(self):
        self.bench("-n", "3000", "-c", "20", "PUSH", "bench", "t", "payload __rand_int__")
        self.assertEqual(self.pushed("bench"), 3000)

    def test_pipelined(self):
        self.bench("-n", "20000", "-c", "4", "-P", "100", "-r", "1000", "PUSH", "pipelined", "t", "__rand_int__")
        self.assertEqual(self.pushed("pipelined"), 20000)

    def test_resp3(self):
        self.bench("-3", "-n", "2000", "-c", "5", "PUSH", "three", "t", "x")
        self.assertEqual(self.pushed("three"), 2000)

    def test_ping(self):
        self.bench("-n", "2000", "-t", "ping")


if __name__ == "__main__":
    if not shutil.which("redis-benchmark"):
        sys.exit(77)
    unittest.main(verbosity=1)
