// The log as its owner sees it: append, commit, read back, clean, start again.
#include "journal/log.h"

#include "io/memory.h"
#include "journal/format.h"
#include "journal/test_log.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

TEST(Log, GivesBackWhatWasAppendedAfterAKill) {
  TestLog log;
  log.append("one");
  log.append("two");
  ASSERT_TRUE(log.commit());
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), (std::vector<std::string>{"one", "two"}));
}

TEST(Log, GivesBackWhatWasAppendedAfterACleanEndAndGoesOnInTheSameFile) {
  TestLog log;
  log.append("one");
  ASSERT_TRUE(log->close());
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), std::vector<std::string>{"one"});
  EXPECT_EQ(log->end().segment(), 1u);
  log.append("two");
  ASSERT_TRUE(log->close());
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(log->end().segment(), 1u);
}

TEST(Log, RewritesOnlyWhatIsNotKnownToBeDurable) {
  TestLog log;
  const Position first = log.append("first");
  ASSERT_TRUE(log.commit());
  log.append("second");
  ASSERT_TRUE(log.commit());
  log.kill_and_open();
  ASSERT_EQ(log.recovered(), (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(log.positions()[0], first);
  EXPECT_EQ(log.positions()[1], Position(2, segment_header_bytes + frame_header_bytes));
  EXPECT_EQ(log->durable_end(), log->end());
}

TEST(Log, AnEmptyFrameLeavesNoTrace) {
  TestLog log;
  const Position before = log->end();
  log->open_frame();
  EXPECT_FALSE(log->close_frame());
  EXPECT_EQ(log->end(), before);
  EXPECT_EQ(log->unsealed_bytes(), 0u);
}

TEST(Log, DurableEndFollowsSyncedBatchesOnly) {
  TestLog log;
  const Position start = log->durable_end();
  log.append("a");
  ASSERT_TRUE(log.commit(Sync::no));
  EXPECT_EQ(log->durable_end(), start);
  log.append("b");
  EXPECT_EQ(log->durable_end(), start);
  ASSERT_TRUE(log.commit(Sync::yes));
  EXPECT_EQ(log->durable_end(), log->end());
}

TEST(Log, AnEmptySyncedBatchMakesEarlierOnesDurable) {
  TestLog log;
  log.append("a");
  ASSERT_TRUE(log.commit(Sync::no));
  ASSERT_TRUE(log.commit(Sync::yes));
  EXPECT_EQ(log->durable_end(), log->end());
  log.crash_and_open(1);
  EXPECT_EQ(log.recovered(), std::vector<std::string>{"a"});
}

TEST(Log, FramesFillManySegmentsAndComeBackInOrder) {
  TestLog log;
  std::vector<std::string> all;
  for (int i = 0; i < 500; ++i) {
    all.push_back("frame " + std::to_string(i) +
                  std::string(static_cast<std::size_t>(i % 97), 'x'));
    log.append(all.back());
    if (i % 7 == 0) {
      ASSERT_TRUE(log.commit());
    }
  }
  ASSERT_TRUE(log.commit());
  EXPECT_GT(log->segment_count(), 5u);
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), all);
}

TEST(Log, AFrameMayReachBeyondItsSegment) {
  TestLog log;
  const std::string large(3'000'000, 'L');
  log.append("before");
  log.append(large);
  log.append("after");
  ASSERT_TRUE(log.commit());
  log.kill_and_open();
  ASSERT_EQ(log.recovered().size(), 3u);
  EXPECT_EQ(log.recovered()[1], large);
  EXPECT_EQ(log.recovered()[2], "after");
}

TEST(Log, ASecondOwnerIsRefused) {
  TestLog log;
  const auto second = log.try_open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_NE(second.error().message.find("in use by process"), std::string::npos);
}

TEST(Log, SegmentSizesOutOfRangeAreRefused) {
  io::MemoryDirectory directory;
  const auto open = [&](std::uint32_t bytes) {
    directory.kill();
    LogOptions options;
    options.segment_bytes = bytes;
    return Log::open(directory, options, [](Position, ByteView) { return Result<void>(); }, {});
  };
  EXPECT_TRUE(open(segment_bytes_min));
  EXPECT_FALSE(open(segment_bytes_min - 1));
  EXPECT_FALSE(open(segment_bytes_max + 1));
}

TEST(Log, ReadsTheOpenBatchTheOneUnderWayTheCacheAndTheFile) {
  TestLog log(LogOptions{.segment_bytes = 1u << 20, .tail_cache_bytes = 0});
  const Position in_file = log.append("in the file");
  ASSERT_TRUE(log.commit());
  const Position under_way = log.append("under way");
  Batch batch = log->seal();
  const Position open = log.append("in the open batch");
  EXPECT_EQ(*log->read(in_file, 11), "in the file");
  EXPECT_EQ(*log->read(under_way, 9), "under way");
  EXPECT_EQ(*log->read(open.plus(7), 10), "open batch");
  ASSERT_TRUE(log->write(batch, Sync::yes));
  EXPECT_EQ(*log->read(under_way, 9), "under way");
  log->retire(std::move(batch));
  EXPECT_EQ(*log->read(under_way, 9), "under way");
  EXPECT_EQ(*log->read(in_file, 11), "in the file");
}

