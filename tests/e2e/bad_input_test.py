#!/usr/bin/env python3
"""Bad input, everywhere: each command with too few and too many arguments, wrong types and values over
the limit answers an error with a stable code that names the field, and the connection goes on. Broken
framing ends its own connection with a reason and no other."""
import pathlib
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Closed, RespError, Server, encode  # noqa: E402

LONG = "x" * 300
MANY = "9" * 30
PUSH = ("PUSH", "q", "t", "p")
LEASED = ("1", "1")  # an id and a token of the right type; what follows them is wrong first

# (command, the code expected, what the message must name: case-insensitive)
MATRIX = [
    # Arity.
    *[((name,), "ARG|ERR", name) for name in
      "PUSH PULL ACK FAIL RELEASE EXTEND PROGRESS CANCEL JOB AWAIT QUEUE DEAD JOBS BACKUP ECHO SELECT CLIENT "
      "PUBLISH EXCHANGE BIND UNBIND".split()],
    (("PUBLISH", "e", "k", "t"), "ARG|ERR", "PUBLISH"),
    (("BIND", "e", "QUEUE"), "ARG|ERR", "BIND"),
    (("EXCHANGE", "SET", "e"), "ARG|ERR", "EXCHANGE"),
    (("EXCHANGE", "NOSUCH", "e"), "ARG", "NOSUCH"),
    (("EXCHANGE", "SET", "e", "ring"), "ARG", "ring"),
    (("EXCHANGE", "SET", "e", "topic", "NOSUCH"), "ARG", "NOSUCH"),
    (("EXCHANGE", "SET", "e", "topic", "ALTERNATE"), "ARG", "ALTERNATE"),
    (("EXCHANGE", "SET", "a\tb", "topic"), "ARG", "exchange"),
    (("EXCHANGE", "SET", LONG, "topic"), "ARG", "exchange"),
    (("EXCHANGE", "SET", "e", "topic", "ALTERNATE", "a\tb"), "ARG", "alternate"),
    (("EXCHANGE", "GET", "nosuch"), "NOEXCHANGE", "nosuch"),
    (("EXCHANGE", "DELETE", "nosuch"), "NOEXCHANGE", "nosuch"),
    (("EXCHANGE", "DELETE", "e", "NOSUCH"), "ARG", "NOSUCH"),
    (("PUBLISH", "nosuch", "k", "t", "p"), "NOEXCHANGE", "nosuch"),
    (("BIND", "nosuch", "QUEUE", "q"), "NOEXCHANGE", "nosuch"),
    (("BIND", "e", "THING", "q"), "ARG", "THING"),
    (("BIND", "e", "QUEUE", "q", "KEY"), "ARG", "KEY"),
    (("BIND", "e", "QUEUE", "q", "HEADER", "k"), "ARG", "HEADER"),
    (("UNBIND", "e", "QUEUE", "q", "NOSUCH"), "ARG", "NOSUCH"),
    (("PUSH", "q"), "ARG|ERR", "PUSH"),
    (("PUSH", "q", "t"), "ARG|ERR", "PUSH"),
    (("ACK", "1"), "ARG|ERR", "ACK"),
    (("FAIL", *LEASED), "ARG|ERR", "FAIL"),
    (("EXTEND", *LEASED), "ARG|ERR", "EXTEND"),
    (("PROGRESS", *LEASED), "ARG|ERR", "PROGRESS"),
    (("AWAIT", "1"), "ARG|ERR", "AWAIT"),
    (("QUEUE", "GET"), "ARG|ERR", "QUEUE"),
    (("QUEUE", "SET", "q"), "ARG|ERR", "QUEUE"),
    (("QUEUE", "SET", "q", "priority"), "ARG|ERR", "priority|QUEUE"),
    (("DEAD", "LIST"), "ARG|ERR", "DEAD"),
    (("CANCEL", "1", "2"), "ARG|ERR", "CANCEL"),
    (("JOB", "1", "2"), "ARG|ERR", "JOB"),
    (("AWAIT", "1", "1s", "x"), "ARG|ERR", "AWAIT"),
    # Unknown names.
    (("NOSUCH", "a", "b"), "ERR", "NOSUCH"),
    (("QUEUE", "NOSUCH", "q"), "ARG|ERR", "NOSUCH"),
    (("DEAD", "NOSUCH", "q"), "ARG|ERR", "NOSUCH"),
    (("CRON", "LIST"), "ERR", "CRON"),
    ((*PUSH, "NOSUCH"), "ARG", "NOSUCH"),
    (("PULL", "q", "COUNT", "1", "NOSUCH", "1"), "ARG", "NOSUCH"),
    (("QUEUE", "SET", "q", "nosuch", "1"), "ARG", "nosuch"),
    # Names.
    (("PUSH", "", "t", "p"), "ARG", "queue"),
    (("PUSH", LONG, "t", "p"), "TOOBIG|ARG", "queue"),
    (("PUSH", "a\tb", "t", "p"), "ARG", "queue"),
    (("PUSH", "q\0", "t", "p"), "ARG", "queue"),
    (("PUSH", b"q\xff", "t", "p"), "ARG", "queue"),
    (("PUSH", "q", LONG, "p"), "TOOBIG|ARG", "type"),
    (("PULL", "a\tb"), "ARG", "queue"),
    (("QUEUE", "GET", "a\tb"), "ARG|NOQUEUE", "queue"),
    (("QUEUE", "SET", "a\tb", "priority", "1"), "ARG", "queue"),
    # Options of PUSH: missing value, wrong type, over the limit.
    *[((*PUSH, option), "ARG", option) for option in
      "DELAY AT PRIORITY ATTEMPTS BACKOFF TIMEOUT TTL UNIQUE KEEP AFTER HEADER GROUP".split()],
    *[((*PUSH, option, value), "ARG|TOOBIG", option) for option in "DELAY TIMEOUT TTL KEEP".split()
      for value in ("soon", "", "-1", "1x", MANY, "1.5s", "10 s")],
    *[((*PUSH, "AT", value), "ARG", "AT") for value in ("tomorrow", "-1", MANY)],
    *[((*PUSH, "PRIORITY", value), "ARG", "PRIORITY") for value in ("high", "-1", "256", MANY)],
    *[((*PUSH, "ATTEMPTS", value), "ARG", "ATTEMPTS") for value in ("many", "0", "-1", "65536", MANY)],
    *[((*PUSH, "BACKOFF", value), "ARG|TOOBIG", "BACKOFF") for value in
      ("quadratic 1s", "fixed", "fixed soon", "exponential 1s cap", "exponential 1s jitter 101%", "list",
       "list " + "1s " * 33, "linear 5s cap 1m extra")],
    ((*PUSH, "TIMEOUT", "25h"), "ARG|TOOBIG", "TIMEOUT"),
    ((*PUSH, "UNIQUE", ""), "ARG", "UNIQUE"),
    ((*PUSH, "UNIQUE", "k" * 1025), "TOOBIG|ARG", "UNIQUE"),
    ((*PUSH, "UNIQUE", "k", "WINDOW", "soon"), "ARG", "WINDOW"),
    ((*PUSH, "UNIQUE", "k", "ONCONFLICT", "explode"), "ARG", "ONCONFLICT"),
    ((*PUSH, "WINDOW", "1s"), "ARG", "WINDOW"),
    ((*PUSH, "AFTER", "first"), "ARG", "AFTER"),
    ((*PUSH, "AFTER", "999999"), "NOJOB", "999999"),
    ((*PUSH, *("AFTER", "1") * 1001), "TOOBIG|ARG", "AFTER"),
    ((*PUSH, "HEADER", "k"), "ARG", "HEADER"),
    ((*PUSH, "HEADER", "", "v"), "ARG", "HEADER"),
    ((*PUSH, "HEADER", "k", "v" * (192 << 10)), "TOOBIG", "header"),
    ((*PUSH, *("HEADER", "k", "v") * 257), "TOOBIG|ARG", "header"),
    ((*PUSH, "GROUP", "g"), "ARG", "GROUP"),
    ((*PUSH, "DELAY", "1s", "AT", "1"), "ARG", "AT|DELAY"),
    # Options of PULL.
    *[(("PULL", "q", option), "ARG", option) for option in "COUNT WAIT LEASE AS".split()],
    *[(("PULL", "q", "COUNT", value), "ARG|TOOBIG", "COUNT") for value in ("all", "0", "-1", "10001", MANY)],
    *[(("PULL", "q", "WAIT", value), "ARG", "WAIT") for value in ("long", "-1", MANY)],
    *[(("PULL", "q", "LEASE", value), "ARG|TOOBIG", "LEASE") for value in ("0", "long", "25h", MANY)],
    (("PULL", "q", "AS", "w" * 256), "TOOBIG|ARG", "AS|worker"),
    (("PULL", *["q%d" % n for n in range(257)]), "TOOBIG|ARG", "queue"),
    # Ids and tokens.
    *[((name, "abc", "1", *rest), "ARG", "id") for name, *rest in
      (("ACK",), ("FAIL", "m"), ("RELEASE",), ("EXTEND", "1s"), ("PROGRESS", "5"))],
    *[((name, "1", "abc", *rest), "ARG", "token") for name, *rest in
      (("ACK",), ("FAIL", "m"), ("RELEASE",), ("EXTEND", "1s"), ("PROGRESS", "5"))],
    *[((name, value, *rest), "ARG", "id") for name, *rest in (("JOB",), ("CANCEL",), ("AWAIT", "1s"))
      for value in ("abc", "", "-1", "1.0", MANY, " 1")],
    *[((name, "999999", *rest), "NOJOB", "999999") for name, *rest in
      (("JOB",), ("CANCEL",), ("AWAIT", "1s"), ("ACK", "1"), ("FAIL", "1", "m"), ("RELEASE", "1"),
       ("EXTEND", "1", "1s"), ("PROGRESS", "1", "5"))],
    # The rest of the worker's words.
    (("ACK", *LEASED, "RESULT"), "ARG", "RESULT"),
    (("ACK", *LEASED, "NOSUCH", "1"), "ARG", "NOSUCH"),
    (("FAIL", *LEASED, "m", "RETRY"), "ARG", "RETRY"),
    (("FAIL", *LEASED, "m", "RETRY", "soon"), "ARG", "RETRY"),
    (("FAIL", *LEASED, "m", "NOSUCH"), "ARG", "NOSUCH"),
    (("RELEASE", *LEASED, "DELAY", "soon"), "ARG", "DELAY"),
    (("EXTEND", *LEASED, "soon"), "ARG", "EXTEND|lease|duration"),
    (("EXTEND", *LEASED, "25h"), "ARG|TOOBIG", "EXTEND|lease|duration"),
    (("PROGRESS", *LEASED, "101"), "ARG", "percent|PROGRESS"),
    (("PROGRESS", *LEASED, "half"), "ARG", "percent|PROGRESS"),
    (("AWAIT", "1", "soon"), "ARG", "AWAIT|wait|duration"),
    # Queues.
    *[(("QUEUE", name, "missing"), "NOQUEUE", "missing") for name in ("GET", "PAUSE", "RESUME", "PURGE", "DELETE")],
    (("DEAD", "LIST", "missing"), "NOQUEUE", "missing"),
    (("JOBS", "missing"), "NOQUEUE", "missing"),
    (("JOBS", "q", "STATE", "sleepy"), "ARG", "STATE"),
    (("JOBS", "q", "COUNT", "0"), "ARG", "COUNT"),
    (("JOBS", "q", "CURSOR", "x"), "ARG", "CURSOR"),
    (("JOBS", "q", "OLDER", "x"), "ARG", "OLDER"),
    *[(("QUEUE", "SET", "q", field, value), "ARG|TOOBIG", field) for field, value in
      (("priority", "256"), ("delay", "soon"), ("max_attempts", "65536"), ("backoff", "fixed"), ("timeout", "25h"),
       ("ttl", "x"), ("keep", "x"), ("keep_max", "-1"), ("max_length", "x"), ("overflow", "explode"),
       ("dead_letter", "a\tb"))],
    (("DEAD", "REDRIVE", "q", "abc"), "ARG", "id"),
    (("BACKUP", "relative/path"), "ARG", "BACKUP|director"),
    (("BACKUP", "/tmp"), "ARG|IO|EXISTS|ERR", "/tmp"),
    # Redis' own.
    (("HELLO", "4"), "NOPROTO", "proto"),
    (("HELLO", "x"), "NOPROTO|ERR|ARG", "proto|HELLO"),
    (("SELECT", "1"), "ERR|ARG", "SELECT|DB|index"),
    (("CLIENT", "NOSUCH"), "ERR|ARG", "NOSUCH|CLIENT"),
]

