// The tail in memory: what was written is found until newer chunks push it out, small ones are put
// together, and what is not yet written stays.
#include "journal/tail.h"

#include <string>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

class TailTest : public testing::Test {
 protected:
  std::shared_ptr<Chunk> add(std::uint32_t offset, ByteView bytes) {
    std::shared_ptr<Chunk> chunk = tail_.add(1, offset);
    chunk->bytes.append(bytes);
    return chunk;
  }

  bool has(std::uint32_t offset, ByteView bytes) {
    return tail_.find(Position(1, offset), bytes.size()) == bytes;
  }

  Tail tail_{32u << 10};
};

TEST_F(TailTest, SmallNeighboursAreFoundAsOne) {
  const auto first = add(64, "one");
  const auto second = add(67, "two");
  EXPECT_FALSE(has(64, "onetwo"));
  tail_.retire(first);
  tail_.retire(second);
  EXPECT_TRUE(has(64, "onetwo"));
}

TEST_F(TailTest, AcrossAGapNothingIsFound) {
  const auto first = add(64, "one");
  const auto second = add(100, "two");
  tail_.retire(first);
  tail_.retire(second);
  EXPECT_TRUE(has(64, "one"));
  EXPECT_TRUE(has(100, "two"));
  EXPECT_FALSE(has(64, "onetwo"));
  EXPECT_EQ(tail_.find(Position(1, 67), 1), std::nullopt);
}

TEST_F(TailTest, WhatIsNotWrittenStaysHoweverMuchIsWrittenBehindIt) {
  const std::string large(10'000, 'x');
  const auto first = add(64, "not written");
  for (std::uint32_t offset = 1000; offset < 101'000; offset += 10'000)
    tail_.retire(add(offset, large));
  EXPECT_TRUE(has(64, "not written"));
  tail_.retire(first);
  EXPECT_FALSE(has(64, "not written"));
  EXPECT_TRUE(has(91'000, large));
}

TEST_F(TailTest, WhatABlockHasNoRoomForBeginsANewOne) {
  const std::string small(1000, 's');
  for (std::uint32_t offset = 0; offset < 8000; offset += 1000) {
    const auto chunk = add(offset, small);
    chunk->bytes.reserve(100'000);  // As a batch that was much larger leaves it.
    tail_.retire(chunk);
  }
  EXPECT_TRUE(has(3000, small));
  EXPECT_TRUE(has(7000, small));
}

}  // namespace
}  // namespace sluice::journal
