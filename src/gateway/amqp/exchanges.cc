// Connection: exchanges and bindings (AMQP 0-9-1 §1.6; exchange.bind is RabbitMQ's). See
// connection.h.
#include "gateway/amqp/connection.h"
#include "gateway/amqp/errors.h"
#include "gateway/amqp/exchange_arguments.h"

namespace sluice::amqp {
namespace {

Refusal default_exchange() {
  return {ReplyCode::access_refused, "operation not permitted on the default exchange"};
}

}  // namespace

void Connection::on(Channel& channel, const ExchangeDeclare& declare) {
  const ByteView name = declare.exchange.bytes;
  if (name.empty()) {
    if (!declare.passive) return fail(channel, default_exchange());
    if (!declare.no_wait) send(channel, ExchangeDeclareOk{});
    return;
  }
  model::Exchange asked;
  if (!declare.passive) {
    Allowed<model::Exchange> read = exchange_of(declare);
    if (!read) return fail(channel, read.error());
    asked = std::move(*read);
    if (!asked.alternate.empty()) asked.alternate = vhost_.inside(asked.alternate);
  }
  ask(channel,
      model::RoutingCommand(model::GetExchange{name}),
      [this,
       name = std::string(name),
       asked,
       is_passive = declare.passive,
       no_wait = declare.no_wait](Channel& same, model::Answer& answer) {
        const auto* known = std::get_if<std::unique_ptr<model::ExchangeInfo>>(&answer);
        if (known == nullptr) {
          if (is_passive) return fail(same, no_exchange(name));
          return make_exchange(same, name, asked, no_wait);
        }
        if (!is_passive) {
          if (Allowed<void> fine = check_equivalent(name, (*known)->exchange, asked); !fine) {
            return fail(same, fine.error());
          }
        }
        if (!no_wait) send(same, ExchangeDeclareOk{});
      });
}

void Connection::make_exchange(Channel& channel,
                               std::string name,
                               const model::Exchange& as,
                               bool no_wait) {
  if (vhost_.outside(name).starts_with(reserved_prefix)) {
    return fail(channel,
                ReplyCode::access_refused,
                fmt::format("exchange name '{}' contains reserved prefix 'amq.*'", name));
  }
  const ByteView kept = keep(name);
  ask(channel,
      model::RoutingCommand(model::PutExchange{kept, std::make_shared<model::Exchange>(as)}),
      [this, no_wait](Channel& same, model::Answer& answer) {
        if (const Error* error = error_in(answer)) return fail(same, other(*error));
        if (!no_wait) send(same, ExchangeDeclareOk{});
      });
}

void Connection::on(Channel& channel, const ExchangeDelete& remove) {
  const ByteView name = remove.exchange.bytes;
  if (name.empty()) return fail(channel, default_exchange());
  if (vhost_.outside(name).starts_with(reserved_prefix)) {
    return fail(channel,
                ReplyCode::access_refused,
                fmt::format("deletion of system {} not allowed", in_vhost("exchange", name)));
  }
  ask(channel,
      model::RoutingCommand(model::DeleteExchange{name, remove.if_unused}),
      [this, name = std::string(name), no_wait = remove.no_wait](Channel& same,
                                                                 model::Answer& answer) {
        const Error* error = error_in(answer);
        // One that is not there is gone already, as RabbitMQ has it.
        if (error != nullptr && error->code == ErrorCode::busy) {
          return fail(same, ReplyCode::precondition_failed, in_vhost("exchange", name) + " in use");
        }
        if (error != nullptr && error->code != ErrorCode::no_exchange) {
          return fail(same, other(*error));
        }
        if (!no_wait) send(same, ExchangeDeleteOk{});
      });
}

void Connection::on(Channel& channel, const ExchangeBind& bind) {
  change_binding(channel,
                 true,
                 true,
                 bind.source.bytes,
                 bind.destination.bytes,
                 bind.routing_key.bytes,
                 bind.arguments,
                 [this, no_wait = bind.no_wait](Channel& same) {
                   if (!no_wait) send(same, ExchangeBindOk{});
                 });
}

void Connection::on(Channel& channel, const ExchangeUnbind& unbind) {
  change_binding(channel,
                 false,
                 true,
                 unbind.source.bytes,
                 unbind.destination.bytes,
                 unbind.routing_key.bytes,
                 unbind.arguments,
                 [this, no_wait = unbind.no_wait](Channel& same) {
                   if (!no_wait) send(same, ExchangeUnbindOk{});
                 });
}

/// Views `arguments`.
Allowed<std::shared_ptr<model::Binding>> Connection::binding_of(Table arguments) {
  Allowed<BindingMatch> match = binding_match(arguments);
  if (!match) return tl::unexpected(match.error());
  auto binding = std::make_shared<model::Binding>();
  binding->headers = std::move(match->headers);
  binding->is_any_enough = match->is_any_enough;
  return binding;
}

void Connection::change_binding(Channel& channel,
                                bool binds,
                                bool is_to_exchange,
                                ByteView source,
                                ByteView destination,
                                ByteView key,
                                Table arguments,
                                std::function<void(Channel&)> done) {
  if (source.empty() || (is_to_exchange && destination.empty())) {
    return fail(channel, default_exchange());
  }
  Allowed<std::shared_ptr<model::Binding>> read = binding_of(arguments);
  if (!read) return fail(channel, read.error());
  model::Binding& binding = **read;
  binding.exchange = source;
  binding.destination = destination;
  binding.is_to_exchange = is_to_exchange;
  binding.key = key;
  binding.arguments = arguments.entries;
  model::Command command = model::RoutingCommand(model::Bind{*read});
  if (!binds) command = model::RoutingCommand(model::Unbind{*read});
  ask(channel,
      std::move(command),
      [this,
       binds,
       is_to_exchange,
       source = std::string(source),
       destination = std::string(destination),
       done = std::move(done)](Channel& same, model::Answer& answer) {
        const Error* error = error_in(answer);
        if (error == nullptr) return done(same);
        // What is not there is not bound, as RabbitMQ has it.
        const bool is_missing =
            error->code == ErrorCode::no_queue || error->code == ErrorCode::no_exchange;
        if (!binds && is_missing) return done(same);
        if (error->code == ErrorCode::no_queue) {
          return fail(same, ReplyCode::not_found, "no " + in_vhost("queue", destination));
        }
        if (error->code == ErrorCode::no_exchange) {
          const bool is_destination =
              is_to_exchange && error->message.find('"' + source + '"') == std::string::npos;
          return fail(same, no_exchange(is_destination ? destination : source));
        }
        fail(same, other(*error));
      });
}

}  // namespace sluice::amqp
