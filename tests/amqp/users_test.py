#!/usr/bin/env python3
"""Users of the configuration: who they are, and nobody else."""
import pathlib
import struct
import tempfile

import pika

import broker
import harness
import wire


class Users(broker.AmqpTest):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="sluice-users-")
        cls.addClassCleanup(cls.directory.cleanup)
        file = pathlib.Path(cls.directory.name) / "sluice.toml"
        file.write_text("".join(
            f'[[users]]\nname = "{name}"\npassword_hash = "{broker.hash_of(password)}"\n'
            for name, password in (("ada", "engine"), ("zoë", "pässword"))))
        cls.OPTIONS = ("--config", str(file))
        super().setUpClass()

    def setUp(self):
        pass  # There is no guest to connect as.

    def test_each_with_the_password_of_their_own(self):
        for user, password in (("ada", "engine"), ("zoë", "pässword")):
            channel = self.connect(user=user, password=password).channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", queue, b"hello", pika.BasicProperties(user_id=user))
            self.assertEqual(channel.basic_get(queue, auto_ack=True)[2], b"hello")

    def test_nobody_else(self):
        for user, password in (("ada", "pässword"), ("ada", ""), ("eve", "engine"), ("guest", "guest"), ("", ""),
                               ("ada", "x" * 600), ("ada\0", "engine")):
            with self.subTest(user=user, password=password[:20]):
                with self.assertRaises(pika.exceptions.ProbableAuthenticationError) as caught:
                    self.connect(user=user, password=password)
                self.assertIn("403", str(caught.exception))

    def test_a_message_cannot_say_that_it_is_from_another_user(self):
        channel = self.connect(user="ada", password="engine").channel()
        channel.basic_publish("", "nowhere", b"", pika.BasicProperties(user_id="zoë"))
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
            channel.basic_qos(prefetch_count=1)
        self.assertEqual(caught.exception.reply_code, 406)

    def test_a_new_secret_is_taken(self):
        """connection.update-secret, which pika does not know: class 10, method 70."""
        connection = wire.Wire(self.broker.port, "renews", credentials=("ada", "engine"))
        self.addCleanup(connection.leave)
        arguments = struct.pack(">HHI", 10, 70, 3) + b"new" + b"\x06reason"
        connection.send_raw(struct.pack(">BHI", 1, 0, len(arguments)) + arguments + b"\xce")
        answer = b""
        while len(answer) < 12:
            answer += connection.socket.recv(100)
        self.assertEqual(answer, struct.pack(">BHIHH", 1, 0, 4, 10, 71) + b"\xce")
        connection.ask(pika.spec.Queue.Declare(exclusive=True), pika.spec.Queue.DeclareOk)

    def test_many_at_once(self):
        connections = [self.connect(user="ada", password="engine") for _ in range(20)]
        for connection in connections:
            self.assertTrue(connection.is_open)


if __name__ == "__main__":
    broker.main()
