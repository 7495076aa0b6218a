#!/usr/bin/env python3
"""The history checker on histories written by hand: each verdict once, and beside it the legal history that looks
most like it. A checker that cannot find these would find nothing in the crash test either."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import RespError  # noqa: E402
from ledger import RESTART_LEASE_SECONDS, Ledger  # noqa: E402

STALE, BUSY, NOJOB = RespError("STALE gone"), RespError("BUSY full"), RespError("NOJOB none")


class History:
    """Writes a history, one line an event, on a clock that only `at` moves."""

    def __init__(self):
        self.now = 0.0
        self.ledger = Ledger(clock=lambda: self.now)
        self.ledger.server_starts()

    def at(self, seconds):
        self.now = seconds
        return self

    def push(self, uid, reply=None, lane=None):
        """Without a reply: the connection broke."""
        self.ledger.push_begins(uid, "mail", lane)
        if reply is not None:
            self.ledger.push_answered(uid, b"%d" % reply if isinstance(reply, int) else reply)
        return self

    def pull(self, uid, token, job_id=None, asked=None, lease=5.0, worker="w", attempt=1, payload=None, queue=b"mail"):
        fields = {"id": str(job_id or uid), "token": str(token), "attempt": attempt, "queue": queue,
                  "payload": payload or Ledger.payload(uid)}
        return self.ledger.delivered(fields, worker, self.now if asked is None else asked, lease)

    def answer(self, what, delivery, reply=None, seconds=None):
        answer = self.ledger.answer_begins(delivery, what, seconds)
        if reply is not None:
            self.ledger.answer_ends(answer, reply)
        return answer

    def ack(self, delivery, reply="OK"):
        return self.answer("ack", delivery, reply)

    def restart(self):
        self.ledger.server_ended()
        self.ledger.server_starts()
        return self

    def verdicts(self):
        return sorted({verdict for verdict, _ in self.ledger.judge()})


class Verdicts(unittest.TestCase):
    def setUp(self):
        self.history = History()

    def expect(self, *verdicts):
        self.assertEqual(self.history.verdicts(), sorted(verdicts), self.history.ledger.violations)

    def count(self, what):
        return self.history.ledger.counts[what]

    # -- lost ------------------------------------------------------------------------------------------

    def test_acknowledged_and_never_seen_again_is_lost(self):
        self.history.push(1, 1)
        self.expect("lost")

    def test_delivered_and_gone_without_an_ack_is_lost(self):
        self.history.push(1, 1).pull(1, 10)
        self.expect("lost")

    def test_done_though_nobody_acked_is_lost(self):
        self.history.push(1, 1).ledger.remains(1, "succeeded")
        self.expect("lost")

    def test_what_is_there_removed_acked_or_perhaps_acked_is_not_lost(self):
        history = self.history
        for uid in range(1, 5):
            history.push(uid, uid)
        history.ledger.remains(1, "ready")
        history.ledger.was_removed(2, "expired")
        history.ack(history.pull(3, 10))
        history.ack(history.pull(4, 11), reply=None)
        self.expect()

    def test_a_push_without_an_answer_may_be_gone(self):
        self.history.push(1)
        self.expect()

    # -- phantom, recovered ----------------------------------------------------------------------------

    def test_what_nobody_pushed_is_a_phantom(self):
        self.assertIsNone(self.history.pull(7, 10))
        self.expect("phantom")

    def test_other_bytes_are_a_phantom(self):
        self.history.push(1, 1)
        self.history.pull(1, 10, payload=Ledger.payload(1) + b"x")
        self.history.ledger.remains(1, "leased")
        self.expect("phantom")

    def test_another_queue_is_a_phantom(self):
        self.history.push(1, 1)
        self.history.ack(self.history.pull(1, 10, queue=b"pdf"))
        self.expect("phantom")

    def test_a_refused_push_that_is_delivered_is_a_phantom(self):
        self.history.push(1, BUSY).pull(1, 10)
        self.expect("phantom")

    def test_a_push_without_an_answer_that_is_delivered_is_recovered(self):
        self.history.push(1).pull(1, 10)
        self.expect()
        self.assertEqual(self.count("recovered: pushes without an answer that turned out done"), 1)

    # -- pushed twice ----------------------------------------------------------------------------------

    def test_one_key_and_two_ids_is_pushed_twice(self):
        self.history.push(1).push(1, 5).push(1, 6)
        self.history.ledger.remains(1, "ready")
        self.expect("pushed twice")

    def test_one_push_without_an_answer_and_two_jobs_is_pushed_twice(self):
        self.history.push(1)
        self.history.pull(1, 10, job_id=5)
        self.history.at(6).pull(1, 11, job_id=6)
        self.expect("pushed twice")

    def test_the_same_key_again_with_the_same_id_is_fine(self):
        self.history.push(1).push(1, 5).push(1, 5)
        self.history.ledger.remains(1, "ready")
        self.expect()

    # -- undead ----------------------------------------------------------------------------------------

    def test_a_delivery_after_an_acknowledged_ack_is_undead(self):
        history = self.history.push(1, 1)
        history.ack(history.pull(1, 10, lease=1.0))
        history.at(2).pull(1, 11)
        self.expect("undead")

    def test_a_delivery_in_a_later_life_after_an_acknowledged_ack_is_undead(self):
        history = self.history.push(1, 1)
        history.ack(history.pull(1, 10))
        history.at(1).restart().at(2).pull(1, 11)
        self.expect("undead")

    def test_a_delivery_that_was_there_before_the_ack_was_answered_is_undead_too(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10, lease=1.0)
        ack = history.at(0.9).ack(first, reply=None)
        history.at(1.5).pull(1, 11)
        history.ledger.answer_ends(ack, "OK")
        self.expect("undead")

    def test_a_delivery_after_an_ack_without_an_answer_is_fine_once_the_lease_is_over(self):
        history = self.history.push(1, 1)
        history.ack(history.pull(1, 10, lease=1.0), reply=None)
        history.at(2).pull(1, 11)
        self.expect()

    def test_an_older_delivery_read_after_the_ack_of_a_newer_one_is_fine(self):
        history = self.history.push(1, 1)
        history.at(3).ack(history.pull(1, 11))
        history.at(3.1).pull(1, 10, asked=0, lease=2.0)  # its reply lay in another connection
        self.expect()

    # -- two owners, no reason -------------------------------------------------------------------------

    def test_a_second_lease_while_the_first_runs_is_two_owners(self):
        history = self.history.push(1, 1)
        history.pull(1, 10, lease=5.0)
        history.ack(history.at(4.9).pull(1, 11))
        self.expect("two owners")

    def test_a_second_lease_while_an_extended_one_runs_is_two_owners(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10, lease=1.0)
        history.answer("extend", first, "OK", seconds=5.0)
        history.ack(history.at(4).pull(1, 11))
        self.expect("two owners")

    def test_expired_failed_released_or_cut_short_is_a_reason(self):
        history = self.history
        for uid in range(1, 5):
            history.push(uid, uid)
        first = [history.pull(uid, 10 + uid) for uid in range(1, 5)]
        history.answer("fail", first[1], "OK")
        history.answer("release", first[2])  # no reply: it may have happened
        history.answer("extend", first[3], seconds=0.5)
        history.at(1)
        for uid in (2, 3, 4):
            history.ack(history.pull(uid, 20 + uid))
        history.ack(history.at(5).pull(1, 21))
        self.expect()
        for reason, count in (("lease expired", 2), ("failed", 1), ("released", 1)):
            self.assertEqual(self.count(f"redeliveries: {reason}"), count)

    def test_a_refused_fail_is_no_reason(self):
        history = self.history.push(1, 1)
        history.answer("fail", history.pull(1, 10), STALE)
        history.ack(history.pull(1, 11))
        self.expect("refused", "two owners")

    def test_a_durable_lease_that_comes_again_after_a_restart_has_no_reason(self):
        history = self.history.push(1, 1)
        history.pull(1, 10)
        history.at(0.1).push(2, 2)  # acknowledged: so the lease before it is durable
        history.ledger.remains(2, "ready")
        history.restart().at(1)
        history.ack(history.pull(1, 11))
        self.expect("no reason")

    def test_a_lease_that_no_acknowledged_command_followed_may_be_forgotten_by_a_crash(self):
        history = self.history.push(1, 1).at(0.1)
        history.pull(1, 10)
        history.restart().ack(history.pull(1, 11))
        self.expect()
        self.assertEqual(self.count("redeliveries: its lease was not durable"), 1)

    def test_a_second_push_with_the_same_key_makes_nothing_durable(self):
        history = self.history.push(1, 1).push(2, 2).at(0.1)
        history.pull(1, 10)
        history.at(0.2).push(2, 2)
        history.ledger.remains(2, "ready")
        history.restart().ack(history.pull(1, 11))
        self.expect()

    def test_a_durable_lease_that_ended_before_the_crash_or_long_after_the_start_is_a_reason(self):
        history = self.history.push(1, 1).push(2, 2)
        history.pull(1, 10, lease=1.0)
        history.pull(2, 11, lease=5.0)
        history.at(0.1).push(3, 3)
        history.ledger.remains(3, "ready")
        history.at(2).restart()
        history.ack(history.pull(1, 12))
        history.at(2 + RESTART_LEASE_SECONDS).ack(history.pull(2, 13))
        self.expect()

    def test_a_lease_that_was_cut_short_after_the_restart_is_a_reason(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10)
        history.at(0.1).push(2, 2)
        history.ledger.remains(2, "ready")
        history.restart().answer("extend", first, "OK", seconds=0.5)
        history.at(1).ack(history.pull(1, 11))
        self.expect()

    # -- stale ok, refused -----------------------------------------------------------------------------

    def test_an_answer_with_an_old_token_that_is_taken_is_stale_ok(self):
        for what in ("ack", "fail", "release", "extend"):
            with self.subTest(what):
                history = self.history = History().push(1, 1)
                first = history.pull(1, 10, lease=1.0)
                second = history.at(2).pull(1, 11)
                history.at(2.1).answer(what, first, "OK", seconds=1.0)
                history.ledger.remains(1, "leased")
                self.assertIsNotNone(second)
                self.assertIn("stale ok", history.verdicts())

    def test_an_answer_after_the_end_of_its_lease_that_is_taken_is_stale_ok(self):
        history = self.history.push(1, 1)
        first = history.at(0.5).pull(1, 10, asked=0.0, lease=1.0)
        history.at(1.51).ack(first)
        self.expect("stale ok")

    def test_two_acks_with_one_token_are_stale_ok(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10)
        history.ack(first)
        history.ack(first)
        self.expect("stale ok")

    def test_an_answer_that_may_still_have_been_in_time_is_fine(self):
        history = self.history.push(1, 1).push(2, 2)
        first = history.at(0.5).pull(1, 10, asked=0.0, lease=1.0)
        second = history.pull(2, 11, lease=1.0)
        history.answer("extend", second, "OK", seconds=9.0)
        history.at(1.4).ack(first)
        history.at(9).ack(second)
        self.expect()

    def test_the_refusal_of_a_current_lease_is_found(self):
        history = self.history.push(1, 1)
        history.ack(history.pull(1, 10), STALE)
        history.ledger.remains(1, "ready")
        self.expect("refused")

    def test_the_refusal_of_a_lease_that_survives_a_restart_is_found(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10)
        history.at(0.1).push(2, 2)
        history.restart().ack(first, STALE)
        history.ledger.remains(1, "ready")
        history.ledger.remains(2, "ready")
        self.expect("refused")

    def test_no_such_job_though_nobody_acked_it_is_found(self):
        history = self.history.push(1, 1)
        first = history.pull(1, 10, lease=1.0)
        history.at(2).ack(first, NOJOB)
        history.ledger.remains(1, "ready")
        self.expect("refused")

    def test_a_refusal_is_fine_when_the_lease_may_have_ended(self):
        history = self.history.push(1, 1).push(2, 2).at(0.1)
        first, second = history.pull(1, 10, lease=1.0), history.pull(2, 11)
        history.at(1.1).ack(first, STALE)
        history.ack(second, reply=None)
        history.restart().ack(second, NOJOB)  # the first ack had happened
        history.ledger.remains(1, "ready")
        self.expect()

    # -- tokens, reorder, starved ----------------------------------------------------------------------

    def test_a_token_of_an_earlier_life_is_found(self):
        history = self.history.push(1, 1).push(2, 2)
        history.ack(history.pull(1, 10))
        history.restart().ack(history.pull(2, 9))
        self.expect("tokens")

    def test_a_token_that_is_given_twice_is_found(self):
        history = self.history.push(1, 1)
        history.pull(1, 10, lease=1.0)
        history.at(2).pull(1, 10)
        history.ledger.remains(1, "leased")
        self.expect("tokens")

    def test_first_attempts_in_another_order_are_reordered(self):
        history = self.history.push(1, 1, lane="p").push(2, 2, lane="p")
        history.ack(history.pull(2, 10))
        history.ack(history.pull(1, 11))
        self.expect("reorder")

    def test_another_order_is_fine_between_lanes_workers_lives_and_attempts(self):
        history = self.history
        for uid, lane in ((1, "p"), (2, "q"), (3, "p"), (4, None), (5, "p")):
            history.push(uid, uid, lane=lane)
        history.ack(history.pull(5, 10))
        history.ack(history.pull(2, 11))                # another producer or priority
        history.ack(history.pull(4, 12))                # delayed: its place does not count
        history.ack(history.pull(3, 13, worker="v"))    # another consumer
        history.restart().ack(history.pull(1, 14))      # an unseen lease may have been forgotten
        self.expect()

    def test_a_later_attempt_may_come_later(self):
        history = self.history.push(1, 1, lane="p").push(2, 2, lane="p")
        history.ack(history.pull(2, 10))
        history.ack(history.pull(1, 11, attempt=2))
        self.expect()

    def test_ready_for_too_long_while_workers_pull_is_starved(self):
        self.history.push(1, 1).ledger.remains(1, "ready", ready_seconds=31, starved_after=30)
        self.expect("starved")

    def test_ready_for_a_while_or_leased_is_not_starved(self):
        self.history.push(1, 1).push(2, 2)
        self.history.ledger.remains(1, "ready", ready_seconds=29, starved_after=30)
        self.history.ledger.remains(2, "leased", ready_seconds=31, starved_after=30)
        self.expect()


if __name__ == "__main__":
    unittest.main()
