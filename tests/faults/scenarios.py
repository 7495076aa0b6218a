"""What a server does while its system calls fail: the scenarios of the Nth-call loops.

A scenario prepares a data directory once, with no fault; each run gets a copy of it. `act` then uses the server as
clients do, and writes into the run's ledger what was said. It may end at any moment with a closed connection.
"""
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "crash"))
from harness import RespError, Server, as_dict  # noqa: E402
from ledger import Ledger  # noqa: E402

QUEUE = "work"
LEASE_SECONDS = 30.0
CLIENT_SECONDS_MAX = 10.0  # without a reply for so long, the server hangs


class Life:
    """One data directory, the server on it, and what its clients were told."""

    def __init__(self, folder, options=(), environment=None):
        self.folder, self.ledger, self.next_uid, self.events = pathlib.Path(folder), Ledger(), 1, []
        self.server = Server(directory=folder, start=False, environment=environment,
                             options=["--drain", "1s", *(options or ("--segment-bytes", "64KiB"))])
        self.ledger.server_starts()

    def client(self):
        return self.server.client(timeout=CLIENT_SECONDS_MAX)

    def copy_to(self, folder, environment):
        """Another life that goes on from this one's directory and history. The server is not running."""
        other = Life(folder, environment=environment)
        other.server.options = self.server.options
        shutil.copytree(self.folder / "data", other.folder / "data", dirs_exist_ok=True)
        other.next_uid = self.next_uid
        for method, arguments in self.events:
            getattr(other, method)(*arguments)
        other.ledger.server_ended()
        other.ledger.server_starts()
        return other

    # -- What clients do, written down. ----------------------------------------------------------------

    def push(self, client, count=1, size=100, *options):
        """Pushes some jobs in one pipeline."""
        uids = range(self.next_uid, self.next_uid + count)
        self.next_uid += count
        for uid in uids:
            self.ledger.push_begins(uid, QUEUE)
        client.send(*[("PUSH", QUEUE, "step", Ledger.payload(uid, b"x" * size), *options) for uid in uids])
        for uid in uids:
            reply = client.receive()
            self.ledger.push_answered(uid, reply)
            if isinstance(reply, bytes):
                self.events.append(("replay_push", (uid, reply)))

    def pull(self, client, count=1, wait="0", lease=LEASE_SECONDS):
        asked = time.monotonic()
        client.send(("PULL", QUEUE, "COUNT", count, "WAIT", wait, "LEASE", int(lease * 1000)))
        return self.receive_jobs(client, asked, lease)

    def receive_jobs(self, client, asked, lease=LEASE_SECONDS):
        jobs = client.receive()
        if isinstance(jobs, RespError):
            raise jobs
        return [self.ledger.delivered(as_dict(job), "worker", asked, lease) for job in jobs or []]

    def answer(self, client, command, deliveries, *words):
        answers = [self.ledger.answer_begins(delivery, command.lower()) for delivery in deliveries]
        client.send(*[(command, delivery.id, delivery.token, *words) for delivery in deliveries])
        for delivery, answer in zip(deliveries, answers):
            reply = client.receive()
            self.ledger.answer_ends(answer, reply)
            if command == "ACK" and reply == "OK":
                self.events.append(("replay_ack", (delivery.job.uid, delivery.id, delivery.token)))

    def replay_push(self, uid, reply):
        self.ledger.push_begins(uid, QUEUE)
        self.ledger.push_answered(uid, reply)

    def replay_ack(self, uid, job_id, token):
        fields = {"id": job_id, "token": token, "attempt": 1, "queue": QUEUE.encode(), "payload": Ledger.payload(uid)}
        delivery = self.ledger.delivered(fields, "worker", time.monotonic(), LEASE_SECONDS)
        self.ledger.answer_ends(self.ledger.answer_begins(delivery, "ack"), "OK")


