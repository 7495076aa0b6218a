"""What the service manager sees: sd_notify messages, and a unit file that is valid and hardened."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import ROOT, Server  # noqa: E402

UNIT = ROOT / "packaging/sluice.service"
EXPOSURE_MAX = 2.5


class Notify(unittest.TestCase):
    def messages(self, address, name):
        """Runs a server from start to stop with $NOTIFY_SOCKET; returns what it sent."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(address)
            listener.settimeout(60)
            with Server(environment={"NOTIFY_SOCKET": name}) as server:
                received = [listener.recv(4096).decode()]
                while "READY=1" not in received[-1]:
                    received.append(listener.recv(4096).decode())
                self.assertIn(f"127.0.0.1:{server.port}", received[-1])
                self.assertEqual(server.terminate(), 0)
            listener.setblocking(False)
            try:
                while True:
                    received.append(listener.recv(4096).decode())
            except BlockingIOError:
                return received

    def test_ready_and_stopping_are_said_on_a_path(self):
        with tempfile.TemporaryDirectory(prefix="sluice-notify-") as directory:
            path = os.path.join(directory, "notify")
            received = self.messages(path, path)
            self.assertTrue(any("STOPPING=1" in message for message in received), received)
            self.assertTrue(any("EXTEND_TIMEOUT_USEC=" in message for message in received), received)

    def test_an_abstract_socket_works_too(self):
        name = f"sluice-notify-test-{os.getpid()}"
        self.assertTrue(any("READY=1" in message for message in self.messages("\0" + name, "@" + name)))

    def test_a_socket_that_is_not_there_is_no_reason_not_to_start(self):
        with Server(environment={"NOTIFY_SOCKET": "/nonexistent/notify"}) as server:
            self.assertEqual(server.client()("PING"), "PONG")


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Unit(unittest.TestCase):
    def test_it_is_hardened(self):
        done = subprocess.run(["systemd-analyze", "security", "--offline=yes", str(UNIT)],
                              capture_output=True, text=True, timeout=60)
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        self.assertIsNotNone(exposure, done.stdout + done.stderr)
        self.assertLessEqual(float(exposure[1]), EXPOSURE_MAX)

    def test_it_has_no_unknown_lines(self):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(UNIT)], capture_output=True,
                              text=True, timeout=60)
        said = [line for line in done.stderr.splitlines() if "sluice.service" in line
                and "is not executable" not in line]
        self.assertEqual(said, [])


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets may be left to the end of the process.
