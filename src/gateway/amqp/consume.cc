// Connection: consumers, what they are given, and basic.get (AMQP 0-9-1 §1.8). See connection.h.
#include "gateway/amqp/connection.h"
#include "gateway/amqp/errors.h"
#include "gateway/amqp/queue_arguments.h"
#include "gateway/amqp/sequences.h"

#include <algorithm>
#include <limits>

namespace sluice::amqp {
namespace {

/// What one pull asks for at most.
constexpr std::uint32_t pull_jobs_max = 500;
constexpr std::uint64_t pull_bytes_max = 1u << 20;
/// … and what those of all consumers of a connection ask for together.
constexpr std::uint64_t pulls_bytes_max = 32u << 20;
/// A client that has more than this to fetch is given nothing more until it has fetched it.
constexpr std::size_t unsent_bytes_high = 1u << 20;
/// Beyond this, what was asked for before comes in vain.
constexpr std::size_t unsent_bytes_max = 8u << 20;
constexpr std::size_t consumers_max = 65'535;

/// Of a queue's message count after one was taken.
std::uint32_t ready_jobs(const model::Answer& answer) {
  const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&answer);
  if (queue == nullptr) return 0;
  const std::uint64_t ready = (*queue)->jobs[static_cast<std::size_t>(model::JobState::ready)];
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(ready, UINT32_MAX));
}

std::int32_t rank_of(const BasicConsume& consume) {
  const std::optional<Value> priority = consume.arguments.find("x-priority");
  const std::int64_t wanted = priority ? priority->integer().value_or(0) : 0;
  return static_cast<std::int32_t>(
      std::clamp<std::int64_t>(wanted,
                               std::numeric_limits<std::int32_t>::min() + 1,
                               std::numeric_limits<std::int32_t>::max()));
}

/// The channel's next message is another consumer's, if one can have it.
void pass_turn(Channel& channel, const Consumer& consumer) {
  const auto at = std::find(channel.consumers.begin(), channel.consumers.end(), consumer.slot);
  if (at != channel.consumers.end()) std::rotate(at, at + 1, channel.consumers.end());
}

}  // namespace

void Connection::on(Channel& channel, const BasicQos& qos) {
  if (qos.prefetch_size != 0) {
    return fail_connection(ReplyCode::not_implemented,
                           fmt::format("prefetch_size!=0 ({})", qos.prefetch_size));
  }
  if (qos.global) {
    channel.total_prefetch = qos.prefetch_count;
    // What they wait for may be more, or less, than they may have now.
    for (const std::uint16_t slot : channel.consumers) {
      if (consumers_[slot]->is_no_ack) continue;
      stop_pull(*consumers_[slot]);
      hungry_.push_back(slot);
    }
  } else {
    channel.prefetch = qos.prefetch_count;
  }
  send(channel, BasicQosOk{});
}

// -- Consumers come and go. ----------------------------------------------------------------------

Consumer* Connection::find_consumer(std::uint16_t slot) {
  return slot < consumers_.size() ? consumers_[slot].get() : nullptr;
}

void Connection::on(Channel& channel, const BasicConsume& consume) {
  const ByteView tag = consume.consumer_tag.bytes;
  const bool is_taken =
      !tag.empty() && std::any_of(channel.consumers.begin(),
                                  channel.consumers.end(),
                                  [&](auto slot) { return consumers_[slot]->tag == tag; });
  if (is_taken) {
    return fail_connection(ReplyCode::not_allowed,
                           fmt::format("attempt to reuse consumer tag '{}'", tag));
  }
  const std::optional<Value> priority = consume.arguments.find("x-priority");
  if (priority && !priority->integer()) {
    return fail(
        channel,
        ReplyCode::precondition_failed,
        fmt::format("invalid arg 'x-priority' for consumer '{}': expected an integer", tag));
  }
  if (consume.queue.bytes == direct_reply_to) return consume_replies(channel, consume);
  const Allowed<std::string> name = named_queue(channel, consume.queue.bytes);
  if (!name) return fail(channel, name.error());
  // The method's bytes are gone when the answer comes.
  auto method = std::make_shared<std::string>();
  Buffer copy;
  append_method(copy, channel.number, consume);
  *method = std::string(copy.view().substr(frame_head_bytes, copy.size() - frame_overhead_bytes));
  ask(channel,
      model::GetQueue{keep(*name)},
      [this, name = *name, method](Channel& same, model::Answer& answer) {
        const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&answer);
        if (queue == nullptr) return fail(same, no_queue(name));
        const Parsed<ClientMethod> again = decode_method(*method);
        begin_consume(same, std::get<BasicConsume>(*again), **queue);
      });
}