# Bytes that are no RESP; the connection may only be closed, with a reason.
BROKEN_FRAMES = [b"*1\r\n+PING\r\n", b"*1\r\n$-5\r\n", b"*1\r\n$999999999999\r\n", b"*2147483647\r\n$1\r\nx\r\n",
                 b"*1\r\n$4\r\nPINGxx", b"*x\r\n", b"*1\r\n$4x\r\nPING\r\n",
                 b"*99999999999999999999\r\n"]


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.bystander = cls.server.client()
        cls.bystander(*PUSH)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def test_every_error_has_a_code_and_names_the_field(self):
        with self.server.client() as client:
            for number, (words, codes, names) in enumerate(MATRIX):
                shown = " ".join(str(word)[:40] for word in words[:10])
                with self.subTest(shown):
                    client.send(words, ("ECHO", str(number)))
                    reply = client.receive()
                    self.assertEqual(client.receive(), str(number).encode(), "the connection did not go on")
                    self.assertIsInstance(reply, RespError)
                    self.assertIn(reply.code, codes.split("|"), str(reply))
                    self.assertTrue(any(name.lower() in str(reply).lower() for name in names.split("|")),
                                    f"{reply!s} does not name {names}")

    def test_nothing_of_it_left_a_job(self):
        self.assertEqual(self.bystander.queue("q")["pushed_total"], 1)

    def test_a_payload_over_the_limit_is_refused_and_skipped(self):
        with self.server.client() as client:
            client.send(("PUSH", "big", "t", b"x" * ((16 << 20) + 1)), ("PING",))
            try:
                reply = client.receive()
            except (Closed, ConnectionError):
                self.fail("closed without a word")
            self.assertEqual(reply.code, "TOOBIG")
            self.assertIn("16777216", str(reply))
            self.assertEqual(client.receive(), "PONG")

    def test_limits_hold_at_the_limit(self):
        with self.server.client() as client:
            name = "l" * 255
            client("PUSH", name, "t" * 255, "p", "UNIQUE", "k" * 1024, "PRIORITY", "255", "ATTEMPTS", "65535",
                   *("HEADER", "k", "v") * 256)
            job = client.pull(name, "AS", "w" * 255, "LEASE", "24h")[0]
            self.assertEqual(len(job["type"]), 255)
            client("PULL", *["many%d" % n for n in range(256)], "COUNT", "10000")

    def test_broken_frames_end_their_connection_only(self):
        for frame in BROKEN_FRAMES:
            with self.subTest(frame), self.server.client(timeout=10) as client:
                client.send_raw(encode(("PING",)) + frame)
                self.assertEqual(client.receive(), "PONG")
                reply = client.receive()
                self.assertIsInstance(reply, RespError)
                with self.assertRaises((Closed, ConnectionError)):
                    client.receive()
            self.assertEqual(self.bystander("PING"), "PONG")

    def test_declared_lengths_allocate_nothing(self):
        pages = lambda: int(pathlib.Path(f"/proc/{self.server.process.pid}/statm").read_text().split()[1])  # noqa: E731
        before = pages()
        clients = [self.server.client() for _ in range(50)]
        for client in clients:
            client.send_raw(b"*4\r\n$4\r\nPUSH\r\n$3\r\nbig\r\n$1\r\nt\r\n$16777216\r\n")
        self.assertEqual(self.bystander("PING"), "PONG")
        grown = (pages() - before) * 4096
        for client in clients:
            client.close()
        self.assertLess(grown, 64 << 20)

    def test_one_byte_at_a_time(self):
        with self.server.client() as client:
            for byte in encode(("ECHO", "slow")):
                client.send_raw(bytes([byte]))
            self.assertEqual(client.receive(), b"slow")

    def test_half_a_command_and_gone(self):
        for cut in range(1, 30, 3):
            sock = socket.create_connection(("127.0.0.1", self.server.port))
            sock.sendall(encode(("PUSH", "q", "t", "half"))[:cut])
            sock.close()
        self.assertEqual(self.bystander.queue("q")["pushed_total"], 1)

    def test_inline_commands(self):
        with self.server.client() as client:
            client.send_raw(b"\r\nping\r\n\r\nPUSH inline t payload\r\necho hello\r\n")
            self.assertEqual(client.receive(), "PONG")
            self.assertTrue(client.receive().isdigit())
            self.assertEqual(client.receive(), b"hello")


if __name__ == "__main__":
    unittest.main(verbosity=1)
