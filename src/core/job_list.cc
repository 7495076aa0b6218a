// JobList and ReadyList: linking, and the merge that recovery needs.
#include "core/job_list.h"

#include <algorithm>

namespace sluice::core {
namespace {

/// In Job::previous of a job that sits in Level::returned and not in the linked list.
constexpr Slot in_returned = 0xFFFF'FFFE;

}  // namespace

void JobList::push_back(JobTable& jobs, Slot slot) {
  Job& job = jobs[slot];
  check(accepts(jobs, slot));
  job.previous = tail_;
  job.next = no_slot;
  if (tail_ == no_slot) {
    head_ = slot;
  } else {
    jobs[tail_].next = slot;
  }
  tail_ = slot;
  ++size_;
}

void JobList::remove(JobTable& jobs, Slot slot) {
  Job& job = jobs[slot];
  check(size_ > 0);
  if (job.previous == no_slot) {
    check(head_ == slot);
    head_ = job.next;
  } else {
    jobs[job.previous].next = job.next;
  }
  if (job.next == no_slot) {
    tail_ = job.previous;
  } else {
    jobs[job.next].previous = job.previous;
  }
  job.previous = no_slot;
  job.next = no_slot;
  --size_;
}

void JobList::merge(JobTable& jobs, std::vector<Slot>& stragglers) {
  const auto by_order = [&jobs](Slot a, Slot b) { return jobs[a].order < jobs[b].order; };
  std::sort(stragglers.begin(), stragglers.end(), by_order);
  Slot at = head_;
  for (const Slot slot : stragglers) {
    while (at != no_slot && jobs[at].order < jobs[slot].order)
      at = jobs[at].next;
    if (at == no_slot) {
      push_back(jobs, slot);
      continue;
    }
    // In front of `at`.
    Job& job = jobs[slot];
    job.next = at;
    job.previous = jobs[at].previous;
    if (job.previous == no_slot) {
      head_ = slot;
    } else {
      jobs[job.previous].next = slot;
    }
    jobs[at].previous = slot;
    ++size_;
  }
}

void ReadyList::add(JobTable& jobs, Slot slot) {
  Job& job = jobs[slot];
  Level& home = level(job.priority);
  if (home.tail.accepts(jobs, slot) &&
      (home.returned.empty() || home.returned.rbegin()->first < job.order)) {
    home.tail.push_back(jobs, slot);
  } else {
    job.previous = in_returned;
    home.returned.emplace(job.order, slot);
  }
  ++size_;
}

void ReadyList::remove(JobTable& jobs, Slot slot) {
  Job& job = jobs[slot];
  Level& home = level(job.priority);
  if (job.previous == in_returned) {
    const auto erased = home.returned.erase(job.order);
    check(erased == 1);
    job.previous = no_slot;
  } else {
    home.tail.remove(jobs, slot);
  }
  --size_;
  if (home.tail.empty() && home.returned.empty() && levels_.size() > 1) {
    levels_.erase(levels_.begin() + (&home - levels_.data()));
  }
}

Slot ReadyList::front(const JobTable& jobs) const {
  for (const Level& level : levels_) {
    const Slot slot = front_of(jobs, level);
    if (slot != no_slot) return slot;
  }
  return no_slot;
}

Slot ReadyList::lowest_front(const JobTable& jobs) const {
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    const Slot slot = front_of(jobs, *level);
    if (slot != no_slot) return slot;
  }
  return no_slot;
}

Slot ReadyList::after(const JobTable& jobs, Slot slot) const {
  const Job& job = jobs[slot];
  for (const Level& level : levels_) {
    if (level.priority > job.priority) continue;
    if (level.priority < job.priority) {
      const Slot first = front_of(jobs, level);
      if (first != no_slot) return first;
      continue;
    }
    // Within the level: the successor in the list, or the first returned one behind this order,
    // whichever is smaller. A returned job's successor in the list is found from the list's head;
    // returned jobs are few and stand in front.
    Slot next = job.next;
    if (job.previous == in_returned) {
      next = level.tail.head();
      while (next != no_slot && jobs[next].order < job.order)
        next = jobs[next].next;
    }
    const auto returned = level.returned.upper_bound(job.order);
    if (returned != level.returned.end() &&
        (next == no_slot || returned->first < jobs[next].order)) {
      next = returned->second;
    }
    if (next != no_slot) return next;
  }
  return no_slot;
}

void ReadyList::merge(JobTable& jobs, std::vector<Slot>& stragglers) {
  size_ += stragglers.size();
  std::sort(stragglers.begin(), stragglers.end(), [&jobs](Slot a, Slot b) {
    return jobs[a].priority < jobs[b].priority;
  });
  std::vector<Slot> same;
  for (std::size_t index = 0; index < stragglers.size(); ++index) {
    same.push_back(stragglers[index]);
    const bool is_last = index + 1 == stragglers.size() ||
                         jobs[stragglers[index + 1]].priority != jobs[stragglers[index]].priority;
    if (!is_last) continue;
    level(jobs[stragglers[index]].priority).tail.merge(jobs, same);
    same.clear();
  }
}

bool ReadyList::accepts(const JobTable& jobs, Slot slot) const {
  for (const Level& level : levels_) {
    if (level.priority == jobs[slot].priority) return level.tail.accepts(jobs, slot);
  }
  return true;
}

inline ReadyList::Level& ReadyList::level(std::uint8_t priority) {
  if (!levels_.empty() && levels_.front().priority == priority) return levels_.front();
  const auto at = std::find_if(levels_.begin(), levels_.end(), [priority](const Level& level) {
    return level.priority <= priority;
  });
  if (at != levels_.end() && at->priority == priority) return *at;
  return *levels_.insert(at, Level{priority, {}, {}});
}

Slot ReadyList::front_of(const JobTable& jobs, const Level& level) {
  if (level.returned.empty()) return level.tail.head();
  const auto& [order, slot] = *level.returned.begin();
  const Slot head = level.tail.head();
  return head == no_slot || order < jobs[head].order ? slot : head;
}

}  // namespace sluice::core
