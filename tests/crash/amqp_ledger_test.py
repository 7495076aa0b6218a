#!/usr/bin/env python3
"""The history checker of messages on histories written by hand: each verdict once, and beside it the legal history
that looks most like it."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from amqp_ledger import DEAD_QUEUE, AmqpLedger  # noqa: E402
from ledger import Ledger  # noqa: E402


class Consumer:
    def __init__(self, name):
        self.name, self.is_left = name, False


class Verdicts(unittest.TestCase):
    def setUp(self):
        self.ledger, self.a, self.b = AmqpLedger(), Consumer("a"), Consumer("b")
        self.ledger.server_starts()

    def publish(self, uid, is_fine=True, is_durable=True, producer="p"):
        """None: without an answer."""
        self.ledger.publish_begins(uid, "amqp.mail", producer, is_durable)
        if is_fine is not None:
            self.ledger.published([uid], is_fine)

    def deliver(self, uid, consumer=None, queue="amqp.mail", redelivered=False, payload=None):
        return self.ledger.delivered(payload or Ledger.payload(uid), queue, consumer or self.a, 1, redelivered)

    def end(self, delivery, end, is_durable=False):
        self.ledger.ends(delivery, end)
        if is_durable:
            self.ledger.durable([delivery])

    def restart(self):
        self.ledger.server_ended()
        self.ledger.server_starts()

    def expect(self, *verdicts):
        self.assertEqual(sorted({verdict for verdict, _ in self.ledger.judge()}), sorted(verdicts))

    def test_lost(self):
        self.publish(1)
        self.expect("lost")

    def test_not_lost(self):
        self.publish(1)
        self.end(self.deliver(1), "ack")
        self.publish(2, None)
        self.publish(3, False)
        self.publish(4, is_durable=False)
        self.expect()

    def test_lost_after_a_rejection(self):
        self.publish(1)
        self.end(self.deliver(1), "reject", True)
        self.expect("lost")

    def test_not_lost_after_a_rejection(self):
        self.publish(1)
        self.end(self.deliver(1), "reject", True)
        self.end(self.deliver(1, queue=DEAD_QUEUE), "ack")
        self.expect()

    def test_phantoms(self):
        self.deliver(1)
        self.expect("phantom")

    def test_a_phantom_of_other_bytes(self):
        self.publish(1, None)
        self.deliver(1, payload=Ledger.payload(1)[:-1] + b"!")
        self.expect("phantom")

    def test_a_phantom_that_was_refused(self):
        self.publish(1, False)
        self.deliver(1)
        self.expect("phantom")

    def test_a_phantom_from_another_queue(self):
        self.publish(1, None)
        self.deliver(1, queue=DEAD_QUEUE)
        self.expect("phantom")

    def test_undead_after_a_durable_ack(self):
        self.publish(1)
        self.end(self.deliver(1), "ack", True)
        self.restart()
        self.deliver(1)
        self.expect("undead")

    def test_not_undead_after_an_ack_that_a_kill_swallowed(self):
        self.publish(1)
        self.end(self.deliver(1), "ack")
        self.restart()
        self.end(self.deliver(1), "ack")
        self.expect()

    def test_undead_after_a_durable_rejection(self):
        self.publish(1)
        self.end(self.deliver(1), "reject", True)
        self.restart()
        self.end(self.deliver(1), "ack")
        self.expect("undead")

    def test_undead_while_the_acking_connection_goes_on(self):
        self.publish(1)
        self.end(self.deliver(1), "ack")
        self.deliver(1, self.b, redelivered=True)
        self.expect("undead")

    def test_two_owners(self):
        self.publish(1)
        self.deliver(1)
        self.end(self.deliver(1, self.b, redelivered=True), "ack")
        self.expect("two owners")

    def test_not_two_owners_once_the_first_has_left(self):
        self.publish(1)
        self.deliver(1)
        self.a.is_left = True
        self.end(self.deliver(1, self.b, redelivered=True), "ack")
        self.expect()

    def test_the_flag_of_redelivery(self):
        self.publish(1)
        self.end(self.deliver(1), "requeue")
        self.end(self.deliver(1, self.b), "ack")
        self.expect("flag")

    def test_no_flag_is_needed_after_a_kill(self):
        self.publish(1)
        self.deliver(1)
        self.restart()
        self.end(self.deliver(1), "ack")
        self.expect()

    def test_a_transient_message_ends_with_its_life(self):
        self.publish(1, is_durable=False)
        self.restart()
        self.deliver(1)
        self.expect("transient")

    def test_order(self):
        for uid in (1, 2):
            self.publish(uid)
        for uid in (2, 1):
            self.end(self.deliver(uid), "ack")
        self.expect("reorder")

    def test_order_of_two_producers_and_after_a_consumer_left(self):
        for uid, producer in ((1, "p"), (2, "q"), (3, "p"), (4, "p")):
            self.publish(uid, producer=producer)
        for uid in (2, 1, 4):
            self.end(self.deliver(uid), "ack")
        self.ledger.consumer_leaves()
        self.end(self.deliver(3), "ack")
        self.expect()


if __name__ == "__main__":
    unittest.main()