class Scenario:
    """`armed`: the fault can strike from the `start` of the server on, from when it is `serving`, or from its `stop`
    on. `prepare` runs on the server that makes the directory, `ending` is how that one ends."""

    def __init__(self, name, act, armed="serving", prepare=None, ending="terminate", options=()):
        self.name, self.act, self.armed, self.prepare = name, act, armed, prepare
        self.ending, self.options, self.template = ending, options, None

    def make_template(self, folder):
        self.template = Life(tempfile.mkdtemp(dir=folder), self.options)
        if self.prepare is None:
            (self.template.folder / "data").mkdir()
            return
        self.template.server.start()
        with self.template.client() as client:
            self.prepare(self.template, client)
        getattr(self.template.server, self.ending)()


def some_jobs(life, client):
    """Jobs in two segments, a few of them acked."""
    life.push(client, 30, 2000)
    life.push(client, 30)
    life.answer(client, "ACK", life.pull(client, 5))
    life.push(client, 3)


def much_garbage(life, client):
    """Segments without a living job behind one with some."""
    client("QUEUE", "SET", QUEUE, "keep", "0")
    life.push(client, 5, 100, "PRIORITY", "9")
    kept = life.pull(client, 5)
    life.push(client, 60, 300)
    life.answer(client, "ACK", life.pull(client, 60))
    life.answer(client, "RELEASE", kept)


def use(life, client):
    """A little of everything."""
    life.push(client, 2)
    life.answer(client, "ACK", life.pull(client, 2))


def push_batches(life, client):
    life.push(client, 12, 300)
    life.push(client)
    life.push(client, 1, 70_000)


def ack(life, client):
    life.answer(client, "ACK", life.pull(client, 3))
    life.answer(client, "ACK", life.pull(client, 2))


def roll(life, client):
    """Some segments of 4 KiB."""
    for _ in range(6):
        life.push(client, 4, 500)


def clean(life, client):
    """Makes garbage until the oldest segments are gone."""
    for _ in range(6):
        life.push(client, 10, 300)
        life.answer(client, "ACK", life.pull(client, 10))


def back_up(life, client):
    target = life.folder / "backup"
    client.send(("BACKUP", str(target)))
    life.backup = client.receive()  # Nth-call loops look at the copy.
    life.push(client)


def wait_for_a_push(life, client):
    with life.client() as waiting:
        asked = time.monotonic()
        waiting.send(("PULL", QUEUE, "WAIT", "5s", "LEASE", int(LEASE_SECONDS * 1000)))
        life.push(client)
        life.answer(waiting, "ACK", life.receive_jobs(waiting, asked))


def connect_often(life, client):
    """Connections that come and go, some of them in the middle of a request."""
    for number in range(8):
        with life.client() as another:
            if number % 2:
                life.push(another)
            else:
                another.send_raw(b"*2\r\n$4\r\nPULL\r\n$4")
    life.push(client)


def come_again(life, client):
    """Timers: a lease that expires, a job that is delayed, one that is retried."""
    life.push(client, 1, 100, "DELAY", "5")
    life.push(client, 2)
    deliveries = life.pull(client, 2, lease=0.02)
    life.answer(client, "FAIL", deliveries[1:], "no luck", "RETRY", "5")
    for _ in range(3):
        life.answer(client, "ACK", life.pull(client, 1, wait="500ms"))


SCENARIOS = [
    Scenario("fresh start", use, armed="start"),
    Scenario("start after a stop", use, armed="start", prepare=some_jobs),
    Scenario("start after kill -9", use, armed="start", prepare=some_jobs, ending="kill"),
    Scenario("start in the middle of cleaning", use, armed="start", prepare=much_garbage, ending="kill",
             options=("--segment-bytes", "4KiB")),
    Scenario("push", push_batches),
    Scenario("ack", ack, prepare=lambda life, client: life.push(client, 10)),
    Scenario("read back and ack", ack, prepare=some_jobs,
             options=("--segment-bytes", "64KiB", "--tail-cache-bytes", "0")),
    Scenario("segment roll", roll, options=("--segment-bytes", "4KiB")),
    Scenario("cleaning", clean, prepare=much_garbage, options=("--segment-bytes", "4KiB")),
    Scenario("backup", back_up, prepare=some_jobs),
    Scenario("waiting pull", wait_for_a_push),
    Scenario("connections", connect_often),
    Scenario("timers", come_again),
    Scenario("stop", use, armed="stop"),
]
