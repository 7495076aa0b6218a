// A burst of customers: each orders, waits for the answer, and orders again.
#pragma once

#include "http.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace orders {

struct Burst {
  std::string endpoint;  ///< "/orders" or "/orders/sync".
  std::size_t orders = 0;
  std::size_t customers = 0;
  /// What a customer waits between an answer and the next order, ± a half. Without it the response
  /// times only say how many customers share one API.
  std::chrono::milliseconds pause{0};
};

/// What the customers saw.
class BurstResult {
 public:
  std::vector<std::string> accepted;  ///< Ids of orders that were answered with 201 or 202.
  std::vector<std::string> failed;    ///< Ids of those that were not; empty when none was told.
  std::vector<std::chrono::microseconds> response_times;  ///< Of all orders.
  std::chrono::microseconds duration{};                   ///< First request to last answer.

  /// The response time that `share` (0 to 1) of the orders did not exceed.
  std::chrono::microseconds percentile(double share) const;
  double orders_per_second() const;
};

/// Runs the burst against the API at `port`. `on_answer` is called after every answer with the
/// result so far. One Idempotency-Key an order; nobody orders again after an error.
asio::awaitable<BurstResult> run_burst(std::uint16_t port,
                                       Burst burst,
                                       std::function<void(const BurstResult&)> on_answer);

}  // namespace orders
