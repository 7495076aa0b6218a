#!/usr/bin/env python3
"""Clients of other languages, each running its own small program: amqplib (Node), Bunny (Ruby), librabbitmq and its
tools (C), RabbitMQ's Java client.

    clients_test.py LIBRABBITMQ_CLIENT      the built clients/librabbitmq.cc
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import broker

PROGRAMS = pathlib.Path(__file__).resolve().parent / "clients"
CACHE = pathlib.Path(os.environ.get("SLUICE_BUILD", "/tmp")) / "npm-amqp"
JARS = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"


class Clients(unittest.TestCase):
    librabbitmq = None

    @classmethod
    def setUpClass(cls):
        cls.broker = broker.start()
        cls.url = f"amqp://guest:guest@127.0.0.1:{cls.broker.port}"

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def run_client(self, *command, text=None, **options):
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, input=text, **options)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_amqplib(self):
        # Beside the build, not in the source tree; the lock file decides what is installed.
        CACHE.mkdir(parents=True, exist_ok=True)
        lock = (PROGRAMS / "package-lock.json").read_bytes()
        for name in ("package.json", "package-lock.json", "amqplib.mjs"):
            shutil.copy(PROGRAMS / name, CACHE / name)
        stamp = CACHE / "installed-lock.json"
        if not stamp.exists() or stamp.read_bytes() != lock:
            self.run_client("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=CACHE)
            stamp.write_bytes(lock)
        self.assertIn("amqplib: fine", self.run_client("node", CACHE / "amqplib.mjs", self.url))

    def test_bunny(self):
        self.assertIn("bunny: fine", self.run_client("ruby", PROGRAMS / "bunny.rb", self.url))

    def test_librabbitmq(self):
        if self.librabbitmq is None:
            self.skipTest("librabbitmq-dev is not installed")
        self.assertIn("librabbitmq: fine", self.run_client(self.librabbitmq, self.broker.port))

    def test_its_tools(self):
        self.run_client("amqp-declare-queue", "-u", self.url, "-q", "tools", "-d")
        for number in range(3):
            self.run_client("amqp-publish", "-u", self.url, "-r", "tools", "-p", "-b", f"message {number}")
        self.assertEqual(self.run_client("amqp-get", "-u", self.url, "-q", "tools"), "message 0")
        # It acks what the command has read.
        self.assertEqual(self.run_client("amqp-consume", "-u", self.url, "-q", "tools", "-c", "2", "cat"),
                         "message 1message 2")
        self.run_client("amqp-delete-queue", "-u", self.url, "-q", "tools")

    def test_java(self):
        with tempfile.TemporaryDirectory() as folder:
            self.run_client("javac", "-cp", JARS, "-d", folder, PROGRAMS / "JavaClient.java")
            self.assertIn("java: fine", self.run_client("java", "-Xmx128m", "-cp", f"{folder}:{JARS}", "JavaClient",
                                                        self.broker.port))


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
        Clients.librabbitmq = sys.argv.pop(1)
    broker.main()
