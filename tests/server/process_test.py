"""The server as a process: start, logs, permissions, one server per directory, signals, exit codes."""
import json
import pathlib
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, Client, Closed, RespError, Server, eventually  # noqa: E402

EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL = 69, 74, 75


def events(server):
    """The text log as a list of dicts."""
    found = []
    for line in server.lines:
        match = re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) (event=.*)$", line)
        assert match, f"not a log line: {line!r}"
        fields = dict(re.findall(r'(\w+)=("(?:\\.|[^"\\])*"|\S*)', match[2]))
        found.append({"level": match[1], **fields})
    return found


class Start(unittest.TestCase):
    def test_it_says_what_it_is_where_it_listens_and_how_durable_it_is(self):
        with Server() as server:
            self.assertEqual(server.client()("PING"), "PONG")
            self.assertEqual(server.terminate(), 0)
            by_event = {event["event"]: event for event in events(server)}
            self.assertRegex(by_event["starting"]["version"], r"^\d+\.\d+\.\d+$")
            self.assertEqual(by_event["starting"]["data"], str(server.directory / "data"))
            self.assertEqual(by_event["recovered"]["jobs"], "0")
            self.assertGreaterEqual(int(by_event["recovered"]["epoch"]), 1)
            self.assertEqual(by_event["durability"]["sync"], "always")
            self.assertIn("fdatasync", by_event["durability"]["meaning"])
            self.assertRegex(by_event["listening"]["address"], r"^127\.0\.0\.1:[1-9]\d*$")
            self.assertEqual(list(by_event)[-1], "stopped")

    def test_listening_is_said_even_if_only_errors_are_logged(self):
        with Server(options=["--log-level", "error"]) as server:
            self.assertIsNotNone(server.port)
            self.assertEqual([event["event"] for event in events(server)], ["listening"])

    def test_json_lines_parse_and_carry_the_same(self):
        with Server(options=["--log-format", "json", "--log-level", "debug"], start=False) as server:
            server.spawn()
            listening = eventually(lambda: [line for line in map(json.loads, list(server.lines))
                                            if line["event"] == "listening"], 60)
            self.assertTrue(listening, server.output())
            port = int(listening[0]["address"].rsplit(":", 1)[1])
            Client(port)("PUSH", "mail", "t", "secret-payload")
            self.assertEqual(server.terminate(), 0)
            lines = [json.loads(line) for line in server.lines]
            self.assertTrue(all({"time", "level", "event"} <= line.keys() for line in lines))
            settings = {line["name"]: line for line in lines if line["event"] == "setting"}
            self.assertEqual(settings["log_format"]["source"], "--log-format")
            self.assertEqual(settings["io_threads"]["source"], "default")
            self.assertNotIn("secret-payload", "\n".join(server.lines))

    def test_what_others_can_read_is_nothing(self):
        with Server() as server:
            server.client()("PUSH", "mail", "t", "x")
            data = server.directory / "data"
            self.assertEqual(stat.S_IMODE(data.stat().st_mode), 0o700)
            for file in data.iterdir():
                self.assertEqual(stat.S_IMODE(file.stat().st_mode) & 0o077, 0, file)

    def test_a_directory_that_others_may_enter_is_warned_of(self):
        with tempfile.TemporaryDirectory(prefix="sluice-wide-") as directory:
            data = pathlib.Path(directory) / "data"
            data.mkdir()
            data.chmod(0o755)
            with Server(directory) as server:
                warned = [event for event in events(server) if event["event"] == "data_readable_by_others"]
                self.assertEqual([event["level"] for event in warned], ["warn"])

    def test_it_may_open_as_many_files_as_the_hard_limit_says(self):
        with Server() as server:
            limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
            soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
            self.assertEqual(soft, hard)

    def test_variables_configure_it_too(self):
        with Server(environment={"SLUICE_SYNC": "10ms"}) as server:
            durability = [event for event in events(server) if event["event"] == "durability"][0]
            self.assertEqual(durability["sync"], "10ms")
            self.assertIn("power failure can lose the last 10ms", durability["meaning"])


