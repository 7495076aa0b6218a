// Job and Details: a job as the core holds it in memory.
//
// A job is one cache line. What most jobs do not have (options of their own, a lease, a history)
// lives in Details, which a job gets when it first needs it and which is pooled. Type, payload and
// headers are not in memory at all: they are in the record at `home`.
#pragma once

#include "base/position.h"
#include "core/facts.h"
#include "model/job.h"

#include <optional>
#include <string>
#include <vector>

namespace sluice::core {

/// Index of a job in the JobTable. Stable while the job lives, used again afterwards.
using Slot = std::uint32_t;
inline constexpr Slot no_slot = 0xFFFF'FFFF;
inline constexpr std::uint32_t no_details = 0xFFFF'FFFF;

/// The resolution of journal time. A deadline is counted from the beginning of its millisecond; so
/// it is over when the millisecond it falls into is. Otherwise a lease of 50 ms could end
/// after 49.1 ms (RELIABILITY T1).
inline constexpr Duration one_tick{1};

struct Job {
  model::JobId id;
  Position home;  ///< Of its last whole record; cleaning moves it.
  /// When the timer of its state fires: ready time (scheduled, retry; calendar time if
  /// Details::at), end of ttl (ready), end of the lease (leased), end of keep (final).
  Time due = never;
  /// Its place in the list of its state: smaller is nearer to the head. A fresh number is drawn
  /// when a job enters a list at its tail; a released job gets its old place, its id. Leased: the
  /// token.
  std::uint64_t order = 0;
  QueueIndex queue = 0;
  Slot previous = no_slot;        ///< In the list of its state, or marks (core/job_list.h).
  Slot next = no_slot;            ///< Likewise.
  Slot timer_previous = no_slot;  ///< In the timer wheel (core/timer_wheel.h).
  Slot timer_next = no_slot;
  std::uint32_t record_bytes = 0;
  std::uint32_t details = no_details;
  std::uint16_t attempt = 0;  ///< Of the current or last lease; 0 before the first.
  model::JobState state : 7 = model::JobState::ready;
  bool is_transient : 1 = false;  ///< It need not survive a restart, nor does it.
  std::uint8_t priority = 0;
};

static_assert(sizeof(Job) == 64, "one cache line; 10 million of them are 640 MB");

struct Details {
  // What the push asked for.
  std::optional<std::uint32_t> max_attempts;
  std::optional<model::Backoff> backoff;
  std::optional<Duration> timeout;
  std::optional<Duration> keep;
  Duration ttl{0};
  std::optional<WallTime> at;
  Duration delay{0};  ///< Waiting jobs: the delay that begins when the last dependency is met.
  std::string unique_key;
  std::vector<model::Dependency> waits_for;
  // What happened to it.
  Time expires = never;  ///< Absolute end of its ttl, once it was ready for the first time.
  std::uint32_t payload_bytes = 0;          ///< In queues whose policy has max_bytes.
  std::optional<model::DeathReason> death;  ///< Of a dead job: why.
  std::vector<model::JobEvent> history;
  std::string worker;
  std::string error;
  Position result_at;
  std::uint32_t result_bytes = 0;
  bool has_result = false;
  std::uint8_t progress_percent = 0;  ///< Not durable, as the note: it is news, not state.
  std::string progress_note;
  /// The frame that made the job ready last; a delivery waits until it is durable.
  Position ready_since;

  /// Back to a fresh one; strings and vectors keep their memory.
  void reset();
  /// Brings heap_bytes up to date.
  void count_heap();

  std::uint64_t heap_bytes = 0;  ///< Held beyond its own size, when it was counted last.
};

/// Appends to the bounded history: the first event and the latest ones stay.
void add_event(Details& details, model::JobEvent event);

/// Tagged fields of a job_put (core/facts.h). `result` is the result's bytes, if it has one.
void put_details(Buffer& out, const Details& details, ByteView result);
/// `at`: position of the encoded bytes. Unknown fields are skipped.
Result<void> read_details(ByteView bytes, Position at, Details& details);

}  // namespace sluice::core
