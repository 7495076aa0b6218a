// Connection: queues (AMQP 0-9-1 §1.7). See connection.h.
#include "gateway/amqp/connection.h"
#include "gateway/amqp/errors.h"
#include "gateway/amqp/queue_arguments.h"

#include <algorithm>
#include <array>
#include <random>

namespace sluice::amqp {
namespace {

std::uint32_t ready_jobs(const model::QueueInfo& queue) {
  const std::uint64_t ready = queue.jobs[static_cast<std::size_t>(model::JobState::ready)];
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(ready, UINT32_MAX));
}

std::uint32_t removed_jobs(const model::Answer& answer) {
  const auto* counted = std::get_if<model::Counted>(&answer);
  if (counted == nullptr) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(counted->count, UINT32_MAX));
}

}  // namespace

std::string made_up_name(ByteView prefix) {
  constexpr ByteView digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  constexpr std::size_t length = 22;
  static thread_local std::random_device device;
  std::string name(prefix);
  for (std::size_t i = 0; i < length; ++i)
    name += digits[device() % digits.size()];
  return name;
}

/// "" is the queue that was declared last on the channel.
Allowed<std::string> Connection::named_queue(Channel& channel, ByteView name) {
  if (name.empty() && channel.last_queue.empty()) {
    return forbid(ReplyCode::not_found, "no previously declared queue");
  }
  std::string queue = name.empty() ? channel.last_queue : std::string(name);
  if (Allowed<void> fine = broker_.check_access(queue, id_); !fine) {
    return tl::unexpected(fine.error());
  }
  return queue;
}

void Connection::on(Channel& channel, const QueueDeclare& declare) {
  if (!declare.passive) {
    const bool is_new = declare.queue.bytes.empty();
    return declare_queue(
        channel,
        is_new ? vhost_.inside(made_up_name("amq.gen-")) : std::string(declare.queue.bytes),
        declare);
  }
  // Here none is none, and not the last one.
  const ByteView wanted = declare.queue.bytes;
  const Allowed<std::string> name = wanted.empty()
                                        ? forbid(ReplyCode::not_found, no_queue("").sentence)
                                        : named_queue(channel, wanted);
  if (!name) return fail(channel, name.error());
  ask(channel,
      model::GetQueue{keep(*name), true},
      [this, name = *name, no_wait = declare.no_wait](Channel& same, model::Answer& answer) {
        const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&answer);
        if (queue == nullptr) return fail(same, no_queue(name));
        queue_declared(same, **queue, no_wait);
      });
}

void Connection::declare_queue(Channel& channel,
                               const std::string& name,
                               const QueueDeclare& declare) {
  Allowed<model::QueuePolicy> asked = queue_policy(declare);
  if (!asked) return fail(channel, asked.error());
  if (asked->dead_letter_exchange) {
    asked->dead_letter_exchange = vhost_.inside(*asked->dead_letter_exchange);
  }
  if (const Allowed<void> fine = broker_.check_access(name, id_); !fine) {
    return fail(channel, fine.error());
  }
  const bool is_made_up = declare.queue.bytes.empty();
  ask(channel,
      model::GetQueue{keep(name), true},
      [this,
       name,
       asked = *asked,
       is_made_up,
       is_exclusive = declare.exclusive,
       no_wait = declare.no_wait](Channel& same, model::Answer& answer) {
        const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&answer);
        if (queue == nullptr) {
          if (vhost_.outside(name).starts_with(reserved_prefix) && !is_made_up) {
            return fail(same,
                        ReplyCode::access_refused,
                        fmt::format("queue name '{}' contains reserved prefix 'amq.*'", name));
          }
          // Before it exists, so that nobody else gets hold of it.
          if (is_exclusive) {
            broker_.own(name, id_);
            own_queues_.push_back(name);
          }
          return make_queue(same, name, asked, no_wait);
        }
        // Whose it is has been looked at; whether it is anybody's has to be the same, too.
        if (broker_.is_owned(name) != is_exclusive) {
          return fail(same,
                      ReplyCode::resource_locked,
                      fmt::format("cannot obtain exclusive access to locked {}. It could be "
                                  "originally declared on another connection or the exclusive "
                                  "property value does not match that of the original declaration.",
                                  in_vhost("queue", name)));
        }
        if (Allowed<void> fine = check_equivalent(name, (*queue)->policy, asked); !fine) {
          return fail(same, fine.error());
        }
        bind_by_name(same, **queue, no_wait);
      });
}

void Connection::make_queue(Channel& channel,
                            const std::string& name,
                            model::QueuePolicy policy,
                            bool no_wait) {
  ask(channel,
      model::DeclareQueue{keep(name), std::make_shared<model::QueuePolicy>(std::move(policy))},
      [this, no_wait](Channel& same, model::Answer& answer) {
        if (const Error* error = error_in(answer)) return fail(same, other(*error));
        bind_by_name(same, *std::get<std::unique_ptr<model::QueueInfo>>(answer), no_wait);
      });
}

