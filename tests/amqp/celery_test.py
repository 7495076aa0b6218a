#!/usr/bin/env python3
"""Celery, unchanged: worker and client with the broker's URL, results by rpc://. CELERY_POOL: prefork, threads."""
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from celery.exceptions import TaskRevokedError

import broker

HERE = pathlib.Path(__file__).resolve().parent


class Celery(unittest.TestCase):
    POOL = os.environ.get("CELERY_POOL", "prefork")

    @classmethod
    def setUpClass(cls):
        cls.broker = broker.start()
        cls.directory = tempfile.TemporaryDirectory(prefix="celery-test-")
        cls.trace = pathlib.Path(cls.directory.name) / "trace"
        cls.trace.touch()
        os.environ["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{cls.broker.port}//"
        os.environ["TRACE"] = str(cls.trace)
        sys.path.insert(0, str(HERE))
        import celery_tasks
        cls.tasks = celery_tasks
        celery_tasks.app.conf.broker_url = os.environ["AMQP_URL"]
        cls.workers = []
        cls.worker = cls.start_worker("first")
        cls.wait_ready()

    @classmethod
    def start_worker(cls, name, *options, **environment):
        log = open(pathlib.Path(cls.directory.name) / f"{name}.log", "w")
        process = subprocess.Popen(
            ["/usr/bin/python3", "-m", "celery", "-A", "celery_tasks", "worker", "-n", f"{name}@test", "-c", "2", "-P", cls.POOL,
             "-l", "INFO", "-E", *options], cwd=HERE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "C_FORCE_ROOT": "1", **environment})
        log.close()
        cls.workers.append(process)
        return process

    @classmethod
    def wait_ready(cls):
        cls.tasks.add.delay(1, 1).get(timeout=60)

    @classmethod
    def tearDownClass(cls):
        for worker in cls.workers:
            cls.end(worker, signal.SIGTERM)
        cls.tasks.app.close()
        cls.broker.stop()
        cls.directory.cleanup()

    @staticmethod
    def end(worker, how):
        try:
            os.killpg(worker.pid, how) if how == signal.SIGKILL else worker.send_signal(how)
            worker.wait(30)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def traces(self, word):
        return [line.split(" ", 1) for line in self.trace.read_text().splitlines() if word in line]

    def wait_for(self, holds):
        end = time.time() + 30
        while not holds():
            self.assertLess(time.time(), end, "it does not come")
            time.sleep(0.02)

    def test_results(self):
        results = [self.tasks.add.delay(number, number) for number in range(50)]
        self.assertEqual([each.get(timeout=30) for each in results], [2 * number for number in range(50)])

    def test_an_error_comes_back(self):
        with self.assertRaises(TypeError):
            self.tasks.add.delay(1, "x").get(timeout=30)

    def test_retries(self):
        self.assertEqual(self.tasks.flaky.delay(2).get(timeout=30), 2)

    def test_countdown(self):
        start = time.time()
        self.tasks.add.apply_async((40, 2), countdown=1.5).get(timeout=30)
        self.assertGreaterEqual(float(self.traces("add 40 2")[0][0]) - start, 1.4)

    def test_eta(self):
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1.5)
        self.tasks.add.apply_async((41, 2), eta=at).get(timeout=30)
        self.assertGreaterEqual(float(self.traces("add 41 2")[0][0]), at.timestamp() - 0.1)

    def test_many_etas_do_not_block_the_rest(self):
        later = [self.tasks.add.apply_async((number, 1000), countdown=3) for number in range(100)]
        self.tasks.add.delay(7, 1).get(timeout=30)
        self.assertEqual([each.get(timeout=30) for each in later], [number + 1000 for number in range(100)])
        begun = {words: float(at) for at, words in self.traces("add ")}
        self.assertLess(begun["add 7 1"], min(begun[f"add {number} 1000"] for number in range(100)))

    def test_the_server_holds_etas(self):
        if not broker.IS_SLUICE:
            self.skipTest("RabbitMQ hands them to the worker at once")
        result = self.tasks.add.apply_async((42, 3), countdown=4)
        with self.broker.server.client() as client:
            self.wait_for(lambda: client.queue("celery")["scheduled"] == 1)
        reserved = self.tasks.app.control.inspect(timeout=2).scheduled() or {}
        self.assertEqual([task for tasks in reserved.values() for task in tasks], [])
        self.assertEqual(result.get(timeout=30), 45)

    def test_group_and_chain(self):
        from celery import chain, group
        self.assertEqual(group(self.tasks.add.s(number, 1) for number in range(10))().get(timeout=30), list(range(1, 11)))
        self.assertEqual(chain(self.tasks.add.s(1, 1), self.tasks.add.s(2), self.tasks.add.s(3))().get(timeout=30), 7)

    def test_chord(self):
        """With a result backend that every worker can read. What looks whether the parts are done is a task that comes
        again every second, held by the server meanwhile."""
        files = pathlib.Path(self.directory.name) / "results"
        files.mkdir()
        results = f"file://{files}"
        self.start_worker("chords", "-Q", "chords", RESULTS=results)
        client = ("import celery, celery_tasks as tasks;"
                  "parts = [tasks.add.s(number, number) for number in range(10)] + [tasks.slow.s(1.5, 7)];"
                  "chord = celery.chord([part.set(queue='chords') for part in parts]);"
                  "print(chord(tasks.total.s().set(queue='chords')).get(timeout=60))")
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", client], cwd=HERE, env={**os.environ, "RESULTS": results},
                              text=True, capture_output=True, timeout=90)
        self.assertEqual(done.stdout, "97\n", done.stderr)

    def test_inspect(self):
        for _ in range(3):
            pong = self.tasks.app.control.ping(timeout=3)
            if pong:
                break
        self.assertIn({"first@test": {"ok": "pong"}}, pong)
        self.assertIn("celery_tasks.add", str(self.tasks.app.control.inspect(timeout=3).registered()))
        self.assertEqual(self.tasks.app.control.inspect(timeout=3).active_queues()["first@test"][0]["name"], "celery")

    def test_revoke(self):
        """Of a task that the worker has fetched and not begun."""
        if self.POOL == "threads":
            self.skipTest("Celery hands what it has fetched to its threads at once, and looks no more who is revoked")
        holders = [self.tasks.hold.delay() for _ in range(2)]
        self.wait_for(lambda: len(self.traces("begin hold")) == 2)
        victim = self.tasks.note.delay("revoked")
        victim.revoke()
        self.wait_for(lambda: victim.id in str(self.tasks.app.control.inspect(timeout=1).revoked()))
        pathlib.Path(os.environ["TRACE"] + ".go").touch()
        for each in holders:
            each.get(timeout=30)
        self.tasks.add.delay(5, 5).get(timeout=30)
        self.assertEqual(self.traces("note revoked"), [])

    def test_revoke_of_tasks_that_wait_in_the_server(self):
        """No worker has them, and none that starts later knows of the revocation."""
        if not broker.IS_SLUICE:
            self.skipTest("RabbitMQ leaves them to the workers")
        queue = "nobody-works-here"
        far, other = (self.tasks.add.apply_async((1, number), countdown=3600, queue=queue) for number in range(2))
        ready = self.tasks.add.apply_async((5, 6), queue=queue)
        with self.broker.server.client() as client:
            def counts():
                return [client.queue(queue)[state] for state in ("scheduled", "ready")]
            self.wait_for(lambda: counts() == [2, 1])
            self.tasks.app.control.revoke([far.id, ready.id])
            self.wait_for(lambda: counts() == [1, 0])
        for revoked in (far, ready):
            with self.assertRaises(TaskRevokedError):
                revoked.get(timeout=10)
        self.assertEqual(other.state, "PENDING")

    def test_events(self):
        seen = []
        with self.tasks.app.connection() as connection:
            def on_event(event):
                seen.append(event["type"])
                receiver.should_stop = "task-succeeded" in seen
            receiver = self.tasks.app.events.Receiver(connection, handlers={"*": on_event})
            caller = threading.Timer(1, lambda: [self.tasks.add.delay(8, 8) for _ in range(5)])
            caller.start()
            receiver.capture(limit=None, timeout=20, wakeup=False)
            caller.join()
        self.assertIn("task-succeeded", seen)

    def test_a_worker_killed_loses_nothing(self):
        """acks_late, kill -9: another worker does it."""
        worker = self.start_worker("victim", "-Q", "fragile")
        results = [self.tasks.late.apply_async((1.5, f"late {number}"), queue="fragile") for number in range(4)]
        end = time.time() + 30
        while len(self.traces("begin late")) < 2 and time.time() < end:
            time.sleep(0.05)
        self.end(worker, signal.SIGKILL)
        scaling = ["--autoscale=4,1"] if self.POOL == "prefork" else []  # Its prefetch changes while it consumes.
        self.start_worker("heir", "-Q", "fragile", *scaling)
        self.assertEqual(sorted(each.get(timeout=60) for each in results), [f"late {number}" for number in range(4)])

    def test_priorities(self):
        worker = None
        names = []
        for number, priority in enumerate((1, 9, 5)):
            self.tasks.note.apply_async((f"priority {priority}",), queue="ranked", priority=priority)
            names.append(number)
        worker = self.start_worker("ranked", "-Q", "ranked", "-c", "1")
        end = time.time() + 30
        while len(self.traces("note priority")) < 3 and time.time() < end:
            time.sleep(0.05)
        self.assertTrue(worker)
        self.assertEqual([line.split()[-1] for _, line in self.traces("note priority")][:1], ["9"])

    def test_z_the_broker_restarts(self):
        self.tasks.add.delay(1, 2).get(timeout=30)
        queued = self.tasks.note.apply_async(("after the crash",), countdown=2)
        self.assertTrue(queued)
        time.sleep(0.3)
        self.broker.restart()
        end = time.time() + 40
        while not self.traces("note after the crash") and time.time() < end:
            time.sleep(0.1)
        self.assertEqual(len(self.traces("note after the crash")), 1)


if __name__ == "__main__":
    broker.main()
