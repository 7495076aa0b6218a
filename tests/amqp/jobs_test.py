#!/usr/bin/env python3
"""A message is a job: what AMQP published is seen, cancelled, failed and awaited over the native protocol, and the
other way round (docs/amqp.md)."""
import pika

import broker
import harness


class Jobs(broker.AmqpTest):
    def setUp(self):
        super().setUp()
        self.native = self.broker.server.client()
        self.addCleanup(self.native.close)

    def ask(self, *words):
        """A map as a dict, an array of maps as a list of them."""
        return readable(self.native(*words))

    def pull(self, queue):
        found = readable(self.native("PULL", queue, "WAIT", "5s"))
        self.assertIsNotNone(found, f"nothing in {queue}")
        return found[0]

    def test_a_message_is_seen_as_a_job(self):
        queue = self.queue()
        self.publish(queue, b"hello", type="shop.paid", priority=3, content_type="text/plain", correlation_id="c-1",
                     headers={"colour": "red", "count": 5, "list": [1, "two", None], "deep": {"a": True}})
        job = self.pull(queue)
        self.assertEqual((job["type"], job["payload"]), ("shop.paid", "hello"))
        headers = as_dict(job["headers"])
        self.assertEqual(headers, {"colour": "red", "count": "5", "list": '[1,"two",null]', "deep": '{"a":true}',
                                   ":content-type": "text/plain", ":correlation-id": "c-1"})
        info = self.ask("JOB", job["id"])
        self.assertEqual(as_dict(info["headers"]), headers)
        self.native("ACK", job["id"], job["token"])

    def test_its_way_is_seen(self):
        exchange, dead = self.name("x"), self.queue("dead")
        self.channel.exchange_declare(exchange, "topic", durable=True)
        queue = self.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        self.channel.queue_bind(queue, exchange, "order.*")
        self.publish("order.paid", b"x", exchange)
        job = self.pull(queue)
        headers = as_dict(job["headers"])
        self.assertEqual((headers[":exchange"], headers[":key"]), (exchange, "order.paid"))
        self.native("FAIL", job["id"], job["token"], "no", "DEAD")
        headers = as_dict(self.pull(dead)["headers"])
        self.assertEqual(headers[":deaths"], f"{queue} rejected 1")

    def test_a_message_can_be_cancelled(self):
        queue = self.queue()
        self.publish(queue, b"never", headers={"x-delay": 3_600_000})
        self.wait_until(lambda: self.ask("QUEUE", "GET", queue)["scheduled"] == 1)
        job = self.ask("JOBS", queue)["jobs"][0]
        self.assertEqual(job["state"], "scheduled")
        self.native("CANCEL", job["id"])
        self.assertEqual(self.ask("QUEUE", "GET", queue)["scheduled"], 0)

    def test_a_worker_of_the_native_protocol_fails_it_and_it_is_retried(self):
        queue = self.queue(arguments={"x-max-attempts": 2, "x-retry-backoff": "fixed 1ms", "x-keep-dead": True})
        self.publish(queue, b"x")
        for _ in range(2):
            job = self.pull(queue)
            self.native("FAIL", job["id"], job["token"], "printer on fire")
        info = self.ask("JOB", job["id"])
        self.assertEqual((info["state"], info["attempt"], info["error"]), ("dead", 2, "printer on fire"))
        self.native("DEAD", "REDRIVE", queue)
        self.assertEqual(self.take(queue)[2], b"x")

    def test_a_job_is_awaited_while_a_consumer_has_it(self):
        queue = self.queue(arguments={"x-keep": 60_000})
        identity = self.native("PUSH", queue, "t", "x")
        method, properties, _ = self.take(queue, auto_ack=False)
        self.assertEqual(readable(self.native("AWAIT", identity, "0"))["state"], "leased")
        self.channel.basic_ack(method.delivery_tag)
        self.assertEqual(readable(self.native("AWAIT", identity, "5s"))["state"], "succeeded")

    def test_a_job_is_a_message(self):
        queue = self.queue()
        identity = self.native("PUSH", queue, "mail.welcome", "hello", "PRIORITY", "5", "HEADER", "colour", "red")
        method, properties, body = self.take(queue)
        self.assertEqual(body, b"hello")
        self.assertEqual((properties.type, properties.message_id, properties.delivery_mode), ("mail.welcome", text(identity), 2))
        self.assertEqual(properties.headers, {"colour": "red"})
        self.assertEqual((method.exchange, method.routing_key), ("", queue))

    def test_a_publish_of_the_native_protocol_goes_through_the_same_exchanges(self):
        exchange, queue = self.name("x"), self.queue()
        self.channel.exchange_declare(exchange, "direct", durable=True)
        self.channel.queue_bind(queue, exchange, "k")
        self.native("PUBLISH", exchange, "k", "t", "routed")
        self.assertEqual(self.take(queue)[2], b"routed")

    def test_a_client_cannot_make_up_what_the_server_says(self):
        queue = self.queue()
        self.publish(queue, b"x", headers={":deaths": "none", ":key": "k"})
        _, properties, _ = self.take(queue)
        self.assertEqual(properties.headers, {":deaths": "none", ":key": "k"})
        self.publish(queue, b"x", headers={":key": "k"})
        self.assertEqual(as_dict(self.pull(queue)["headers"]), {"::key": "k"})
        with self.assertRaises(harness.RespError) as refused:
            self.native("PUSH", queue, "t", "x", "HEADER", ":key", "k")
        self.assertEqual(refused.exception.code, "ARG")


class Limits(broker.AmqpTest):
    OPTIONS = ("--connections-max", "4")

    def setUp(self):
        pass

    def test_connections_of_both_protocols_count_together(self):
        server = self.broker.server
        native = [server.client() for _ in range(2)]
        amqp = [self.connect() for _ in range(2)]
        with self.assertRaises(pika.exceptions.AMQPError):
            self.connect()
        with self.assertRaises((harness.Closed, harness.RespError, OSError)):
            server.client()("PING")
        facts = dict(line.split(":", 1) for line in native[0]("INFO", "clients").decode().splitlines() if ":" in line)
        self.assertEqual((facts["connected_clients"], facts["amqp_connected_clients"]), ("2", "2"))
        self.assertEqual((facts["rejected_connections"], facts["amqp_rejected_connections"]), ("1", "1"))
        amqp[0].close()
        self.wait_until(lambda: b"amqp_connected_clients:1\r" in native[0]("INFO", "clients"))
        self.connect()


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def readable(reply):
    """Bytes as text; arrays of names and values, as RESP2 has maps, as dicts."""
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, list):
        items = [readable(item) for item in reply]
        is_map = items and len(items) % 2 == 0 and all(isinstance(name, str) for name in items[::2])
        return as_dict(items) if is_map else items
    return reply


def as_dict(items):
    return items if isinstance(items, dict) else dict(zip(items[::2], items[1::2]))


if __name__ == "__main__":
    broker.main()