/// Outside of "/" the default exchange is one like others.
void Connection::bind_by_name(Channel& channel, const model::QueueInfo& queue, bool no_wait) {
  if (vhost_.is_root()) return queue_declared(channel, queue, no_wait);
  auto binding = std::make_shared<model::Binding>();
  binding->exchange = keep(vhost_.default_exchange());
  binding->destination = keep(queue.name);
  binding->key = vhost_.outside(binding->destination);
  ask(channel,
      model::RoutingCommand(model::Bind{std::move(binding)}),
      [this, queue = std::make_shared<model::QueueInfo>(queue), no_wait](Channel& same,
                                                                         model::Answer& answer) {
        if (const Error* error = error_in(answer)) return fail(same, other(*error));
        queue_declared(same, *queue, no_wait);
      });
}

void Connection::queue_declared(Channel& channel, const model::QueueInfo& queue, bool no_wait) {
  channel.last_queue = queue.name;
  if (no_wait) return;
  send(channel,
       QueueDeclareOk{
           {vhost_.outside(queue.name)}, ready_jobs(queue), broker_.consumers(queue.name)});
}

void Connection::on(Channel& channel, const QueueBind& bind) {
  const Allowed<std::string> name = named_queue(channel, bind.queue.bytes);
  if (!name) return fail(channel, name.error());
  // Both empty: the key is the name of the queue.
  const bool is_named_so = bind.queue.bytes.empty() && bind.routing_key.bytes.empty();
  const ByteView queue = keep(*name);
  change_binding(channel,
                 true,
                 false,
                 bind.exchange.bytes,
                 queue,
                 is_named_so ? vhost_.outside(queue) : bind.routing_key.bytes,
                 bind.arguments,
                 [this, no_wait = bind.no_wait](Channel& same) {
                   if (!no_wait) send(same, QueueBindOk{});
                 });
}

void Connection::on(Channel& channel, const QueueUnbind& unbind) {
  const Allowed<std::string> name = named_queue(channel, unbind.queue.bytes);
  if (!name) return fail(channel, name.error());
  const bool is_named_so = unbind.queue.bytes.empty() && unbind.routing_key.bytes.empty();
  const ByteView queue = keep(*name);
  change_binding(channel,
                 false,
                 false,
                 unbind.exchange.bytes,
                 queue,
                 is_named_so ? vhost_.outside(queue) : unbind.routing_key.bytes,
                 unbind.arguments,
                 [this](Channel& same) { send(same, QueueUnbindOk{}); });
}

void Connection::on(Channel& channel, const QueuePurge& purge) {
  const Allowed<std::string> name = named_queue(channel, purge.queue.bytes);
  if (!name) return fail(channel, name.error());
  ask(channel,
      model::PurgeQueue{keep(*name), true},
      [this, name = *name, no_wait = purge.no_wait](Channel& same, model::Answer& answer) {
        if (error_in(answer) != nullptr) return fail(same, no_queue(name));
        if (!no_wait) send(same, QueuePurgeOk{removed_jobs(answer)});
      });
}

void Connection::on(Channel& channel, const QueueDelete& remove) {
  const Allowed<std::string> name = named_queue(channel, remove.queue.bytes);
  if (!name) return fail(channel, name.error());
  if (remove.if_unused && broker_.consumers(*name) > 0) {
    return fail(channel, ReplyCode::precondition_failed, in_vhost("queue", *name) + " in use");
  }
  ask(channel,
      model::GetQueue{keep(*name)},
      [this, name = *name, if_empty = remove.if_empty, no_wait = remove.no_wait](
          Channel& first, model::Answer& known) {
        const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&known);
        const std::uint32_t ready = queue == nullptr ? 0 : ready_jobs(**queue);
        ask(first,
            model::DeleteQueue{keep(name), true, if_empty},
            [this, name, no_wait, ready](Channel& same, model::Answer& answer) {
              const Error* error = error_in(answer);
              // One that is not there is gone already, as RabbitMQ has it.
              if (error != nullptr && error->code == ErrorCode::busy) {
                return fail(
                    same, ReplyCode::precondition_failed, in_vhost("queue", name) + " not empty");
              }
              if (error == nullptr) {
                broker_.forget(name);
                std::erase(own_queues_, name);
              }
              if (!no_wait) send(same, QueueDeleteOk{ready});
            });
      });
}

/// Whoever it was for is gone.
void Connection::delete_own_queue(const std::string& queue) {
  broker_.forget(queue);
  tell(model::DeleteQueue{keep(queue), true, false});
}

}  // namespace sluice::amqp
