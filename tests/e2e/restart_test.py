#!/usr/bin/env python3
"""What a restart keeps: jobs in every state, leases and their tokens, unique keys, policies, history;
after kill -9 and after SIGTERM alike. And what start-up refuses."""
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY, RespError, Server, as_dict  # noqa: E402


def without_times(job):
    """A job's fields without its times: they are shown by a calendar that each start reads anew."""
    kept = {name: value for name, value in job.items() if name not in ("created", "due", "history")}
    kept["history"] = [{name: value for name, value in as_dict(event).items() if name != "time"}
                       for event in job["history"]]
    return kept


class Restart(unittest.TestCase):
    def both_ways(self, test):
        for how in ("kill", "terminate"):
            with self.subTest(how), Server() as server:
                test(server, how)

    def test_leases_survive(self):
        def test(server, how):
            client = server.client()
            job_id = client("PUSH", "q", "t", "payload", "HEADER", "k", "v")
            job = client.pull("q", "LEASE", "60s", "AS", "worker-7")[0]
            client("EXTEND", job_id, job["token"], "60s")
            client("PUSH", "other", "t", "x")  # its reply is durable, and so is all before it: the lease
            server.restart(how)
            client = server.client()
            self.assertIsNone(client("PULL", "q"))
            info = client.job(job_id)
            self.assertEqual((info["state"], info["worker"]), (b"leased", b"worker-7"))
            client("ACK", job_id, job["token"], "RESULT", "r")
            client("PUSH", "q", "t", "next")
            self.assertGreater(int(client.pull("q")[0]["token"]), int(job["token"]))
        self.both_ways(test)

    def test_every_state_survives(self):
        def test(server, how):
            client = server.client()
            push = lambda *options: client("PUSH", "q", "t", "x", *options)  # noqa: E731
            expected = {}

            def run(*outcome):
                job_id = push("PRIORITY", "255", "BACKOFF", "fixed 1h")
                job = client.pull("q")[0]
                assert job["id"] == job_id
                client(outcome[0], job_id, job["token"], *outcome[1:])
                return job_id

            expected[run("ACK", "RESULT", "the result")] = "succeeded"
            expected[run("FAIL", "the error")] = "retry"
            expected[run("FAIL", "the end", "DEAD")] = "dead"
            expected[push("DELAY", "1h")] = "scheduled"
            ready = push("PRIORITY", "9")
            expected[ready] = "ready"
            expected[push("AFTER", ready)] = "waiting"
            cancelled = push()
            client("CANCEL", cancelled)
            expected[cancelled] = "cancelled"
            expired = push("TTL", "1ms")
            client("AWAIT", expired, "5s")
            expected[expired] = "expired"
            before = {job_id: client.job(job_id) for job_id in expected}
            counts = client.queue("q")
            server.restart(how)
            client = server.client()
            for job_id, state in expected.items():
                after = client.job(job_id)
                self.assertEqual(after["state"].decode(), state)
                self.assertEqual(without_times(after), without_times(before[job_id]))
                self.assertAlmostEqual(after["created"], before[job_id]["created"], delta=50)
            after = client.queue("q")
            for state in set(expected.values()):
                self.assertEqual(after[state], counts[state], state)
        self.both_ways(test)

    def test_keys_policies_and_order_survive(self):
        def test(server, how):
            client = server.client()
            client("QUEUE", "SET", "q", "max_attempts", "7", "backoff", "list 1s 10s 1m", "max_length", "1000")
            client("QUEUE", "PAUSE", "q")
            policy = client.queue("q")
            unique = client("PUSH", "q", "t", "x", "UNIQUE", "key", "WINDOW", "1h")
            ids = [unique] + [client("PUSH", "q", "t", str(n)) for n in range(200)]
            server.restart(how)
            client = server.client()
            after = client.queue("q")
            for field in ("paused", "max_attempts", "backoff", "max_length"):
                self.assertEqual(after[field], policy[field])
            self.assertEqual(client("PUSH", "q", "t", "x", "UNIQUE", "key"), unique)
            self.assertIsNone(client("PULL", "q"))
            client("QUEUE", "RESUME", "q")
            self.assertEqual([job["id"] for job in client.pull("q", "COUNT", "500")], ids)
        self.both_ways(test)

    def test_finished_jobs_stay_finished_over_many_restarts(self):
        with Server(options=["--segment-bytes", "64KiB"]) as server:
            done = []
            for cycle in range(6):
                client = server.client()
                client.send(*[("PUSH", "q", "t", b"x" * 500, "KEEP", "1ms") for _ in range(200)])
                for _ in range(200):
                    client.receive()
                jobs = client.pull("q", "COUNT", "200")
                self.assertEqual(len(jobs), 200)
                self.assertFalse(set(job["id"] for job in jobs) & set(done))
                for job in jobs:
                    client("ACK", job["id"], job["token"])
                done += [job["id"] for job in jobs]
                server.restart("kill" if cycle % 2 else "terminate")
            self.assertIsNone(server.client()("PULL", "q"))

    def test_sigterm_drains_and_exits_0(self):
        with Server() as server:
            client = server.client()
            client.send(("PULL", "q", "WAIT", "1h"))
            other = server.client()
            other("PUSH", "elsewhere", "t", "x")
            self.assertEqual(server.terminate(), 0, server.output())

    def test_a_directory_has_one_server(self):
        with Server() as server:
            second = Server(directory=server.directory, start=False)
            second.spawn()
            self.assertNotEqual(second.wait_exit(), 0)
            self.assertIsNone(second.port)
            self.assertRegex(second.output(), r"lock|another|pid")
            self.assertEqual(server.client()("PING"), "PONG")

    def test_open_addresses_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([BINARY, "serve", "--data", folder + "/data", "--resp", "0.0.0.0:0"],
                                  capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stdout + done.stderr, "127.0.0.1|loopback")

    def test_leases_pause_while_the_server_is_down(self):
        with Server() as server:
            client = server.client()
            job_id = client("PUSH", "q", "t", "x")
            job = client.pull("q", "LEASE", "5s")[0]
            client("EXTEND", job_id, job["token"], "500ms")
            client("PUSH", "other", "t", "x")  # makes the lease durable, which nobody waits for otherwise
            server.kill()
            time.sleep(0.7)  # the outage itself: longer than what is left of the lease
            server.start()
            client = server.client()
            try:
                client("ACK", job_id, job["token"])
            except RespError as error:
                self.fail(f"the lease ran out while nobody could extend it: {error}")

    def test_backup_is_a_consistent_copy_of_a_running_server(self):
        with Server(options=["--segment-bytes", "64KiB"]) as server, tempfile.TemporaryDirectory() as folder:
            client = server.client()
            ids = [client("PUSH", "q", "t", b"y" * 1000) for _ in range(300)]
            copy = client.fields("BACKUP", folder + "/copy")
            self.assertGreater(copy["bytes"], 300 * 1000)
            client("PUSH", "q", "t", "later")
            check = subprocess.run([BINARY, "check", folder + "/copy"], capture_output=True, text=True,
                                   timeout=60, stdin=subprocess.DEVNULL)
            self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
            pathlib.Path(folder, "copy").rename(pathlib.Path(folder, "data"))
            with Server(directory=folder) as copied:
                jobs = copied.client().pull("q", "COUNT", "1000")
                self.assertEqual([as_dict(job)["id"] for job in jobs], ids)


if __name__ == "__main__":
    unittest.main(verbosity=1)
