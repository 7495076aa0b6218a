// Queue: what the core holds of one queue: its policy, its lists of jobs by state, its counters and
// the pulls that wait on it.
#pragma once

#include "base/position.h"
#include "base/result.h"
#include "core/facts.h"
#include "core/job_list.h"
#include "model/command.h"
#include "model/queue_policy.h"

#include <boost/container/small_vector.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::core {

/// A PULL that waits for a job in any of its queues.
struct PullWaiter {
  std::vector<QueueIndex> queues;
  std::uint32_t count = 1;
  std::optional<Duration> lease;
  std::string worker;
  Time deadline = never;
  model::Duty duty = model::Duty::lease;
  std::int32_t rank = 0;
  std::uint64_t stay_bytes = 0;  ///< What is left of Pull::stay_bytes; 0: it does not stay.
  std::uint64_t arrival = 0;

  /// Who is served before whom.
  std::pair<std::int64_t, std::uint64_t> turn() const { return {-std::int64_t{rank}, arrival}; }
};

/// An AWAIT that waits for the end of a job.
struct AwaitWaiter {
  model::JobId id;
  Time deadline = never;
};

struct Queue {
  QueueIndex index = 0;
  std::string name;
  model::QueuePolicy policy;
  Position home;
  ReadyList ready;
  std::array<JobList, model::job_state_count> lists;  ///< By state; ready has its own.
  JobList pinned;  ///< Final jobs that set KEEP themselves: not subject to keep_max.
  std::array<std::uint64_t, model::job_state_count> counts{};
  std::uint64_t pushed_total = 0;
  std::uint64_t pulled_total = 0;
  std::uint64_t succeeded_total = 0;
  std::uint64_t failed_total = 0;
  std::uint64_t dead_total = 0;
  std::uint64_t ready_bytes = 0;  ///< Of payloads, where max_bytes has them counted.
  /// Pulls that wait here, by PullWaiter::turn().
  std::map<std::pair<std::int64_t, std::uint64_t>, model::Ticket> waiters;
  /// What must be durable before more of it is handed out: what the deliveries before have waited
  /// for, so that a job which needs less does not overtake them.
  Position handed_out;
  bool is_signalled = false;  ///< Is in Core::signalled_.
  Time ends = never;          ///< When it goes, unless somebody uses it before (policy.expires).

  std::uint64_t unfinished() const;
};

/// What a push that has been looked at will do.
struct PushPlan {
  Queue* queue = nullptr;                ///< Null: to be made.
  Slot replaced = no_slot;               ///< The job whose place the new one takes.
  std::optional<model::JobId> existing;  ///< The job that it already is: nothing will be done.
};

/// Of a publish, a plan for each queue that it goes to: mostly one or a few.
using PushPlans = boost::container::small_vector<PushPlan, 4>;

/// Why a job dies.
struct Cause {
  model::DeathReason reason{};
  ByteView note;
  bool is_error = true;  ///< The note is its last error from now on.
};

/// A job that just ended, for those that wait for it.
struct Settled {
  model::JobId id;
  bool has_succeeded = false;
};

using Queues = std::vector<std::unique_ptr<Queue>>;  ///< By index; null: free.
using QueueNames = std::map<std::string, QueueIndex, std::less<>>;

/// A name of a queue or an exchange. `field` is what the error calls it.
Result<void> check_name(std::string_view field, ByteView name);
[[gnu::cold]] Error too_big(std::string_view field, std::size_t size, std::size_t limit);

[[gnu::always_inline]] inline Result<void> check_size(std::string_view field,
                                                      std::size_t size,
                                                      std::size_t limit) {
  if (size <= limit) return {};
  return tl::unexpected<Error>(too_big(field, size, limit));
}

}  // namespace sluice::core
