#!/usr/bin/env python3
"""At the limits on connections and descriptors the server refuses, waits and goes on; it never spins or ends."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from crowd import PING, PONG, Crowd, cpu_seconds, info  # noqa: E402
from harness import Closed, RespError, Server, eventually  # noqa: E402

import resource  # noqa: E402

CONNECTIONS = 100
# Few enough that connections_max is beyond them; the journal's files must find room all the same.
DESCRIPTORS = 160


class ConnectionsMax(unittest.TestCase):
    def test_one_beyond_is_told_so_and_closed_and_there_is_room_again_when_one_leaves(self):
        with Server(options=["--connections-max", CONNECTIONS]) as server, Crowd(server.port, CONNECTIONS) as crowd:
            crowd.send(PING)
            crowd.expect(PONG)
            for _ in range(3):
                with server.client() as refused:
                    reply = refused.receive()
                    self.assertIsInstance(reply, RespError)
                    self.assertEqual(reply.code, "BUSY")
                    with self.assertRaises(Closed):
                        refused.receive()
            crowd.sockets.pop().close()
            self.assertTrue(eventually(lambda: self.is_served(server)), "no room after one left")
            crowd.send(PING)
            crowd.expect(PONG)
            self.assertEqual(server.logs("event=connections_max_reached"), 1)

    @staticmethod
    def is_served(server):
        with server.client() as client:
            try:
                return client("PING") == "PONG"
            except (RespError, ConnectionError):
                return False


class FewDescriptors(unittest.TestCase):
    def test_connections_leave_room_for_the_files_of_the_journal(self):
        """With more clients than descriptors, new segments can still be made: nobody takes the server down."""
        with Server(options=["--segment-bytes", "16KiB"], launcher=["prlimit", f"--nofile={DESCRIPTORS}"]) as server, \
                server.client() as client, Crowd(server.port, DESCRIPTORS) as crowd:
            self.assertTrue(server.logs("event=few_descriptors"), server.output())
            self.assertTrue(eventually(lambda: info(client)["rejected_connections"] > 0), server.output())
            jobs = [client("PUSH", "mail", "t", "x" * 1000) for _ in range(200)]
            for job in jobs[::2]:
                self.assertEqual(client.job(job)["payload"], b"x" * 1000)
            for _ in jobs:
                job = client.pull("mail")[0]
                client("ACK", job["id"], job["token"])
            self.assertGreater(len(crowd.sockets) - info(client)["rejected_connections"], 50, "too few were let in")
            self.assertEqual(server.terminate(), 0, server.output())

    def test_without_any_descriptor_it_waits_serves_those_it_has_and_does_not_spin(self):
        with Server() as server, server.client() as client, Crowd(server.port, 10) as first:
            first.send(PING)
            first.expect(PONG)
            pid = server.process.pid
            hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (16, hard))  # fewer than it has open already
            with Crowd(server.port, 20) as late:
                late.send(PING)
                self.assertTrue(server.logs("event=accept_failed"), server.output())
                before = cpu_seconds(pid)
                time.sleep(1)  # how long it is watched, not a synchronisation
                self.assertLess(cpu_seconds(pid) - before, 0.2)
                job = client("PUSH", "mail", "t", "x")
                self.assertEqual(client.job(job)["state"], b"ready")
                first.send(PING)
                first.expect(PONG)
                self.assertEqual(server.logs("event=accept_failed"), 1)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
                late.expect(PONG)  # they were waiting in the system's queue
            self.assertEqual(server.terminate(), 0, server.output())


if __name__ == "__main__":
    unittest.main()