class Refusal(unittest.TestCase):
    def test_a_second_server_on_the_directory_is_refused_and_the_first_goes_on(self):
        with Server() as first:
            second = Server(first.directory, start=False).spawn()
            self.assertEqual(second.wait_exit(), EX_TEMPFAIL, second.output())
            self.assertIn(f"is in use by process {first.process.pid}", second.output())
            self.assertEqual(first.client()("PING"), "PONG")

    def test_the_directory_is_free_again_after_a_kill(self):
        with Server() as server:
            server.kill()
            server.start()
            self.assertEqual(server.client()("PING"), "PONG")

    def test_a_port_that_is_taken_is_said(self):
        with socket.socket() as taken, Server(start=False) as server:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server.options = ["--resp", f"127.0.0.1:{port}"]
            command = [str(BINARY), "serve", "--data", str(server.directory / "data"), *server.options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, EX_UNAVAILABLE, done.stdout + done.stderr)
            self.assertIn(f"127.0.0.1:{port}", done.stdout)

    def test_a_directory_that_cannot_be_made_is_said(self):
        done = subprocess.run([str(BINARY), "serve", "--data", "/proc/sluice-data", "--resp", "127.0.0.1:0"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, EX_IOERR, done.stdout + done.stderr)
        self.assertIn("/proc/sluice-data", done.stdout)


class Stop(unittest.TestCase):
    def test_sigterm_and_sigint_end_it_with_0_and_nothing_is_lost(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), Server() as server:
                job = server.client()("PUSH", "mail", "t", "x")
                server.process.send_signal(number)
                self.assertEqual(server.wait_exit(), 0)
                server.start()
                self.assertEqual(server.client().job(job)["state"], b"ready")
                recovered = [event for event in events(server) if event["event"] == "recovered"][0]
                self.assertEqual(recovered["jobs"], "1")

    def test_the_epoch_grows_with_every_start(self):
        with Server() as server:
            seen = []
            for how in ("kill", "terminate", "kill"):
                seen.append(int([e for e in events(server) if e["event"] == "recovered"][0]["epoch"]))
                server.restart(how)
            self.assertEqual(seen, sorted(set(seen)))

    def test_what_is_under_way_is_answered_before_it_ends(self):
        with Server() as server:
            client = server.client()
            count = 2000
            client.send(*[("PUSH", "mail", "t", str(i)) for i in range(count)])
            client.receive()  # The rest is under way.
            server.process.send_signal(signal.SIGTERM)
            acknowledged = 1
            try:
                while acknowledged < count:
                    self.assertNotIsInstance(client.receive(), RespError)
                    acknowledged += 1
            except (Closed, ConnectionError):
                pass
            self.assertEqual(server.wait_exit(), 0)
            server.start()
            self.assertGreaterEqual(int(server.client().queue("mail")["ready"]), acknowledged)

    def test_waiting_workers_do_not_hold_it_up_for_longer_than_the_drain(self):
        with Server(options=["--drain", "200ms"]) as server:
            client = server.client()
            client.send(("PULL", "mail", "WAIT", "1h"))
            server.client()("PING")
            self.assertEqual(server.terminate(seconds=20), 0)

    def test_a_second_signal_ends_it_at_once_and_keeps_what_was_acknowledged(self):
        with Server(options=["--drain", "1h"]) as server:
            client = server.client()
            job = client("PUSH", "mail", "t", "x")
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: "event=stopping" in server.output(), 20))
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait_exit(20), 0)
            server.start()
            self.assertEqual(server.client().job(job)["state"], b"ready")

    def test_sighup_changes_nothing(self):
        with Server() as server:
            server.process.send_signal(signal.SIGHUP)
            self.assertEqual(server.client()("PING"), "PONG")
            self.assertEqual(server.terminate(), 0)
            self.assertEqual(len([e for e in events(server) if e["event"] == "hangup"]), 1)

    def test_a_client_that_vanished_or_a_closed_log_does_not_end_it(self):
        with tempfile.TemporaryDirectory(prefix="sluice-pipe-") as directory:
            process = subprocess.Popen([str(BINARY), "serve", "--data", directory + "/data", "--amqp", "off", "--resp",
                                        "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
            try:
                port = None
                while port is None:
                    found = re.search(r"protocol=resp address=127\.0\.0\.1:(\d+)", process.stdout.readline())
                    port = found and int(found[1])
                process.stdout.close()  # Log lines now meet a broken pipe.
                process.send_signal(signal.SIGHUP)
                client = Client(port)
                client.send(("PULL", "mail", "WAIT", "1h"))
                client.close()
                self.assertEqual(Client(port)("PING"), "PONG")
                process.terminate()
                self.assertEqual(process.wait(30), 0)
            finally:
                process.kill()
                process.wait()


class Pause(unittest.TestCase):
    """A machine that stands still: time goes on."""

    def test_an_ack_that_waited_behind_the_end_of_its_lease_is_refused(self):
        with Server() as server:
            client = server.client()
            for _ in range(5):
                client("PUSH", "mail", "t", "x")
                job = client.pull("mail", "LEASE", "50ms")[0]
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(0.06)  # the lease ends meanwhile
                client.send(("ACK", job["id"], job["token"]))
                server.process.send_signal(signal.SIGCONT)
                reply = client.receive()
                self.assertEqual(getattr(reply, "code", reply), "STALE")
                again = client.pull("mail", "WAIT", "10s")[0]
                self.assertEqual((again["id"], again["attempt"]), (job["id"], 2))
                client("ACK", again["id"], again["token"])


class DiskFailure(unittest.TestCase):
    """RELIABILITY S2: a failed write ends the server with 74, and nothing acknowledged is lost by it."""

    def test_a_failed_write_ends_it_with_74_and_the_next_start_has_what_was_acknowledged(self):
        with Server(options=["--segment-bytes", "64KiB"]) as server:
            client = server.client()
            acknowledged = [client("PUSH", "mail", "t", "x" * 1000) for _ in range(20)]
            # From here on no file may grow: as a disk that refuses every new block.
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
            with self.assertRaises((Closed, ConnectionError)):
                while True:
                    acknowledged.append(client("PUSH", "mail", "t", "x" * 1000))
            self.assertEqual(server.wait_exit(5), EX_IOERR, server.output())
            failure = [event for event in events(server) if event["event"] == "disk_failure"]
            self.assertEqual([event["level"] for event in failure], ["error"])
            named = re.search(r" to (/\S+): ", failure[0]["text"])[1]
            self.assertTrue(pathlib.Path(named).exists(), failure[0]["text"])
            server.start()
            client = server.client()
            for job in acknowledged:
                self.assertEqual(client.job(job)["state"], b"ready")


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets may be left to the end of the process.
