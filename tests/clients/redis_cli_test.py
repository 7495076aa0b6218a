#!/usr/bin/env python3
"""redis-cli drives the server: one-shot, RESP3, --pipe, and its interactive mode."""
import pathlib
import pty
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Server, encode  # noqa: E402


class RedisCli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def cli(self, *words, stdin=b""):
        done = subprocess.run(["redis-cli", "-p", str(self.server.port), *words], input=stdin, timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode(errors="replace").strip()

    def test_one_shot(self):
        job_id = self.cli("PUSH", "shot", "welcome", '{"to":"ada"}', "PRIORITY", "3")
        self.assertTrue(job_id.isdigit(), job_id)
        pulled = self.cli("PULL", "shot", "AS", "cli").splitlines()
        self.assertIn('{"to":"ada"}', pulled)
        token = pulled[pulled.index("token") + 1]
        self.assertEqual(self.cli("ACK", job_id, token, "RESULT", "sent"), "OK")
        self.assertIn("succeeded", self.cli("JOB", job_id).splitlines())
        self.assertTrue(self.cli("JOB", "99999999").startswith("NOJOB"), self.cli("JOB", "99999999"))

    def test_resp3(self):
        job_id = self.cli("-3", "PUSH", "three", "t", "x").strip('"')
        shown = self.cli("-3", "--no-raw", "JOB", job_id)
        self.assertIn('"state" => "ready"', shown)

    def test_select_and_client_name(self):
        self.assertEqual(self.cli("-n", "0", "PING"), "PONG")
        self.assertIn("loading:0", self.cli("INFO"))
        self.assertIn("redis_version:", self.cli("INFO"))

    def test_pipe(self):
        stream = b"".join(encode(("PUSH", "pipe", "t", f"job {n}")) for n in range(2000))
        self.assertIn("errors: 0, replies: 2000", self.cli("--pipe", stdin=stream))
        self.assertIn("2000", self.cli("QUEUE", "GET", "pipe"))

    def test_interactive(self):
        """On a terminal redis-cli asks for COMMAND DOCS before its first prompt."""
        parent, child = pty.openpty()
        process = subprocess.Popen(["redis-cli", "-p", str(self.server.port)], stdin=child, stdout=child,
                                   stderr=child, env={**os.environ, "TERM": "dumb"})
        os.close(child)
        os.write(parent, b"PUSH shell t hello\nPING interactive\nquit\n")
        seen = b""
        try:
            while chunk := os.read(parent, 4096):
                seen += chunk
        except OSError:
            pass  # the terminal's other end is gone
        self.assertEqual(process.wait(30), 0)
        os.close(parent)
        self.assertIn(b'"interactive"', seen)
        self.assertNotIn(b"Error", seen)


if __name__ == "__main__":
    if not shutil.which("redis-cli"):
        sys.exit(77)
    unittest.main(verbosity=1)
