// Listener: a TCP port on which clients speak one protocol. Accepts connections and spreads them
// over its threads; each connection stays on its thread (session.h) and talks with the engine
// through its port.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "engine/port.h"
#include "gateway/counters.h"
#include "gateway/dialog.h"
#include "gateway/session.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sluice::gateway {

/// The protocol's side of a new connection, which is given a number. Called on one thread.
using MakeDialog = std::function<std::unique_ptr<Dialog>(std::uint64_t client_id)>;

class Listener {
 public:
  /// `port` outlives the listener.
  Listener(engine::Port& port, SessionOptions options, MakeDialog make_dialog);
  /// Requires stop(), if start() succeeded.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Listener(Listener&&) = delete;
  Listener& operator=(Listener&&) = delete;

  /// Listens and starts the threads. `host` is an address or a name of this machine. Once. Error:
  /// `io` with the address and what the system said.
  Result<void> start(const std::string& host, std::uint16_t port);

  /// Where it listens, after start().
  std::uint16_t port() const;
  /// "127.0.0.1:7770"; IPv6 in brackets.
  std::string address() const;

  const Counters& counters() const;

  /// Stops accepting and reading, lets requests under way be answered, ends those that wait,
  /// closes; after `grace` closes what is still open. A chore under way is waited for. Any thread
  /// but the listener's own. Idempotent. The engine must still run.
  void stop(Duration grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