TEST(Log, ReadsFromTheCacheWithoutTouchingTheFile) {
  TestLog log;
  const Position at = log.append("cached");
  ASSERT_TRUE(log.commit());
  log.directory().fail_at(io::MemoryDirectory::Call::open, 1, true);
  log.directory().fail_at(io::MemoryDirectory::Call::read, 1, true);
  EXPECT_EQ(*log->read(at, 6), "cached");
}

TEST(Log, ReadingWhereNothingIsIsAnError) {
  TestLog log;
  log.append("short");
  ASSERT_TRUE(log.commit());
  log.kill_and_open();
  ASSERT_EQ(log.positions().size(), 1u);
  EXPECT_EQ(*log->read(log.positions()[0], 5), "short");
  EXPECT_EQ(log->read(log.positions()[0], 6).error().code, ErrorCode::corrupt);
  EXPECT_EQ(log->read(Position(77, 100), 1).error().code, ErrorCode::corrupt);
}

TEST(Log, AFailedWriteIsFinal) {
  TestLog log;
  log.append("a");
  log.directory().fail_at(io::MemoryDirectory::Call::sync, 1);
  const Result<void> first = log.commit();
  ASSERT_FALSE(first);
  log.append("b");
  const Result<void> second = log.commit();
  ASSERT_FALSE(second);
  EXPECT_EQ(first.error().message, second.error().message);
}

TEST(Log, WhatAFailedSyncLeftInTheCacheIsNotBelieved) {
  TestLog log;
  log.append("durable");
  ASSERT_TRUE(log.commit());
  log.append("lost");
  log.directory().fail_at(io::MemoryDirectory::Call::sync, 1);
  ASSERT_FALSE(log.commit());
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), std::vector<std::string>{"durable"});
}

TEST(Log, AnIdleMarkSaysThatTheLastBatchIsDurable) {
  TestLog log;
  log.append("a");
  ASSERT_TRUE(log.commit());
  EXPECT_TRUE(log->mark_idle());
  EXPECT_FALSE(log->mark_idle());
  ASSERT_TRUE(log.commit(Sync::no));
  log.directory().flip(segment_name(1), segment_header_bytes + frame_header_bytes, 1);
  log.kill();
  const auto opened = log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
}

TEST(Log, AnIdleLogIsMarkedOnce) {
  TestLog log;
  log.append("a");
  ASSERT_TRUE(log.commit());
  EXPECT_TRUE(log->mark_idle());
  ASSERT_TRUE(log.commit());
  EXPECT_FALSE(log->mark_idle());
}

TEST(Log, AnEmptyFrameThatBeginsASegmentLeavesNoTrace) {
  TestLog log;
  std::vector<std::string> all;
  while (log->end().offset() < TestLog::small().segment_bytes) {
    all.emplace_back(100, 'x');
    log.append(all.back());
  }
  const Position before = log->end();
  const std::size_t unsealed = log->unsealed_bytes();
  EXPECT_EQ(log->open_frame().segment(), 2u);
  EXPECT_FALSE(log->close_frame());
  EXPECT_EQ(log->end(), before);
  EXPECT_EQ(log->unsealed_bytes(), unsealed);
  ASSERT_TRUE(log.commit());
  EXPECT_EQ(log->durable_end(), before);
  all.emplace_back("more");
  log.append("more");
  EXPECT_EQ(log->end().segment(), 2u);
  ASSERT_TRUE(log.commit());
  log.kill_and_open();
  EXPECT_EQ(log.recovered(), all);
}

TEST(Log, ReadingOutsideOfTheFramesIsAnError) {
  TestLog log(LogOptions{.segment_bytes = 4u << 10, .tail_cache_bytes = 0});
  fill(log, 100);
  EXPECT_TRUE(log->read(Position(1, segment_header_bytes), 1));
  EXPECT_EQ(log->read(Position(1, segment_header_bytes - 1), 1).error().code, ErrorCode::corrupt);
  EXPECT_EQ(log->read(Position(1, 5000), 1).error().code, ErrorCode::corrupt);
}

TEST(Log, AFailedEndIsToldAndTheLogIsWhatItWasBefore) {
  for (std::uint64_t nth = 1; nth <= 2; ++nth) {  // What is left to write, then the clean end.
    TestLog log;
    log.append("a");
    ASSERT_TRUE(log.commit());
    log.append("b");
    log.directory().fail_at(io::MemoryDirectory::Call::sync, nth);
    const Result<void> closed = log->close();
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, ErrorCode::io);
    log.kill_and_open();
    ASSERT_GE(log.recovered().size(), nth);
    EXPECT_EQ(log.recovered()[0], "a");
  }
}

}  // namespace
}  // namespace sluice::journal
