// Names of states and the arithmetic of backoff.
#include "model/job.h"

#include "base/check.h"

#include <algorithm>

namespace sluice::model {
namespace {

/// SplitMix64 (Steele, Lea, Flood 2014): spreads a seed over 64 bits.
std::uint64_t mix(std::uint64_t seed) {
  seed += 0x9e3779b97f4a7c15u;
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebu;
  return seed ^ (seed >> 31);
}

Duration before_jitter(const Backoff& backoff, std::uint32_t failed) {
  switch (backoff.kind) {
    case Backoff::Kind::exponential: {
      // base << (failed - 1), without overflow: stop as soon as the cap is reached.
      Duration delay = backoff.base;
      for (std::uint32_t step = 1; step < failed && delay < backoff.cap; ++step)
        delay *= 2;
      return std::min(delay, backoff.cap);
    }
    case Backoff::Kind::fixed:
      return backoff.base;
    case Backoff::Kind::linear: {
      if (backoff.base.count() == 0) return Duration{0};
      const auto steps_to_cap = static_cast<std::uint64_t>(backoff.cap / backoff.base);
      return failed > steps_to_cap ? backoff.cap : backoff.base * failed;
    }
    case Backoff::Kind::list: {
      if (backoff.list.empty()) return Duration{0};
      return backoff.list[std::min<std::size_t>(failed, backoff.list.size()) - 1];
    }
  }
  return Duration{0};
}

}  // namespace

std::optional<JobState> job_state(std::string_view wanted) {
  for (std::size_t index = 0; index < job_state_count; ++index) {
    const auto state = static_cast<JobState>(index);
    if (name(state) == wanted) return state;
  }
  return std::nullopt;
}

Duration backoff_delay(const Backoff& backoff, std::uint32_t failed, std::uint64_t seed) {
  check(failed > 0);
  const Duration delay = before_jitter(backoff, failed);
  const std::int64_t spread = delay.count() / 100 * backoff.jitter_percent;
  if (spread == 0) return delay;
  const auto range = static_cast<std::uint64_t>(2 * spread + 1);
  return delay - Duration(spread) + Duration(static_cast<std::int64_t>(mix(seed + failed) % range));
}

}  // namespace sluice::model
