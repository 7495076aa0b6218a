#!/usr/bin/env python3
"""Exchanges and bindings: what is declared, what is refused, and where messages go."""
import pika

from broker import VHOST, AmqpTest, main


class Exchanges(AmqpTest):
    def exchange(self, kind, suffix="", **arguments):
        name = self.name(suffix)
        self.channel.exchange_declare(name, kind, **arguments)
        return name

    def test_redeclared_alike_and_different(self):
        name = self.exchange("direct", durable=True)
        self.channel.exchange_declare(name, "direct", durable=True)
        self.channel.exchange_declare(name, passive=True)
        vhost = f"for exchange '{name}' in vhost '{VHOST}'"
        self.refused(406, f"inequivalent arg 'type' {vhost}: received 'fanout' but current is 'direct'",
                     self.channel.exchange_declare, name, "fanout", durable=True)
        self.refused(406, f"inequivalent arg 'durable' {vhost}: received 'false' but current is 'true'",
                     self.channel.exchange_declare, name, "direct")
        self.refused(406, f"inequivalent arg 'auto_delete' {vhost}",
                     self.channel.exchange_declare, name, "direct", durable=True, auto_delete=True)

    def test_unknown_things(self):
        self.refused(404, "no exchange 'missing' in vhost '/'", self.channel.exchange_declare, "missing", passive=True)
        self.refused(404, "no exchange 'missing' in vhost '/'", self.channel.basic_publish, "missing", "k", b"x")
        queue = self.queue()
        self.refused(404, "no exchange 'missing' in vhost '/'", self.channel.queue_bind, queue, "missing", "k")
        self.refused(404, "no queue 'missing' in vhost '/'", self.channel.queue_bind, "missing", "amq.direct", "k")
        self.channel.exchange_delete("missing")
        self.channel.queue_unbind(queue, "amq.direct", "never bound")

    def test_an_unknown_type_ends_the_connection(self):
        self.refused(503, "unknown exchange type 'mystery'", self.channel.exchange_declare, self.name(), "mystery")

    def test_reserved_names(self):
        self.refused(403, "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
                     self.channel.exchange_declare, "amq.mine", "direct")
        self.refused(403, "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
                     self.channel.exchange_delete, "amq.direct")
        self.refused(403, "operation not permitted on the default exchange",
                     self.channel.exchange_declare, "", "direct")
        self.refused(403, "operation not permitted on the default exchange", self.channel.exchange_delete, "")
        queue = self.queue()
        self.refused(403, "operation not permitted on the default exchange", self.channel.queue_bind, queue, "", "k")

    def test_predeclared(self):
        for name, kind in (("amq.direct", "direct"), ("amq.fanout", "fanout"), ("amq.topic", "topic"),
                           ("amq.headers", "headers"), ("amq.match", "headers")):
            self.channel.exchange_declare(name, kind, durable=True)
        self.refused(406, "inequivalent arg 'type'", self.channel.exchange_declare, "amq.direct", "fanout", durable=True)

    def test_direct(self):
        exchange, queue = self.exchange("direct"), self.queue()
        self.channel.queue_bind(queue, exchange, "a")
        self.channel.queue_bind(queue, exchange, "a")
        self.channel.queue_bind(queue, exchange, "b")
        for key in ("a", "b", "c"):
            self.publish(key, key.encode(), exchange)
        self.assertEqual(self.bodies(queue), [b"a", b"b"])
        self.channel.queue_unbind(queue, exchange, "a")
        self.publish("a", b"again", exchange)
        self.assertEqual(self.bodies(queue), [])

    def test_fanout(self):
        exchange = self.exchange("fanout")
        queues = [self.queue(suffix) for suffix in ("1", "2", "3")]
        for queue in queues:
            self.channel.queue_bind(queue, exchange)
        self.publish("whatever", b"to all", exchange)
        for queue in queues:
            self.assertEqual(self.take(queue)[2], b"to all")

    def test_topic(self):
        exchange = self.exchange("topic")
        patterns = {"all": "#", "one": "*", "eu": "order.eu.*", "paid": "#.paid", "mid": "order.#.paid"}
        for suffix, pattern in patterns.items():
            self.channel.queue_bind(self.queue(suffix), exchange, pattern)
        wanted = {"order.eu.paid": {"all", "eu", "paid", "mid"}, "order.paid": {"all", "paid", "mid"},
                  "order": {"all", "one"}, "": {"all"}, "x.y": {"all"}, "order.eu.de.paid": {"all", "paid", "mid"}}
        for key, queues in wanted.items():
            self.publish(key, key.encode() or b"empty", exchange)
            for suffix in patterns:
                expected = [key.encode() or b"empty"] if suffix in queues else []
                self.assertEqual(self.bodies(self.name(suffix)), expected, (key, suffix))

    def test_headers(self):
        exchange = self.exchange("headers")
        bindings = {"all": {"x-match": "all", "type": "pdf", "pages": 3}, "any": {"x-match": "any", "type": "pdf", "big": True},
                    "there": {"x-match": "all", "type": None}, "default": {"type": "txt"},
                    "x": {"x-match": "all-with-x", "x-mine": "1"}}
        for suffix, arguments in bindings.items():
            self.channel.queue_bind(self.queue(suffix), exchange, "", arguments)
        messages = [({"type": "pdf", "pages": 3}, {"all", "any", "there"}), ({"type": "pdf", "pages": 4}, {"any", "there"}),
                    ({"type": "pdf", "pages": "3"}, {"any", "there"}), ({"big": True}, {"any"}), ({"big": "true"}, set()),
                    ({"type": "txt"}, {"there", "default"}), ({"x-mine": "1"}, {"x"}), ({}, set())]
        for headers, queues in messages:
            self.publish("", b"m", exchange, headers=headers)
            reached = {suffix for suffix in bindings if self.bodies(self.name(suffix))}
            self.assertEqual(reached, queues, headers)

    def test_a_bad_x_match(self):
        exchange, queue = self.exchange("headers"), self.queue()
        self.refused(406, "x-match", self.channel.queue_bind, queue, exchange, "", {"x-match": "most"})

    def test_exchange_to_exchange(self):
        source, target, queue = self.exchange("topic", "1"), self.exchange("fanout", "2"), self.queue()
        self.channel.exchange_bind(target, source, "a.#")
        self.channel.queue_bind(queue, target)
        self.publish("a.b", b"through", source)
        self.publish("b.a", b"not", source)
        self.assertEqual(self.bodies(queue), [b"through"])
        self.channel.exchange_unbind(target, source, "a.#")
        self.publish("a.b", b"cut", source)
        self.assertEqual(self.bodies(queue), [])
        self.refused(404, "no exchange 'missing'", self.channel.exchange_bind, "missing", source, "k")

    def test_alternate_exchange(self):
        rest = self.exchange("fanout", "rest")
        name = self.name()
        self.channel.exchange_declare(name, "direct", arguments={"alternate-exchange": rest})
        queue, unrouted = self.queue("q"), self.queue("u")
        self.channel.queue_bind(queue, name, "known")
        self.channel.queue_bind(unrouted, rest)
        self.publish("known", b"1", name)
        self.publish("unknown", b"2", name)
        self.assertEqual(self.bodies(queue), [b"1"])
        self.assertEqual(self.bodies(unrouted), [b"2"])
        self.refused(406, "inequivalent arg 'alternate-exchange'", self.channel.exchange_declare, name, "direct")

    def test_internal(self):
        name = self.exchange("fanout", internal=True)
        self.refused(403, f"cannot publish to internal exchange '{name}' in vhost '{VHOST}'",
                     self.channel.basic_publish, name, "", b"x")

    def test_auto_delete(self):
        name, queue = self.exchange("fanout", auto_delete=True), self.queue()
        self.channel.queue_bind(queue, name)
        self.channel.queue_unbind(queue, name)
        self.refused(404, f"no exchange '{name}'", self.channel.exchange_declare, name, passive=True)

    def test_delete_if_unused(self):
        name, queue = self.exchange("fanout"), self.queue()
        self.channel.queue_bind(queue, name)
        self.refused(406, f"exchange '{name}' in vhost '{VHOST}' in use", self.channel.exchange_delete, name, if_unused=True)
        self.channel.queue_delete(queue)
        self.channel.exchange_delete(name, if_unused=True)
        self.refused(404, "no exchange", self.channel.exchange_declare, name, passive=True)

    def test_the_default_exchange_goes_by_the_queues_name(self):
        queue = self.queue()
        self.publish(queue, b"straight")
        method, _, body = self.take(queue)
        self.assertEqual((method.exchange, method.routing_key, body), ("", queue, b"straight"))

    def test_copies(self):
        """CC and BCC are further keys; receivers see only CC."""
        exchange = self.exchange("direct")
        for suffix in ("a", "b", "c"):
            self.channel.queue_bind(self.queue(suffix), exchange, suffix)
        self.publish("a", b"m", exchange, headers={"CC": ["b"], "BCC": ["c"], "other": 1})
        for suffix in ("a", "b", "c"):
            method, properties, _ = self.take(self.name(suffix))
            self.assertEqual(method.routing_key, "a")
            self.assertEqual(properties.headers, {"CC": ["b"], "other": 1})

    def test_copies_by_way_of_another_exchange(self):
        """Each exchange looks at all keys."""
        first, second, queue = self.exchange("direct", "1"), self.exchange("direct", "2"), self.queue()
        self.channel.exchange_bind(second, first, "a")
        self.channel.queue_bind(queue, second, "b")
        self.publish("a", b"m", first, headers={"CC": ["b"]})
        self.publish("b", b"n", first, headers={"BCC": ["a"]})
        self.assertEqual([self.take(queue)[2] for _ in range(2)], [b"m", b"n"])

    def test_a_message_reaches_a_queue_once(self):
        exchange, queue = self.exchange("topic"), self.queue()
        self.channel.queue_bind(queue, exchange, "#")
        self.channel.queue_bind(queue, exchange, "a")
        self.publish("a", b"once", exchange)
        self.assertEqual(self.bodies(queue), [b"once"])


if __name__ == "__main__":
    main()
