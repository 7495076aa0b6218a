#!/usr/bin/env python3
"""Exchanges over the native protocol: a publish reaches the queues that its bindings choose, all or none, and
what was bound is bound after kill -9."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import RespError, Server  # noqa: E402


def queues_of(client, ids):
    """The queues of these jobs."""
    return [client.job(each)["queue"].decode() for each in ids]


class Routing(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.client = self.enterContext(self.server.client())
        for queue in ("audit", "mail", "print"):
            self.client("QUEUE", "SET", queue, "keep", "1h")

    def test_a_publish_reaches_the_queues_that_want_it(self):
        client = self.client
        client("EXCHANGE", "SET", "orders", "topic", "ALTERNATE", "rest")
        client("EXCHANGE", "SET", "rest", "fanout")
        client("BIND", "orders", "QUEUE", "audit", "KEY", "order.#")
        client("BIND", "orders", "QUEUE", "mail", "KEY", "*.*.paid")
        client("BIND", "rest", "QUEUE", "print")
        self.assertEqual(queues_of(client, client("PUBLISH", "orders", "order.eu.paid", "t", "p")), ["audit", "mail"])
        self.assertEqual(queues_of(client, client("PUBLISH", "orders", "invoice", "t", "p")), ["print"])
        self.assertEqual(client("UNBIND", "rest", "QUEUE", "print"), 1)
        self.assertEqual(client("PUBLISH", "orders", "invoice", "t", "p"), [])

    def test_headers_choose_too(self):
        client = self.client
        client("EXCHANGE", "SET", "files", "headers")
        client("BIND", "files", "QUEUE", "print", "HEADER", "format", "pdf", "HEADER", "pages", "")
        client("BIND", "files", "QUEUE", "mail", "ANY", "HEADER", "urgent", "yes", "HEADER", "format", "txt")
        sent = client("PUBLISH", "files", "", "t", "p", "HEADER", "format", "pdf", "HEADER", "pages", "3")
        self.assertEqual(queues_of(client, sent), ["print"])
        sent = client("PUBLISH", "files", "", "t", "p", "HEADER", "urgent", "yes")
        self.assertEqual(queues_of(client, sent), ["mail"])

    def test_what_one_queue_refuses_reaches_none(self):
        client = self.client
        client("QUEUE", "SET", "print", "max_length", "1")
        client("EXCHANGE", "SET", "all", "fanout")
        client("BIND", "all", "QUEUE", "mail")
        client("BIND", "all", "QUEUE", "print")
        self.assertEqual(len(client("PUBLISH", "all", "", "t", "p")), 2)
        with self.assertRaisesRegex(RespError, "BUSY.*print"):
            client("PUBLISH", "all", "", "t", "p")
        self.assertEqual(client.queue("mail")["ready"], 1)

    def test_kill_9_keeps_exchanges_and_bindings_but_not_transient_ones(self):
        client = self.client
        client("EXCHANGE", "SET", "orders", "direct")
        client("EXCHANGE", "SET", "passing", "fanout", "TRANSIENT")
        client("BIND", "orders", "QUEUE", "mail", "KEY", "new")
        client("BIND", "orders", "QUEUE", "print", "KEY", "new")
        client("UNBIND", "orders", "QUEUE", "print", "KEY", "new")
        self.server.restart()
        client = self.enterContext(self.server.client())
        self.assertEqual(queues_of(client, client("PUBLISH", "orders", "new", "t", "p")), ["mail"])
        with self.assertRaisesRegex(RespError, "NOEXCHANGE"):
            client("EXCHANGE", "GET", "passing")

    def test_an_exchange_tells_what_is_bound_to_it(self):
        client = self.client
        client("EXCHANGE", "SET", "orders", "direct", "AUTODELETE")
        client("BIND", "orders", "QUEUE", "mail", "KEY", "new")
        told = client.fields("EXCHANGE", "GET", "orders")
        self.assertEqual((told["kind"], told["auto_delete"], told["binding_count"]), (b"direct", 1, 1))
        self.assertEqual(told["bindings"][0][:6], [b"to", b"queue", b"name", b"mail", b"key", b"new"])
        client("QUEUE", "DELETE", "mail")
        self.assertEqual(client("EXCHANGE", "LIST"), [])


if __name__ == "__main__":
    unittest.main()
