// Random: all chance of a simulated run, from its seed. The same on every machine and compiler.
#pragma once

#include "base/check.h"

#include <cmath>
#include <cstdint>
#include <vector>

namespace sluice::sim {

/// SplitMix64: small, fast, and any seed is a good one.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  /// 0 … bound - 1.
  std::uint64_t below(std::uint64_t bound) {
    check(bound > 0);
    return next() % bound;
  }

  /// low … high, both included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }

  bool chance(double probability) {
    constexpr double scale = 1.0 / (std::uint64_t{1} << 53);
    return static_cast<double>(next() >> 11) * scale < probability;
  }

  /// low … high, so that every order of magnitude is as likely as the others. Requires low > 0.
  double log_uniform(double low, double high) {
    constexpr double scale = 1.0 / (std::uint64_t{1} << 53);
    const double place = static_cast<double>(next() >> 11) * scale;
    return low * std::exp(std::log(high / low) * place);
  }

  std::int64_t log_between(std::int64_t low, std::int64_t high) {
    return std::llround(log_uniform(static_cast<double>(low), static_cast<double>(high)));
  }

  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

  /// A stream of its own, so that more draws in one part do not change another.
  Random split() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace sluice::sim
