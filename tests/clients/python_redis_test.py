#!/usr/bin/env python3
"""Python's redis client drives the server: a pool, a pipeline, a blocking pull, bytes that are no text."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Server, as_dict  # noqa: E402

try:
    import redis
except ImportError:
    sys.exit(77)


class PythonRedis(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.redis = redis.Redis(port=self.server.port, db=0, client_name="test", socket_timeout=30)

    def tearDown(self):
        self.redis.close()

    def test_a_job(self):
        self.assertTrue(self.redis.ping())
        self.assertEqual(self.redis.client_getname(), "test")
        job_id = self.redis.execute_command("PUSH", "mail", "welcome", b"\x00\xff", "DELAY", "10ms")
        job = as_dict(self.redis.execute_command("PULL", "mail", "WAIT", "5s")[0])
        self.assertEqual((job["id"], job["payload"]), (job_id, b"\x00\xff"))
        self.assertEqual(self.redis.execute_command("ACK", job_id, job["token"]), b"OK")

    def test_a_pipeline(self):
        with self.redis.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.execute_command("PUSH", "pipe", "t", number)
            ids = pipeline.execute()
        self.assertEqual(len(set(ids)), 1000)

    def test_errors_are_response_errors(self):
        with self.assertRaisesRegex(redis.ResponseError, "^NOJOB "):
            self.redis.execute_command("JOB", "99999999")
        self.assertTrue(self.redis.ping())

    def test_info(self):
        self.assertIn("redis_version", self.redis.info())


if __name__ == "__main__":
    unittest.main(verbosity=1)
