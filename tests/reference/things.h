// What the reference queue keeps: jobs, queues, exchanges and bindings, as plain values.
#pragma once

#include "model/death.h"
#include "model/job.h"
#include "model/queue_policy.h"
#include "model/routing.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::reference {

/// Throws Mismatch; `which` is the number of the job or request concerned, if there is one.
void require(bool condition, const char* what, std::uint64_t which = 0);
[[noreturn]] void differ(const std::string& what, std::uint64_t which);

struct Job {
  // What the push said, or else the queue's policy at that moment.
  model::JobId id;
  std::string queue;
  std::string type;
  std::string payload;
  std::uint8_t priority = 0;
  std::optional<std::uint32_t> max_attempts;
  std::optional<model::Backoff> backoff;
  std::optional<Duration> timeout;
  std::optional<Duration> keep;
  Duration ttl{0};
  Duration delay{0};
  std::optional<WallTime> at;
  std::string unique_key;
  std::vector<model::Dependency> waits_for;
  bool is_transient = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::uint64_t counted_bytes = 0;  ///< For max_bytes, if its queue had one.
  Time created;
  // What became of it.
  model::JobState state = model::JobState::ready;
  std::uint64_t place = 0;  ///< In the list of its state; the token of a leased job.
  Time due = never;         ///< Of the state's timer.
  bool is_wall_timed = false;
  std::optional<model::DeathReason> death;
  bool was_late = false;  ///< Its timer was overdue when it was set: it may fire out of turn.
  std::uint16_t attempt = 0;
  Time expires = never;
  std::string worker;
  std::string error;
  bool has_result = false;
  std::string result;
  std::uint8_t progress_percent = 0;
  std::string progress_note;
  std::vector<model::JobEvent> history;
  Position ready_since;  ///< The frame without which it would not be ready; zero: its push's.
};

/// A finished job that said itself how long it is kept; keep_max does not count it.
bool is_pinned(const Job& job);

struct Queue {
  std::string name;
  std::uint32_t index = 0;  ///< The lowest that no other has; orders what ends at the same time.
  model::QueuePolicy policy;
  std::uint64_t pushed = 0;
  std::uint64_t pulled = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t dead = 0;
  Time ends = never;  ///< Unless somebody uses it before.
};

struct Exchange {
  std::string name;
  model::Exchange as;
};

/// A binding.
struct Route {
  std::string exchange;
  std::string destination;
  bool is_to_exchange = false;
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
  bool is_any_enough = false;

  friend bool operator==(const Route&, const Route&) = default;
};

}  // namespace sluice::reference
