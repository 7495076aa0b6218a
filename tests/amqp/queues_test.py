#!/usr/bin/env python3
"""Queues: declared, refused, purged, deleted; whose they are and when they go."""
import pika

from broker import INSIDE, VHOST, AmqpTest, main


class Queues(AmqpTest):
    def test_declared_alike_and_different(self):
        name = self.queue(arguments={"x-message-ttl": 60000})
        self.queue(arguments={"x-message-ttl": 60000})
        where = f"for queue '{name}' in vhost '{VHOST}'"
        self.refused(406, f"inequivalent arg 'x-message-ttl' {where}: received '1000' but current is '60000'",
                     self.queue, arguments={"x-message-ttl": 1000})
        self.refused(406, f"inequivalent arg 'x-message-ttl' {where}: received none but current is the value '60000' "
                          "of type 'signedint'", self.queue)
        self.refused(406, f"inequivalent arg 'durable' {where}: received 'false' but current is 'true'",
                     self.queue, durable=False, arguments={"x-message-ttl": 60000})
        self.refused(406, f"inequivalent arg 'auto_delete' {where}", self.queue, auto_delete=True,
                     arguments={"x-message-ttl": 60000})

    def test_an_argument_more(self):
        name = self.queue()
        self.refused(406, f"inequivalent arg 'x-max-length' for queue '{name}' in vhost '{VHOST}': received the value '5' of "
                          "type 'signedint' but current is none", self.queue, arguments={"x-max-length": 5})

    def test_passive(self):
        self.refused(404, "no queue 'missing' in vhost '/'", self.channel.queue_declare, "missing", passive=True)
        name = self.queue()
        self.publish(name)
        self.publish(name)
        self.wait_until(lambda: self.ready(name) == 2)
        self.assertEqual(self.channel.queue_declare(name, passive=True).method.queue, name)

    def test_named_by_the_server(self):
        first = self.channel.queue_declare("", exclusive=True).method.queue
        second = self.channel.queue_declare("", exclusive=True).method.queue
        self.assertNotEqual(first, second)
        self.assertTrue(first.startswith("amq.gen-"))
        self.publish(second, b"m")
        self.assertEqual(self.take("")[2], b"m")

    def test_reserved_names(self):
        self.refused(403, "queue name 'amq.mine' contains reserved prefix 'amq.*'",
                     self.channel.queue_declare, "amq.mine")

    def test_names_of_all_kinds(self):
        for name in ("celery@host.pidbox", "with space", "ünïcödé", "a/b/c", "x" * (255 - len(INSIDE))):
            self.assertEqual(self.channel.queue_declare(name).method.queue, name)
            self.publish(name, b"m")
            self.assertEqual(self.take(name)[2], b"m")
            self.channel.queue_delete(name)

    def test_exclusive(self):
        name = self.queue(exclusive=True, durable=False)
        self.queue(exclusive=True, durable=False)
        other = self.connect()
        for call in (lambda channel: channel.queue_declare(name, passive=True),
                     lambda channel: channel.queue_declare(name, exclusive=True),
                     lambda channel: channel.basic_get(name),
                     lambda channel: channel.basic_consume(name, lambda *_: None),
                     lambda channel: channel.queue_purge(name),
                     lambda channel: channel.queue_delete(name)):
            with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
                call(other.channel())
            self.assertEqual(caught.exception.reply_code, 405)
            self.assertIn(f"cannot obtain exclusive access to locked queue '{name}' in vhost '{VHOST}'",
                          caught.exception.reply_text)
        # Publishing to it is open to all.
        other.channel().basic_publish("", name, b"from outside")
        self.assertEqual(self.take(name)[2], b"from outside")

    def test_exclusive_goes_with_its_connection(self):
        other = self.connect()
        name = self.name()
        other.channel().queue_declare(name, exclusive=True)
        other.close()

        def is_gone():
            try:
                self.new_channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker as closed:
                return closed.reply_code == 404
            return False
        self.wait_until(is_gone)

    def test_auto_delete(self):
        name = self.queue(auto_delete=True, durable=False)
        tag = self.channel.basic_consume(name, lambda *_: None)
        self.channel.queue_declare(name, passive=True)
        self.channel.basic_cancel(tag)
        self.refused(404, "no queue", self.channel.queue_declare, name, passive=True)

    def test_auto_delete_with_its_last_consumer(self):
        name = self.queue(auto_delete=True, durable=False)
        others = [self.connect(), self.connect()]
        for other in others:
            other.channel().basic_consume(name, lambda *_: None)
        others[0].close()
        self.channel.queue_declare(name, passive=True)
        others[1].close()

        def is_gone():
            try:
                self.new_channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return True
            return False
        self.wait_until(is_gone)

    def test_purge(self):
        name = self.queue()
        for _ in range(5):
            self.publish(name)
        self.wait_until(lambda: self.ready(name) == 5)
        self.take(name, auto_ack=False)
        self.assertEqual(self.channel.queue_purge(name).method.message_count, 4)
        self.assertEqual(self.ready(name), 0)
        self.refused(404, "no queue", self.channel.queue_purge, "missing")

    def test_delete(self):
        name = self.queue()
        for _ in range(3):
            self.publish(name)
        self.wait_until(lambda: self.ready(name) == 3)
        self.refused(406, f"queue '{name}' in vhost '{VHOST}' not empty", self.channel.queue_delete, name, if_empty=True)
        consuming = self.new_channel()
        consuming.basic_consume(name, lambda *_: None)
        self.refused(406, f"queue '{name}' in vhost '{VHOST}' in use", self.channel.queue_delete, name, if_unused=True)
        consuming.close()
        self.wait_until(lambda: self.ready(name) == 3)
        self.assertEqual(self.channel.queue_delete(name).method.message_count, 3)
        self.assertEqual(self.channel.queue_delete(name).method.message_count, 0)

    def test_the_last_declared_queue_is_meant_by_none(self):
        name = self.queue()
        self.channel.queue_bind("", "amq.direct", "")
        self.publish(name, b"by its name", "amq.direct")
        self.assertEqual(self.take("")[2], b"by its name")

    def test_none_was_declared(self):
        self.refused(404, "", self.channel.basic_get, "")

    def test_bad_arguments(self):
        for arguments in ({"x-message-ttl": "soon"}, {"x-message-ttl": -1}, {"x-expires": 0}, {"x-max-length": -1},
                          {"x-overflow": "explode"}, {"x-max-priority": 300}, {"x-dead-letter-routing-key": "k"},
                          {"x-dead-letter-exchange": 5}, {"x-queue-type": "stone"}):
            self.refused(406, "", self.channel.queue_declare, self.name(), arguments=arguments)


if __name__ == "__main__":
    main()
