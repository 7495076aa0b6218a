// Gateway: the native protocol on a TCP port.
//
//   GatewayOptions options;
//   options.limits = limits;
//   Gateway gateway(engine, std::move(options));
//   Result<void> started = gateway.start("127.0.0.1", 7770);      // port 0: any free one
//   … gateway.port() …
//   gateway.stop(std::chrono::seconds(10));                        // while the engine still runs
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "engine/port.h"
#include "gateway/listener.h"
#include "gateway/native/facts.h"
#include "model/limits.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sluice::native {

struct GatewayOptions : gateway::SessionOptions {
  model::Limits limits;
  /// version, data_directory and sync, for INFO; the gateway fills in the rest.
  Facts facts;
};

class Gateway {
 public:
  /// `port` outlives the gateway.
  Gateway(engine::Port& port, GatewayOptions options);

  /// Listens and starts the threads. `host` is an address or a name of this machine. Once. Error:
  /// `io` with the address and what the system said.
  Result<void> start(const std::string& host, std::uint16_t port);

  /// Where it listens, after start().
  std::uint16_t port() const;
  /// "127.0.0.1:7770"; IPv6 in brackets.
  std::string address() const;

  const gateway::Counters& counters() const;

  /// Stops accepting and reading, lets requests under way be answered, answers waiting PULLs and
  /// AWAITs with nil, closes; after `grace` closes what is still open. A BACKUP under way is waited
  /// for. Any thread but the gateway's own. Idempotent. The engine must still run.
  void stop(Duration grace);

 private:
  std::unique_ptr<gateway::Dialog> make_dialog(std::uint64_t client_id);

  engine::Port& port_;
  const GatewayOptions options_;
  Facts facts_;
  gateway::Listener listener_;
};

}  // namespace sluice::native