void Connection::begin_consume(Channel& channel,
                               const BasicConsume& consume,
                               const model::QueueInfo& queue) {
  auto consumer = std::make_unique<Consumer>();
  consumer->channel = channel.number;
  consumer->tag = consume.consumer_tag.bytes.empty() ? made_up_name("amq.ctag-")
                                                     : std::string(consume.consumer_tag.bytes);
  consumer->queue = queue.name;
  consumer->is_no_ack = consume.no_ack;
  consumer->is_auto_delete = queue.policy.is_auto_delete;
  consumer->prefetch = channel.prefetch;
  consumer->rank = rank_of(consume);
  const Duration timeout = consumer_timeout(queue.policy);
  consumer->timeout_seconds = static_cast<std::uint32_t>((timeout.count() + 999) / 1000);
  const std::string tag = consumer->tag;
  const std::uint16_t slot = add_consumer(std::move(consumer));
  const Allowed<bool> is_active = broker_.add_consumer(
      queue.name, {id_, slot}, {consume.exclusive, is_single_active_consumer(queue.policy)});
  if (!is_active) {
    consumers_[slot].reset();
    return fail(channel, is_active.error());
  }
  consumers_[slot]->is_active = *is_active;
  channel.consumers.push_back(slot);
  hungry_.push_back(slot);
  if (!consume.no_wait) send(channel, BasicConsumeOk{{tag}});
}

std::uint16_t Connection::add_consumer(std::unique_ptr<Consumer> consumer) {
  const auto free = std::find(consumers_.begin(), consumers_.end(), nullptr);
  const auto slot = static_cast<std::uint16_t>(free - consumers_.begin());
  if (free == consumers_.end()) consumers_.emplace_back();
  static_assert(consumers_max == std::numeric_limits<std::uint16_t>::max());
  consumer->slot = slot;
  // So that an answer to the slot's last consumer is not taken for one to this.
  consumer->generation = static_cast<std::uint16_t>(incarnations_++ * 61 & pull_generation_mask);
  consumers_[slot] = std::move(consumer);
  return slot;
}

/// Direct reply-to: a queue of this channel alone, whose name goes out as the address.
void Connection::consume_replies(Channel& channel, const BasicConsume& consume) {
  if (!consume.no_ack) {
    return fail(channel, ReplyCode::precondition_failed, "reply consumer cannot acknowledge");
  }
  if (!channel.reply_queue.empty()) {
    return fail(channel, ReplyCode::precondition_failed, "reply consumer already set");
  }
  const std::string name = made_up_name(std::string(direct_reply_to) + ".");
  channel.reply_queue = name;
  model::QueuePolicy policy;
  policy.is_durable = false;
  policy.keep = Duration(0);
  policy.drops_dead = true;
  const std::string tag(consume.consumer_tag.bytes);
  ask(channel,
      model::DeclareQueue{keep(name), std::make_shared<model::QueuePolicy>(policy)},
      [this, tag, no_wait = consume.no_wait](Channel& same, model::Answer& answer) {
        if (const Error* error = error_in(answer)) return fail(same, other(*error));
        BasicConsume method;
        method.consumer_tag = {tag};
        method.no_ack = true;
        method.no_wait = no_wait;
        begin_consume(same, method, *std::get<std::unique_ptr<model::QueueInfo>>(answer));
      });
}

void Connection::on(Channel& channel, const BasicCancel& cancel) {
  const auto has_tag = [&](auto slot) {
    return consumers_[slot]->tag == cancel.consumer_tag.bytes;
  };
  const auto found = std::find_if(channel.consumers.begin(), channel.consumers.end(), has_tag);
  if (found == channel.consumers.end() || !consumers_[*found]->is_no_ack) {
    if (found != channel.consumers.end()) remove_consumer(*found);
    if (!cancel.no_wait) send(channel, BasicCancelOk{cancel.consumer_tag});
    return;
  }
  // It gets all that was published before. What is given to it without an ack is in no queue any
  // more, so that it also gets what is on its way after the engine was told. An answer about the
  // queue comes behind what was handed out of it.
  const std::uint16_t slot = *found;
  ask(channel,
      model::GetQueue{keep(consumers_[slot]->queue)},
      [this,
       slot,
       queue = consumers_[slot]->queue,
       tag = consumers_[slot]->tag,
       no_wait = cancel.no_wait](Channel& same, const model::Answer&) {
        Consumer* consumer = find_consumer(slot);  // Null: its queue was deleted.
        if (consumer != nullptr) {
          stop_pull(*consumer);
          consumer->is_active = false;
        }
        ask(same,
            model::GetQueue{keep(queue)},
            [this, slot, tag, no_wait](Channel& channel_then, const model::Answer&) {
              const Consumer* left = find_consumer(slot);
              if (left != nullptr && left->queue == channel_then.reply_queue) {
                delete_own_queue(std::exchange(channel_then.reply_queue, {}));
              }
              if (left != nullptr) remove_consumer(slot);
              if (!no_wait) send(channel_then, BasicCancelOk{{tag}});
            });
      });
}

