// The tail in memory: what was written is found until newer bytes push it out, neighbours are put
// together, and what is not yet written stays.
#include "journal/tail.h"

#include <string>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

class TailTest : public testing::Test {
 protected:
  static std::shared_ptr<Chunk> add(Tail& tail,
                                    std::uint32_t offset,
                                    ByteView bytes,
                                    std::uint32_t segment = 1) {
    std::shared_ptr<Chunk> chunk = tail.add(segment, offset);
    chunk->bytes.append(bytes);
    return chunk;
  }

  std::shared_ptr<Chunk> add(std::uint32_t offset, ByteView bytes) {
    return add(tail_, offset, bytes);
  }

  bool has(std::uint32_t offset, ByteView bytes, std::uint32_t segment = 1) {
    return tail_.find(Position(segment, offset), bytes.size()) == bytes;
  }

  Tail tail_{32u << 10};  ///< In blocks of 4 KiB.
};

TEST_F(TailTest, SmallNeighboursAreFoundAsOne) {
  const auto first = add(64, "one");
  const auto second = add(67, "two");
  EXPECT_TRUE(has(64, "one"));
  EXPECT_TRUE(has(67, "two"));
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
  EXPECT_EQ(tail_.find(Position(1, 63), 1), std::nullopt);
}

TEST_F(TailTest, AnotherSegmentIsAnotherRun) {
  tail_.retire(add(64, "one"));
  tail_.retire(add(tail_, 67, "two", 2));
  const auto third = add(tail_, 64, "three", 3);
  EXPECT_TRUE(has(64, "one"));
  EXPECT_TRUE(has(67, "two", 2));
  EXPECT_TRUE(has(64, "three", 3));
  EXPECT_EQ(tail_.find(Position(1, 67), 3), std::nullopt);
  EXPECT_EQ(tail_.find(Position(2, 64), 3), std::nullopt);
  EXPECT_EQ(tail_.find(Position(4, 64), 3), std::nullopt);
}

TEST_F(TailTest, WhatIsNotWrittenStaysHoweverMuchItIs) {
  const std::string large(10'000, 'x');
  const auto first = add(64, "not written");
  for (std::uint32_t offset = 1000; offset < 101'000; offset += 10'000)
    add(offset, large);
  EXPECT_TRUE(has(64, "not written"));
  EXPECT_TRUE(has(91'000, large));
}

TEST_F(TailTest, WhatABlockHasNoRoomForBeginsANewOneAndTheOldestMakesRoom) {
  const std::string small(1000, 's');
  const std::string other(1000, 'o');
  for (std::uint32_t offset = 0; offset < 50'000; offset += 1000)
    tail_.retire(add(offset, offset % 2000 == 0 ? small : other));
  for (std::uint32_t offset = 50'000 - 28'000; offset < 50'000; offset += 1000)
    EXPECT_TRUE(has(offset, offset % 2000 == 0 ? small : other)) << offset;
  EXPECT_EQ(tail_.find(Position(1, 0), small.size()), std::nullopt);
  EXPECT_EQ(tail_.find(Position(1, 50'000 - 34'000), small.size()), std::nullopt);
}

TEST_F(TailTest, WhatIsLargerThanABlockHasOneOfItsOwn) {
  const std::string large(20'000, 'l');
  tail_.retire(add(0, "before"));
  tail_.retire(add(6, large));
  EXPECT_TRUE(has(0, "before"));
  EXPECT_TRUE(has(6, large));
  tail_.retire(add(20'006, "behind"));
  EXPECT_TRUE(has(20'006, "behind"));
  tail_.retire(add(20'012, large));
  EXPECT_TRUE(has(20'012, large));
  EXPECT_FALSE(has(6, large));
}

TEST_F(TailTest, WhatIsLargerThanAllOfItIsNotKept) {
  const std::string huge(40'000, 'h');
  tail_.retire(add(0, "before"));
  tail_.retire(add(6, huge));
  EXPECT_TRUE(has(0, "before"));
  EXPECT_FALSE(has(6, huge));
  tail_.retire(add(40'006, "behind"));
  EXPECT_TRUE(has(40'006, "behind"));
  Tail none(0);
  none.retire(add(none, 0, "x"));
  EXPECT_EQ(none.find(Position(1, 0), 1), std::nullopt);
}

}  // namespace
}  // namespace sluice::journal
