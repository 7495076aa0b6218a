// Charge: bytes that somebody holds on to, counted in a sum for as long as they live.
//
//   auto sum = std::make_shared<HeldBytes>(0);
//   Charge charge(sum, reply.size());     // *sum is larger by that much …
//   send(std::move(reply), std::move(charge));
//   …                                     // … until whoever has the charge is done with it
//
// This is how a producer of bytes knows how much of what it made is still under way, whichever way
// it goes: taken, dropped, or kept by a connection that broke.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace sluice {

/// How much is held now. Any thread.
using HeldBytes = std::atomic<std::uint64_t>;

/// Movable. Adds to the sum while it lives; the sum lives as long as its charges.
class Charge {
 public:
  Charge() = default;

  Charge(std::shared_ptr<HeldBytes> sum, std::uint64_t bytes)
      : sum_(std::move(sum)), bytes_(bytes) {
    sum_->fetch_add(bytes_, std::memory_order_relaxed);
  }

  Charge(Charge&& other) noexcept = default;

  Charge& operator=(Charge&& other) noexcept {
    std::swap(sum_, other.sum_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

  ~Charge() {
    if (sum_ != nullptr) sum_->fetch_sub(bytes_, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<HeldBytes> sum_;
  std::uint64_t bytes_ = 0;
};

}  // namespace sluice