void Connection::remove_consumer(std::uint16_t slot) {
  Consumer& consumer = *consumers_[slot];
  stop_pull(consumer);
  if (Channel* channel = find_channel(consumer.channel)) {
    std::erase(channel->consumers, slot);
    for (Unacked& message : channel->unacked) {
      if (message.consumer == slot) message.consumer.reset();
    }
  }
  const bool was_last = broker_.remove_consumer(consumer.queue, {id_, slot});
  if (was_last && consumer.is_auto_delete) delete_own_queue(consumer.queue);
  consumers_[slot].reset();
}

/// The queue is gone (basic.cancel from the server is RabbitMQ's consumer cancel notification).
void Connection::cancel_by_server(Consumer& consumer) {
  const std::string tag = consumer.tag;
  Channel* channel = find_channel(consumer.channel);
  consumer.is_auto_delete = false;
  remove_consumer(consumer.slot);
  if (channel == nullptr || channel->is_closing || !can_be_cancelled_) return;
  send(*channel, BasicCancel{{tag}, true});
}

// -- Deliveries. ---------------------------------------------------------------------------------

/// How many messages it may have now.
std::uint32_t Connection::credit(const Consumer& consumer) {
  if (!consumer.is_active) return 0;
  if (consumer.is_no_ack) return pull_jobs_max;
  std::uint32_t free = pull_jobs_max;
  const auto limit = [&free](std::uint32_t max, std::uint32_t used) {
    if (max != 0) free = std::min(free, max - std::min(max, used));
  };
  limit(consumer.prefetch, consumer.unsettled);
  if (const Channel* channel = find_channel(consumer.channel)) {
    limit(channel->total_prefetch, channel->unsettled);
  }
  return free;
}

void Connection::pull_hungry() {
  if (hungry_.empty() || output_.size() > unsent_bytes_high || stage_ != Stage::running) return;
  for (const std::uint16_t slot : std::exchange(hungry_, {})) {
    if (Consumer* consumer = find_consumer(slot)) pull(*consumer);
  }
}

/// Lets the consumer's pull bring as much as the client may have. Not for every single message, as
/// long as it can bring some.
void Connection::pull(Consumer& consumer) {
  const std::uint32_t free = credit(consumer);
  if (free <= consumer.granted || free - consumer.granted < consumer.granted) return;
  std::vector<ByteView>& queues = batch_.queue_lists.emplace_back();
  queues.push_back(keep(consumer.queue));
  model::Pull command;
  command.queues = &queues;
  command.count = free - consumer.granted;
  command.wait = duration_max;
  command.worker = keep(user_);
  command.duty = consumer.is_no_ack ? model::Duty::none : model::Duty::connection;
  command.rank = consumer.rank;
  command.stay_bytes =
      std::clamp<std::uint64_t>(pulls_bytes_max / consumers_.size(), 1, pull_bytes_max);
  consumer.granted = free;
  batch_.requests.emplace_back(pull_sequence(consumer.slot, consumer.generation), command);
}

/// An answer that is on its way already finds another generation and is taken back; but what needs
/// no ack is in no queue any more, and is delivered.
void Connection::stop_pull(Consumer& consumer) {
  if (std::exchange(consumer.granted, 0) == 0) return;
  const model::Ticket ticket(pull_sequence(consumer.slot, consumer.generation));
  tell(model::Abandon{ticket, ticket});
  if (consumer.is_no_ack) return;
  consumer.generation =
      static_cast<std::uint16_t>((consumer.generation + 1) & pull_generation_mask);
}

void Connection::answer_pull(engine::Sequence sequence, model::Answer& answer) {
  Consumer* consumer = find_consumer(slot_of(sequence));
  const bool is_awaited = consumer != nullptr && consumer->generation == generation_of(sequence) &&
                          stage_ == Stage::running;
  if (!is_awaited) return take_back(answer);
  if (error_in(answer) != nullptr) return cancel_by_server(*consumer);
  if (const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer)) {
    const auto count = static_cast<std::uint32_t>((*delivered)->jobs.size());
    consumer->granted -= std::min(consumer->granted, count + (*delivered)->unused);
    const bool is_slow = output_.size() > unsent_bytes_max;
    if (is_slow) stop_pull(*consumer);
    if (is_slow && !consumer->is_no_ack) {
      take_back(answer);
      return hungry_.push_back(consumer->slot);
    }
    for (const model::Delivery& job : (*delivered)->jobs)
      deliver(*consumer, job);
  }
  hungry_.push_back(consumer->slot);
}

