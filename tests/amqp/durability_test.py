#!/usr/bin/env python3
"""What survives kill -9, and what does not."""
import pika

from broker import AmqpTest, main


class Durability(AmqpTest):
    def test_a_crash(self):
        channel = self.channel
        channel.confirm_delivery()
        channel.exchange_declare("durable-x", "topic", durable=True)
        channel.exchange_declare("transient-x", "topic")
        channel.queue_declare("durable-q", durable=True, arguments={"x-max-priority": 3})
        channel.queue_declare("transient-q")
        channel.queue_declare("exclusive-q", exclusive=True)
        channel.queue_bind("durable-q", "durable-x", "a.#")
        channel.exchange_bind("durable-x", "amq.topic", "b.#")
        for number in range(100):
            self.publish("durable-q", b"%d" % number, headers={"n": number}, priority=number % 4)
            self.publish("durable-q", b"transient", delivery_mode=1)
            self.publish("transient-q", b"m")
        taken = [self.take("durable-q", auto_ack=False) for _ in range(30)]
        for method, _, _ in taken[:10]:
            channel.basic_ack(method.delivery_tag)
        acked = {body for _, _, body in taken[:10]}
        # An ack has no answer: the next answer of the channel comes behind it.
        self.publish("durable-q", b"last")
        self.broker.restart()

        self.connection = self.connect()
        self.channel = self.connection.channel()
        self.channel.exchange_declare("durable-x", passive=True)
        self.refused(404, "no exchange", self.channel.exchange_declare, "transient-x", passive=True)
        self.refused(404, "no queue", self.channel.queue_declare, "transient-q", passive=True)
        self.refused(404, "no queue", self.channel.queue_declare, "exclusive-q", passive=True)
        self.channel.queue_declare("durable-q", durable=True, arguments={"x-max-priority": 3})
        self.channel.basic_publish("durable-x", "a.b", b"by the binding")
        self.channel.basic_publish("amq.topic", "b", b"from exchange to exchange")
        found = {}
        while True:
            method, properties, body = self.channel.basic_get("durable-q", auto_ack=True)
            if method is None:
                break
            found[body] = method, properties
        self.assertNotIn(b"transient", found)
        self.assertIn(b"by the binding", found)
        wanted = {b"%d" % number for number in range(100)} | {b"last"}
        missing = wanted - set(found) - acked
        self.assertEqual(missing, set())
        for method, _, body in taken[10:]:
            if body in found:
                self.assertTrue(found[body][0].redelivered or body == b"transient", body)
        for body in wanted & set(found) - {b"last"}:
            self.assertEqual(found[body][1].headers, {"n": int(body)})


if __name__ == "__main__":
    main()
