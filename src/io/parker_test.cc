// The parker: tokens, times, and what a thread sees after it was woken.
#include "io/parker.h"

#include <thread>

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(Parker, AnUnparkThatCameFirstIsNotLostAndCountsOnce) {
  Parker parker;
  parker.unpark();
  parker.unpark();
  const auto start = std::chrono::steady_clock::now();
  parker.park();
  parker.park_for(10ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 10ms);
}

TEST(Parker, ParksForSecondsAndTheirParts) {
  Parker parker;
  const auto start = std::chrono::steady_clock::now();
  parker.park_for(1s + 50ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1s + 50ms);
  parker.park_for(0ns);
}

TEST(Parker, WakesTheOneThatSleepsAndShowsItWhatWasWritten) {
  constexpr int rounds = 20'000;

  struct Side {
    Parker parker;
    std::atomic<int> turn{0};
    int value = 0;  // Written by the other side before its turn is told.

    void tell(int round, int what) {
      value = what;
      turn.store(round, std::memory_order_release);
      parker.unpark();
    }

    int wait(int round) {
      while (turn.load(std::memory_order_acquire) != round)
        parker.park();
      return value;
    }
  };

  Side here;
  Side there;
  std::thread echo([&] {
    for (int round = 1; round <= rounds; ++round)
      here.tell(round, there.wait(round) + 1);
  });
  for (int round = 1; round <= rounds; ++round) {
    there.tell(round, 2 * round);
    ASSERT_EQ(here.wait(round), 2 * round + 1);
  }
  echo.join();
}

// The token alone hands over, too.
TEST(Parker, WhatWasWrittenBeforeUnparkIsSeenAfterThePark) {
  Parker parker;
  Parker done;
  int value = 0;
  std::thread writer([&] {
    value = 7;
    parker.unpark();
    done.park();
  });
  parker.park();  // Returns early only by a signal, of which there is none.
  EXPECT_EQ(value, 7);
  done.unpark();
  writer.join();
}

}  // namespace
}  // namespace sluice