/// Given to nobody: not an attempt.
void Connection::take_back(const model::Answer& answer) {
  std::vector<model::Release> leases;
  gateway::collect_leases(answer, leases);
  for (const model::Release& lease : leases) {
    if (lease.token.value != 0) tell(lease);
  }
}

void Connection::deliver(Consumer& consumer, const model::Delivery& job) {
  Channel& channel = *find_channel(consumer.channel);
  const std::uint64_t tag = channel.next_tag;
  if (!consumer.is_no_ack) {
    // Several consumers may wait for what only one of them may have.
    if (channel.total_prefetch != 0 && channel.unsettled >= channel.total_prefetch) {
      stop_pull(consumer);
      return tell(model::Release{job.id, job.token, Duration(0)});
    }
    channel.unacked.push_back({tag, job.id, job.token, consumer.slot, false, ticks_, true});
    ++channel.unsettled;
    ++consumer.unsettled;
    if (channel.total_prefetch != 0) pass_turn(channel, consumer);
  }
  ++channel.next_tag;
  const Outgoing message = outgoing(job, vhost_, scratch_);
  send(channel,
       BasicDeliver{
           {consumer.tag}, tag, job.attempt > 1, {message.exchange}, {message.routing_key}});
  append_content(output_, channel.number, message.content, frame_max_);
}

/// RabbitMQ's consumer timeout: what nobody has answered for so long is for others.
void Connection::close_late_channels() {
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (channel == nullptr || channel->is_closing) continue;
    const auto late = [this](const Unacked& message) {
      const Consumer* consumer =
          message.consumer && !message.is_settled ? find_consumer(*message.consumer) : nullptr;
      return consumer != nullptr && consumer->timeout_seconds != 0 &&
             ticks_ - message.since > consumer->timeout_seconds;
    };
    const auto has_timeout = [this](std::uint16_t slot) {
      return consumers_[slot]->timeout_seconds != 0;
    };
    if (std::none_of(channel->consumers.begin(), channel->consumers.end(), has_timeout)) continue;
    const auto found = std::find_if(channel->unacked.begin(), channel->unacked.end(), late);
    if (found == channel->unacked.end()) continue;
    current_ = {};
    fail(*channel,
         ReplyCode::precondition_failed,
         fmt::format("delivery acknowledgement on channel {} timed out. Timeout value used: {} ms "
                     "(x-consumer-timeout of the queue)",
                     channel->number,
                     find_consumer(*found->consumer)->timeout_seconds * std::uint64_t{1000}));
  }
}

void Connection::on(Channel& channel, const BasicGet& get) {
  const Allowed<std::string> name = named_queue(channel, get.queue.bytes);
  if (!name) return fail(channel, name.error());
  std::vector<ByteView>& queues = batch_.queue_lists.emplace_back();
  queues.push_back(keep(*name));
  model::Pull command;
  command.queues = &queues;
  command.worker = keep(user_);
  command.duty = get.no_ack ? model::Duty::none : model::Duty::connection;
  // Straight to then_: what came for a channel that is closed is to be given back.
  ask(command,
      [this,
       name = *name,
       no_ack = get.no_ack,
       number = channel.number,
       incarnation = channel.incarnation](model::Answer& answer) {
        Channel* same = find_channel(number);
        const bool is_open = same != nullptr && same->incarnation == incarnation &&
                             !same->is_closing && stage_ == Stage::running;
        if (!is_open) return take_back(answer);
        if (error_in(answer) != nullptr) return fail(*same, no_queue(name));
        if (!std::holds_alternative<std::unique_ptr<model::Delivered>>(answer)) {
          return send(*same, BasicGetEmpty{});
        }
        auto taken = std::make_shared<std::unique_ptr<model::Delivered>>(
            std::move(std::get<std::unique_ptr<model::Delivered>>(answer)));
        const model::Delivery& job = (*taken)->jobs.front();
        const std::uint64_t tag = same->next_tag++;
        if (!no_ack) same->unacked.push_back({tag, job.id, job.token, std::nullopt});
        ask(*same,
            model::GetQueue{keep(name)},
            [this, taken, tag](Channel& channel_then, model::Answer& queue) {
              const model::Delivery& given = (*taken)->jobs.front();
              const Outgoing message = outgoing(given, vhost_, scratch_);
              send(channel_then,
                   BasicGetOk{tag,
                              given.attempt > 1,
                              {message.exchange},
                              {message.routing_key},
                              ready_jobs(queue)});
              append_content(output_, channel_then.number, message.content, frame_max_);
            });
      });
}

}  // namespace sluice::amqp
