// What INFO, HELLO and the metrics say about the server around the core: set once at start, counted
// while it runs.
#pragma once

#include "base/time.h"

#include <atomic>
#include <cstdint>
#include <string>

namespace sluice::native {

/// Counted by the gateway's threads, read by anybody at any time.
struct GatewayCounters {
  std::atomic<std::uint64_t> connections{0};  ///< Open now.
  std::atomic<std::uint64_t> connections_total{0};
  std::atomic<std::uint64_t> rejected_connections_total{0};
  std::atomic<std::uint64_t> received_bytes_total{0};
  std::atomic<std::uint64_t> sent_bytes_total{0};
  std::atomic<std::uint64_t> slow_clients_closed_total{0};
  std::atomic<std::uint64_t> greedy_clients_closed_total{0};
  std::atomic<std::uint64_t> buffered_bytes{0};  ///< Held by the buffers of all connections now.
  std::atomic<std::uint64_t> silent_clients_closed_total{0};
  /// Leases given back because their client was gone before it was told of them.
  std::atomic<std::uint64_t> undelivered_leases_total{0};
};

struct Facts {
  std::string version = "0.1.0";
  std::string data_directory;
  std::string sync = "always";
  std::string address;  ///< host:port, once the gateway listens.
  Time started;         ///< Of the engine's clock.
};

}  // namespace sluice::native
