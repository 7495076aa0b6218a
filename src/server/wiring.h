// Wiring: the parts of the server put together, from the listening socket down to the disk.
//
//   gateway (native) ──► engine ──► core and journal ──► directory
//
// Nothing is global: each part gets what it needs from here, and is stopped in the reverse order.
#pragma once

#include "engine/port.h"
#include "journal/log.h"
#include "model/reply.h"
#include "server/config.h"
#include "server/exit.h"

#include <tl/expected.hpp>

#include <functional>
#include <memory>
#include <string>

namespace sluice::server {

struct WiringEvents {
  std::function<void(const Error&)> on_failure;  ///< The disk failed. In the engine's turn, once.
  journal::OnProgress on_progress;               ///< Recovery goes on. The caller's thread.
  std::function<void(const std::string&)> on_event;  ///< key=value text to be logged. Any thread.
};

class Wiring {
 public:
  /// `config` outlives the wiring. Opens the data directory, creating it with mode 0700, and
  /// recovers what is in it. May take long.
  static tl::expected<std::unique_ptr<Wiring>, Ending> open(const Config& config,
                                                            WiringEvents events);
  /// Requires stop_gateway() and stop_engine(), if it was opened.
  ~Wiring();
  Wiring(const Wiring&) = delete;
  Wiring& operator=(const Wiring&) = delete;

  /// Where clients of each protocol find the server.
  struct Addresses {
    std::string resp;
    std::string amqp;          ///< Empty: off …
    std::string amqp_problem;  ///< … for this reason, if it was not switched off.
  };

  /// Starts to accept clients.
  tl::expected<Addresses, Ending> listen(const std::string& version, std::uint32_t connections_max);

  /// The core's figures, asked through the port like any client would.
  model::Stats stats();
  const engine::Counters& counters() const;

  /// No new connections; waits at most `grace` for replies that are under way, then closes all.
  void stop_gateway(Duration grace);
  /// Syncs what is pending and ends the engine. May run while stop_gateway() still waits: whoever
  /// asks afterwards gets no reply.
  void stop_engine();

 private:
  class Impl;
  explicit Wiring(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::server
