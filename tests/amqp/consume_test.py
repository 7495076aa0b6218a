#!/usr/bin/env python3
"""Consuming: who gets what, how much of it, in which order, and what becomes of it."""
import time

import amqp
import pika

from broker import VHOST, AmqpTest, main
from wire import Wire


class Consuming(AmqpTest):
    def consume(self, queue, channel=None, **options):
        """Starts a consumer; its deliveries as (method, properties, body)."""
        got = []
        channel = channel or self.channel
        channel.basic_consume(queue, lambda _, method, properties, body: got.append((method, properties, body)), **options)
        return got

    def wait_for(self, got, count):
        self.wait_until(lambda: self.connection.process_data_events(0.02) or len(got) >= count)

    def settle(self):
        """Whatever is under way arrives."""
        self.connection.sleep(0.3)

    def fill(self, queue, count):
        for number in range(count):
            self.publish(queue, b"%d" % number)
        self.wait_until(lambda: self.ready(queue) == count)

    def test_delivers_in_order(self):
        queue = self.queue()
        got = self.consume(queue, consumer_tag="mine")
        for number in range(200):
            self.publish(queue, b"%d" % number)
        self.wait_for(got, 200)
        self.assertEqual([body for _, _, body in got], [b"%d" % number for number in range(200)])
        self.assertEqual([method.delivery_tag for method, _, _ in got], list(range(1, 201)))
        self.assertEqual({method.consumer_tag for method, _, _ in got}, {"mine"})

    def test_prefetch_of_a_consumer(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=3)
        got = self.consume(queue)
        self.fill_and_settle(queue, 10)
        self.assertEqual(len(got), 3)
        self.channel.basic_ack(got[0][0].delivery_tag)
        self.wait_for(got, 4)
        self.channel.basic_ack(got[3][0].delivery_tag, multiple=True)
        self.wait_for(got, 7)
        self.settle()
        self.assertEqual(len(got), 7)

    def fill_and_settle(self, queue, count):
        for number in range(count):
            self.publish(queue, b"%d" % number)
        self.settle()

    def test_prefetch_counts_for_each_consumer(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=2)
        first, second = self.consume(queue), self.consume(queue)
        self.fill_and_settle(queue, 10)
        self.assertEqual((len(first), len(second)), (2, 2))

    def test_prefetch_of_the_channel(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=3, global_qos=True)
        first, second = self.consume(queue), self.consume(queue)
        self.fill_and_settle(queue, 10)
        self.assertEqual(len(first) + len(second), 3)
        self.channel.basic_ack(0, multiple=True)
        self.wait_until(lambda: self.connection.process_data_events(0.02) or len(first) + len(second) == 6)

    def test_the_channels_prefetch_counts_what_a_cancelled_consumer_had(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=1, global_qos=True)
        self.fill_and_settle(queue, 3)
        for _ in range(3):
            got = self.consume(queue)
            self.wait_for(got, 1)
            self.channel.basic_cancel(got[0][0].consumer_tag)
            nothing = self.consume(queue, consumer_tag="too much")
            self.settle()
            self.assertEqual(nothing, [])
            self.channel.basic_cancel("too much")
            self.channel.basic_ack(got[0][0].delivery_tag)

    def test_consumers_of_one_prefetch_take_turns(self):
        queues = [self.queue(), self.queue()]
        self.channel.basic_qos(prefetch_count=1, global_qos=True)
        for queue in queues:
            self.fill_and_settle(queue, 10)
        got = []
        for queue in (queues[0], queues[0], queues[1]):
            self.channel.basic_consume(queue, lambda _, method, *rest: got.append(method))
        for number in range(1, 10):
            self.wait_for(got, number)
            self.channel.basic_ack(got[-1].delivery_tag)
        self.assertEqual(len({method.consumer_tag for method in got}), 3)
        self.assertEqual({method.routing_key for method in got}, set(queues))

    def test_a_consumers_priority_is_a_number(self):
        for priority in ("high", None, [1], {"a": 1}):
            with self.assertRaisesRegex(pika.exceptions.ChannelClosedByBroker, "406.*x-priority"):
                self.channel.basic_consume(self.queue(), lambda *_: None, arguments={"x-priority": priority})
            self.channel = self.connection.channel()

    def test_the_channels_prefetch_changes_while_it_consumes(self):
        """What Celery does with its ETA tasks."""
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=2, global_qos=True)
        got = self.consume(queue)
        self.fill_and_settle(queue, 10)
        self.assertEqual(len(got), 2)
        self.channel.basic_qos(prefetch_count=5, global_qos=True)
        self.wait_for(got, 5)
        self.settle()
        self.assertEqual(len(got), 5)

    def test_an_idle_consumer_does_not_starve_a_busy_one(self):
        idle, busy = self.queue("idle"), self.queue("busy")
        self.channel.basic_qos(prefetch_count=1, global_qos=True)
        nothing = self.consume(idle)
        got = self.consume(busy)
        self.fill_and_settle(busy, 5)
        for number in range(1, 5):
            self.wait_for(got, number)
            self.channel.basic_ack(got[-1][0].delivery_tag)
        self.assertEqual(nothing, [])

    def test_no_ack(self):
        queue = self.queue()
        got = self.consume(queue, auto_ack=True)
        self.fill_and_settle(queue, 50)
        self.wait_for(got, 50)
        self.channel.close()
        self.channel = self.new_channel()
        self.assertEqual(self.bodies(queue), [])

    def test_what_needs_no_ack_is_not_lost_by_a_cancel(self):
        """What was given away before basic.cancel-ok comes before it; the rest stays in the queue."""
        queue, count = self.queue(), 3000
        self.channel.basic_qos(prefetch_count=0)
        for number in range(count):
            self.publish(queue, b"%d" % number)
        self.wait_until(lambda: self.ready(queue) == count)
        wire = Wire(self.broker.port, "reader", vhost=VHOST)
        for _ in range(3):
            got = 0
            tag = wire.ask(pika.spec.Basic.Consume(queue=queue, no_ack=True), pika.spec.Basic.ConsumeOk).consumer_tag
            wire.send(pika.spec.Basic.Cancel(tag))
            while isinstance(wire.method(), pika.spec.Basic.Deliver):  # And at last CancelOk.
                wire.content()
                got += 1
            count -= got
            self.assertEqual(self.ready(queue), count)
        wire.leave()

    def test_what_was_published_before_a_cancel_is_delivered(self):
        queue = self.queue(durable=False)
        wire = Wire(self.broker.port, "reader", vhost=VHOST)
        for turn in range(5):
            wire.ask(pika.spec.Basic.Consume(queue=queue, consumer_tag="c", no_ack=True), pika.spec.Basic.ConsumeOk)
            wire.send_raw(b"".join(wire.publish(queue, b"%d" % number, False) for number in range(10)))
            wire.send(pika.spec.Basic.Cancel("c"))
            for number in range(10):
                wire.expect(pika.spec.Basic.Deliver)
                self.assertEqual(wire.content(), b"%d" % number)
            wire.expect(pika.spec.Basic.CancelOk)
        wire.leave()

    def test_many_consumers_of_a_client_that_does_not_read_for_a_while(self):
        """It gets everything all the same, without a limit of its own."""
        consumers, size = 100, 1 << 20
        queues = [self.queue() for _ in range(consumers)]
        for queue in queues:
            for _ in range(2):
                self.publish(queue, b"x" * size)
        connection = self.connect()
        channel = connection.channel()
        got = []
        for queue in queues:
            channel.basic_consume(queue, lambda channel, method, _, body: (
                got.append(len(body)), channel.basic_ack(method.delivery_tag)))
        time.sleep(2)
        self.wait_until(lambda: connection.process_data_events(0.1) or len(got) >= 2 * consumers, 30)
        self.assertEqual(got, [size] * (2 * consumers))
        connection.close()

    def test_unacked_messages_come_again_in_order(self):
        queue = self.queue()
        got = self.consume(queue)
        self.fill_and_settle(queue, 5)
        self.wait_for(got, 5)
        self.channel.basic_ack(got[1][0].delivery_tag)
        self.channel.close()
        self.channel = self.new_channel()
        found = [self.take(queue) for _ in range(4)]
        self.assertEqual([body for _, _, body in found], [b"0", b"2", b"3", b"4"])
        self.assertTrue(all(method.redelivered for method, _, _ in found))

    def test_of_a_connection_that_is_gone(self):
        queue = self.queue()
        self.fill(queue, 3)
        other = amqp.Connection(f"127.0.0.1:{self.broker.port}", virtual_host=VHOST)
        other.connect()
        channel = other.channel()
        for _ in range(3):
            self.assertIsNotNone(channel.basic_get(queue))
        other.transport.sock.close()
        found = [self.take(queue) for _ in range(3)]
        self.assertEqual([body for _, _, body in found], [b"0", b"1", b"2"])
        self.assertTrue(found[0][0].redelivered)

    def test_nack_and_reject(self):
        queue = self.queue()
        self.fill(queue, 4)
        tags = [self.channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
        self.channel.basic_reject(tags[3], requeue=False)
        self.channel.basic_nack(tags[1], multiple=True, requeue=True)
        self.channel.basic_nack(tags[2], requeue=False)
        self.wait_until(lambda: self.ready(queue) == 2)
        self.assertEqual(self.bodies(queue), [b"0", b"1"])

    def test_requeued_to_the_same_consumer(self):
        queue = self.queue()
        got = self.consume(queue)
        self.fill_and_settle(queue, 1)
        self.wait_for(got, 1)
        self.assertFalse(got[0][0].redelivered)
        self.channel.basic_nack(got[0][0].delivery_tag, requeue=True)
        self.wait_for(got, 2)
        self.assertTrue(got[1][0].redelivered)
        self.assertEqual(got[1][0].delivery_tag, 2)

    def test_recover(self):
        queue = self.queue()
        got = self.consume(queue)
        self.fill_and_settle(queue, 3)
        self.wait_for(got, 3)
        self.channel.basic_recover(requeue=True)
        self.wait_for(got, 6)
        self.assertEqual([body for _, _, body in got[3:]], [b"0", b"1", b"2"])
        self.refused(540, "", self.channel.basic_recover, requeue=False)

    def test_unknown_delivery_tags(self):
        queue = self.queue()
        self.refused(406, "unknown delivery tag 99", self.channel.basic_ack, 99)
        self.refused(406, "unknown delivery tag 7", self.channel.basic_nack, 7)
        self.refused(406, "unknown delivery tag 1", self.channel.basic_reject, 1)
        self.publish(queue)
        method, _, _ = self.take(queue, auto_ack=False)
        self.channel.basic_ack(method.delivery_tag)
        self.refused(406, "unknown delivery tag 1", self.channel.basic_ack, method.delivery_tag)

    def test_exclusive_consumer(self):
        queue = self.queue()
        self.consume(queue, exclusive=True)
        other = self.new_channel()
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
            other.basic_consume(queue, lambda *_: None)
        self.assertEqual(caught.exception.reply_code, 403)
        self.assertIn(f"queue '{queue}' in vhost '{VHOST}' in exclusive use", caught.exception.reply_text)

    def test_a_consumer_tag_is_unique(self):
        queue = self.queue()
        self.consume(queue, consumer_tag="mine")
        # pika itself refuses the second one; another channel may use it.
        self.consume(queue, channel=self.new_channel(), consumer_tag="mine")
        frame = pika.spec.Basic.Consume(queue=queue, consumer_tag="mine")
        self.refused(530, "attempt to reuse consumer tag 'mine'", self.channel._impl._send_method, frame)

    def test_priorities(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=3)
        low = self.consume(queue)
        high = self.consume(queue, arguments={"x-priority": 10})
        self.fill_and_settle(queue, 5)
        self.wait_until(lambda: self.connection.process_data_events(0.02) or len(low) + len(high) == 5)
        self.assertEqual((len(low), len(high)), (2, 3))

    def test_fair_shares(self):
        queue = self.queue()
        self.channel.basic_qos(prefetch_count=10)
        consumers = [self.consume(queue) for _ in range(4)]
        self.fill_and_settle(queue, 20)
        self.wait_until(lambda: self.connection.process_data_events(0.02) or sum(map(len, consumers)) == 20)
        self.assertTrue(all(got for got in consumers), [len(got) for got in consumers])

    def test_single_active_consumer(self):
        queue = self.queue(arguments={"x-single-active-consumer": True})
        other = self.connect()
        first, second = [], []
        channel = other.channel()
        channel.basic_consume(queue, lambda _, method, _p, body: first.append(body), auto_ack=True)
        self.channel.basic_consume(queue, lambda _, method, _p, body: second.append(body), auto_ack=True)
        self.fill_and_settle(queue, 3)
        self.wait_until(lambda: other.process_data_events(0.02) or len(first) >= 3)
        self.assertEqual((len(first), len(second)), (3, 0))
        other.close()
        self.fill_and_settle(queue, 2)
        self.wait_for(second, 2)

    def test_cancelled_by_the_client(self):
        queue = self.queue()
        got = self.consume(queue, consumer_tag="mine")
        self.fill_and_settle(queue, 2)
        self.wait_for(got, 2)
        self.channel.basic_cancel("mine")
        self.publish(queue, b"later")
        self.wait_until(lambda: self.ready(queue) == 1)
        self.assertEqual(len(got), 2)
        self.channel.basic_ack(got[1][0].delivery_tag, multiple=True)
        self.assertEqual(self.bodies(queue), [b"later"])

    def test_cancelled_by_the_server(self):
        queue = self.queue()
        cancelled = []
        self.channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        self.consume(queue, consumer_tag="mine")
        self.new_channel().queue_delete(queue)
        self.wait_until(lambda: self.connection.process_data_events(0.02) or cancelled)
        self.assertEqual(cancelled, ["mine"])

    def test_an_unknown_queue(self):
        self.refused(404, "no queue 'missing' in vhost '/'", self.channel.basic_consume, "missing", lambda *_: None)
        self.refused(404, "no queue 'missing' in vhost '/'", self.channel.basic_get, "missing")

    def test_get(self):
        queue = self.queue()
        self.assertEqual(self.channel.basic_get(queue), (None, None, None))
        self.fill(queue, 3)
        method, _, body = self.channel.basic_get(queue)
        self.assertEqual((method.message_count, body, method.redelivered), (2, b"0", False))
        self.channel.basic_nack(method.delivery_tag)
        method, _, body = self.take(queue)
        self.assertEqual((body, method.redelivered), (b"0", True))

    def test_a_prefetch_in_bytes_is_refused(self):
        self.refused(540, "prefetch_size!=0 (1000)", self.channel.basic_qos, prefetch_size=1000)

    def test_direct_reply_to(self):
        requests = self.queue()
        replies = []
        self.channel.basic_consume("amq.rabbitmq.reply-to", lambda _, _m, properties, body: replies.append(
            (properties.correlation_id, body)), auto_ack=True)
        self.publish(requests, b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        server = self.new_channel()
        method, properties, body = self.take(requests, channel=server)
        self.assertTrue(properties.reply_to.startswith("amq.rabbitmq.reply-to."))
        server.basic_publish("", properties.reply_to, b"answer", pika.BasicProperties(correlation_id="7"))
        self.wait_for(replies, 1)
        self.assertEqual(replies, [("7", b"answer")])

    def test_direct_reply_to_refused(self):
        self.refused(406, "reply consumer cannot acknowledge",
                     self.channel.basic_consume, "amq.rabbitmq.reply-to", lambda *_: None)
        self.refused(406, "fast reply consumer does not exist", self.publish, self.queue(),
                     reply_to="amq.rabbitmq.reply-to")


if __name__ == "__main__":
    main()
