// The payment provider of the demo: slow, fails at random, and remembers every charge.
//
//   POST /charges  {"order": id, "amount_cents": n, "card": token}   with an Idempotency-Key
//   GET  /         totals as JSON
//   GET  /orders   how often each order was charged
//
// As real providers do: a key that was charged before gets the first charge's answer again. So a
// caller that repeats a charge under one key pays once, one that makes up a new key pays twice;
// the count by order tells them apart. One failure in two charges the card and loses the answer:
// the caller cannot know.
#pragma once

#include "http.h"

#include <random>
#include <string>
#include <unordered_map>

namespace orders {

struct PaymentFaults {
  std::chrono::milliseconds delay_min{50};
  std::chrono::milliseconds delay_max{200};
  double failures = 0.10;  ///< Share of the requests: half refused with 500, half charged and lost.
};

class Payments {
 public:
  explicit Payments(PaymentFaults faults) : faults_(faults), random_(std::random_device{}()) {}

  asio::awaitable<HttpResponse> handle(HttpRequest request);

 private:
  asio::awaitable<HttpResponse> charge(HttpRequest request);
  HttpResponse charge_now(const std::string& key, const std::string& order, std::uint64_t cents);
  std::string totals() const;
  std::string orders() const;

  PaymentFaults faults_;
  std::mt19937_64 random_;
  std::unordered_map<std::string, std::string> receipts_;   ///< Idempotency key -> answer.
  std::unordered_map<std::string, std::uint64_t> charges_;  ///< Order -> times it was charged.
  std::uint64_t requests_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t lost_answers_ = 0;
  std::uint64_t repeated_keys_ = 0;
  std::uint64_t amount_cents_ = 0;
};

/// Runs the provider until SIGTERM; tells the port through `ready_fd`.
int run_payments(std::uint16_t port, int ready_fd, PaymentFaults faults);

}  // namespace orders
