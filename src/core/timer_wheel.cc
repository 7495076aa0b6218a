// TimerWheel: insertion, removal, and stepping from occupied slot to occupied slot.
#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace sluice::core {
namespace {

constexpr std::uint64_t bits(std::int64_t time) {
  return static_cast<std::uint64_t>(time);
}

std::int64_t due_of(const Job& job) {
  return job.due.time_since_epoch().count();
}

}  // namespace

void TimerWheel::reset(std::int64_t start) {
  elapsed_ = start;
  heads_.fill(no_slot);
  occupied_.fill(0);
  size_ = 0;
}

void TimerWheel::add(Slot slot) {
  check(!is_armed(jobs_[slot]));
  link(slot, head_for(due_of(jobs_[slot])));
  ++size_;
}

void TimerWheel::remove(Slot slot) {
  Job& job = jobs_[slot];
  check(is_armed(job));
  if (job.timer_next != no_slot) jobs_[job.timer_next].timer_previous = job.timer_previous;
  if ((job.timer_previous & head_mark) != 0) {
    const std::size_t head = job.timer_previous & ~head_mark;
    heads_[head] = job.timer_next;
    if (job.timer_next == no_slot) occupied_[head / slots] &= ~(std::uint64_t{1} << (head % slots));
  } else {
    jobs_[job.timer_previous].timer_next = job.timer_next;
  }
  job.timer_previous = no_slot;
  job.timer_next = no_slot;
  --size_;
}

Slot TimerWheel::pop(std::int64_t now, std::size_t& steps) {
  while (steps > 0) {
    const std::optional<Point> point = next_point();
    if (!point || point->time > now) {
      // Everything armed later is compared with this time; it never runs backwards here.
      elapsed_ = std::max(elapsed_, now);
      return no_slot;
    }
    elapsed_ = std::max(elapsed_, point->time);
    const Slot first = heads_[point->level * slots + point->slot];
    --steps;
    remove(first);
    if (due_of(jobs_[first]) <= elapsed_) return first;
    link(first, head_for(due_of(jobs_[first])));
    ++size_;
  }
  return no_slot;
}

std::optional<std::int64_t> TimerWheel::next() const {
  const std::optional<Point> point = next_point();
  if (!point) return std::nullopt;
  return point->time;
}

void TimerWheel::rewind(std::int64_t now) {
  std::vector<Slot> all;
  all.reserve(size_);
  for (const Slot head : heads_) {
    for (Slot slot = head; slot != no_slot; slot = jobs_[slot].timer_next)
      all.push_back(slot);
  }
  reset(now);
  for (const Slot slot : all) {
    jobs_[slot].timer_previous = no_slot;
    jobs_[slot].timer_next = no_slot;
    add(slot);
  }
}

/// The lowest occupied level has the earliest slot: what sits higher differs from elapsed_ in a
/// higher bit and is later.
std::optional<TimerWheel::Point> TimerWheel::next_point() const {
  // A slot of a higher level that the wheel has reached but not yet emptied (pop() ran out of
  // steps) comes before everything else: its timers may be due before those that have moved down
  // already.
  for (std::size_t level = 1; level < levels; ++level) {
    const std::size_t slot = (bits(elapsed_) >> (level * 6)) & (slots - 1);
    if ((occupied_[level] >> slot & 1) != 0) return Point{level, slot, elapsed_};
  }
  for (std::size_t level = 0; level < levels; ++level) {
    if (occupied_[level] == 0) continue;
    const std::size_t shift = level * 6;
    const auto slot = static_cast<std::size_t>(std::countr_zero(occupied_[level]));
    // Above the top level's bits there is nothing left to keep.
    const std::uint64_t above = shift + 6 >= 64 ? 0 : bits(elapsed_) >> (shift + 6) << (shift + 6);
    const std::uint64_t time = above | (std::uint64_t{slot} << shift);
    return Point{level, slot, static_cast<std::int64_t>(time)};
  }
  return std::nullopt;
}

std::size_t TimerWheel::head_for(std::int64_t due) const {
  // What is due already sits in the current slot of level 0 and is popped next.
  const std::uint64_t at = bits(std::max(due, elapsed_));
  const std::uint64_t differs = at ^ bits(elapsed_);
  const std::size_t level =
      differs == 0 ? 0 : static_cast<std::size_t>(63 - std::countl_zero(differs)) / 6;
  return level * slots + ((at >> (level * 6)) & (slots - 1));
}

void TimerWheel::link(Slot slot, std::size_t head) {
  Job& job = jobs_[slot];
  job.timer_next = heads_[head];
  job.timer_previous = head_mark | static_cast<Slot>(head);
  if (job.timer_next != no_slot) jobs_[job.timer_next].timer_previous = slot;
  heads_[head] = slot;
  occupied_[head / slots] |= std::uint64_t{1} << (head % slots);
}

}  // namespace sluice::core
