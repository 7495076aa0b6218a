// The job: its identity, its states, and what a push may ask for. Values only.
//
//   push ──► waiting ──► scheduled ──► ready ──► leased ──► succeeded ──► (gone after keep)
//              │  (after)    (delay, at)  ▲ ▲        │
//              │                          │ └────────┤ release, lease expired
//              │              retry ──────┘          │
//              │                ▲  (backoff)         │
//              │                └────────── fail ────┤
//              └──────────────────────────────────── ┴──► dead (attempts used up, rejected, a
//                                                         dependency died, overflow)
//   any state before succeeded ──► cancelled      unstarted, ttl passed ──► expired
#pragma once

#include "base/bytes.h"
#include "base/strong.h"
#include "base/time.h"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::model {

/// Partition in the upper 16 bits, a counter that is never used twice below. Printed as a decimal.
using JobId = Strong<std::uint64_t, struct JobIdTag>;
/// Boot epoch in the upper 24 bits, a counter of that boot below: only grows, across restarts too
/// (RELIABILITY D4). Given to the worker, who may fence its own side effects with it.
using LeaseToken = Strong<std::uint64_t, struct LeaseTokenTag>;

/// As everybody is shown it.
inline std::string id_text(JobId id) {
  return std::to_string(id.value);
}

constexpr std::uint16_t partition(JobId id) {
  return static_cast<std::uint16_t>(id.value >> 48);
}

/// Stored in the journal: numbers are final.
enum class JobState : std::uint8_t {
  scheduled = 0,  ///< Has a time; becomes ready then.
  waiting = 1,    ///< Waits for other jobs (`after`).
  ready = 2,      ///< May be leased now.
  leased = 3,     ///< A worker runs it until its lease ends.
  retry = 4,      ///< Failed; becomes ready when its backoff is over.
  succeeded = 5,  ///< Acknowledged; stays readable for `keep`.
  dead = 6,       ///< Will not run again by itself; kept until redriven or deleted.
  cancelled = 7,  ///< Cancelled before it succeeded; stays readable for `keep`.
  expired = 8,    ///< Its ttl ran out before it was started; stays readable for `keep`.
};
inline constexpr std::size_t job_state_count = 9;

constexpr std::string_view name(JobState state) {
  switch (state) {
    case JobState::scheduled:
      return "scheduled";
    case JobState::waiting:
      return "waiting";
    case JobState::ready:
      return "ready";
    case JobState::leased:
      return "leased";
    case JobState::retry:
      return "retry";
    case JobState::succeeded:
      return "succeeded";
    case JobState::dead:
      return "dead";
    case JobState::cancelled:
      return "cancelled";
    case JobState::expired:
      return "expired";
  }
  return "";
}

/// A job in a final state never runs again unless a person redrives it.
constexpr bool is_final(JobState state) {
  return state >= JobState::succeeded;
}

std::optional<JobState> job_state(std::string_view wanted);

/// The delay before attempt n+1 after n failed attempts.
struct Backoff {
  enum class Kind : std::uint8_t { exponential = 0, fixed = 1, linear = 2, list = 3 };
  Kind kind = Kind::exponential;
  std::uint8_t jitter_percent = 20;
  Duration base = std::chrono::seconds(1);
  Duration cap = std::chrono::minutes(10);
  std::vector<Duration> list;  ///< Kind::list: one delay per attempt, the last one repeats.

  friend bool operator==(const Backoff&, const Backoff&) = default;
};

/// The delay after `failed` (1-based) attempts. Jitter spreads by ± jitter_percent; `seed` makes it
/// the same on every replay (the core has no randomness of its own).
Duration backoff_delay(const Backoff& backoff, std::uint32_t failed, std::uint64_t seed);

enum class OnConflict : std::uint8_t {
  existing = 0,  ///< Answer with the id of the job that holds the key.
  replace = 1,   ///< Put the new job in the place of the old one if that has not started.
  reject = 2,    ///< Answer EXISTS.
};

using HeaderView = std::pair<ByteView, ByteView>;
/// As many as a message of AMQP usually has are in place.
using HeaderList = boost::container::small_vector<HeaderView, 3>;

struct Dependency {
  JobId id;
  bool any_outcome = false;  ///< AFTER_ANY: go on even if that job dies.
};

/// What a push may set beyond queue, type and payload; unset means the queue's policy. The views
/// point into the bytes of the request (engine/port.h).
struct PushOptions {
  std::optional<Duration> delay;
  std::optional<WallTime> at;
  std::optional<std::uint8_t> priority;
  std::optional<std::uint32_t> max_attempts;
  std::optional<Backoff> backoff;
  std::optional<Duration> timeout;
  std::optional<Duration> ttl;
  std::optional<Duration> keep;
  ByteView unique_key;
  std::optional<Duration> unique_window;
  OnConflict on_conflict = OnConflict::existing;
  std::vector<Dependency> after;
  HeaderList headers;
  bool is_transient = false;  ///< Need not survive a restart: answered before it is durable.
};

/// One entry of a job's bounded history.
struct JobEvent {
  Time time;
  JobState state;         ///< The state it went to.
  std::uint16_t attempt;  ///< 1-based; 0 before the first lease.
  std::string worker;     ///< Who held the lease, if this is about a lease.
  std::string note;       ///< Reason or error, bounded by limits.
};

}  // namespace sluice::model
