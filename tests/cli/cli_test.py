#!/usr/bin/env python3
"""The command line against a real server: what scripts rely on (exit codes, JSON, bytes) and what people see
on a terminal (a pseudo terminal here)."""
import base64
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import fcntl
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, OUTSIDE, Server, eventually  # noqa: E402

OK, FAILED, USAGE, UNAVAILABLE, BUSY = 0, 1, 2, 69, 75
SECONDS_MAX = 60


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.environment = {**OUTSIDE, "SLUICE_URL": f"sluice://127.0.0.1:{cls.server.port}"}

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.q = self._testMethodName

    def run_cli(self, *words, stdin=b"", code=OK):
        done = subprocess.run([str(BINARY), *map(str, words)], input=stdin, capture_output=True,
                              env=self.environment, timeout=SECONDS_MAX)
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        if code != OK:
            self.assertTrue(done.stderr.strip(), f"{words} failed without a word")
        return done

    def text(self, *words, **options):
        return self.run_cli(*words, **options).stdout.decode()

    def json(self, *words, **options):
        """The document of --json; that there is exactly one is part of the claim."""
        return json.loads(self.run_cli(*words, "--json", **options).stdout)

    def error(self, code, *words, **options):
        return self.run_cli(*words, code=code, **options).stderr.decode()

    def push(self, *words, **options):
        return self.text("push", self.q, "step", *words, **options).strip()

    def job(self, job_id):
        return self.json("job", job_id)

    def queue(self, name=None):
        return self.json("queue", name or self.q)

    def start(self, *words, **options):
        return subprocess.Popen([str(BINARY), *map(str, words)], env=self.environment, **options)


class Push(Cli):
    def test_prints_the_id(self):
        job = self.job(self.push("hello"))
        self.assertEqual((job["queue"], job["type"], job["payload"], job["state"]),
                         (self.q, "step", "hello", "ready"))

    def test_json(self):
        pushed = self.json("push", self.q, "step")
        self.assertEqual(list(pushed), ["id"])

    def test_reads_any_bytes_from_stdin(self):
        payload = bytes(range(256))
        job_id = self.push("-", stdin=payload)
        self.assertEqual(self.run_cli("job", job_id, "--payload").stdout, payload)
        self.assertEqual(base64.b64decode(self.job(job_id)["payload_base64"]), payload)

    def test_every_option_reaches_the_job(self):
        before = self.push()
        job = self.job(self.push("x", "--delay", "1h", "--priority", 7, "--attempts", 3, "--backoff",
                                 "list 1s 10s", "--timeout", "2m", "--ttl", "2h", "--keep", "5m", "--unique",
                                 "key", "--window", "1h", "--on-conflict", "reject", "--after", before,
                                 "--header", "a=1", "--header", "b=x=y"))
        self.assertEqual((job["state"], job["priority"], job["max_attempts"], job["unique"], job["after"]),
                         ("waiting", 7, 3, "key", [before]))
        self.assertEqual(job["headers"], {"a": "1", "b": "x=y"})
        at = int((time.time() + 3600) * 1000)
        self.assertEqual(self.job(self.push("x", "--at", at))["state"], "scheduled")
        self.assertEqual(self.job(self.push("x", "--after-any", before))["state"], "waiting")

    def test_a_held_unique_key(self):
        first = self.push("x", "--unique", "k")
        self.assertEqual(self.push("x", "--unique", "k"), first)
        self.assertIn("k", self.error(FAILED, "push", self.q, "step", "x", "--unique", "k", "--on-conflict",
                                      "reject"))

    def test_says_which_argument_is_wrong(self):
        self.assertIn("PRIORITY", self.error(USAGE, "push", self.q, "step", "x", "--priority", 256).upper())
        self.assertIn("--header", self.error(USAGE, "push", self.q, "step", "x", "--header", "no-value"))
        self.assertIn("--window", self.error(USAGE, "push", self.q, "step", "x", "--window", "1h"))
        self.assertIn("--wait", self.error(USAGE, "push", self.q, "step", "x", "--wait", "soon"))
        self.error(USAGE, "push", self.q)
        self.error(USAGE, "push", self.q, "step", "--no-such-option")
        self.error(USAGE, "no-such-command")

    def test_a_full_queue_is_busy(self):
        self.run_cli("queue", self.q, "set", "max_length", 1)
        self.push()
        self.assertIn("full", self.error(BUSY, "push", self.q, "step"))

    def test_wait_prints_the_result_as_it_is(self):
        with self.start("work", self.q, "--exec", "cat; printf '\\377'", "--max-jobs", 1, "-q") as worker:
            done = self.run_cli("push", self.q, "step", "-", "--wait", "30s", stdin=b"a\x00b")
            self.assertEqual(done.stdout, b"a\x00b\xff")
            self.assertEqual(worker.wait(SECONDS_MAX), OK)

    def test_wait_that_is_too_short_is_busy(self):
        self.assertIn("ready", self.error(BUSY, "push", self.q, "step", "x", "--wait", "1"))

    def test_wait_for_a_job_that_dies_fails(self):
        with self.start("work", self.q, "--exec", "echo no such address >&2; exit 65", "--max-jobs", 1, "-q",
                        stderr=subprocess.DEVNULL):
            said = self.error(FAILED, "push", self.q, "step", "x", "--wait", "30s")
        self.assertIn("dead", said)
        self.assertIn("no such address", said)

    def test_lines_makes_a_job_of_each_line(self):
        lines = [f"line {i}" for i in range(2500)]
        data = "\n".join(lines).encode()  # The last line has no newline, and is one.
        self.assertEqual(self.json("push", self.q, "step", "--lines", stdin=data), {"pushed": 2500, "failed": 0})
        jobs = self.json("jobs", self.q, "--limit", 0)["jobs"]
        self.assertEqual(len(jobs), 2500)
        self.assertEqual([self.job(job["id"])["payload"] for job in (jobs[0], jobs[-1])], [lines[0], lines[-1]])

    def test_lines_prints_ids_when_asked(self):
        ids = self.text("push", self.q, "step", "--lines", "--ids", stdin=b"a\n\nb\n").split()
        self.assertEqual([self.job(job_id).get("payload", "") for job_id in ids], ["a", "", "b"])

    def test_lines_says_where_it_stopped(self):
        self.run_cli("queue", self.q, "set", "max_length", 3)
        said = self.error(BUSY, "push", self.q, "step", "--lines", stdin=b"1\n2\n3\n4\n5\n")
        self.assertIn("line 4:", said)
        self.assertEqual(self.queue()["ready"], 3)


