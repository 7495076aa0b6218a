"""The broker that the AMQP tests talk to: Sluice, or RabbitMQ as the reference (AMQP_BROKER=rabbitmq).

Both on free ports, in a directory of their own, ended by pid.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import pika

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402

KIND = os.environ.get("AMQP_BROKER", "sluice")
IS_SLUICE = KIND == "sluice"
VHOST = os.environ.get("AMQP_VHOST", "/")  # Of Sluice: where all tests connect to.
INSIDE = "" if VHOST == "/" else f"{VHOST}/"  # What its names begin with in the core.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
START_SECONDS_MAX = 90


def free_port():
    """For a peer that cannot be told to listen on port 0. Below those that the system gives to connections, so that
    none of another test's takes it meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as given:
        end = int(given.read().split()[0])
    while True:
        port = random.randrange(max(1024, end - 12_000), end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def hash_of(password):
    return subprocess.run([str(harness.BINARY), "hash-password"], input=password + "\n", capture_output=True, text=True,
                          check=True, timeout=60).stdout.strip()


class Sluice:
    def __init__(self, options=()):
        self.directory = None
        if VHOST != "/":
            self.directory = tempfile.TemporaryDirectory(prefix="sluice-vhost-")
            file = pathlib.Path(self.directory.name) / "sluice.toml"
            file.write_text(f'[[users]]\nname = "guest"\npassword_hash = "{hash_of("guest")}"\nvhosts = ["/", "{VHOST}"]\n')
            options = ("--config", str(file), *options)
        self.server = harness.Server(options=["--amqp", "127.0.0.1:0", *options])
        self.port = self.server.amqp_port

    def restart(self):
        """kill -9, and start on the same data and port."""
        self.server.kill()
        self.server.options = ["--amqp", f"127.0.0.1:{self.port}", *self.server.options[2:]]
        self.server.start()

    def rss_kib(self):
        with open(f"/proc/{self.server.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def stop(self):
        self.server.__exit__()
        if self.directory:
            self.directory.cleanup()


class Rabbit:
    def __init__(self, options=()):
        self.directory = tempfile.mkdtemp(prefix="rabbitmq-test-")
        self.port, self.epmd_port = free_port(), free_port()
        path = pathlib.Path(self.directory)
        (path / "home").mkdir()
        self.environment = {
            **os.environ, "HOME": str(path / "home"), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"), "RABBITMQ_LOG_BASE": str(path / "log"),
            "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(path / "none"), "RABBITMQ_PID_FILE": str(path / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self.epmd_port)}
        self.epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)
        try:
            self.start()
        except RuntimeError:
            self.stop()
            raise

    def start(self):
        output = pathlib.Path(self.directory) / "output"
        with open(output, "a") as said:
            self.process = subprocess.Popen([RABBITMQ], stdout=said, stderr=said, env=self.environment,
                                            start_new_session=True)
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError(f"RabbitMQ does not start: {output.read_text()[-2000:]}")
                time.sleep(0.2)
        time.sleep(1)

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It ended by itself.
        self.process.wait()

    def restart(self):
        self.kill()
        time.sleep(1)
        self.start()

    def stop(self):
        self.kill()
        self.epmd.terminate()
        self.epmd.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def start(options=()):
    return Sluice(options) if IS_SLUICE else Rabbit(options)


def skip_unless_there():
    """For run as a script: 77 is "skipped" to CTest."""
    if not IS_SLUICE and not os.path.exists(RABBITMQ):
        print("skipped: rabbitmq-server is not installed")
        sys.exit(77)


class AmqpTest(unittest.TestCase):
    """One broker for all tests of a class. Queues and exchanges have names of their own."""

    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        cls.broker = start(cls.OPTIONS)

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def setUp(self):
        self.connection = self.connect()
        self.channel = self.connection.channel()

    def connect(self, user="guest", password="guest", **parameters):
        parameters.setdefault("heartbeat", 0)
        parameters.setdefault("virtual_host", VHOST)
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.broker.port, credentials=pika.PlainCredentials(user, password), **parameters))
        self.addCleanup(self.leave, connection)
        return connection

    @staticmethod
    def leave(connection):
        try:
            if connection.is_open:
                connection.close()
        except pika.exceptions.AMQPError:
            pass  # The test has ended its broker.

    def new_channel(self):
        return self.connection.channel()

    def name(self, suffix=""):
        return self.id().rsplit(".", 1)[-1] + suffix

    def queue(self, suffix="", **arguments):
        """Declares a queue that is named after the test."""
        arguments.setdefault("durable", True)
        return self.channel.queue_declare(self.name(suffix), **arguments).method.queue

    def publish(self, queue, body=b"x", exchange="", channel=None, **properties):
        properties.setdefault("delivery_mode", 2)
        (channel or self.channel).basic_publish(exchange, queue, body, pika.BasicProperties(**properties))

    def take(self, queue, channel=None, auto_ack=True):
        """The next message, waited for."""
        for _ in range(100):
            method, properties, body = (channel or self.channel).basic_get(queue, auto_ack=auto_ack)
            if method is not None:
                return method, properties, body
            time.sleep(0.02)
        self.fail(f"nothing in {queue}")

    def bodies(self, queue):
        found = []
        while True:
            method, _, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(body)

    def ready(self, queue):
        return self.new_channel().queue_declare(queue, passive=True).method.message_count

    def wait_until(self, holds, seconds=5):
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, "it does not come")
            time.sleep(0.02)

    def refused(self, code, text, call, *arguments, **keywords):
        """The call ends the channel (or the connection) with this code, in these words."""
        try:
            channel = self.channel
            call(*arguments, **keywords)
            end = time.monotonic() + 2
            while channel.is_open and time.monotonic() < end:
                self.connection.process_data_events(0.05)
            if channel.is_closed:
                raise channel._closing_reason
        except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as closed:
            self.assertEqual(closed.reply_code, code, closed.reply_text)
            if text:
                self.assertIn(text.replace("vhost '/'", f"vhost '{VHOST}'"), closed.reply_text)
            if self.connection.is_open:
                self.channel = self.connection.channel()
            return
        self.fail("it was not refused")


def main():
    skip_unless_there()
    unittest.main()
