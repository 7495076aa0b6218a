#!/usr/bin/env python3
"""The life of a job over the wire, state by state, against the real server. Each test uses queues of its
own name, so one server serves all of them."""
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import RespError, Server, as_dict  # noqa: E402


class Lifecycle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.client = self.server.client()
        self.q = self._testMethodName

    def tearDown(self):
        self.client.close()

    def refused(self, code, *words):
        with self.assertRaises(RespError) as caught:
            self.client(*words)
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return str(caught.exception)

    def push(self, *options, queue=None, payload="{}"):
        return self.client("PUSH", queue or self.q, "step", payload, *options)

    def pull_one(self, *options, queue=None):
        jobs = self.client.pull(queue or self.q, *options)
        self.assertEqual(len(jobs), 1)
        return jobs[0]

    def state(self, job_id):
        return self.client.job(job_id)["state"].decode()

    def final_state(self, job_id, wait="5s"):
        return as_dict(self.client("AWAIT", job_id, wait))["state"].decode()

    # -- The straight way. ---------------------------------------------------------------------------

    def test_push_pull_ack(self):
        job_id = self.push("HEADER", "trace", "abc", payload=b"\x00\xffbytes\r\n")
        self.assertEqual(self.state(job_id), "ready")
        job = self.pull_one("AS", "worker-1")
        self.assertEqual(list(job), ["id", "token", "queue", "type", "attempt", "payload", "headers", "deadline"])
        self.assertEqual((job["id"], job["queue"], job["type"], job["attempt"]),
                         (job_id, self.q.encode(), b"step", 1))
        self.assertEqual(job["payload"], b"\x00\xffbytes\r\n")
        self.assertEqual(as_dict(job["headers"]), {"trace": b"abc"})
        leased = self.client.job(job_id)
        self.assertEqual((leased["state"], leased["worker"]), (b"leased", b"worker-1"))
        self.assertEqual(self.client("ACK", job_id, job["token"], "RESULT", "42"), "OK")
        done = self.client.job(job_id)
        self.assertEqual((done["state"], done["result"], done["attempt"]), (b"succeeded", b"42", 1))
        states = [as_dict(event)["state"] for event in done["history"]]
        self.assertEqual(states[-2:], [b"leased", b"succeeded"])

    def test_pull_of_nothing_is_nil(self):
        self.assertIsNone(self.client("PULL", self.q))
        started = time.monotonic()
        self.assertIsNone(self.client("PULL", self.q, "WAIT", "50ms"))
        self.assertGreaterEqual(time.monotonic() - started, 0.045)

    def test_pull_waits_for_a_push(self):
        with self.server.client() as waiting:
            waiting.send(("PULL", self.q, "WAIT", "10s"))
            job_id = self.push()
            self.assertEqual(as_dict(waiting.receive()[0])["id"], job_id)

    def test_fifo_and_priority(self):
        ids = [self.push("PRIORITY", priority) for priority in (0, 5, 0, 255, 5)]
        got = [job["id"] for job in self.client.pull(self.q, "COUNT", "10")]
        self.assertEqual(got, [ids[i] for i in (3, 1, 4, 0, 2)])

    def test_pull_from_several_queues(self):
        second = self.push(queue=self.q + ".b")
        first = self.push(queue=self.q + ".a")
        jobs = self.client.pull(self.q + ".a", self.q + ".b", "COUNT", "2")
        self.assertEqual([job["id"] for job in jobs], [first, second])

    def test_a_client_that_leaves_while_it_waits_takes_nothing(self):
        self.client("QUEUE", "SET", self.q, "priority", "0")
        waiting = self.server.client()
        waiting.send(("PULL", self.q, "WAIT", "30s"))
        while self.client.queue(self.q)["waiting_pulls"] != 1:
            pass
        waiting.close()
        while self.client.queue(self.q)["waiting_pulls"] != 0:
            pass
        job_id = self.push()
        self.assertEqual(self.pull_one()["id"], job_id)

    # -- Failure and retry. ----------------------------------------------------------------------------

    def test_fail_retries_until_dead_then_redrive(self):
        job_id = self.push("ATTEMPTS", "2", "BACKOFF", "fixed 1ms")
        job = self.pull_one()
        self.client("FAIL", job_id, job["token"], "smtp said no")
        self.assertIn(self.state(job_id), ("retry", "ready"))
        job = self.pull_one("WAIT", "5s")
        self.assertEqual(job["attempt"], 2)
        self.client("FAIL", job_id, job["token"], "smtp said no again")
        dead = self.client.job(job_id)
        self.assertEqual((dead["state"], dead["error"]), (b"dead", b"smtp said no again"))
        listed = self.client.fields("DEAD", "LIST", self.q)
        self.assertEqual([as_dict(entry)["id"] for entry in listed["jobs"]], [job_id])
        self.assertEqual(self.client("DEAD", "REDRIVE", self.q, job_id), 1)
        job = self.pull_one()
        self.assertEqual((job["id"], job["attempt"]), (job_id, 1))
        self.client("ACK", job_id, job["token"])
        self.assertEqual(self.state(job_id), "succeeded")

    def test_fail_with_its_own_retry_delay(self):
        job_id = self.push("BACKOFF", "fixed 1h")
        job = self.pull_one()
        self.client("FAIL", job_id, job["token"], "busy", "RETRY", "10ms")
        self.assertEqual(self.pull_one("WAIT", "5s")["attempt"], 2)

    def test_fail_dead(self):
        job_id = self.push()
        job = self.pull_one()
        self.client("FAIL", job_id, job["token"], "never", "DEAD")
        self.assertEqual(self.state(job_id), "dead")
        self.assertEqual(self.client("DEAD", "DELETE", self.q, job_id), 1)
        self.refused("NOJOB", "JOB", job_id)

    def test_dead_jobs_move_to_the_dead_letter_queue(self):
        target = self.q + ".dead"
        self.client("QUEUE", "SET", self.q, "dead_letter", target)
        job_id = self.push()
        job = self.pull_one()
        self.client("FAIL", job_id, job["token"], "never", "DEAD")
        moved = self.pull_one(queue=target)
        self.assertEqual(moved["payload"], b"{}")
        self.client("ACK", moved["id"], moved["token"])

    def test_release_gives_the_attempt_and_the_place_back(self):
        first, second = self.push(), self.push()
        job = self.pull_one()
        self.client("RELEASE", first, job["token"])
        jobs = self.client.pull(self.q, "COUNT", "2")
        self.assertEqual([(job["id"], job["attempt"]) for job in jobs], [(first, 1), (second, 1)])

    def test_an_expired_lease_counts_and_fences(self):
        job_id = self.push()
        job = self.pull_one("LEASE", "30ms")
        again = self.pull_one("WAIT", "5s")
        self.assertEqual((again["id"], again["attempt"]), (job_id, 2))
        self.assertGreater(int(again["token"]), int(job["token"]))
        for words in (("ACK", job_id, job["token"]), ("FAIL", job_id, job["token"], "late"),
                      ("EXTEND", job_id, job["token"], "1s"), ("RELEASE", job_id, job["token"]),
                      ("PROGRESS", job_id, job["token"], "50")):
            self.refused("STALE", *words)
        self.client("ACK", job_id, again["token"])

    def test_extend_keeps_the_lease(self):
        job_id = self.push()
        job = self.pull_one("LEASE", "150ms")
        self.client("EXTEND", job_id, job["token"], "60s")
        self.assertIsNone(self.client("PULL", self.q, "WAIT", "300ms"))
        self.client("ACK", job_id, job["token"])

    def test_progress(self):
        job_id = self.push()
        job = self.pull_one()
        self.client("PROGRESS", job_id, job["token"], "40", "rendering")
        seen = str(self.client.job(job_id)["progress"])
        self.assertIn("40", seen)

    def test_a_second_ack_is_stale(self):
        job_id = self.push()
        job = self.pull_one()
        self.client("ACK", job_id, job["token"])
        self.refused("STALE", "ACK", job_id, job["token"])

    # -- Times. --------------------------------------------------------------------------------------

    def test_delay_and_at(self):
        delayed = self.push("DELAY", "40ms")
        self.assertEqual(self.state(delayed), "scheduled")
        at = self.push("AT", int(time.time() * 1000) + 80)
        self.assertIsNone(self.client("PULL", self.q))
        got = [self.pull_one("WAIT", "5s")["id"] for _ in range(2)]
        self.assertEqual(got, [delayed, at])

    def test_ttl_expires_what_nobody_started(self):
        job_id = self.push("TTL", "20ms")
        self.assertEqual(self.final_state(job_id), "expired")
        self.assertIsNone(self.client("PULL", self.q))
        started = self.push("TTL", "200ms")
        self.pull_one("LEASE", "60s")
        self.assertEqual(as_dict(self.client("AWAIT", started, "400ms"))["state"], b"leased")

    def test_keep_forgets_a_finished_job(self):
        job_id = self.push("KEEP", "1ms")
        job = self.pull_one()
        self.client("ACK", job_id, job["token"])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                self.client("JOB", job_id)
            except RespError as error:
                return self.assertEqual(error.code, "NOJOB")
        self.fail("the job is still there")

    # -- Unique, after, await, cancel. --------------------------------------------------------------

    def test_unique(self):
        first = self.push("UNIQUE", "order-1")
        self.assertEqual(self.push("UNIQUE", "order-1"), first)
        self.refused("EXISTS", "PUSH", self.q, "step", "{}", "UNIQUE", "order-1", "ONCONFLICT", "reject")
        replacing = self.push("UNIQUE", "order-1", "ONCONFLICT", "replace", payload="new")
        job = self.pull_one()
        self.assertEqual((job["id"], job["payload"]), (replacing, b"new"))
        self.client("ACK", job["id"], job["token"])
        self.assertNotIn(self.push("UNIQUE", "order-1"), (first, replacing))

    def test_unique_window_outlives_the_job(self):
        first = self.push("UNIQUE", "once", "WINDOW", "1h")
        job = self.pull_one()
        self.client("ACK", first, job["token"])
        self.assertEqual(self.push("UNIQUE", "once", "WINDOW", "1h"), first)

    def test_after(self):
        pdf, photo = self.push(queue=self.q + ".first"), self.push(queue=self.q + ".first")
        email = self.push("AFTER", pdf, "AFTER", photo)
        self.assertEqual(self.state(email), "waiting")
        for job in self.client.pull(self.q + ".first", "COUNT", "2"):
            self.assertIsNone(self.client("PULL", self.q))
            self.client("ACK", job["id"], job["token"])
        self.assertEqual(self.pull_one()["id"], email)

    def test_dependants_die_with_a_reason_or_go_on(self):
        pdf = self.push(queue=self.q + ".first")
        strict, tolerant = self.push("AFTER", pdf), self.push("AFTER_ANY", pdf)
        job = self.pull_one(queue=self.q + ".first")
        self.client("FAIL", pdf, job["token"], "no paper", "DEAD")
        self.assertEqual(self.final_state(strict), "dead")
        self.assertIn(pdf.decode(), str(self.client.job(strict)))
        self.assertEqual(self.pull_one()["id"], tolerant)

    def test_await_wakes_every_waiter(self):
        job_id = self.push()
        waiters = [self.server.client() for _ in range(20)]
        for waiter in waiters:
            waiter.send(("AWAIT", job_id, "30s"))
        job = self.pull_one()
        self.client("ACK", job_id, job["token"], "RESULT", "done")
        for waiter in waiters:
            info = as_dict(waiter.receive())
            self.assertEqual((info["state"], info["result"]), (b"succeeded", b"done"))
            waiter.close()

    def test_await_gives_up_with_the_state_as_it_is(self):
        job_id = self.push()
        self.assertEqual(self.final_state(job_id, "30ms"), "ready")

    def test_cancel(self):
        job_id = self.push()
        self.client("CANCEL", job_id)
        self.assertEqual(self.state(job_id), "cancelled")
        self.assertIsNone(self.client("PULL", self.q))
        running = self.push()
        job = self.pull_one()
        self.client("CANCEL", running)
        self.assertIn("cancel", self.refused("STALE", "EXTEND", running, job["token"], "10s"))
        self.assertIn("cancel", self.refused("STALE", "ACK", running, job["token"]))
        self.assertEqual(self.state(running), "cancelled")

    # -- Queues. ----------------------------------------------------------------------------------------

    def test_pause_purge_delete(self):
        self.push()
        self.client("QUEUE", "PAUSE", self.q)
        self.assertIsNone(self.client("PULL", self.q))
        second = self.push()
        self.client("QUEUE", "RESUME", self.q)
        self.pull_one()
        self.assertEqual(self.client("QUEUE", "PURGE", self.q), 1)
        self.refused("NOJOB", "JOB", second)
        self.refused("BUSY", "QUEUE", "DELETE", self.q)
        self.client("QUEUE", "DELETE", self.q, "FORCE")
        self.refused("NOQUEUE", "QUEUE", "GET", self.q)

    def test_what_changes_nothing_is_answered_too(self):
        self.client("QUEUE", "SET", self.q, "priority", "0")
        for words, reply in ((("QUEUE", "PURGE", self.q), 0), (("DEAD", "DELETE", self.q), 0),
                             (("DEAD", "REDRIVE", self.q), 0), (("DEAD", "DELETE", self.q, "12345"), 0),
                             (("QUEUE", "RESUME", self.q), "OK"), (("QUEUE", "SET", self.q, "priority", "0"), "OK")):
            for _ in range(2):
                self.assertEqual(self.client(*words), reply)

    def test_queue_counts_and_policy(self):
        self.client("QUEUE", "SET", self.q, "max_attempts", "3", "timeout", "45s", "backoff", "fixed 5s")
        self.push()
        self.push("DELAY", "1h")
        self.push()
        self.pull_one()
        queue = self.client.queue(self.q)
        self.assertEqual((queue["ready"], queue["scheduled"], queue["leased"]), (1, 1, 1))
        self.assertEqual((queue["max_attempts"], queue["pushed_total"], queue["pulled_total"]), (3, 3, 1))
        names = [as_dict(entry)["name"] for entry in self.client("QUEUE", "LIST")]
        self.assertIn(self.q.encode(), names)

    def test_max_length_rejects_or_drops_the_head(self):
        self.client("QUEUE", "SET", self.q, "max_length", "2")
        first = self.push()
        self.push()
        self.assertIn("2", self.refused("BUSY", "PUSH", self.q, "step", "{}"))
        self.client("QUEUE", "SET", self.q, "overflow", "drop_head")
        self.push()
        self.assertEqual(self.state(first), "dead")

    def test_jobs_lists_page_by_page(self):
        ids = [self.push() for _ in range(5)]
        self.client("PUSH", self.q, "other", "{}")
        seen, cursor = [], 0
        while True:
            page = self.client.fields("JOBS", self.q, "TYPE", "step", "CURSOR", cursor, "COUNT", "2")
            seen += [as_dict(job)["id"] for job in page["jobs"]]
            cursor = int(page["cursor"])
            if cursor == 0:
                break
        self.assertEqual(seen, ids)

    # -- Connections. ---------------------------------------------------------------------------------

    def test_pipelined_replies_keep_their_order(self):
        self.client.send(*[("PUSH", self.q, "step", str(n)) for n in range(500)], ("PING",),
                         ("PULL", self.q, "COUNT", "500"), ("ECHO", "end"))
        ids = [self.client.receive() for _ in range(500)]
        self.assertEqual(self.client.receive(), "PONG")
        jobs = [as_dict(job) for job in self.client.receive()]
        self.assertEqual(self.client.receive(), b"end")
        self.assertEqual([job["id"] for job in jobs], ids)
        self.assertEqual([job["payload"] for job in jobs], [str(n).encode() for n in range(500)])

    def test_resp3_maps(self):
        hello = self.client("HELLO", "3")
        self.assertEqual((hello["server"], hello["proto"]), (b"sluice", 3))
        job_id = self.push("HEADER", "a", "b")
        job = self.client("PULL", self.q)[0]
        self.assertIsInstance(job, dict)
        self.assertEqual(job["headers"], {"a": b"b"})
        self.assertIsInstance(self.client("JOB", job_id), dict)
        self.assertIsNone(self.client("PULL", self.q))

    def test_large_payloads_round_trip(self):
        for size in (0, 1, 65535, 1 << 20, 16 << 20):
            payload = bytes(i & 0xFF for i in range(256)) * (size // 256) + b"x" * (size % 256)
            job_id = self.push(payload=payload)
            job = self.pull_one()
            self.assertEqual(len(job["payload"]), size)
            self.assertTrue(job["payload"] == payload, f"{size} bytes came back changed")
            self.client("ACK", job_id, job["token"])

    def test_two_hundred_workers_share_without_overlap(self):
        ids = {self.push() for _ in range(400)}
        got, lock = [], threading.Lock()

        def work():
            with self.server.client() as client:
                while jobs := client.pull(self.q, "COUNT", "1"):
                    client("ACK", jobs[0]["id"], jobs[0]["token"])
                    with lock:
                        got.append(jobs[0]["id"])

        threads = [threading.Thread(target=work) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(got), 400)
        self.assertEqual(set(got), ids)


if __name__ == "__main__":
    unittest.main(verbosity=1)