class Look(Cli):
    def test_queues_and_queue(self):
        self.push()
        self.assertIn(self.q, [queue["name"] for queue in self.json("queues")])
        self.assertRegex(self.text("queues"), rf"(?m)^{self.q} +1 ")
        self.assertEqual(self.queue()["ready"], 1)
        self.assertRegex(self.text("queue", self.q), r"(?m)^ready +1$")

    def test_queue_set(self):
        changed = self.json("queue", self.q, "set", "max_attempts", 5, "backoff", "fixed 5s", "keep", "2h")
        self.assertEqual((changed["max_attempts"], changed["backoff"], changed["keep"]), (5, "fixed 5s", 7_200_000))
        self.assertIn("max_attempts", self.error(USAGE, "queue", self.q, "set", "max_attempts"))
        self.error(USAGE, "queue", self.q, "set", "no_such_field", 1)
        self.error(USAGE, "queue", self.q, "explode")

    def test_pause_resume_purge_delete(self):
        self.push()
        self.assertTrue(self.json("queue", self.q, "pause")["paused"])
        self.assertFalse(self.json("queue", self.q, "resume")["paused"])
        self.assertEqual(self.json("queue", self.q, "purge")["removed"], 1)
        self.run_cli("queue", self.q, "delete")
        self.assertIn(self.q, self.error(FAILED, "queue", self.q))

    def test_jobs_filters(self):
        ready, later = self.push("x"), self.push("x", "--delay", "1h")
        other = self.text("push", self.q, "other").strip()

        def ids(*words):
            return {job["id"] for job in self.json("jobs", self.q, *words)["jobs"]}

        self.assertEqual(ids(), {ready, later, other})
        self.assertEqual(ids("--state", "scheduled"), {later})
        self.assertEqual(ids("--type", "other"), {other})
        self.assertEqual(ids("--older", "1h"), set())
        self.assertEqual(ids("--newer", "1h"), {ready, later, other})
        self.assertEqual(len(ids("--limit", 2)), 2)
        self.assertIn("--state", self.error(USAGE, "jobs", self.q, "--state", "asleep"))
        self.assertRegex(self.text("jobs", self.q), rf"(?m)^{later} +scheduled +step .* in 59m")

    def test_job_cancel_and_wait(self):
        job_id = self.push()
        self.error(BUSY, "job", job_id, "--wait", "1")
        self.assertEqual(self.json("job", job_id, "cancel")["state"], "cancelled")
        self.error(FAILED, "job", job_id, "--wait", "1s")
        self.error(FAILED, "job", "999999999")
        self.error(USAGE, "job", "x")
        self.error(FAILED, "job", job_id, "--result")

    def test_dead_list_redrive_delete(self):
        ids = [self.push("--attempts", 1) for _ in range(3)]
        self.run_cli("work", self.q, "--exec", "exit 1", "--until-empty", "-q")
        self.assertEqual([job["id"] for job in self.json("dead", self.q)["jobs"]], ids)
        self.error(USAGE, "dead", self.q, "redrive")
        self.assertEqual(self.json("dead", self.q, "redrive", ids[0])["redriven"], 1)
        self.assertEqual(self.job(ids[0])["state"], "ready")
        self.assertEqual(self.json("dead", self.q, "delete", ids[1])["deleted"], 1)
        self.assertEqual(self.json("dead", self.q, "delete", "--all")["deleted"], 1)
        self.assertIn("dead", self.error(FAILED, "dead", self.q, "redrive", ids[0]))

    def test_backup_of_a_running_server_is_healthy(self):
        self.push()
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "copy")
            self.assertGreater(self.json("backup", target)["bytes"], 0)
            self.run_cli("check", target)
            self.assertIn("exists", self.error(USAGE, "backup", target))

    def test_version(self):
        self.assertRegex(self.text("version"), r"^sluice \d+\.\d+\.\d+\n$")
        self.assertRegex(self.json("version")["version"], r"^\d+\.\d+\.\d+$")

    def test_an_unknown_command_is_named(self):
        self.assertIn('no command "frob"', self.error(USAGE, "frob"))

    def test_top_once(self):
        self.push()
        frame = self.json("top", "--once", "--interval", "100ms")
        self.assertIn(self.q, [queue["name"] for queue in frame["queues"]])
        self.assertRegex(self.text("top", "--once", "--interval", "100ms"), rf"(?m)^{self.q} +1 ")
        self.assertIn("--once", self.error(USAGE, "top"))

    def test_no_server_is_unavailable_and_says_what_to_do(self):
        url = ("--url", "sluice://127.0.0.1:1")
        for words in (("queues",), ("push", "q", "t"), ("job", "1"), ("work", "q", "--exec", "true"),
                      ("top", "--once"), ("bench", "push")):
            with self.subTest(words):
                self.assertIn("sluice serve", self.error(UNAVAILABLE, *words, *url))


