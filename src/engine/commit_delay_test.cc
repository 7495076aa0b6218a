// When a sync is put off: for those who go on sending, and never for those who wait.
#include "engine/commit_delay.h"

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

using std::chrono::microseconds;

class CommitDelayTest : public testing::Test {
 protected:
  /// How long behind a sync of 200 µs that answered so many the next one is put off.
  microseconds delay(std::size_t answered, std::size_t waiting) {
    now_ += std::chrono::milliseconds(1);
    delay_.synced(now_, took_, answered);
    const CommitDelay::TimePoint until = delay_.not_before(waiting);
    if (until == CommitDelay::TimePoint()) return microseconds(0);
    return std::chrono::duration_cast<microseconds>(until - now_);
  }

  CommitDelay delay_{microseconds(500)};
  CommitDelay::TimePoint now_{std::chrono::hours(1)};
  microseconds took_{200};
};

TEST_F(CommitDelayTest, MoreIsToComeWhereMoreWasOutstandingLately) {
  EXPECT_EQ(delay(2, 3), microseconds(0)) << "as many as ever";
  EXPECT_EQ(delay(3, 1), microseconds(150));
  EXPECT_EQ(delay(1, 2), microseconds(150));
  EXPECT_EQ(delay(4, 2), microseconds(0));
}

TEST_F(CommitDelayTest, ALoneClientIsNeverHeldUp) {
  for (int sync = 0; sync < 100; ++sync) {
    EXPECT_FALSE(delay_.synced(now_, took_, 1)) << "nor need its socket be looked at";
    EXPECT_EQ(delay(1, 0), microseconds(0));
  }
  EXPECT_TRUE(delay_.synced(now_, took_, 2));
}

TEST_F(CommitDelayTest, ClientsThatWaitForTheirAnswersAreNotHeldUp) {
  // Eight unconfirmed: all at once, or one first and the others during its sync.
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(delay(8, 0), microseconds(0));
    EXPECT_EQ(delay(1, 7), microseconds(0));
    EXPECT_EQ(delay(7, 1), microseconds(0));
  }
}

TEST_F(CommitDelayTest, WhereNothingCameMeanwhileNothingIsPutOff) {
  delay(10, 10);
  EXPECT_EQ(delay(10, 0), microseconds(0));
}

TEST_F(CommitDelayTest, TwoAreNotWorthIt) {
  delay(10, 10);
  EXPECT_EQ(delay(1, 1), microseconds(0));
  EXPECT_EQ(delay(1, 2), microseconds(150));
}

TEST_F(CommitDelayTest, ItTakesNoLongerThanItMay) {
  delay(10, 10);
  took_ = std::chrono::milliseconds(3);
  EXPECT_EQ(delay(2, 2), microseconds(500));
  delay_ = CommitDelay(microseconds(0));
  EXPECT_FALSE(delay_.synced(now_, took_, 10));
  delay(10, 10);
  EXPECT_EQ(delay(2, 2), microseconds(0));
}

TEST_F(CommitDelayTest, ABurstIsForgotten) {
  delay(50, 50);
  int delayed = 0;
  while (delay(2, 2) > microseconds(0)) {
    ++delayed;
    ASSERT_LE(delayed, 64);
  }
  EXPECT_GE(delayed, 32);
}

TEST_F(CommitDelayTest, ASyncIsLookedAtOnce) {
  EXPECT_EQ(delay_.not_before(5), CommitDelay::TimePoint());
  delay(10, 10);
  EXPECT_EQ(delay(2, 2), microseconds(150));
  EXPECT_EQ(delay_.not_before(2), CommitDelay::TimePoint());
}

}  // namespace
}  // namespace sluice::engine
