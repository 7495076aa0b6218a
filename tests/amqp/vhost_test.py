#!/usr/bin/env python3
"""Virtual hosts: each has queues and exchanges of its own, whoever may open it; "/" and the command line see all of
them. The other tests run inside of one as well (AMQP_VHOST=shop)."""
import pathlib
import tempfile
import time

import pika

import broker


class Vhosts(broker.AmqpTest):
    USERS = {"ada": ["shop"], "bob": ["bank"], "root": ["/", "shop", "bank"]}

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="sluice-vhosts-")
        cls.addClassCleanup(cls.directory.cleanup)
        file, digest = pathlib.Path(cls.directory.name) / "sluice.toml", broker.hash_of("secret")
        file.write_text("".join(f'[[users]]\nname = "{name}"\npassword_hash = "{digest}"\nvhosts = {vhosts}\n'.replace("'", '"')
                                for name, vhosts in cls.USERS.items()))
        cls.OPTIONS = ("--config", str(file))
        super().setUpClass()

    def setUp(self):
        self.shop = self.open("ada", "shop")
        self.bank = self.open("bob", "bank")

    def open(self, user, vhost):
        channel = self.connect(user=user, password="secret", virtual_host=vhost).channel()
        channel.confirm_delivery()
        return channel

    def get(self, channel, queue):
        for _ in range(100):
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return method, properties, body
            time.sleep(0.02)
        self.fail(f"nothing in {queue}")

    def test_who_may_open_which(self):
        for user, vhost, said in (("ada", "bank", "access to vhost 'bank' refused for user 'ada'"),
                                  ("ada", "/", "access to vhost '/' refused for user 'ada'"),
                                  ("root", "nowhere", "vhost nowhere not found")):
            with self.subTest(user=user, vhost=vhost):
                with self.assertRaises(pika.exceptions.ProbableAccessDeniedError) as refused:
                    self.open(user, vhost)
                self.assertIn("(530)", str(refused.exception))
                self.assertIn(said, str(refused.exception))

    def test_the_same_names_are_different_things(self):
        name = self.name()
        self.shop.exchange_declare(name, "topic", durable=True)
        self.bank.exchange_declare(name, "fanout", durable=True)
        for channel, body in ((self.shop, b"of the shop"), (self.bank, b"of the bank")):
            self.assertEqual(channel.queue_declare(name, durable=True).method.queue, name)
            channel.basic_publish("", name, body)
        self.assertEqual(self.get(self.shop, name)[2], b"of the shop")
        self.assertEqual(self.get(self.bank, name)[2], b"of the bank")
        self.shop.queue_delete(name)
        self.assertEqual(self.bank.queue_declare(name, passive=True).method.message_count, 0)

    def test_nothing_leads_out(self):
        """Keys, further keys, dead letters, alternate exchanges."""
        name = self.name()
        self.bank.queue_declare(name, durable=True)
        for key in (f"bank/{name}", f"/bank/{name}", f"../bank/{name}", name):
            with self.assertRaises(pika.exceptions.UnroutableError):
                self.shop.basic_publish("", key, b"x", pika.BasicProperties(headers={"CC": [f"bank/{name}", name]}), mandatory=True)
        self.shop.basic_publish("", "amq.rabbitmq.reply-to.x", b"x", pika.BasicProperties(headers={"CC": [f"bank/{name}"]}))
        self.shop.queue_declare(name + "-dead", durable=True, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"bank/{name}", "x-message-ttl": 1})
        self.shop.basic_publish("", name + "-dead", b"x")
        self.shop.exchange_declare("bank/" + name, "fanout")  # One of the shop, whatever its name.
        self.shop.exchange_declare(name, "fanout", arguments={"alternate-exchange": "bank/amq.fanout"})
        self.bank.queue_bind(name, "amq.fanout")
        self.shop.basic_publish(name, "", b"x")
        self.shop.basic_publish("amq.fanout", "", b"x")
        time.sleep(0.2)  # Time for what must not come.
        self.assertEqual(self.bank.queue_declare(name, passive=True).method.message_count, 0)

    def test_dead_letters_keep_their_key_and_their_names(self):
        name = self.name()
        self.shop.queue_declare(name, durable=True, arguments={"x-dead-letter-exchange": ""})
        self.shop.queue_declare("key", durable=True)
        self.shop.exchange_declare(name, "direct", durable=True)
        self.shop.queue_bind(name, name, "key")
        self.shop.basic_publish(name, "key", b"x")
        method = self.get_unacked(self.shop, name)
        self.shop.basic_reject(method.delivery_tag, requeue=False)
        method, properties, _ = self.get(self.shop, "key")
        death = properties.headers["x-death"][0]
        self.assertEqual((death["queue"], death["exchange"], death["routing-keys"]), (name, name, ["key"]))
        self.assertEqual((method.exchange, method.routing_key), ("", "key"))

    def get_unacked(self, channel, queue):
        for _ in range(100):
            method, _, _ = channel.basic_get(queue)
            if method is not None:
                return method
            time.sleep(0.02)
        self.fail(f"nothing in {queue}")

    def test_the_root_and_other_protocols_see_all(self):
        name = self.name()
        self.shop.queue_declare(name, durable=True)
        root = self.open("root", "/")
        root.basic_publish("", f"shop/{name}", b"by the root")
        method, _, body = self.get(self.shop, name)
        self.assertEqual((method.exchange, method.routing_key, body), ("", name, b"by the root"))
        with self.broker.server.client() as native:
            native("PUSH", f"shop/{name}", "t", "pushed")
            self.assertEqual(self.get(self.shop, name)[1].type, "t")
            self.shop.basic_publish("", name, b"published")
            jobs = native("PULL", f"shop/{name}", "WAIT", "5s")
            self.assertEqual(jobs[0][jobs[0].index(b"payload") + 1], b"published")
            native("PUSH", f"shop/{name}-new", "t", "made by a push")
        self.shop.queue_declare(f"{name}-new", durable=True)
        self.assertEqual(self.get(self.shop, f"{name}-new")[2], b"made by a push")
        self.shop.basic_publish("", f"{name}-new", b"by its name", mandatory=True)
        self.assertEqual(self.get(self.shop, f"{name}-new")[2], b"by its name")

    def test_requests_and_replies(self):
        name, replies = self.name(), []
        self.shop.queue_declare(name)
        self.shop.basic_consume("amq.rabbitmq.reply-to", lambda *given: replies.append(given[3]), auto_ack=True)
        self.shop.basic_publish("", name, b"ping", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        worker = self.open("ada", "shop")
        _, properties, _ = self.get(worker, name)
        worker.basic_publish("", properties.reply_to, b"pong")
        self.shop.connection.process_data_events(2)
        self.assertEqual(replies, [b"pong"])

    def test_names_have_room_for_the_vhost(self):
        self.assertEqual(self.shop.queue_declare("x" * 250).method.queue, "x" * 250)
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as refused:
            self.shop.queue_declare("x" * 251)
        self.assertEqual(refused.exception.reply_code, 406)
        self.assertIn("256 bytes with its virtual host (limit 255)", refused.exception.reply_text)

    def test_after_a_crash(self):
        name = self.name()
        self.shop.queue_declare(name, durable=True)
        self.shop.basic_publish("", name, b"kept", pika.BasicProperties(delivery_mode=2))
        self.broker.restart()
        shop = self.open("ada", "shop")
        shop.basic_publish("", name, b"again", mandatory=True)
        self.assertEqual([self.get(shop, name)[2] for _ in range(2)], [b"kept", b"again"])


if __name__ == "__main__":
    broker.main()
