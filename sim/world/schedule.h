// Schedule: simulated time and what happens in it. Time passes from event to event; idle time costs
// nothing. Events of the same moment happen in the order in which they were scheduled.
#pragma once

#include "base/check.h"
#include "base/time.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace sluice::sim {

/// True time: microseconds since the beginning of the run. Nobody but the simulator and its judge
/// knows it.
using Micros = std::chrono::microseconds;
using Moment = Micros;

class Schedule {
 public:
  using Task = std::function<void()>;

  Moment now() const { return now_; }

  void at(Moment when, Task task) {
    events_.push_back({std::max(when, now_), next_number_++, std::move(task)});
    std::push_heap(events_.begin(), events_.end(), is_later);
  }

  void in(Micros wait, Task task) { at(now_ + wait, std::move(task)); }

  bool is_empty() const { return events_.empty(); }

  /// Runs the next event.
  void step() {
    check(!events_.empty());
    std::pop_heap(events_.begin(), events_.end(), is_later);
    Event event = std::move(events_.back());
    events_.pop_back();
    now_ = event.when;
    event.task();
  }

 private:
  struct Event {
    Moment when;
    std::uint64_t number;
    Task task;
  };

  static bool is_later(const Event& a, const Event& b) {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }

  std::vector<Event> events_;  ///< A heap, the next event in front.
  Moment now_{0};
  std::uint64_t next_number_ = 0;
};

}  // namespace sluice::sim
