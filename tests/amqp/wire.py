"""A blocking AMQP client that speaks in whole methods: what a test sends, and what comes back, one by one."""
import socket

import pika
import pika.frame

SECONDS_MAX = 20  # for an answer


class Gone(Exception):
    """The server has closed, or is gone."""


class Wire:
    """One connection with one channel, in whole methods."""

    def __init__(self, port, name, source="127.0.0.1", credentials=("guest", "guest"), vhost="/"):
        self.name, self.is_left, self.input = name, False, b""
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), SECONDS_MAX, (source, 0))
        except OSError as error:
            raise Gone(str(error)) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send_raw(b"AMQP\0\0\x09\x01")
        self.expect(pika.spec.Connection.Start)
        self.send(pika.spec.Connection.StartOk({"capabilities": {"connection.blocked": True}}, "PLAIN", b"\0%b\0%b" % tuple(word.encode() for word in credentials), "en_US"), channel=0)
        self.expect(pika.spec.Connection.Tune)
        self.send(pika.spec.Connection.TuneOk(1, 131072, 0), channel=0)
        self.send(pika.spec.Connection.Open(vhost), channel=0)
        self.expect(pika.spec.Connection.OpenOk)
        self.ask(pika.spec.Channel.Open(), pika.spec.Channel.OpenOk)

    def leave(self):
        self.is_left = True
        self.socket.close()

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def send(self, *methods, channel=1):
        self.send_raw(b"".join(pika.frame.Method(channel, method).marshal() for method in methods))

    def next(self):
        while True:
            consumed, frame = pika.frame.decode_frame(self.input)
            if frame is not None:
                self.input = self.input[consumed:]
                return frame
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError as error:
                raise Gone(str(error)) from error
            if not data:
                raise Gone()
            self.input += data

    def method(self):
        frame = self.next()
        method = getattr(frame, "method", None)
        if isinstance(method, pika.spec.Connection.Close):
            raise Gone(method.reply_text)
        assert method is not None, frame
        return method

    def expect(self, kind):
        method = self.method()
        if not isinstance(method, kind):
            raise AssertionError(f"{self.name}: not {kind.NAME} but {method}")
        return method

    def ask(self, method, kind):
        self.send(method)
        return self.expect(kind)

    def content(self):
        size, body = self.next().body_size, b""
        while len(body) < size:
            body += self.next().fragment
        return body

    @staticmethod
    def publish(key, body, is_durable, exchange="", is_mandatory=False):
        """The bytes of a message."""
        properties = pika.BasicProperties(delivery_mode=2 if is_durable else 1)
        frames = [pika.frame.Method(1, pika.spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=is_mandatory)),
                  pika.frame.Header(1, len(body), properties)]
        frames += [pika.frame.Body(1, body[at:at + 100_000]) for at in range(0, len(body), 100_000)]
        return b"".join(frame.marshal() for frame in frames)
