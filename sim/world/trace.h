// Trace: a hash over everything that happens, so that two runs of a seed can be compared; and, when
// a seed is replayed for a person, a line for each event.
#pragma once

#include "sim/world/schedule.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace sluice::sim {

class Trace {
 public:
  Trace(const Schedule& schedule, bool is_loud) : schedule_(schedule), is_loud_(is_loud) {}

  /// What happened, in numbers.
  template <class... Numbers>
  void mix(Numbers... numbers) {
    add(static_cast<std::uint64_t>(schedule_.now().count()));
    (add(static_cast<std::uint64_t>(numbers)), ...);
  }

  /// A line for people; a part of the hash only by what else is mixed in.
  template <class... Arguments>
  void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    if (!is_loud_) return;
    const double seconds = std::chrono::duration<double>(schedule_.now()).count();
    fmt::print(
        "{:14.6f} {}\n", seconds, fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  std::uint64_t hash() const { return hash_; }

 private:
  void add(std::uint64_t number) {
    hash_ = (hash_ ^ number) * 0x9fb21c651e98df25;
    hash_ ^= hash_ >> 29;
  }

  const Schedule& schedule_;
  const bool is_loud_;
  std::uint64_t hash_ = 0x5eed;
};

}  // namespace sluice::sim
