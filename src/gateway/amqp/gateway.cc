// Gateway: see gateway.h.
#include "gateway/amqp/gateway.h"

#include "gateway/amqp/connection.h"
#include "gateway/amqp/vhost.h"

#include <utility>

namespace sluice::amqp {
namespace {

/// Whether there is such an exchange already makes no difference.
class Nobody final : public engine::Session {
 public:
  void on_replies(std::vector<engine::SessionReply> /*replies*/) override {}
};

struct Predeclared {
  ByteView name;
  model::ExchangeKind kind;
  bool is_internal = false;
};

/// AMQP 0-9-1 §3.1.3.1 to 3.1.3.4, and RabbitMQ's.
constexpr Predeclared exchanges[] = {
    {"amq.direct", model::ExchangeKind::direct},
    {"amq.fanout", model::ExchangeKind::fanout},
    {"amq.topic", model::ExchangeKind::topic},
    {"amq.headers", model::ExchangeKind::headers},
    {"amq.match", model::ExchangeKind::headers},
    {"amq.rabbitmq.trace", model::ExchangeKind::topic, true},
};

GatewayOptions agreed(GatewayOptions options) {
  options.connection.outstanding_max = options.outstanding_max;
  return options;
}

}  // namespace

Gateway::Gateway(engine::Port& port, GatewayOptions options)
    : port_(port),
      options_(agreed(std::move(options))),
      listener_(port, options_, [this](std::uint64_t id) {
        return std::make_unique<Connection>(broker_, port_, options_.connection, id);
      }) {}

Result<void> Gateway::start(const std::string& host, std::uint16_t port) {
  make_exchanges();
  return listener_.start(host, port);
}

void Gateway::make_exchanges() {
  const engine::SessionId session = port_.attach(std::make_shared<Nobody>());
  engine::RequestBatch batch;
  const auto make = [&batch](std::string name, model::ExchangeKind kind, bool is_internal) {
    auto exchange = std::make_shared<model::Exchange>();
    exchange->kind = kind;
    exchange->is_internal = is_internal;
    const ByteView kept = batch.strings.emplace_front(std::move(name));
    batch.requests.push_back({0, model::RoutingCommand(model::PutExchange{kept, exchange})});
  };
  for (const Predeclared& each : exchanges)
    make(std::string(each.name), each.kind, each.is_internal);
  for (const std::string& name : options_.connection.vhosts) {
    const Vhost vhost(name);
    make(vhost.default_exchange(), model::ExchangeKind::direct, false);
    for (const Predeclared& each : exchanges)
      make(vhost.inside(each.name), each.kind, each.is_internal);
  }
  port_.submit(session, std::move(batch));
  port_.detach(session);
}

}  // namespace sluice::amqp
