#!/usr/bin/env python3
"""The orders shop end to end, with real processes; and its mail server and payment provider alone.

CTest runs it with ORDERS_DEMO and SLUICE_BIN set to the two programs.
"""

import email
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import select
import shutil
import smtplib
import socket
import subprocess
import tempfile
import termios
import unittest

DEMO = os.environ.get("ORDERS_DEMO", "build/release/orders_demo")
DEADLINE_S = 150


class Part:
    """A subcommand of the demo on a free port, ended by its own handle."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([DEMO, *arguments], stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words[:2] == ["listening", "on"], words
        self.port, self.page_port = int(words[2]), int(words[3])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()


def request(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, None if body is None else json.dumps(body), headers or {})
    answer = connection.getresponse()
    status, answered = answer.status, json.loads(answer.read())
    connection.close()
    return status, answered


def get(port, path):
    return request(port, "GET", path)[1]


class Shop(unittest.TestCase):
    def run_demo(self, *arguments):
        with tempfile.TemporaryDirectory(prefix="orders-demo-test-") as parent:
            place = pathlib.Path(parent) / "demo"
            ended = subprocess.run(
                [DEMO, "--once", "--dir", str(place), *arguments],
                capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            report = place / "report.json"
            found = json.loads(report.read_text()) if report.exists() else {}
            logs = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}"
                             for log in place.glob("logs/*"))
            self.check_files(place, found)
        return ended, found, logs

    def check_files(self, place, report):
        """The table's numbers against what lies in the directory."""
        mails = [email.message_from_bytes(path.read_bytes()) for path in place.glob("mails/*.eml")]
        if not report:
            return
        ids = {mail["Message-ID"] for mail in mails}
        mailed = report["sync"]["mailed"] + report["queued"]["mailed"]
        self.assertEqual(len(ids), mailed)
        for mail in mails:
            pdf = mail.get_payload()[1]
            self.assertEqual(pdf.get_content_type(), "application/pdf")
            self.assertTrue(pdf.get_payload(decode=True).startswith(b"%PDF-"))

    def test_every_accepted_order_survives_two_kills_of_the_server(self):
        ended, report, logs = self.run_demo("--orders", "60", "--customers", "8", "--chaos")
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr + logs)
        self.assertEqual(report["faults"], [])
        self.assertEqual(report["outages"], 2)
        self.assertEqual(report["double_charges"], 0)
        queued = report["queued"]
        self.assertEqual(queued["failures_seen"], 0)
        for what in ("orders", "accepted", "charged", "mailed", "invoices"):
            self.assertEqual(queued[what], 60, what)
        self.assertEqual(report["jobs_done"], 180)
        self.assertRegex(ended.stdout, r"double charges +0 +0\n")
        self.assertRegex(ended.stdout, r"mails delivered +\d+ +60\n")

    def test_the_count_of_double_charges_can_fail(self):
        # 400 charges of which 5 % are made and lost: the chance that none is repeated is 1e-9.
        ended, report, logs = self.run_demo("--orders", "400", "--careless")
        self.assertEqual(ended.returncode, 1, ended.stdout + ended.stderr + logs)
        self.assertGreater(report["double_charges"], 0)

    def test_a_server_that_does_not_start_is_told_with_its_log(self):
        ended = subprocess.run([DEMO, "--once", "--sluice", "/nowhere/sluice"], capture_output=True,
                               text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(ended.returncode, 2)
        self.assertIn("/nowhere/sluice serve did not start", ended.stderr)
        self.assertIn("cannot be run", ended.stderr)
        place = re.search(r"the orders shop, in (\S+)", ended.stdout)[1]
        shutil.rmtree(place)  # Kept for its logs.

    def test_a_directory_that_is_in_use_is_refused(self):
        with tempfile.TemporaryDirectory() as place:
            kept = pathlib.Path(place) / "mine"
            kept.write_text("mine")
            ended = subprocess.run([DEMO, "--once", "--dir", place], capture_output=True,
                                   text=True, timeout=DEADLINE_S, check=False)
            self.assertEqual(ended.returncode, 2)
            self.assertIn("must be a new or an empty directory", ended.stderr)
            self.assertEqual(kept.read_text(), "mine")


class Visit(unittest.TestCase):
    """The demo on a terminal: it stays open until Ctrl-C."""

    def setUp(self):
        self.terminal, inner = pty.openpty()
        self.demo = subprocess.Popen([DEMO, "--orders", "20", "--customers", "4", "--pause", "0"],
                                     stdin=inner, stdout=inner, stderr=inner,
                                     preexec_fn=lambda: take_terminal(inner))
        os.close(inner)
        self.shown = ""
        self.addCleanup(self.leave)

    def leave(self):
        if self.demo.poll() is None:
            self.demo.terminate()
            self.demo.wait(timeout=30)
        os.close(self.terminal)

    def read_until(self, pattern):
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.terminal], [], [], DEADLINE_S)
            self.assertTrue(ready, f"no {pattern!r} in {self.shown}")
            self.shown += os.read(self.terminal, 65536).decode()
        return found

    def test_the_shop_is_open_until_ctrl_c_and_its_server_comes_back(self):
        self.read_until("Ctrl-C ends it")
        place = pathlib.Path(re.search(r"the orders shop, in (\S+)", self.shown)[1])
        api = int(re.search(r"http://127.0.0.1:(\d+)/orders/ID", self.shown)[1])
        server = int(re.search(r"kill -9 (\d+)", self.shown)[1])
        self.assertEqual(len(list(place.glob("mails/*.eml"))) >= 20, True)
        os.kill(server, 9)
        again = int(self.read_until(r"started again: pid (\d+)")[1])

        order = {"customer": "Ada", "email": "ada@example.com", "card": "tok_1",
                 "items": [{"name": "Teapot", "quantity": 1, "price_cents": 1950}]}
        asked = request(api, "POST", "/orders", order, {"Idempotency-Key": "ada-1"})
        repeated = request(api, "POST", "/orders", order, {"Idempotency-Key": "ada-1"})
        self.assertEqual(asked, repeated)
        self.assertEqual(asked[0], 202)
        client = [os.environ.get("SLUICE_BIN", "sluice"), "job", asked[1]["jobs"]["receipt"],
                  "--url", re.search(r"sluice://\S+", self.shown)[0], "--wait", "60s"]
        subprocess.run(client, check=True, capture_output=True, timeout=90)
        status, shown = request(api, "GET", "/orders/ada-1")
        self.assertEqual((status, shown["done"]), (200, True), shown)
        self.assertIn("ch_ada-1_1", shown["jobs"]["charge"]["result"])

        status, wrong = request(api, "POST", "/orders", dict(order, email="nobody"))
        self.assertEqual(status, 400)
        self.assertIn("email", wrong["error"])
        self.assertEqual(request(api, "GET", "/orders/none")[0], 404)

        os.write(self.terminal, b"\x03")
        self.assertEqual(self.demo.wait(timeout=60), 0)
        self.assertFalse(place.exists())
        self.assertFalse(pathlib.Path(f"/proc/{again}").exists())


