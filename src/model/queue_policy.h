// QueuePolicy: what a queue gives its jobs when they do not say, and the limits of the queue
// itself.
#pragma once

#include "model/job.h"
#include "model/limits.h"

#include <optional>
#include <string>

namespace sluice::model {

enum class Overflow : std::uint8_t {
  reject = 0,  ///< A push beyond max_length is refused with BUSY.
  drop_head =
      1,  ///< The oldest ready job of the lowest priority dies (or dead-letters) to make room.
};

struct QueuePolicy {
  // Defaults of its jobs.
  std::uint8_t priority = 0;
  Duration delay{0};
  std::uint32_t max_attempts = 25;
  Backoff backoff;
  Duration timeout = std::chrono::seconds(30);  ///< Lease, when the worker does not say.
  Duration ttl{0};                              ///< 0: never expires.
  Duration keep = std::chrono::hours(1);        ///< Finished jobs stay readable this long …
  std::uint32_t keep_max = 10'000;  ///< … but only this many that did not set KEEP themselves.
  // The queue.
  std::uint64_t max_length = 0;  ///< Unfinished jobs; 0: only the server's limit.
  Overflow overflow = Overflow::reject;
  std::string dead_letter;  ///< Queue that dead jobs move to; empty: they stay here, dead.
  bool paused = false;      ///< PULL gives nothing; pushes go on.

  friend bool operator==(const QueuePolicy&, const QueuePolicy&) = default;
};

/// QUEUE SET: the fields that change.
struct PolicyChange {
  std::optional<std::uint8_t> priority;
  std::optional<Duration> delay;
  std::optional<std::uint32_t> max_attempts;
  std::optional<Backoff> backoff;
  std::optional<Duration> timeout;
  std::optional<Duration> ttl;
  std::optional<Duration> keep;
  std::optional<std::uint32_t> keep_max;
  std::optional<std::uint64_t> max_length;
  std::optional<Overflow> overflow;
  std::optional<std::string> dead_letter;
};

}  // namespace sluice::model
