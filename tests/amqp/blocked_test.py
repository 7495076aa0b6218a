#!/usr/bin/env python3
"""No room, on the disk or in memory: connections that publish are told, wait, and go on once there is room; consumers
are served all the while; nothing is refused, nothing lost, and the order stays."""
import threading
import time

import pika

import broker
import wire

SEGMENT = 256 << 10
BODY = b"x" * 2000
COUNT = 3000


class Blocked(broker.AmqpTest):
    """The journal may have 2 MiB; three times that is published."""

    OPTIONS = ("--segment-bytes", str(SEGMENT), "--disk-free-bytes-min", str(2 * SEGMENT), "--disk-bytes-max", str(8 * SEGMENT))
    REASON = "low on disk"
    FACT = b"out_of_space:%d\r"
    BODY = BODY

    def setUp(self):
        if not broker.IS_SLUICE:
            self.skipTest("RabbitMQ's alarms need a full disk, or all memory used")
        super().setUp()
        self.native = self.broker.server.client()
        self.addCleanup(self.native.close)

    def is_full(self, yes=True):
        return self.FACT % yes in self.native("INFO", "persistence")

    def flood(self, queue, count, is_confirming):
        """A publisher that does not wait; (the connection, the thread that sends)."""
        connection = wire.Wire(self.broker.port, "flood")
        self.addCleanup(connection.leave)
        if is_confirming:
            connection.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
        data = b"".join(wire.Wire.publish(queue, b"%05d" % number + self.BODY, True) for number in range(count))
        sender = threading.Thread(target=connection.send_raw, args=(data,))
        sender.start()
        return connection, sender

    def take_all(self, queue, count):
        got, end = [], time.monotonic() + 100
        while len(got) < count and time.monotonic() < end:
            method, _, body = self.channel.basic_get(queue)
            if method is None:
                time.sleep(0.005)
                continue
            got.append(int(body[:5]))
            self.channel.basic_ack(method.delivery_tag)
        return got

    def test_a_publisher_waits_and_is_told(self):
        queue = self.queue()
        connection, sender = self.flood(queue, COUNT, True)
        self.wait_until(self.is_full, 30)
        time.sleep(1.2)  # how long it is watched: the server looks once a second whether there is room
        self.assertTrue(self.is_full())
        self.assertEqual(self.take_all(queue, COUNT), list(range(COUNT)))
        sender.join(30)
        self.assertFalse(sender.is_alive())
        told, confirmed = [], 0
        while confirmed < COUNT or told[-1:] != ["unblocked"]:
            method = connection.method()
            if isinstance(method, pika.spec.Basic.Ack):
                confirmed = method.delivery_tag
            elif isinstance(method, pika.spec.Connection.Blocked):
                self.assertEqual(method.reason, self.REASON)
                told.append("blocked")
            else:
                self.assertIsInstance(method, pika.spec.Connection.Unblocked)
                told.append("unblocked")
        self.assertEqual(told[:2], ["blocked", "unblocked"])

    def test_without_confirms_nothing_is_lost_either(self):
        queue = self.queue()
        _, sender = self.flood(queue, COUNT, False)
        self.wait_until(self.is_full, 30)
        self.assertEqual(self.take_all(queue, COUNT), list(range(COUNT)))
        sender.join(30)

    def test_many_publishers_at_once(self):
        queue = self.queue()
        floods = [self.flood(queue, COUNT // 5, number % 2 == 0) for number in range(5)]
        self.wait_until(self.is_full, 30)
        got = self.take_all(queue, COUNT)
        self.assertEqual(sorted(got), sorted(list(range(COUNT // 5)) * 5))
        for _, sender in floods:
            sender.join(30)

    def test_other_protocols_are_refused_meanwhile(self):
        queue = self.queue()
        _, sender = self.flood(queue, COUNT, True)
        self.wait_until(self.is_full, 30)
        self.refused_by_the_native_protocol()
        self.assertEqual(len(self.take_all(queue, COUNT)), COUNT)
        sender.join(30)
        self.wait_until(lambda: self.is_full(False), 30)
        self.native("PUSH", "other", "t", "x")

    def refused_by_the_native_protocol(self):
        with self.assertRaises(broker.harness.RespError) as refused:
            self.native("PUSH", "other", "t", "x")
        self.assertEqual(refused.exception.code, "BUSY")

    def test_a_publisher_that_leaves_meanwhile_is_no_burden(self):
        queue = self.queue()
        connection, sender = self.flood(queue, COUNT, True)
        self.wait_until(self.is_full, 30)
        connection.socket.shutdown(2)
        sender.join(30)
        got = []

        def is_gone():  # What it had sent already may still come until then.
            got.extend(int(body[:5]) for body in self.bodies(queue))
            return b"amqp_connected_clients:1\r" in self.native("INFO", "clients")
        self.wait_until(is_gone, 30)
        got.extend(int(body[:5]) for body in self.bodies(queue))
        self.assertEqual(got, list(range(len(got))))
        self.wait_until(lambda: self.is_full(False), 30)
        self.publish(queue, b"again")
        self.assertEqual(self.take(queue)[2], b"again")


class BlockedByMemory(broker.AmqpTest):
    """16 MiB for what is known of jobs, and more of them than that holds."""

    OPTIONS = ("--memory-bytes-max", "16MiB")
    COUNT = 250_000

    def setUp(self):
        if not broker.IS_SLUICE:
            self.skipTest("RabbitMQ's alarms need a full disk, or all memory used")
        super().setUp()

    def test_publishers_wait_until_jobs_are_done(self):
        queue = self.queue()
        publisher = wire.Wire(self.broker.port, "flood")
        self.addCleanup(publisher.leave)
        publisher.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
        data = b"".join(wire.Wire.publish(queue, b"%d" % number, True) for number in range(self.COUNT))
        sender = threading.Thread(target=publisher.send_raw, args=(data,))
        sender.start()
        told, confirmed = [], 0
        while not told:
            method = publisher.method()
            if isinstance(method, pika.spec.Connection.Blocked):
                told.append(method.reason)
            else:
                confirmed = method.delivery_tag
        self.assertEqual(told, ["low on memory"])
        self.assertGreater(confirmed, self.COUNT // 10)
        with self.broker.server.client() as native:
            self.assertIn(b"low_on_memory:1", native("INFO", "persistence"))
            native("PUSH", "other", "t", "x")  # A sixteenth is left for those who do not wait.
        consumer = wire.Wire(self.broker.port, "consumer")
        self.addCleanup(consumer.leave)
        consumer.ask(pika.spec.Basic.Consume(queue=queue, no_ack=True), pika.spec.Basic.ConsumeOk)
        for number in range(self.COUNT):
            consumer.expect(pika.spec.Basic.Deliver)
            self.assertEqual(consumer.content(), b"%d" % number)
        sender.join(30)
        while confirmed < self.COUNT:
            method = publisher.method()
            if isinstance(method, pika.spec.Basic.Ack):
                confirmed = method.delivery_tag


if __name__ == "__main__":
    broker.main()
