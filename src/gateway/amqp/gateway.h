// Gateway: AMQP 0-9-1 on a TCP port.
//
//   GatewayOptions options;
//   options.limits = limits;
//   Gateway gateway(engine, std::move(options));
//   Result<void> started = gateway.start("127.0.0.1", 5672);       // port 0: any free one
//   gateway.stop(std::chrono::seconds(10));                         // while the engine still runs
#pragma once

#include "base/result.h"
#include "engine/port.h"
#include "gateway/amqp/broker.h"
#include "gateway/amqp/connection_options.h"
#include "gateway/listener.h"

#include <string>

namespace sluice::amqp {

struct GatewayOptions : gateway::SessionOptions {
  ConnectionOptions connection;  ///< Its outstanding_max is the session's.
};

class Gateway {
 public:
  /// `port` outlives the gateway.
  Gateway(engine::Port& port, GatewayOptions options);

  /// Makes the exchanges that every broker has, listens and starts the threads. Once. Error: `io`
  /// with the address and what the system said.
  Result<void> start(const std::string& host, std::uint16_t port);

  std::uint16_t port() const { return listener_.port(); }

  /// "127.0.0.1:5672"; IPv6 in brackets.
  std::string address() const { return listener_.address(); }

  const gateway::Counters& counters() const { return listener_.counters(); }

  /// As gateway::Listener::stop(). Clients are told 320 CONNECTION_FORCED.
  void stop(Duration grace) { listener_.stop(grace); }

 private:
  void make_exchanges();

  engine::Port& port_;
  const GatewayOptions options_;
  Broker broker_;
  gateway::Listener listener_;
};

}  // namespace sluice::amqp
