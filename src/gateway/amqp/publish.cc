// Connection: what clients publish, and what they are told about it: confirms, returned messages,
// transactions (AMQP 0-9-1 §1.8 and §1.9; confirms are RabbitMQ's). See connection.h.
#include "gateway/amqp/celery.h"
#include "gateway/amqp/connection.h"
#include "gateway/amqp/errors.h"
#include "gateway/amqp/sequences.h"

#include <algorithm>

namespace sluice::amqp {
namespace {

Pending copied(const BasicPublish& publish, const Content& content) {
  return {std::string(publish.exchange.bytes),
          std::string(publish.routing_key.bytes),
          publish.mandatory,
          std::string(content.properties),
          std::string(content.body)};
}

}  // namespace

/// Its content follows.
void Connection::on(Channel& channel, const BasicPublish& publish) {
  if (publish.immediate) return fail_connection(ReplyCode::not_implemented, "immediate=true");
  if (!has_room()) block();
  channel.assembler.start(publish);
}

/// What the two view lives as long as the batch.
void Connection::publish(Channel& channel, const BasicPublish& publish, const Content& content) {
  if (channel.transaction && committing_ != channel.number) {
    channel.transaction->publishes.push_back(copied(publish, content));
    return;
  }
  if (vhost_.outside(publish.exchange.bytes) == celery_control_exchange) revoke(content.body);
  Allowed<model::Publish> command =
      publish_command(publish, content, {user_, channel.reply_queue}, batch_);
  if (!command) return fail(channel, command.error());
  // A reply: the core's own default exchange would take further keys out of the virtual host.
  if (!vhost_.is_root() && command->exchange.empty()) command->more_keys = nullptr;
  const auto sequence =
      static_cast<engine::Sequence>((first_publish_ + publishes_.size()) & publish_sequence_mask);
  if (batch_.requests.empty()) batch_.requests.reserve(last_batch_ + 4);
  batch_.requests.emplace_back(sequence, *command, true, !publish.mandatory);
  Publish entry;
  entry.channel = channel.number;
  entry.incarnation = channel.incarnation;
  entry.is_confirmed = channel.is_confirming;
  if (channel.is_confirming) {
    entry.number = channel.first_open_confirm + channel.confirms.size();
    append(channel.confirms, Confirm::open);
  }
  if (publish.mandatory) entry.returnable = std::make_unique<Pending>(copied(publish, content));
  append(publishes_, std::move(entry));
}

/// What Celery broadcasts to its workers; they get it as well.
void Connection::revoke(ByteView body) {
  std::vector<std::string> tasks = revoked_tasks(body);
  if (tasks.empty()) return;
  chores_.emplace_back([&port = port_, tasks = std::move(tasks), vhost = vhost_] {
    cancel_tasks(port, vhost, tasks);
    return [] {};
  });
}

void Connection::answer_publishes(engine::Sequence first,
                                  std::size_t count,
                                  const model::Answer& answer) {
  const std::size_t from = (first - first_publish_) & publish_sequence_mask;
  for (std::size_t at = from; at < from + count && at < publishes_.size(); ++at)
    answer_publish(publishes_[at], answer);
  while (!publishes_.empty() && publishes_.front().is_answered) {
    publishes_.pop_front();
    first_publish_ = (first_publish_ + 1) & publish_sequence_mask;
  }
  finish_commit();
}

inline void Connection::answer_publish(Publish& publish, const model::Answer& answer) {
  publish.is_answered = true;
  Channel* channel = find_channel(publish.channel);
  const bool is_known = channel != nullptr && channel->incarnation == publish.incarnation &&
                        !channel->is_closing && stage_ == Stage::running;
  if (!is_known) return;
  const Error* error = error_in(answer);
  const auto* routed = std::get_if<model::Routed>(&answer);
  const bool is_lost = routed != nullptr && routed->first.value == 0;
  if (is_lost && publish.returnable) return_message(*channel, *publish.returnable);
  if (publish.is_confirmed && publish.number >= channel->first_open_confirm) {
    channel->confirms[publish.number - channel->first_open_confirm] =
        error == nullptr ? Confirm::taken : Confirm::refused;
  }
  if (error != nullptr) refuse_publish(*channel, *error);
}

/// A full queue refuses with basic.nack, if the client wants to know; the rest is its mistake.
void Connection::refuse_publish(Channel& channel, const Error& error) {
  current_ = BasicPublish::id;
  const auto named = [&error]() {
    const std::size_t from = error.message.find('"');
    const std::size_t to = error.message.find('"', from + 1);
    return from == std::string::npos ? std::string()
                                     : error.message.substr(from + 1, to - from - 1);
  };
  if (error.code == ErrorCode::busy || error.code == ErrorCode::exists) return;
  if (error.code == ErrorCode::no_exchange) return fail(channel, no_exchange(named()));
  if (error.code == ErrorCode::no_perm) {
    return fail(channel,
                ReplyCode::access_refused,
                "cannot publish to internal " + in_vhost("exchange", named()));
  }
  fail(channel, other(error));
}

/// Comes before the confirm of the message.
void Connection::return_message(Channel& channel, const Pending& message) {
  send(channel,
       BasicReturn{static_cast<std::uint16_t>(ReplyCode::no_route),
                   {"NO_ROUTE"},
                   {vhost_.outside(message.exchange)},
                   {message.routing_key}});
  append_content(output_, channel.number, {message.properties, message.body}, frame_max_);
}

/// As many as there are without a gap, in as few frames as that takes.
void Connection::send_confirms(Channel& channel) {
  while (!channel.confirms.empty() && channel.confirms.front() != Confirm::open) {
    const Confirm outcome = channel.confirms.front();
    std::uint64_t count = 0;
    while (!channel.confirms.empty() && channel.confirms.front() == outcome) {
      channel.confirms.pop_front();
      ++count;
    }
    channel.first_open_confirm += count;
    const std::uint64_t last = channel.first_open_confirm - 1;
    if (outcome == Confirm::taken) {
      send(channel, BasicAck{last, count > 1});
    } else {
      send(channel, BasicNack{last, count > 1, false});
    }
  }
}

void Connection::on(Channel& channel, const ConfirmSelect& select) {
  if (channel.transaction) {
    return fail(channel, ReplyCode::precondition_failed, "cannot switch from tx to confirm mode");
  }
  channel.is_confirming = true;
  if (!select.no_wait) send(channel, ConfirmSelectOk{});
}

void Connection::on(Channel& channel, const TxSelect& /*select*/) {
  if (channel.is_confirming) {
    return fail(channel, ReplyCode::precondition_failed, "cannot switch from confirm to tx mode");
  }
  if (!channel.transaction) channel.transaction.emplace();
  send(channel, TxSelectOk{});
}

/// Acks first, then the publishes; TxCommitOk when all of them are answered.
void Connection::on(Channel& channel, const TxCommit& /*commit*/) {
  if (!channel.transaction) {
    return fail(channel, ReplyCode::precondition_failed, "channel is not transactional");
  }
  Transaction transaction = std::exchange(*channel.transaction, {});
  const std::size_t first = batch_.requests.size();
  for (const Unacked& message : transaction.acks)
    ack_job(channel, message);
  for (const auto& [message, requeue] : transaction.rejects)
    reject_job(channel, message, requeue);
  for (std::size_t index = first; index < batch_.requests.size(); ++index) {
    batch_.requests[index].sequence = sync_sequence;
    batch_.requests[index].has_reply = true;
  }
  acks_to_commit_ = batch_.requests.size() - first;
  committing_ = channel.number;
  for (Pending& each : transaction.publishes) {
    const BasicPublish method{0,
                              {keep(std::move(each.exchange))},
                              {keep(std::move(each.routing_key))},
                              each.is_mandatory,
                              false};
    publish(channel, method, {keep(std::move(each.properties)), keep(std::move(each.body))});
    if (channel.is_closing) break;
  }
  finish_commit();
}

/// Does nothing until everything is answered.
void Connection::finish_commit() {
  if (committing_ == 0) return;
  if (acks_to_commit_ > 0 || !publishes_.empty()) {
    then_ = [this](model::Answer&) {
      --acks_to_commit_;
      finish_commit();
    };
    return;
  }
  Channel* channel = find_channel(std::exchange(committing_, std::uint16_t{0}));
  then_ = nullptr;
  if (channel != nullptr && !channel->is_closing) send(*channel, TxCommitOk{});
}

/// What was acked is not acked; it is the client's still.
void Connection::on(Channel& channel, const TxRollback& /*rollback*/) {
  if (!channel.transaction) {
    return fail(channel, ReplyCode::precondition_failed, "channel is not transactional");
  }
  Transaction transaction = std::exchange(*channel.transaction, {});
  for (Unacked& message : transaction.acks)
    channel.unacked.push_back(message);
  for (auto& [message, requeue] : transaction.rejects)
    channel.unacked.push_back(message);
  std::sort(channel.unacked.begin(), channel.unacked.end(), [](const Unacked& a, const Unacked& b) {
    return a.tag < b.tag;
  });
  send(channel, TxRollbackOk{});
}

}  // namespace sluice::amqp
