// Lists of jobs within a queue: one per state, linked through the jobs themselves.
//
// JobList is a list in ascending `order`. ReadyList is what PULL takes from: per priority a list to
// whose tail new jobs go, and beside it the few that came back to a place further in front
// (released, lease expired), sorted. The tail list is append-only in order, so a long tail can
// later be kept as a run of journal positions instead of jobs in memory (docs/architecture.md,
// "Long queues").
#pragma once

#include "core/job_table.h"

#include <map>
#include <vector>

namespace sluice::core {

class JobList {
 public:
  /// Puts the job behind all others. Requires that its order is greater than the tail's.
  void push_back(JobTable& jobs, Slot slot);
  void remove(JobTable& jobs, Slot slot);
  /// Adds jobs in any order at once: recovery, which meets jobs out of order where cleaning has
  /// moved their records. `stragglers` is sorted by this.
  void merge(JobTable& jobs, std::vector<Slot>& stragglers);

  Slot head() const { return head_; }

  Slot tail() const { return tail_; }

  bool empty() const { return head_ == no_slot; }

  std::uint64_t size() const { return size_; }

  /// Whether the job could be appended without breaking the order.
  bool accepts(const JobTable& jobs, Slot slot) const {
    return empty() || jobs[tail_].order < jobs[slot].order;
  }

 private:
  Slot head_ = no_slot;
  Slot tail_ = no_slot;
  std::uint64_t size_ = 0;
};

class ReadyList {
 public:
  void add(JobTable& jobs, Slot slot);
  void remove(JobTable& jobs, Slot slot);
  /// The next job to run: highest priority, smallest order. no_slot if there is none.
  Slot front(const JobTable& jobs) const;
  /// The oldest job of the lowest priority: what drop_head drops.
  Slot lowest_front(const JobTable& jobs) const;
  /// The job behind this one in the order in which they will run; no_slot behind the last.
  Slot after(const JobTable& jobs, Slot slot) const;

  std::uint64_t size() const { return size_; }

  void merge(JobTable& jobs, std::vector<Slot>& stragglers);
  bool accepts(const JobTable& jobs, Slot slot) const;

 private:
  struct Level {
    std::uint8_t priority = 0;
    JobList tail;
    std::map<std::uint64_t, Slot> returned;  ///< By order.
  };

  Level& level(std::uint8_t priority);
  static Slot front_of(const JobTable& jobs, const Level& level);

  std::vector<Level> levels_;  ///< Highest priority first; empty levels are removed.
  std::uint64_t size_ = 0;
};

}  // namespace sluice::core
