// What a gateway counts, for INFO and the metrics.
#pragma once

#include "base/charge.h"

#include <atomic>
#include <cstdint>
#include <memory>

namespace sluice::gateway {

/// Counted by the gateway's threads, read by anybody at any time.
struct Counters {
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

/// What all gateways of a server have together: connections_max and buffers_bytes_max bound that.
struct Together {
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> buffered_bytes{0};
  /// Of requests that are submitted and not applied yet.
  std::shared_ptr<HeldBytes> submitted_bytes = std::make_shared<HeldBytes>(0);
};

}  // namespace sluice::gateway
