// Connection: what becomes of the messages that a client has (AMQP 0-9-1 §1.8; basic.nack is
// RabbitMQ's). See connection.h.
#include "gateway/amqp/connection.h"

#include <algorithm>

namespace sluice::amqp {

/// Takes the message with this tag, or all up to it (0: all), from those that are not acked.
template <class Use>
void Connection::settle(Channel& channel, std::uint64_t tag, bool multiple, Use use) {
  std::deque<Unacked>& unacked = channel.unacked;
  const auto is_before = [](const Unacked& message, std::uint64_t wanted) {
    return message.tag < wanted;
  };
  const auto at = std::lower_bound(unacked.begin(), unacked.end(), tag, is_before);
  const bool is_there = at != unacked.end() && at->tag == tag && !at->is_settled;
  if (!is_there && !(multiple && tag == 0)) {
    return fail(
        channel, ReplyCode::precondition_failed, fmt::format("unknown delivery tag {}", tag));
  }
  if (!multiple) {
    const Unacked message = *at;
    at->is_settled = true;
    use(message);
  } else {
    while (!unacked.empty() && (tag == 0 || unacked.front().tag <= tag)) {
      const Unacked message = unacked.front();
      unacked.pop_front();
      if (!message.is_settled) use(message);
    }
  }
  while (!unacked.empty() && unacked.front().is_settled)
    unacked.pop_front();
}

/// Room for another one.
void Connection::settled(Channel& channel, const Unacked& message) {
  if (!message.is_counted) return;
  if (channel.unsettled > 0) --channel.unsettled;
  if (channel.total_prefetch != 0) {
    hungry_.insert(hungry_.end(), channel.consumers.begin(), channel.consumers.end());
  }
  Consumer* consumer = message.consumer ? find_consumer(*message.consumer) : nullptr;
  if (consumer == nullptr || consumer->unsettled == 0) return;
  --consumer->unsettled;
  if (channel.total_prefetch == 0) hungry_.push_back(consumer->slot);
}

void Connection::ack_job(Channel& channel, const Unacked& message) {
  tell(model::Ack{message.job, message.token, {}});
  settled(channel, message);
}

void Connection::reject_job(Channel& channel, const Unacked& message, bool requeue) {
  if (requeue) {
    give_back(message);
  } else {
    tell(model::Fail{message.job, message.token, "rejected", std::nullopt, true});
  }
  settled(channel, message);
}

/// The client had it, and the next one is told so.
void Connection::give_back(const Unacked& message) {
  tell(model::Release{message.job, message.token, Duration(0), true});
}

void Connection::on(Channel& channel, const BasicAck& ack) {
  settle(channel, ack.delivery_tag, ack.multiple, [&](const Unacked& message) {
    if (channel.transaction) {
      channel.transaction->acks.push_back(message);
    } else {
      ack_job(channel, message);
    }
  });
}

void Connection::on(Channel& channel, const BasicNack& nack) {
  settle(channel, nack.delivery_tag, nack.multiple, [&](const Unacked& message) {
    if (channel.transaction) {
      channel.transaction->rejects.emplace_back(message, nack.requeue);
    } else {
      reject_job(channel, message, nack.requeue);
    }
  });
}

void Connection::on(Channel& channel, const BasicReject& reject) {
  on(channel, BasicNack{reject.delivery_tag, false, reject.requeue});
}

void Connection::on(Channel& channel, const BasicRecover& recovery) {
  if (!recovery.requeue) return fail_connection(ReplyCode::not_implemented, "requeue=false");
  recover(channel);
  send(channel, BasicRecoverOk{});
}

void Connection::on(Channel& channel, const BasicRecoverAsync& recovery) {
  if (!recovery.requeue) return fail_connection(ReplyCode::not_implemented, "requeue=false");
  recover(channel);
}

void Connection::recover(Channel& channel) {
  settle(channel, 0, true, [&](const Unacked& message) { reject_job(channel, message, true); });
}

}  // namespace sluice::amqp
