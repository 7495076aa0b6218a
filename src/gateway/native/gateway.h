// Gateway: the native protocol on a TCP port. Accepts connections and spreads them over its
// threads; each connection stays on its thread (session.h) and talks with the engine through its
// port.
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
#include "gateway/native/facts.h"
#include "model/limits.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sluice::native {

struct GatewayOptions {
  model::Limits limits;
  /// version, data_directory and sync, for INFO; the gateway fills in the rest.
  Facts facts;
  /// Threads that read, parse and write. 1 … 64.
  std::size_t io_threads = 1;
  /// Open connections; further ones are answered BUSY and closed.
  std::size_t connections_max = 10'000;
  /// Requests of one connection without a reply, beyond which it is not read until half are done.
  std::size_t outstanding_max = 10'000;
  /// Replies that wait for one client; when it has not taken so much and more comes, it is closed.
  std::size_t output_bytes_max = 64u << 20;
  /// What all connections together have received and not handed on, or not sent yet; beyond, the
  /// one that holds most is closed.
  std::size_t buffers_bytes_max = 1u << 30;
  /// A connection that has not sent one complete command after this long is closed; 0: never.
  Duration silence_max = std::chrono::seconds(60);
  /// One line of key=value text about something worth a log entry. Any thread of the gateway.
  std::function<void(const std::string&)> on_event;
};

class Gateway {
 public:
  /// `port` outlives the gateway.
  Gateway(engine::Port& port, GatewayOptions options);
  /// Requires stop(), if start() succeeded.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  Gateway(Gateway&&) = delete;
  Gateway& operator=(Gateway&&) = delete;

  /// Listens and starts the threads. `host` is an address or a name of this machine. Once. Error:
  /// `io` with the address and what the system said.
  Result<void> start(const std::string& host, std::uint16_t port);

  /// Where it listens, after start().
  std::uint16_t port() const;
  /// "127.0.0.1:7770"; IPv6 in brackets.
  std::string address() const;

  const GatewayCounters& counters() const;

  /// Stops accepting and reading, lets requests under way be answered, answers waiting PULLs and
  /// AWAITs with nil, closes; after `grace` closes what is still open. A BACKUP under way is waited
  /// for. Any thread but the gateway's own. Idempotent. The engine must still run.
  void stop(Duration grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::native
