"""The history checker of messages: what AMQP clients sent and were told, kept outside the server, and the judgement
over it. As ledger.py, of which it has the payloads: a message is known by the uid in its payload.

An ack has no answer in AMQP. It is known to be durable when a later method of its channel is answered whose answer
tells of it: tx.commit-ok, or queue.declare-ok, as reads wait for what they have seen (docs/guarantees.md).

  lost           a publish was confirmed, or committed, and the message was neither acked nor there at the end
  phantom        delivered and never published, or with other bytes, from another queue, or though it was refused
  undead         delivered again after an ack or a rejection that was durable, or by a connection that goes on
  two owners     delivered while another consumer of the same life had it
  flag           delivered again in the same life and queue without `redelivered`
  transient      a transient message of an earlier life
  reorder        one consumer got first deliveries of one producer and queue in another order, though no consumer had
                 left in this life: what was on its way to that one goes back to its old place
"""
import collections
import threading
import time

from ledger import Ledger

DEAD_QUEUE = "amqp.dead"


class Message:
    __slots__ = ("uid", "queue", "producer", "is_durable", "publish", "life", "deliveries")

    def __init__(self, uid, queue, producer, is_durable, life):
        self.uid, self.queue, self.producer, self.is_durable, self.life = uid, queue, producer, is_durable, life
        self.publish = "unanswered"  # or "confirmed" or "refused"
        self.deliveries = []

    def story(self):
        kind = "durable" if self.is_durable else "transient"
        lines = [f"  uid {self.uid} for {self.queue} by {self.producer} in life {self.life}, {kind}, {self.publish}"]
        lines += [f"  life {d.life}: from {d.queue} to {d.consumer}{', redelivered' if d.redelivered else ''}: "
                  f"{d.end or 'open'}{', durable' if d.is_durable else ''}{', left' if d.is_left() else ''}"
                  for d in self.deliveries]
        return "\n".join(lines)


class Delivery:
    """One message at one consumer. `end`: ack, reject (to the dead letters) or requeue, once it is sent."""

    __slots__ = ("message", "queue", "consumer", "life", "tag", "redelivered", "end", "is_durable", "is_left")

    def __init__(self, message, queue, consumer, life, tag, redelivered):
        self.message, self.queue, self.consumer, self.life = message, queue, consumer.name, life
        self.tag, self.redelivered, self.end, self.is_durable = tag, redelivered, None, False
        self.is_left = lambda: consumer.is_left


class AmqpLedger:
    """Any thread may write into it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.messages, self.violations, self.counts = {}, [], collections.Counter()
        self.life = -1
        self.has_leavers = False  # in this life
        self.last_first = {}  # (consumer, producer, queue) of this life: the uid of its last first delivery

    def violate(self, verdict, what, message=None):
        self.violations.append((verdict, what + ("\n" + message.story() if message else "")))

    # -- The server. -----------------------------------------------------------------------------------

    def server_starts(self):
        with self.lock:
            self.life += 1
            self.last_first, self.has_leavers = {}, False

    def server_ended(self):
        pass

    # -- Producers. ------------------------------------------------------------------------------------

    def publish_begins(self, uid, queue, producer, is_durable):
        with self.lock:
            self.counts["publishes sent"] += 1
            self.messages[uid] = Message(uid, queue, producer, is_durable, self.life)

    def published(self, uids, is_fine=True):
        with self.lock:
            for uid in uids:
                self.messages[uid].publish = "confirmed" if is_fine else "refused"
                self.counts["publishes confirmed" if is_fine else "publishes refused"] += 1

    # -- Consumers. ------------------------------------------------------------------------------------

    def delivered(self, payload, queue, consumer, tag, redelivered):
        """Judges a delivery when it comes. None: nobody knows the message."""
        with self.lock:
            uid = Ledger.uid_of(payload)
            message = self.messages.get(uid)
            if message is None:
                self.violate("phantom", f"nobody published {payload[:60]!r}")
                return None
            self.counts["deliveries"] += 1
            delivery = Delivery(message, queue, consumer, self.life, tag, redelivered)
            if message.publish == "refused":
                self.violate("phantom", "delivered though its publish was refused", message)
            was_rejected = any(earlier.end == "reject" for earlier in message.deliveries)
            if queue != message.queue and not (queue == DEAD_QUEUE and was_rejected):
                self.violate("phantom", f"delivered from {queue}", message)
            if not message.is_durable and message.life != self.life:
                self.violate("transient", f"delivered in life {self.life}", message)
            for earlier in message.deliveries:
                self._judge_again(earlier, delivery)
            if not message.deliveries:
                self._judge_order(message, delivery)
            message.deliveries.append(delivery)
            return delivery

    def _judge_again(self, earlier, later):
        message = later.message
        is_same_life = earlier.life == later.life
        if earlier.end == "ack" and earlier.is_durable:
            return self.violate("undead", f"delivered to {later.consumer} after a durable ack", message)
        if earlier.queue != later.queue:
            return None
        if earlier.end == "reject" and earlier.is_durable:
            return self.violate("undead", f"delivered to {later.consumer} after a durable rejection", message)
        is_last = earlier is message.deliveries[-1]
        if not is_same_life:
            self.counts["redeliveries: the server was killed"] += is_last
            return None
        if earlier.end is None and not earlier.is_left():
            return self.violate("two owners", f"delivered to {later.consumer} while {earlier.consumer} has it", message)
        if earlier.end in ("ack", "reject") and not earlier.is_left():
            return self.violate("undead", f"delivered to {later.consumer} after {earlier.consumer}'s {earlier.end}", message)
        if not later.redelivered:
            self.violate("flag", f"delivered to {later.consumer} again, not as redelivered", message)
        self.counts["redeliveries: " + ("requeued" if earlier.end == "requeue" else "the consumer left")] += is_last
        return None

    def consumer_leaves(self):
        with self.lock:
            self.has_leavers = True

    def _judge_order(self, message, delivery):
        if self.has_leavers:
            return
        self.counts["first deliveries in order"] += 1
        lane = (delivery.consumer, message.producer, message.queue)
        before = self.last_first.get(lane, -1)
        if message.uid < before and not delivery.redelivered:
            self.violate("reorder", f"delivered to {delivery.consumer} after uid {before}", message)
        self.last_first[lane] = max(before, message.uid)

    def ends(self, delivery, end):
        """About to be sent."""
        with self.lock:
            delivery.end = end
            self.counts[end + "s sent"] += 1

    def durable(self, deliveries):
        with self.lock:
            for delivery in deliveries:
                delivery.is_durable = True
                self.counts[delivery.end + "s durable"] += 1

    # -- The end. --------------------------------------------------------------------------------------

    def judge(self):
        for message in self.messages.values():
            is_acked = any(delivery.end == "ack" for delivery in message.deliveries)
            if message.publish == "confirmed" and message.is_durable and not is_acked:
                self.violate("lost", "confirmed, not acked, and not there at the end", message)
            if message.publish == "unanswered" and message.deliveries:
                self.counts["recovered: publishes without a confirm that turned out done"] += 1
        return self.violations