class Work(Cli):
    def work(self, command, *words, **options):
        return self.json("work", self.q, "--exec", command, "--until-empty", "-q", *words, **options)

    def test_facts_of_the_job_are_in_the_environment(self):
        job_id = self.push("x", "--header", "trace-id=abc")
        counts = self.work("echo $SLUICE_JOB_ID $SLUICE_QUEUE $SLUICE_TYPE $SLUICE_ATTEMPT "
                           "$SLUICE_HEADER_TRACE_ID; test $SLUICE_TOKEN -gt 0")
        self.assertEqual(counts, {"acked": 1, "failed": 0, "dead": 0, "released": 0, "lost": 0})
        self.assertEqual(self.job(job_id)["result"], f"{job_id} {self.q} step 1 abc\n")

    def test_exit_codes(self):
        self.run_cli("queue", self.q, "set", "backoff", "fixed 1h")
        ids = {code: self.push(str(code)) for code in (0, 3, 65, 75, 127)}
        counts = self.work("code=$(cat); echo because $code >&2; exit $code", "--retry-later", "1h")
        self.assertEqual(counts, {"acked": 1, "failed": 1, "dead": 1, "released": 2, "lost": 0})
        jobs = {code: self.job(job_id) for code, job_id in ids.items()}
        self.assertEqual({code: job["state"] for code, job in jobs.items()},
                         {0: "succeeded", 3: "retry", 65: "dead", 75: "scheduled", 127: "scheduled"})
        self.assertEqual(jobs[3]["error"], "exit 3: because 3\n")

    def test_a_released_attempt_does_not_count(self):
        job_id = self.push("--attempts", 1)
        self.work("exit 75", "--retry-later", "1h")
        self.assertEqual(self.job(job_id)["state"], "scheduled")

    def test_the_result_is_bounded(self):
        job_id = self.push()
        self.work("printf 123456", "--result-max", 4)
        self.assertEqual(self.job(job_id)["result"], "1234")

    def test_timeout_kills_the_process_group(self):
        job_id = self.push()
        counts = self.work("trap '' TERM; sleep 600 & wait; sleep 600", "--timeout", "50ms", "--grace", "50ms")
        self.assertEqual(counts["failed"], 1)
        self.assertIn("timed out after 50ms", self.job(job_id)["error"])

    def test_n_at_once(self):
        # Each job waits until all four run: only four at once can end.
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(4):
                self.push(folder)
            counts = self.work('cd "$(cat)" && touch $SLUICE_JOB_ID && '
                               'until [ $(ls | wc -l) = 4 ]; do sleep 0.01; done', "-n", 4)
        self.assertEqual(counts["acked"], 4)

    def test_heartbeats_keep_a_long_job(self):
        job_id = self.push()
        self.work("sleep 2.5", "--lease", "1s")
        job = self.job(job_id)
        self.assertEqual((job["state"], job["attempt"]), ("succeeded", 1))

    def start_worker(self, command, *words):
        worker = self.start("work", self.q, "--exec", command, *words, stderr=subprocess.PIPE)
        self.addCleanup(worker.stderr.close)
        self.addCleanup(worker.wait)
        self.addCleanup(worker.kill)
        return worker

    def await_state(self, job_id, state):
        self.assertTrue(eventually(lambda: self.job(job_id)["state"] == state, 20), self.job(job_id))

    def test_a_cancelled_job_is_told_to_its_command(self):
        with tempfile.TemporaryDirectory() as folder:
            job_id = self.push(folder)
            worker = self.start_worker('cd "$(cat)"; trap "touch told; exit 0" TERM; touch up; sleep 600 & wait',
                                       "--lease", "1s", "--max-jobs", 1)
            self.assertTrue(eventually(lambda: os.path.exists(f"{folder}/up"), 20))
            self.run_cli("job", job_id, "cancel")
            self.assertEqual(worker.wait(SECONDS_MAX), OK)
            self.assertTrue(os.path.exists(f"{folder}/told"))
            self.assertEqual(self.job(job_id)["state"], "cancelled")

    def test_sigterm_lets_running_jobs_finish(self):
        with tempfile.TemporaryDirectory() as folder:
            job_id = self.push(folder)
            worker = self.start_worker('cd "$(cat)"; until [ -e go ]; do sleep 0.01; done; echo done')
            self.await_state(job_id, "leased")
            worker.send_signal(signal.SIGTERM)
            self.assertIn(b"event=draining", self.until_line(worker, b"draining"))
            pathlib.Path(folder, "go").touch()
            self.assertEqual(worker.wait(SECONDS_MAX), OK)
            self.assertEqual(self.job(job_id)["result"], "done\n")

    def until_line(self, process, part):
        for line in process.stderr:
            if part in line:
                return line
        return b""

    def test_sigterm_releases_what_does_not_finish(self):
        job_id = self.push("--attempts", 1)
        worker = self.start_worker("sleep 600", "--drain", "0")
        self.await_state(job_id, "leased")
        worker.send_signal(signal.SIGTERM)
        self.assertEqual(worker.wait(SECONDS_MAX), OK)
        self.assertEqual(self.job(job_id)["state"], "ready")

    def test_goes_on_after_a_restart_of_the_server(self):
        with Server() as server:
            address = f"127.0.0.1:{server.port}"
            url = ("--url", f"sluice://{address}")
            job_id = self.text("push", self.q, "step", "x", *url).strip()
            worker = self.start_worker("sleep 1; echo done", "--max-jobs", 1, *url)
            self.assertTrue(eventually(lambda: self.json("job", job_id, *url)["state"] == "leased", 20))
            server.kill()
            again = self.start("serve", "--data", server.directory / "data", "--resp", address, "--amqp", "off",
                               stdout=subprocess.DEVNULL)
            try:
                self.assertEqual(worker.wait(SECONDS_MAX), OK)
                job = self.json("job", job_id, *url)
                self.assertEqual((job["state"], job["attempt"], job["result"]), ("succeeded", 1, "done\n"))
            finally:
                again.kill()
                again.wait()


