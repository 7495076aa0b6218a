// TimerWheel: which job's `due` comes next, at a cost that does not grow with how many wait.
//
// A hierarchical wheel (Varghese and Lauck 1987) in the form Tokio uses: eleven levels of 64 slots,
// a level for each six bits of the time. A timer sits at the level of the highest bit in which its
// due time differs from the wheel's time; when the wheel reaches a slot of a higher level, the
// slot's timers move down. A bitmap per level finds the next occupied slot in one instruction. The
// lists run through Job::timer_previous and timer_next, so a timer costs no memory of its own.
#pragma once

#include "core/job_table.h"

#include <array>
#include <optional>

namespace sluice::core {

class TimerWheel {
 public:
  /// `start`: the wheel's first time in milliseconds. The table outlives the wheel.
  TimerWheel(JobTable& jobs, std::int64_t start) : jobs_(jobs), elapsed_(start) { reset(start); }

  /// Arms the timer at the job's `due`, which stays untouched until remove() or pop().
  void add(Slot slot);
  /// Requires that the job's timer is armed (is_armed).
  void remove(Slot slot);

  static bool is_armed(const Job& job) { return job.timer_previous != no_slot; }

  /// Takes one timer that is due at `now`; no_slot when there is none, or when `steps` is used up:
  /// each moved or taken timer costs one step, so that a million timers of one slot do not stall.
  Slot pop(std::int64_t now, std::size_t& steps);

  /// A time at which pop() may have something; not later than the earliest due. Nothing: never.
  std::optional<std::int64_t> next() const;

  std::size_t size() const { return size_; }

  /// Sets the wheel's time back (a clock stepped): takes every timer out and arms it again.
  void rewind(std::int64_t now);

  std::int64_t elapsed() const { return elapsed_; }

 private:
  static constexpr std::size_t levels = 11;
  static constexpr std::size_t slots = 64;
  // A head's number, told from a job's slot by the highest bit.
  static constexpr Slot head_mark = 0x8000'0000;

  struct Point {
    std::size_t level;
    std::size_t slot;
    std::int64_t time;
  };

  void reset(std::int64_t start);
  std::optional<Point> next_point() const;
  void link(Slot slot, std::size_t head);
  std::size_t head_for(std::int64_t due) const;

  JobTable& jobs_;  ///< Owned by the core, as the wheel is.
  std::int64_t elapsed_;
  std::array<Slot, levels * slots> heads_{};
  std::array<std::uint64_t, levels> occupied_{};
  std::size_t size_ = 0;
};

}  // namespace sluice::core
