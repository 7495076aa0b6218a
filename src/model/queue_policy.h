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
  reject_dead_letter = 2,  ///< As reject; the refused job goes to the dead-letter exchange.
};

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): one per queue; ordered to be read.
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
  // What the protocols with exchanges ask for.
  std::uint8_t priority_max = 255;  ///< Greater priorities of jobs are taken for this one.
  Duration ttl_max{0};              ///< No ttl is longer; 0: no limit.
  bool is_ttl_for_started = false;  ///< The ttl goes on when a started job is given back.
  bool is_length_of_ready = false;  ///< max_length counts ready jobs only.
  std::uint64_t max_bytes = 0;      ///< Payloads of ready jobs together; 0: no limit.
  /// Where dead jobs go, as if published again; unset: see dead_letter. A job that no queue takes
  /// there stays here, dead.
  std::optional<std::string> dead_letter_exchange;
  std::optional<std::string> dead_letter_key;  ///< Unset: the key it was published with.
  bool drops_dead = false;                     ///< Dead jobs that nobody takes are removed.
  Duration expires{0};          ///< The queue goes when nobody has used it so long; 0: it stays.
  bool is_durable = true;       ///< False: it is gone after a restart, with its jobs.
  bool is_auto_delete = false;  ///< The gateway deletes it when its last consumer leaves.
  std::string arguments;        ///< Opaque: what the gateway that declared it wants to find again.

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
