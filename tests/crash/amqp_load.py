"""The AMQP clients of the crash test: producers with confirms and with transactions, consumers that ack, requeue,
reject and leave. What they send and are told goes into the ledger. They end when the server does."""
import pathlib
import sys
import time

import pika

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "amqp"))
from amqp_ledger import DEAD_QUEUE  # noqa: E402
from clients import Clients  # noqa: E402
from ledger import Ledger  # noqa: E402
from wire import Gone, Wire  # noqa: E402

QUEUES = ("amqp.mail", "amqp.pdf")
DRAIN_SECONDS_MAX = 120
BACKLOG_MAX = 3_000  # beyond it producers wait, so that memory of the test stays small


class AmqpLoad(Clients):
    gone = Gone
    options = ["--amqp", "127.0.0.1:0"]

    def prepare(self, server):
        wire = Wire(server.amqp_port, "declares")
        for queue in (*QUEUES, DEAD_QUEUE):
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD_QUEUE}
            wire.ask(pika.spec.Queue.Declare(queue=queue, durable=True, arguments=arguments if queue in QUEUES else {}),
                     pika.spec.Queue.DeclareOk)
        wire.leave()

    def roles(self):
        return (self.produce, self.produce, self.produce_in_transactions, self.consume, self.consume,
                self.consume_in_transactions)

    def act(self, role, server, rng, name):
        while not self.stopping:
            role(server.amqp_port, rng, name)

    # -- Producers. ----------------------------------------------------------------------------------

    def new_messages(self, rng, name, count):
        """(uid, bytes to send) of each."""
        queue, is_durable = rng.choice(QUEUES), rng.random() < 0.9
        found = []
        for _ in range(count):
            with self.lock:
                uid, self.next_uid = self.next_uid, self.next_uid + 1
            size = rng.choice((0, 20, 100, 100, 1000)) if rng.random() < 0.98 else rng.randrange(256 << 10)
            self.ledger.publish_begins(uid, queue, name, is_durable)
            found.append((uid, Wire.publish(queue, Ledger.payload(uid, b"x" * size), is_durable)))
        return found

    def wait_for_room(self, wire):
        while not self.stopping:
            ready = sum(wire.ask(pika.spec.Queue.Declare(queue=queue, passive=True),
                                 pika.spec.Queue.DeclareOk).message_count for queue in QUEUES)
            if ready < BACKLOG_MAX:
                return
            time.sleep(0.01)

    def produce(self, port, rng, name):
        wire = Wire(port, name)
        self.wait_for_room(wire)
        wire.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
        first = 1  # number of the first publish that is not confirmed
        for _ in range(20):
            batch = self.new_messages(rng, name, rng.choice((1, 1, 8, 32, 100)))
            wire.send_raw(b"".join(data for _, data in batch))
            open_uids = {first + place: uid for place, (uid, _) in enumerate(batch)}
            first += len(batch)
            while open_uids:
                answer = wire.method()
                assert isinstance(answer, (pika.spec.Basic.Ack, pika.spec.Basic.Nack)), answer
                answered = [number for number in open_uids
                            if number == answer.delivery_tag or (answer.multiple and number <= answer.delivery_tag)]
                self.ledger.published([open_uids.pop(number) for number in answered],
                                      isinstance(answer, pika.spec.Basic.Ack))
        wire.leave()

    def produce_in_transactions(self, port, rng, name):
        wire = Wire(port, name)
        self.wait_for_room(wire)
        wire.ask(pika.spec.Tx.Select(), pika.spec.Tx.SelectOk)
        for _ in range(20):
            batch = self.new_messages(rng, name, rng.choice((1, 3, 10)))
            wire.send_raw(b"".join(data for _, data in batch))
            if rng.random() < 0.1:
                wire.ask(pika.spec.Tx.Rollback(), pika.spec.Tx.RollbackOk)
                self.ledger.published([uid for uid, _ in batch], False)
            else:
                wire.ask(pika.spec.Tx.Commit(), pika.spec.Tx.CommitOk)
                self.ledger.published([uid for uid, _ in batch])
        wire.leave()

    # -- Consumers. ----------------------------------------------------------------------------------

    def consume(self, port, rng, name, commit=None):
        """Takes messages and answers for them; leaves after some, with what it has."""
        with self.lock:
            self.next_uid, name = self.next_uid + 1, f"{name} #{self.next_uid}"
        wire = Wire(port, name)
        if commit:
            wire.ask(pika.spec.Tx.Select(), pika.spec.Tx.SelectOk)
        wire.ask(pika.spec.Basic.Qos(prefetch_count=rng.choice((1, 10, 50))), pika.spec.Basic.QosOk)
        for queue in (*QUEUES, DEAD_QUEUE):
            wire.send(pika.spec.Basic.Consume(queue=queue, consumer_tag=queue))
        answered, left, barrier_at = [], rng.randrange(20, 400), rng.choice((1, 5, 20))
        while left > 0 and not self.stopping:
            method = wire.method()
            if isinstance(method, pika.spec.Basic.ConsumeOk):
                continue
            delivery = self.take(wire, method)
            left -= 1
            if delivery is None:
                return
            end, method = self.choose(rng, delivery)
            if not commit:
                self.ledger.ends(delivery, end)
            wire.send(method)
            answered.append((delivery, end))
            if len(answered) >= barrier_at:
                self.await_barrier(wire, answered, commit)
                answered = []
        self.ledger.consumer_leaves()
        wire.leave()

    def take(self, wire, method):
        assert isinstance(method, pika.spec.Basic.Deliver), method
        return self.ledger.delivered(wire.content(), method.consumer_tag, wire, method.delivery_tag, method.redelivered)

    def consume_in_transactions(self, port, rng, name):
        self.consume(port, rng, name, commit=True)

    @staticmethod
    def choose(rng, delivery):
        """What becomes of it, and the method that says so."""
        what = rng.random()
        if what < 0.85:
            return "ack", pika.spec.Basic.Ack(delivery.tag)
        if what < 0.92:
            return "requeue", pika.spec.Basic.Nack(delivery.tag, requeue=True)
        if what < 0.97 and delivery.queue != DEAD_QUEUE:
            return "reject", pika.spec.Basic.Reject(delivery.tag, requeue=False)
        return "requeue", pika.spec.Basic.Reject(delivery.tag, requeue=True)

    def await_barrier(self, wire, answered, commit):
        """Waits for the answer that tells that what was sent is durable. Deliveries that come before it stay
        unanswered: they are for others when this consumer leaves."""
        if commit:
            for delivery, end in answered:
                self.ledger.ends(delivery, end)
        wire.send(pika.spec.Tx.Commit() if commit else pika.spec.Queue.Declare(queue=QUEUES[0], passive=True))
        wanted = pika.spec.Tx.CommitOk if commit else pika.spec.Queue.DeclareOk
        while not isinstance(method := wire.method(), wanted):
            if not isinstance(method, pika.spec.Basic.ConsumeOk):
                self.take(wire, method)
        self.ledger.durable([delivery for delivery, end in answered if end != "requeue"])

    # -- The end. ------------------------------------------------------------------------------------

    def drain(self, server):
        """Takes and acks until nothing is left in any queue."""
        wire, end = Wire(server.amqp_port, "drain"), time.monotonic() + DRAIN_SECONDS_MAX
        empty = set()
        while len(empty) < len(QUEUES) + 1 and time.monotonic() < end:
            for queue in (*QUEUES, DEAD_QUEUE):
                wire.send(pika.spec.Basic.Get(queue=queue))
                method = wire.method()
                if isinstance(method, pika.spec.Basic.GetEmpty):
                    empty.add(queue)
                    continue
                empty.clear()
                delivery = self.ledger.delivered(wire.content(), queue, wire, method.delivery_tag, method.redelivered)
                if delivery:
                    self.ledger.ends(delivery, "ack")
                    wire.send(pika.spec.Basic.Ack(method.delivery_tag))
        if len(empty) < len(QUEUES) + 1:
            self.ledger.violate("starved", f"not drained after {DRAIN_SECONDS_MAX} s")
        wire.leave()
