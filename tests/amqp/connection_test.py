#!/usr/bin/env python3
"""Connections and channels: how they are opened, refused and closed."""
import socket
import time

import pika

from broker import VHOST, IS_SLUICE, AmqpTest, main
from wire import Gone, Wire


class Connections(AmqpTest):
    def test_handshake(self):
        impl = self.connection._impl
        self.assertEqual((impl.params.channel_max, impl.params.frame_max), (2047, 131072))
        self.assertEqual(impl.server_properties["product"], "RabbitMQ")
        capabilities = impl.server_capabilities
        for name in ("publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
                     "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
                     "direct_reply_to"):
            self.assertTrue(capabilities[name], name)

    def test_bad_credentials(self):
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError) as caught:
            self.connect(user="guest", password="wrong")
        self.assertIn("403", str(caught.exception))
        self.assertIn("Login was refused using authentication mechanism PLAIN", str(caught.exception))

    def test_unknown_vhost(self):
        with self.assertRaises(pika.exceptions.ProbableAccessDeniedError) as caught:
            self.connect(virtual_host="nowhere")
        self.assertIn("(530) 'NOT_ALLOWED - vhost nowhere not found'", str(caught.exception))

    def test_amqplain(self):
        import amqp
        with amqp.Connection(f"127.0.0.1:{self.broker.port}", virtual_host=VHOST, login_method="AMQPLAIN") as connection:
            self.assertTrue(connection.connected)

    def test_a_foreign_protocol_is_told_ours(self):
        for hello in (b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x01\x00\x00", b"AMQP\x01\x01\x00\x0a"):
            with socket.create_connection(("127.0.0.1", self.broker.port), 5) as peer:
                peer.sendall(hello)
                peer.settimeout(5)
                self.assertEqual(peer.recv(100), b"AMQP\x00\x00\x09\x01", hello)
                try:
                    self.assertEqual(peer.recv(100), b"")
                except ConnectionResetError:
                    pass  # RabbitMQ leaves without reading the rest.

    def test_a_silent_client_with_heartbeats_is_closed(self):
        connection = self.connect(heartbeat=1)
        self.assertEqual(connection._impl.params.heartbeat, 1)
        time.sleep(5)  # pika sends none while nobody calls it.
        with self.assertRaises(pika.exceptions.AMQPError):
            connection.process_data_events(1)
            connection.channel()

    def test_heartbeats_keep_it_open(self):
        connection = self.connect(heartbeat=1)
        connection.sleep(5)
        self.assertTrue(connection.channel().is_open)

    def test_many_channels(self):
        channels = [self.connection.channel() for _ in range(100)]
        self.assertEqual(len({channel.channel_number for channel in channels}), 100)
        for channel in channels:
            channel.close()

    def test_a_channel_number_is_used_again(self):
        for _ in range(20):
            channel = self.connection.channel(77)
            channel.queue_declare("", exclusive=True)
            channel.close()

    def test_an_error_of_one_channel_leaves_the_others(self):
        other = self.new_channel()
        self.refused(404, "no queue 'missing' in vhost '/'", self.channel.queue_declare, "missing", passive=True)
        self.assertTrue(other.is_open)
        other.queue_declare("", exclusive=True)

    def test_the_clients_close_is_answered(self):
        self.connection.close()
        self.assertTrue(self.connection.is_closed)

    def test_the_client_closes_the_socket_first(self):
        """Else clients with several threads take the end for an error, after a close-ok that one of them has not seen."""
        wire = Wire(self.broker.port, "leaving", vhost=VHOST)
        wire.send(pika.spec.Connection.Close(200, "bye", 0, 0), channel=0)
        wire.expect(pika.spec.Connection.CloseOk)
        wire.socket.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            wire.next()
        if IS_SLUICE:  # It does not wait for ever.
            wire.socket.settimeout(10)
            with self.assertRaises(Gone):
                wire.next()
        wire.leave()

    def test_a_stopping_server_says_so(self):
        if not IS_SLUICE:
            self.skipTest("only Sluice is stopped here")
        from broker import start
        broker = start()
        try:
            connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))
            broker.server.process.terminate()
            with self.assertRaises(pika.exceptions.ConnectionClosedByBroker) as caught:
                while True:
                    connection.process_data_events(1)
            self.assertEqual(caught.exception.reply_code, 320)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
