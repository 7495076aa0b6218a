// The timer wheel against a sorted list: the same timers at the same times, however it is stepped.
#include "core/timer_wheel.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class Wheel {
 public:
  Slot add(std::int64_t due) {
    const Slot slot = jobs_.add(model::JobId(++last_id_));
    jobs_[slot].due = Time(Duration(due));
    wheel_.add(slot);
    return slot;
  }

  std::int64_t due(Slot slot) const { return jobs_[slot].due.time_since_epoch().count(); }

  JobTable jobs_;
  TimerWheel wheel_{jobs_, 0};
  std::uint64_t last_id_ = 0;
};

TEST(TimerWheel, FiresAtItsTimeNotBefore) {
  Wheel wheel;
  const Slot slot = wheel.add(1000);
  std::size_t steps = 100;
  EXPECT_EQ(wheel.wheel_.pop(999, steps), no_slot);
  EXPECT_EQ(wheel.wheel_.pop(1000, steps), slot);
  EXPECT_EQ(wheel.wheel_.pop(2000, steps), no_slot);
}

TEST(TimerWheel, FiresWhatIsLongDueAtOnce) {
  Wheel wheel;
  std::size_t steps = 100;
  EXPECT_EQ(wheel.wheel_.pop(5000, steps), no_slot);
  const Slot slot = wheel.add(10);
  EXPECT_EQ(wheel.wheel_.pop(5000, steps), slot);
}

TEST(TimerWheel, NextIsNeverLaterThanTheEarliestTimer) {
  Wheel wheel;
  EXPECT_FALSE(wheel.wheel_.next());
  wheel.add(1'000'000);
  EXPECT_LE(wheel.wheel_.next().value(), 1'000'000);
  wheel.add(70);
  EXPECT_LE(wheel.wheel_.next().value(), 70);
}

TEST(TimerWheel, RewindArmsEverythingAgain) {
  Wheel wheel;
  std::size_t steps = 100;
  wheel.wheel_.pop(10'000, steps);
  const Slot slot = wheel.add(20'000);
  wheel.wheel_.rewind(0);
  EXPECT_EQ(wheel.wheel_.pop(19'999, steps), no_slot);
  EXPECT_EQ(wheel.wheel_.pop(20'000, steps), slot);
}

TEST(TimerWheel, BehavesAsASortedList) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto pick = [&random](std::uint64_t below) {
      return static_cast<std::int64_t>(random() % below);
    };
    Wheel wheel;
    std::multimap<std::int64_t, Slot> expected;
    std::int64_t now = 0;
    for (int round = 0; round < 1500; ++round) {
      if (pick(3) != 0) {
        const std::int64_t due = now + pick(std::uint64_t{1} << (1 + pick(30)));
        expected.emplace(due, wheel.add(due));
      } else if (!expected.empty() && pick(2) == 0) {
        auto victim = expected.begin();
        std::advance(victim, pick(std::min<std::size_t>(expected.size(), 20)));
        wheel.wheel_.remove(victim->second);
        expected.erase(victim);
      }
      now += pick(std::uint64_t{1} << (1 + pick(16)));
      // A few steps at a time: what is left over must not be forgotten or overtaken for long.
      for (;;) {
        std::size_t steps = 1 + static_cast<std::size_t>(pick(3));
        const std::size_t before = steps;
        const Slot slot = wheel.wheel_.pop(now, steps);
        if (slot == no_slot && steps == before) break;
        if (slot == no_slot) continue;
        ASSERT_LE(wheel.due(slot), now);
        bool is_known = false;
        const auto [first, last] = expected.equal_range(wheel.due(slot));
        for (auto each = first; each != last && !is_known; ++each) {
          if (each->second != slot) continue;
          expected.erase(each);
          is_known = true;
          break;
        }
        ASSERT_TRUE(is_known);
      }
      ASSERT_TRUE(expected.empty() || expected.begin()->first > now) << "a timer was forgotten";
      ASSERT_EQ(wheel.wheel_.size(), expected.size());
    }
  }
}

}  // namespace
}  // namespace sluice::core
