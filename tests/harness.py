"""What the Python tests share: a real server on a free port, and a RESP client that hides nothing.

    with Server() as server:
        client = server.client()
        job = client("PUSH", "mail", "welcome", "{}")

Nothing here sleeps to synchronise: the server says where it listens when it does.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice")).resolve()
START_SECONDS_MAX = 60.0
# The environment without our own variables: the server reads SLUICE_..., and warns of unknown ones.
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}


class RespError(Exception):
    """An error reply. `code` is its first word."""

    def __init__(self, text):
        super().__init__(text)
        self.code = text.split(" ", 1)[0]


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """One connection. Call it for one command; use send() and receive() to pipeline."""

    def __init__(self, port, timeout=30.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def __call__(self, *words):
        """Sends one command and returns its reply; an error reply is raised."""
        self.send(words)
        reply = self.receive()
        if isinstance(reply, RespError):
            raise reply
        return reply

    def send(self, *commands):
        self.socket.sendall(b"".join(map(encode, commands)))

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next reply; error replies are returned, at any depth."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise Closed()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        if kind in b"$=":
            size = int(rest)
            if size < 0:
                return None
            data = self.file.read(size + 2)
            if len(data) != size + 2:
                raise Closed()
            return data[4:-2] if kind == b"=" else data[:-2]
        if kind in b"*~>":
            return None if int(rest) < 0 else [self.receive() for _ in range(int(rest))]
        if kind == b"%":
            return {text(self.receive()): self.receive() for _ in range(int(rest))}
        raise AssertionError(f"not RESP: {line!r}")

    # -- Shorthands over either protocol version. --------------------------------------------------

    def fields(self, *words):
        """A reply with named fields, as a dict."""
        return as_dict(self(*words))

    def pull(self, *words):
        """PULL as a list of dicts; empty when nothing came."""
        return [as_dict(job) for job in self("PULL", *words) or []]

    def job(self, job_id):
        return self.fields("JOB", job_id)

    def queue(self, name):
        return self.fields("QUEUE", "GET", name)


def encode(words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def as_dict(reply):
    if isinstance(reply, dict):
        return reply
    return {text(reply[i]): reply[i + 1] for i in range(0, len(reply), 2)}


class Server:
    """`sluice serve` on a free port. Its directory is removed with it unless one was given. `launcher`: the
    words of a command that becomes the server, such as `prlimit --nofile=100`."""

    def __init__(self, directory=None, options=(), environment=None, start=True, launcher=()):
        self.own = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="sluice-test-"))
        self.options, self.environment = [str(option) for option in options], environment or {}
        self.launcher, self.process, self.port, self.lines = list(launcher), None, None, []
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        if self.own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def spawn(self):
        """Starts the process without waiting for it to listen."""
        command = [str(BINARY), "serve", "--data", str(self.directory / "data"), "--resp", "127.0.0.1:0"]
        if "--amqp" not in self.options:
            command += ["--amqp", "off"]
        self.lines, self.port, self.amqp_port, self.listening = [], None, None, threading.Event()
        self.process = subprocess.Popen(self.launcher + command + self.options, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        env={**OUTSIDE, **self.environment})
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        return self

    def _read(self, process):
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            amqp = re.search(r"event=listening protocol=amqp address=127\.0\.0\.1:(\d+)", line)
            if amqp:
                self.amqp_port = int(amqp[1])
            found = re.search(r"event=listening protocol=resp address=127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                self.listening.set()
        self.listening.set()  # the end of its output

    def start(self):
        self.spawn()
        if not self.listening.wait(START_SECONDS_MAX) or self.port is None:
            self.process.kill()
            self.wait_exit()
            raise AssertionError("the server did not start:\n" + self.output())
        return self

    def output(self):
        return "\n".join(self.lines[-200:])

    def logs(self, words):
        """How many lines of its log have these words; waits for the first. A line comes by a pipe, so it may
        be read later than a reply that was sent behind it."""
        return eventually(lambda: sum(words in line for line in list(self.lines)))

    def client(self, **options):
        return Client(self.port, **options)

    def _ended(self):
        self.reader.join(10)
        self.process.stdout.close()
        code, self.process = self.process.returncode, None
        if re.search(r"Sanitizer|runtime error:|invariant broken", "\n".join(self.lines)):
            raise AssertionError("the server found a bug in itself:\n" + self.output())
        return code

    def kill(self):
        """kill -9. That the process was there to be killed is part of the claim."""
        if self.process:
            died_before = self.process.poll() is not None
            self.process.kill()
            self.process.wait()
            code = self._ended()
            if died_before:
                raise AssertionError(f"the server ended by itself with code {code}:\n" + self.output())
            return code

    def terminate(self, seconds=30.0):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        return self._ended()

    def wait_exit(self, seconds=30.0):
        self.process.wait(seconds)
        return self._ended()

    def restart(self, how="kill"):
        self.kill() if how == "kill" else self.terminate()
        return self.start()


def eventually(claim, seconds=10.0):
    """Polls a claim about another process until it holds; for what no reply announces."""
    deadline = time.monotonic() + seconds
    while True:
        value = claim()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.005)
