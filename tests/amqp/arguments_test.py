#!/usr/bin/env python3
"""Queue arguments: how long and how much a queue holds, what becomes of the rest, and where the dead go."""
import time

import pika

from broker import AmqpTest, IS_SLUICE, main


class Arguments(AmqpTest):
    def dead_letters(self, suffix="dead", **arguments):
        """A queue whose dead go to another one by the default exchange."""
        dead = self.queue(suffix)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
                     **{"x-" + name.replace("_", "-"): value for name, value in arguments.items()}}
        return self.queue(arguments=arguments), dead

    def gone(self, queue):
        try:
            self.new_channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return True
        return False

    # -- Time to live. -----------------------------------------------------------------------------

    def test_message_ttl(self):
        queue = self.queue(arguments={"x-message-ttl": 300})
        self.publish(queue, b"short")
        self.assertEqual(self.ready(queue), 1)
        self.wait_until(lambda: self.ready(queue) == 0)

    def test_expiration(self):
        queue = self.queue()
        self.publish(queue, b"short", expiration="300")
        self.publish(queue, b"long")
        time.sleep(0.6)
        method, properties, body = self.take(queue)
        self.assertEqual((body, properties.expiration), (b"long", None))

    def test_the_shorter_of_both_counts(self):
        queue = self.queue(arguments={"x-message-ttl": 60000})
        self.publish(queue, b"m", expiration="200")
        self.wait_until(lambda: self.ready(queue) == 0, 2)

    def test_expiration_is_handed_on(self):
        queue = self.queue()
        self.publish(queue, b"m", expiration="60000")
        self.assertEqual(self.take(queue)[1].expiration, "60000")

    def test_expires(self):
        queue = self.queue(arguments={"x-expires": 700})
        time.sleep(0.4)
        self.channel.basic_get(queue)
        time.sleep(0.4)
        self.assertFalse(self.gone(queue))
        time.sleep(2)  # Looking is use, too.
        self.assertTrue(self.gone(queue))

    def test_declaring_a_queue_again_is_use(self):
        for passive in (False, True):
            arguments = {"x-expires": 900}
            queue = self.queue(arguments=arguments)
            for _ in range(3):
                time.sleep(0.5)
                self.channel.queue_declare(queue, passive=passive, durable=True, arguments=arguments)
            time.sleep(2.5)
            self.assertTrue(self.gone(queue))

    def test_expires_not_while_it_is_consumed(self):
        queue = self.queue(arguments={"x-expires": 300})
        tag = self.channel.basic_consume(queue, lambda *_: None)
        self.connection.sleep(0.8)
        self.assertEqual(self.channel.queue_declare(queue, passive=True).method.consumer_count, 1)
        self.channel.basic_cancel(tag)
        time.sleep(2)
        self.assertTrue(self.gone(queue))

    # -- Length. -----------------------------------------------------------------------------------

    def fill(self, queue, count, size=1):
        for number in range(count):
            self.publish(queue, b"%d" % number * size)
        time.sleep(0.2)

    def test_max_length_drops_the_head(self):
        queue = self.queue(arguments={"x-max-length": 3})
        self.fill(queue, 5)
        self.assertEqual(self.bodies(queue), [b"2", b"3", b"4"])

    def test_max_length_counts_ready_messages(self):
        queue = self.queue(arguments={"x-max-length": 2})
        self.fill(queue, 2)
        self.channel.basic_get(queue)
        self.publish(queue, b"2")
        self.wait_until(lambda: self.ready(queue) == 2)
        self.assertEqual(self.bodies(queue), [b"1", b"2"])

    def test_max_length_bytes(self):
        queue = self.queue(arguments={"x-max-length-bytes": 25})
        self.fill(queue, 5, 10)
        self.assertEqual(self.bodies(queue), [b"3" * 10, b"4" * 10])

    def test_reject_publish(self):
        queue = self.queue(arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
        self.channel.confirm_delivery()
        self.publish(queue, b"0")
        self.publish(queue, b"1")
        with self.assertRaises(pika.exceptions.NackError):
            self.publish(queue, b"2")
        self.assertEqual(self.bodies(queue), [b"0", b"1"])
        self.publish(queue, b"3")

    def test_reject_publish_to_dead_letters(self):
        queue, dead = self.dead_letters(max_length=1, overflow="reject-publish-dlx")
        self.channel.confirm_delivery()
        self.publish(queue, b"0")
        with self.assertRaises(pika.exceptions.NackError):
            self.publish(queue, b"1")
        method, properties, body = self.take(dead)
        self.assertEqual((body, properties.headers["x-death"][0]["reason"]), (b"1", "maxlen"))
        self.assertEqual(self.bodies(queue), [b"0"])

    # -- Priorities. -------------------------------------------------------------------------------

    def test_priorities(self):
        queue = self.queue(arguments={"x-max-priority": 5})
        for number, priority in enumerate((None, 3, 5, 9, 0, 3)):
            self.publish(queue, b"%d" % number, priority=priority)
        self.wait_until(lambda: self.ready(queue) == 6)
        self.assertEqual(self.bodies(queue), [b"2", b"3", b"1", b"5", b"0", b"4"])

    def test_no_priorities_without_the_argument(self):
        queue = self.queue()
        for number in range(3):
            self.publish(queue, b"%d" % number, priority=number)
        self.wait_until(lambda: self.ready(queue) == 3)
        self.assertEqual(self.bodies(queue), [b"0", b"1", b"2"])

    # -- Dead letters. -----------------------------------------------------------------------------

    def death(self, properties):
        death = dict(properties.headers["x-death"][0])
        self.assertLess(abs(death.pop("time").timestamp() - time.time()), 60 * 60 * 26)
        return death

    def test_rejected(self):
        queue, dead = self.dead_letters()
        self.publish(queue, b"m", headers={"mine": 1}, correlation_id="c")
        method, _, _ = self.take(queue, auto_ack=False)
        self.channel.basic_reject(method.delivery_tag, requeue=False)
        method, properties, body = self.take(dead)
        self.assertEqual((body, properties.correlation_id, properties.headers["mine"]), (b"m", "c", 1))
        self.assertEqual((method.exchange, method.routing_key, method.redelivered), ("", dead, False))
        self.assertEqual(self.death(properties), {"count": 1, "reason": "rejected", "queue": queue, "exchange": "",
                                                  "routing-keys": [queue]})
        for name, value in (("exchange", ""), ("queue", queue), ("reason", "rejected")):
            self.assertEqual(properties.headers["x-first-death-" + name], value)

    def test_expired(self):
        queue, dead = self.dead_letters()
        self.publish(queue, b"m", expiration="100")
        _, properties, _ = self.take(dead)
        self.assertIsNone(properties.expiration)
        self.assertEqual(self.death(properties), {"count": 1, "reason": "expired", "queue": queue, "exchange": "",
                                                  "routing-keys": [queue], "original-expiration": "100"})

    def test_expired_by_the_queue(self):
        queue, dead = self.dead_letters(message_ttl=100)
        self.publish(queue, b"m")
        self.assertEqual(self.death(self.take(dead)[1])["reason"], "expired")

    def test_dropped(self):
        queue, dead = self.dead_letters(max_length=1)
        self.fill(queue, 2)
        self.assertEqual(self.death(self.take(dead)[1])["reason"], "maxlen")

    def test_delivery_limit(self):
        queue, dead = self.dead_letters(queue_type="quorum", delivery_limit=2)
        self.publish(queue, b"poison")
        for _ in range(3):
            method, _, _ = self.take(queue, auto_ack=False)
            self.channel.basic_nack(method.delivery_tag, requeue=True)
        self.assertEqual(self.death(self.take(dead)[1])["reason"], "delivery_limit")
        self.assertEqual(self.ready(queue), 0)

    def test_through_an_exchange_with_the_old_key(self):
        exchange, dead = self.name("x"), self.queue("dead")
        self.channel.exchange_declare(exchange, "topic")
        self.channel.queue_bind(dead, exchange, "order.*")
        queue = self.queue(arguments={"x-dead-letter-exchange": exchange, "x-message-ttl": 50})
        self.channel.queue_bind(queue, "amq.topic", "order.#")
        self.publish("order.paid", b"m", "amq.topic")
        method, properties, _ = self.take(dead)
        self.assertEqual((method.exchange, method.routing_key), (exchange, "order.paid"))
        death = self.death(properties)
        self.assertEqual((death["exchange"], death["routing-keys"]), ("amq.topic", ["order.paid"]))

    def test_headers_choose_the_dead_letters_queue(self):
        exchange = self.name("x")
        self.channel.exchange_declare(exchange, "headers")
        for kind in ("a", "b"):
            self.channel.queue_bind(self.queue(kind), exchange, "", {"kind": kind})
        queue = self.queue(arguments={"x-dead-letter-exchange": exchange, "x-message-ttl": 50})
        self.publish(queue, b"m", headers={"kind": "b"})
        self.take(self.name("b"))
        self.assertEqual(self.ready(self.name("a")), 0)

    def test_several_deaths(self):
        """There and back: a rejected message may go round."""
        names = self.name("1"), self.name("2")
        for name, other in (names, names[::-1]):
            self.channel.queue_declare(name, durable=True, arguments={"x-dead-letter-exchange": "",
                                                                      "x-dead-letter-routing-key": other})
        self.publish(names[0], b"m")
        for turn in range(4):
            method, properties, _ = self.take(names[turn % 2], auto_ack=False)
            self.channel.basic_reject(method.delivery_tag, requeue=False)
        _, properties, _ = self.take(names[0])
        deaths = properties.headers["x-death"]
        self.assertEqual([(death["queue"], death["count"]) for death in deaths], [(names[1], 2), (names[0], 2)])
        self.assertEqual(properties.headers["x-first-death-queue"], names[0])

    def test_a_dead_letter_that_is_published_again(self):
        """By a client that keeps its headers: what they say of its deaths counts on."""
        dead = self.queue("dead")
        queue = self.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        other = [{"queue": "q", "reason": "expired", "count": 5, "exchange": "x", "routing-keys": ["k"]}]
        first = {"x-first-death-queue": "q", "x-first-death-reason": "expired", "x-first-death-exchange": "x"}
        headers = {"x-death": other, "mine": 1, **first}
        for turn in range(1, 4):
            self.publish(queue, b"m", headers=headers)
            self.channel.basic_reject(self.take(queue, auto_ack=False)[0].delivery_tag, requeue=False)
            headers = self.take(dead)[1].headers
            death, *rest = headers["x-death"]
            self.assertEqual((death["queue"], death["reason"], death["count"]), (queue, "rejected", turn))
            self.assertEqual((rest, headers["mine"]), (other, 1))
            self.assertEqual({name: headers[name] for name in first}, first)

    def test_deaths_without_counts(self):
        """As RabbitMQ wrote them before 3.5: each stands for one."""
        dead = self.queue("dead")
        queue = self.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        old = [{"queue": each, "reason": "rejected", "exchange": "", "routing-keys": ["k"]} for each in ("a", "a", queue, "a")]
        self.publish(queue, b"m", headers={"x-death": old})
        self.channel.basic_reject(self.take(queue, auto_ack=False)[0].delivery_tag, requeue=False)
        deaths = self.take(dead)[1].headers["x-death"]
        self.assertEqual([(death["queue"], death["count"]) for death in deaths], [(queue, 2), ("a", 3)])

    def test_deaths_that_make_no_sense(self):
        if not IS_SLUICE:
            self.skipTest("RabbitMQ loses the message")
        dead = self.queue("dead")
        queue = self.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        for nonsense in ("text", 7, ["text"], [], {"queue": queue}):
            self.publish(queue, b"m", headers={"x-death": nonsense})
            self.channel.basic_reject(self.take(queue, auto_ack=False)[0].delivery_tag, requeue=False)
            self.assertEqual(self.death(self.take(dead)[1])["count"], 1)

    def test_a_dead_letter_key_takes_the_copies_away(self):
        dead, exchange = self.queue("dead"), self.name("x")
        self.channel.exchange_declare(exchange, "fanout")
        self.channel.queue_bind(dead, exchange)
        for key, copies in (("new", None), (None, ["k"])):
            arguments = {"x-dead-letter-exchange": exchange, "x-message-ttl": 50}
            if key:
                arguments["x-dead-letter-routing-key"] = key
            queue = self.queue(f"from {key}", arguments=arguments)
            self.publish(queue, b"m", headers={"CC": ["k"]})
            self.assertEqual(self.take(dead)[1].headers.get("CC"), copies)

    def test_a_cycle_without_a_rejection_drops(self):
        names = self.name("1"), self.name("2")
        for name, other in (names, names[::-1]):
            self.channel.queue_declare(name, durable=True, arguments={
                "x-dead-letter-exchange": "", "x-dead-letter-routing-key": other, "x-message-ttl": 100})
        self.publish(names[0], b"m")
        time.sleep(1)
        self.assertEqual((self.ready(names[0]), self.ready(names[1])), (0, 0))

    def test_to_nowhere(self):
        queue = self.queue(arguments={"x-dead-letter-exchange": "missing", "x-message-ttl": 50})
        self.publish(queue, b"m")
        self.wait_until(lambda: self.ready(queue) == 0)

    def test_rejected_without_dead_letters_is_gone(self):
        queue = self.queue()
        self.publish(queue, b"m")
        method, _, _ = self.take(queue, auto_ack=False)
        self.channel.basic_reject(method.delivery_tag, requeue=False)
        self.assertEqual(self.channel.queue_delete(queue).method.message_count, 0)

    def test_consumer_timeout(self):
        if not IS_SLUICE:
            self.skipTest("RabbitMQ has it for queues from 3.12 on")
        queue = self.queue(arguments={"x-consumer-timeout": 1000})
        for body in (b"answered", b"forgotten"):
            self.publish(queue, body)
        seen = []
        channel = self.new_channel()

        def on_message(_, method, __, body):
            seen.append(body)
            if body == b"answered":
                channel.basic_ack(method.delivery_tag)
        channel.basic_consume(queue, on_message)
        end = time.monotonic() + 20
        while channel.is_open and time.monotonic() < end:
            self.connection.process_data_events(0.1)
        self.assertTrue(channel.is_closed)
        self.assertIn("delivery acknowledgement on channel", str(channel._closing_reason))
        self.assertEqual(seen, [b"answered", b"forgotten"])
        method, _, body = self.take(queue)
        self.assertEqual((body, method.redelivered), (b"forgotten", True))

    def test_retry_with_backoff(self):
        if not IS_SLUICE:
            self.skipTest("RabbitMQ has none")
        queue = self.queue(arguments={"x-keep-dead": True})
        self.publish(queue, b"m")
        method, _, _ = self.take(queue, auto_ack=False)
        self.channel.basic_reject(method.delivery_tag, requeue=False)
        self.assertEqual(self.ready(queue), 0)


if __name__ == "__main__":
    main()