class Terminal(Cli):
    """What is different when a person looks."""

    def spawn(self, *words):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(str(BINARY), [str(BINARY), *map(str, words)], self.environment)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.addCleanup(os.close, fd)
        return pid, fd

    def read_until(self, fd, part=None):
        seen, end = b"", time.monotonic() + SECONDS_MAX
        while part is None or part not in seen:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                self.fail(f"{part!r} never came: {seen!r}")
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.assertTrue(part is None or part in seen, (part, seen))
                break
            seen += data
        return seen

    def exit_code(self, pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_payloads_are_escaped(self):
        job_id = self.push("-", stdin=b"\x1b[2Jevil\x07")
        for words in (("job", job_id, "--payload"), ("job", job_id)):
            pid, fd = self.spawn(*words)
            seen = self.read_until(fd)
            self.assertEqual(self.exit_code(pid), OK)
            self.assertIn(b"\\x1b[2Jevil\\x07", seen)
            self.assertNotIn(b"\x1b[2J", seen)

    def test_purge_asks(self):
        self.push()
        pid, fd = self.spawn("queue", self.q, "purge")
        self.read_until(fd, b"[y/N]")
        os.write(fd, b"n\n")
        self.read_until(fd)
        self.assertEqual(self.exit_code(pid), FAILED)
        self.assertEqual(self.queue()["ready"], 1)
        pid, fd = self.spawn("queue", self.q, "purge")
        self.read_until(fd, b"[y/N]")
        os.write(fd, b"y\n")
        self.read_until(fd)
        self.assertEqual(self.exit_code(pid), OK)
        self.assertEqual(self.queue()["ready"], 0)

    def test_top_ends_with_q_and_restores_the_terminal(self):
        self.push()
        pid, fd = self.spawn("top", "--interval", "100ms")
        self.read_until(fd, self.q.encode())
        os.write(fd, b"q")
        seen = self.read_until(fd, b"\x1b[?1049l")
        self.assertIn(b"\x1b[?25h", seen)
        self.assertEqual(self.exit_code(pid), OK)

    def test_top_ends_with_ctrl_c_and_restores_the_terminal(self):
        pid, fd = self.spawn("top", "--interval", "100ms")
        self.read_until(fd, b"QUEUE")
        os.write(fd, b"\x03")
        self.read_until(fd, b"\x1b[?1049l")
        self.assertEqual(self.exit_code(pid), OK)


class Bench(Cli):
    def bench(self, mode, *words):
        return self.json("bench", mode, "--queue", self.q, *words)

    def test_push(self):
        result = self.bench("push", "--count", 3000)
        self.assertEqual(result["jobs"], 3000)
        self.assertGreater(result["server_cpu_us_per_job"], 0)
        self.assertEqual(self.queue()["ready"], 0)

    def test_ping_push(self):
        result = self.bench("ping-push", "--count", 20)
        self.assertEqual(result["jobs"], 20)
        self.assertLessEqual(result["p50_us"], result["p99_us"])

    def test_cycle_leaves_nothing(self):
        result = self.bench("cycle", "--secs", 0.3, "--warm-up", 0.1)
        self.assertGreater(result["jobs"], 0)
        self.assertEqual(result["left"], 0)
        counts = self.queue()
        self.assertEqual((counts["ready"], counts["leased"], counts["succeeded"]), (0, 0, 0))

    def test_latency(self):
        result = self.bench("latency", "--rate", 200, "--secs", 0.5, "--warm-up", 0.1)
        self.assertEqual(result["left"], 0)
        self.assertGreater(result["p50_us"], 0)
        self.assertLessEqual(result["p99_us"], result["max_us"])

    def test_fill_and_drain(self):
        self.assertEqual(self.bench("fill", 2500, "-c", 3)["jobs"], 2500)
        self.assertEqual(self.queue()["ready"], 2500)
        self.assertIn("not empty", self.error(FAILED, "bench", "push", "--queue", self.q))
        self.assertEqual(self.bench("drain")["jobs"], 2500)
        self.assertEqual(self.queue()["ready"], 0)

    def test_delayed(self):
        self.assertEqual(self.bench("delayed", 500, "--over", "1000d")["jobs"], 500)
        self.assertEqual(self.queue()["scheduled"], 500)

    def test_a_port_that_speaks_something_else(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def answer():
                connection, _ = listener.accept()
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()
            thread = threading.Thread(target=answer)
            thread.start()
            self.run_not_ok("bench", "push", "--url", f"sluice://127.0.0.1:{listener.getsockname()[1]}")
            thread.join()

    def run_not_ok(self, *words):
        done = subprocess.run([str(BINARY), *words], capture_output=True, env=self.environment,
                              timeout=SECONDS_MAX)
        self.assertIn(done.returncode, (FAILED, UNAVAILABLE), done)
        self.assertTrue(done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
