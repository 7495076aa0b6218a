#!/usr/bin/env python3
"""Publishing: confirms, returned messages, transactions, and that a message comes back as it went."""
import datetime
import decimal

import pika

from broker import IS_SLUICE, VHOST, AmqpTest, main
from wire import Wire


class Publishing(AmqpTest):
    def test_confirms(self):
        queue = self.queue()
        self.channel.confirm_delivery()
        for number in range(50):
            self.publish(queue, b"%d" % number)
        self.assertEqual(self.bodies(queue), [b"%d" % number for number in range(50)])

    def test_pipelined_confirms_cover_all(self):
        queue = self.queue()
        confirmed = set()
        impl = self.channel._impl
        impl.confirm_delivery(lambda frame: confirmed.update(
            range(1, frame.method.delivery_tag + 1) if frame.method.multiple else [frame.method.delivery_tag]),
            callback=lambda _: None)
        self.connection.process_data_events(0.2)
        for number in range(500):
            impl.basic_publish("", queue, b"%d" % number, pika.BasicProperties(delivery_mode=2 - number % 2))
        self.wait_until(lambda: self.connection.process_data_events(0.05) or len(confirmed) == 500)

    def test_unroutable(self):
        self.channel.confirm_delivery()
        self.publish("missing")  # Confirmed all the same.
        with self.assertRaises(pika.exceptions.UnroutableError) as caught:
            self.channel.basic_publish("", "missing", b"back", pika.BasicProperties(headers={"a": 1}), mandatory=True)
        returned = caught.exception.messages[0]
        self.assertEqual((returned.method.reply_code, returned.method.reply_text), (312, "NO_ROUTE"))
        self.assertEqual((returned.method.exchange, returned.method.routing_key), ("", "missing"))
        self.assertEqual((returned.properties.headers, returned.body), ({"a": 1}, b"back"))

    def test_returned_without_confirms(self):
        returned = []
        self.channel.add_on_return_callback(lambda *args: returned.append(args[3]))
        self.channel.basic_publish("", "missing", b"back", mandatory=True)
        self.wait_until(lambda: self.connection.process_data_events(0.05) or returned)
        self.assertEqual(returned, [b"back"])

    def test_what_became_of_a_publish_is_said_before_what_follows_is_answered(self):
        spec = pika.spec
        queue = self.queue()
        durable = Wire.publish(queue, b"m", True)
        back = Wire.publish("missing", b"back", True, is_mandatory=True)
        refused = Wire.publish("k", b"m", True, exchange="missing")
        for method, answer, channel in (
                (spec.Basic.Qos(prefetch_count=7), spec.Basic.QosOk, 1), (spec.Confirm.Select(), spec.Confirm.SelectOk, 1),
                (spec.Basic.Cancel("none"), spec.Basic.CancelOk, 1), (spec.Channel.Flow(True), spec.Channel.FlowOk, 1),
                (spec.Queue.Declare(queue=queue, durable=True), spec.Queue.DeclareOk, 1),
                (spec.Channel.Close(200, "bye", 0, 0), spec.Channel.CloseOk, 1),
                (spec.Connection.Close(200, "bye", 0, 0), spec.Connection.CloseOk, 0)):
            with self.subTest(method.NAME):
                wire = Wire(self.broker.port, "publisher", vhost=VHOST)
                wire.send_raw(durable + back + pika.frame.Method(channel, method).marshal())
                wire.expect(spec.Basic.Return)
                self.assertEqual(wire.content(), b"back")
                wire.expect(answer)
                wire.leave()
                if channel == 0:
                    continue  # The connection is closed all the same, by whom does not matter.
                wire = Wire(self.broker.port, "publisher", vhost=VHOST)
                wire.send_raw(durable + refused + pika.frame.Method(channel, method).marshal())
                self.assertEqual(wire.expect(spec.Channel.Close).reply_code, 404)
                wire.leave()

    def test_sizes(self):
        queue = self.queue()
        for size in (0, 1, 4088, 131064, 131065, 262128, 1 << 20):
            body = bytes(index * 7 % 256 for index in range(1000)) * (size // 1000 + 1)
            self.publish(queue, body[:size])
            self.assertEqual(self.take(queue)[2], body[:size], size)

    def test_properties(self):
        queue = self.queue()
        properties = {
            "content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 3,
            "correlation_id": "c", "reply_to": "r", "message_id": "m", "timestamp": 1700000000, "type": "t",
            "user_id": "guest", "app_id": "a", "cluster_id": "k",
            "headers": {"int": 1, "long": 1 << 40, "negative": -5, "text": "ü", "bytes": b"\x00\xff", "yes": True,
                        "none": None, "list": [1, "two", [3], {"four": 4}], "table": {"a": {"b": {}}},
                        "when": datetime.datetime(2026, 11, 27), "decimal": decimal.Decimal("1.25"), "": "empty name"}}
        self.publish(queue, b"m", **properties)
        _, received, _ = self.take(queue)
        for name, value in properties.items():
            found = getattr(received, name)
            if name == "headers":
                found = {key: bytes(each) if isinstance(each, bytearray) else each for key, each in found.items()}
                value = {**value, "bytes": found["bytes"]}  # pika reads "S" as text or bytes as it can.
            self.assertEqual(found, value, name)

    def test_no_properties(self):
        queue = self.queue()
        self.channel.basic_publish("", queue, b"bare")
        _, received, _ = self.take(queue)
        self.assertEqual(received, pika.BasicProperties())

    def test_a_foreign_user_id(self):
        self.refused(406, "user_id property set to 'other' but authenticated user was 'guest'",
                     self.publish, self.queue(), user_id="other")

    def test_a_bad_expiration(self):
        queue = self.queue()
        for bad in ("soon", "-1", "1.5"):
            self.refused(406, f"invalid expiration '{bad}'", self.publish, queue, expiration=bad)

    def test_immediate_is_refused(self):
        frame = pika.spec.Basic.Publish(exchange="", routing_key="q", immediate=True)
        self.refused(540, "immediate=true", self.channel._impl._send_method, frame,
                     (pika.BasicProperties(), b"x"))

    def test_transaction(self):
        queue = self.queue()
        self.publish(queue, b"before")
        self.wait_until(lambda: self.ready(queue) == 1)
        self.channel.tx_select()
        self.publish(queue, b"1")
        self.publish(queue, b"2")
        method, _, _ = self.channel.basic_get(queue)
        self.channel.basic_ack(method.delivery_tag)
        self.assertEqual(self.ready(queue), 0)
        self.channel.tx_commit()
        self.assertEqual(self.ready(queue), 2)
        self.publish(queue, b"3")
        self.channel.tx_rollback()
        self.channel.tx_commit()
        self.assertEqual(self.ready(queue), 2)
        method, _, _ = self.channel.basic_get(queue)
        self.channel.basic_ack(method.delivery_tag)
        self.channel.tx_rollback()  # It is the client's still.
        self.channel.basic_ack(method.delivery_tag)
        self.channel.tx_commit()
        self.channel.close()
        self.channel = self.new_channel()
        self.assertEqual(self.bodies(queue), [b"2"])

    def test_transaction_and_confirms_exclude_each_other(self):
        self.channel.tx_select()
        self.refused(406, "cannot switch from tx to confirm mode", self.channel.confirm_delivery)
        self.channel.confirm_delivery()
        self.refused(406, "cannot switch from confirm to tx mode", self.channel.tx_select)
        self.refused(406, "channel is not transactional", self.channel.tx_commit)

    def test_order(self):
        queue = self.queue()
        for number in range(1000):
            self.publish(queue, b"%d" % number)
        self.wait_until(lambda: self.ready(queue) == 1000)
        self.assertEqual(self.bodies(queue), [b"%d" % number for number in range(1000)])

    def test_delay(self):
        """The archived plugin's header: Sluice has it built in."""
        if not IS_SLUICE:
            self.skipTest("RabbitMQ 3.10 has it as a plugin only")
        name = self.name("x")
        self.channel.exchange_declare(name, "x-delayed-message", durable=True, arguments={"x-delayed-type": "topic"})
        queue = self.queue()
        self.channel.queue_bind(queue, name, "a.*")
        self.publish("a.b", b"later", name, headers={"x-delay": 600})
        self.publish("a.b", b"now", name)
        self.assertEqual(self.take(queue)[2], b"now")
        self.assertEqual(self.bodies(queue), [])
        self.assertEqual(self.take(queue)[2], b"later")

    def test_job_options(self):
        if not IS_SLUICE:
            self.skipTest("RabbitMQ has none")
        queue = self.queue()
        for _ in range(3):
            self.publish(queue, b"once", headers={"x-unique-key": "k"})
        self.wait_until(lambda: self.ready(queue) == 1)
        self.assertEqual(self.bodies(queue), [b"once"])
        self.refused(406, "header 'x-delay'", self.publish, queue, headers={"x-delay": "soon"})


if __name__ == "__main__":
    main()