def take_terminal(inner):
    """In the child: makes the terminal its own, so that Ctrl-C reaches it."""
    os.setsid()
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)


class MailServer(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.mails = pathlib.Path(place.name)
        self.part = Part("mail", "--mails", place.name)
        self.addCleanup(self.part.__exit__)

    def test_a_mail_is_stored_as_it_was_sent(self):
        text = "Message-ID: <one@example.com>\r\nSubject: dots\r\n\r\n.\r\n..two\r\nend\r\n"
        with smtplib.SMTP("127.0.0.1", self.part.port, timeout=20) as client:
            for _ in range(2):
                client.sendmail("a@example.com", ["b@example.com", "c@example.com"], text)
        stored = sorted(self.mails.glob("*.eml"))
        self.assertEqual([path.read_bytes().decode() for path in stored], [text, text])
        self.assertEqual(get(self.part.page_port, "/mails"), {"one@example.com": 2})
        self.assertEqual(get(self.part.page_port, "/")["message_ids"], 1)

    def test_commands_out_of_order_are_refused_and_the_session_goes_on(self):
        with smtplib.SMTP("127.0.0.1", self.part.port, timeout=20) as client:
            self.assertEqual(client.docmd("MAIL", "FROM:<a@b>")[0], 503)
            self.assertEqual(client.ehlo("me")[0], 250)
            self.assertEqual(client.docmd("RCPT", "TO:<a@b>")[0], 503)
            self.assertEqual(client.docmd("DATA")[0], 503)
            self.assertEqual(client.docmd("MAIL", "a@b")[0], 501)
            self.assertEqual(client.docmd("MAIL", "FROM:<>")[0], 250)
            self.assertEqual(client.docmd("MAIL", "FROM:<>")[0], 503)
            self.assertEqual(client.docmd("RCPT", "TO:<>")[0], 501)
            self.assertEqual(client.docmd("TURN")[0], 500)
            self.assertEqual(client.rset()[0], 250)
            self.assertEqual(client.noop()[0], 250)
        self.assertEqual(list(self.mails.glob("*")), [])

    def test_a_line_beyond_the_limit_ends_the_session(self):
        with socket.create_connection(("127.0.0.1", self.part.port), timeout=20) as client:
            client.recv(1000)
            try:
                client.sendall(b"x" * 5000)
                ended = client.recv(1000) == b""
            except ConnectionError:
                ended = True
            self.assertTrue(ended)
        with smtplib.SMTP("127.0.0.1", self.part.port, timeout=20) as client:
            self.assertEqual(client.noop()[0], 250)


class PaymentProvider(unittest.TestCase):
    def charge(self, part, key, body):
        connection = http.client.HTTPConnection("127.0.0.1", part.port, timeout=20)
        headers = {"Idempotency-Key": key} if key else {}
        connection.request("POST", "/charges", json.dumps(body), headers)
        try:
            return connection.getresponse().status
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            connection.close()

    def test_one_key_is_charged_once_two_keys_twice(self):
        with Part("payments", "--failures", "0") as part:
            body = {"order": "one", "amount_cents": 1950}
            for key in ("a", "a", "b"):
                self.assertEqual(self.charge(part, key, body), 200)
            self.assertEqual(get(part.port, "/orders"), {"one": 2})
            totals = get(part.port, "/")
        self.assertEqual(totals["charges"], 2)
        self.assertEqual(totals["repeated_keys"], 1)
        self.assertEqual(totals["orders_charged_twice"], 1)

    def test_half_of_the_failures_have_charged_the_card(self):
        with Part("payments", "--failures", "1") as part:
            seen = [self.charge(part, str(i), {"order": str(i), "amount_cents": 1})
                    for i in range(30)]
            totals = get(part.port, "/")
        self.assertEqual(set(seen), {500, None})
        self.assertEqual(totals["charged_but_answer_lost"], seen.count(None))
        self.assertEqual(totals["charges"], seen.count(None))

    def test_a_charge_without_a_key_is_refused(self):
        with Part("payments") as part:
            self.assertEqual(self.charge(part, "", {"order": "one", "amount_cents": 1}), 400)
            self.assertEqual(self.charge(part, "a", {"order": 1, "amount_cents": 1}), 400)
            self.assertEqual(self.charge(part, "a", []), 400)
            self.assertEqual(get(part.port, "/")["charges"], 0)


if __name__ == "__main__":
    unittest.main()
