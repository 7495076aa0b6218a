// Cleaning from the front, and copies of a running log.
#include "journal/format.h"
#include "journal/test_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

using Strings = std::vector<std::string>;
using Call = io::MemoryDirectory::Call;

Result<void> ignore(Position, ByteView) {
  return {};
}

Strings scan_all(Log& log, std::size_t budget) {
  Strings seen;
  for (;;) {
    const Result<bool> is_end = log.scan_oldest(budget, [&](Position, ByteView payload) {
      seen.emplace_back(payload);
      return Result<void>();
    });
    check(is_end.has_value());
    if (*is_end) return seen;
  }
}

TEST(Cleaning, GoesThroughTheOldestSegmentInSteps) {
  TestLog log;
  const Strings all = fill(log, 200);
  int calls = 0;
  Strings seen;
  for (bool is_end = false; !is_end; ++calls) {
    const Result<bool> step = log->scan_oldest(500, [&](Position, ByteView payload) {
      seen.emplace_back(payload);
      return Result<void>();
    });
    ASSERT_TRUE(step);
    is_end = *step;
  }
  EXPECT_GE(calls, 6);
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), all.begin()));
  EXPECT_GT(seen.size(), 25u);
}

/// The mark that drops a segment is written and not synced when the process is killed; the power
/// fails while the next one recovers. The segment must be there, or its mark durable.
TEST(Cleaning, RecoveryRemovesADroppedSegmentOnlyOnceItsMarkIsDurable) {
  for (std::uint64_t call = 1; call <= 12; ++call) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      TestLog log;
      fill(log, 100);
      scan_all(*log.operator->(), 1000);
      ASSERT_TRUE(log->drop_oldest(log->end()));
      ASSERT_TRUE(log.commit(Sync::no));
      log.kill();
      log.directory().stop_at(call, io::MemoryDirectory::Accident::power_loss, seed);
      const Result<std::unique_ptr<Log>> interrupted = log.try_open();
      log.directory().restart();
      if (interrupted) break;
      const Result<void> opened = log.open();
      EXPECT_TRUE(opened) << "call " << call << ": " << opened.error().message;
    }
  }
}

TEST(Cleaning, MayAppendWhatStillLives) {
  TestLog log;
  fill(log, 100);
  Strings kept;
  const std::uint32_t oldest = log->first_segment();
  for (bool is_end = false; !is_end;) {
    const Result<bool> step = log->scan_oldest(1000, [&](Position, ByteView payload) {
      if (payload[4] != '7') return Result<void>();
      kept.emplace_back(payload);
      log.append(payload);
      return Result<void>();
    });
    ASSERT_TRUE(step);
    is_end = *step;
  }
  ASSERT_FALSE(kept.empty());
  const Position copies_end = log->end();
  ASSERT_TRUE(log.commit());
  const std::uint64_t bytes = log->bytes();
  ASSERT_TRUE(log->drop_oldest(copies_end));
  EXPECT_EQ(log->first_segment(), oldest + 1);
  EXPECT_LT(log->bytes(), bytes - 3000);
  log.crash_and_open(5);
  const Strings& found = log.recovered();
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), found.end() - static_cast<int>(kept.size())));
}

TEST(Cleaning, WaitsUntilTheSegmentIsWritten) {
  TestLog log;
  for (int i = 0; i < 100; ++i)
    log.append(std::string(100, 'x'));
  ASSERT_GT(log->segment_count(), 1u);
  const Result<bool> early = log->scan_oldest(1u << 20, ignore);
  ASSERT_TRUE(early);
  EXPECT_FALSE(*early);
  ASSERT_TRUE(log.commit());
  EXPECT_FALSE(scan_all(*log.operator->(), 1u << 20).empty());
}

TEST(Cleaning, UnlinksOnlyOnceTheMarkIsDurable) {
  TestLog log;
  fill(log, 100);
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  EXPECT_TRUE(log.directory().contains(segment_name(1)));
  ASSERT_TRUE(log.commit(Sync::yes));
  EXPECT_TRUE(log.directory().contains(segment_name(1)));
  log.append("more");
  ASSERT_TRUE(log.commit(Sync::yes));
  EXPECT_FALSE(log.directory().contains(segment_name(1)));
}

TEST(Cleaning, ADroppedSegmentThatComesBackIsRemoved) {
  TestLog log;
  fill(log, 100);
  const std::string content = log.directory().content(segment_name(1));
  const std::size_t dropped = scan_all(*log.operator->(), 1u << 20).size();
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  ASSERT_TRUE(log->close());
  log.directory().put(segment_name(1), content);
  log.kill_and_open();
  EXPECT_EQ(log.recovered().size(), 100 - dropped);
  EXPECT_FALSE(log.directory().contains(segment_name(1)));
}

TEST(Cleaning, ASegmentThatIsMissingInFrontIsRefused) {
  TestLog log;
  fill(log, 100);
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  ASSERT_TRUE(log->close());
  log.directory().lose(segment_name(2));
  log.kill();
  const auto opened = log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find(segment_name(2)), std::string::npos);
}

TEST(Cleaning, DamageInTheOldestSegmentIsFound) {
  TestLog log(LogOptions{.segment_bytes = 4u << 10, .tail_cache_bytes = 0});
  fill(log, 100);
  log.directory().flip(segment_name(1), 1000, 1);
  Result<bool> step = false;
  while (step && !*step)
    step = log->scan_oldest(300, ignore);
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().code, ErrorCode::corrupt);
}

TEST(Cleaning, WhatTheDiskSaysIsTold) {
  TestLog log(LogOptions{.segment_bytes = 4u << 10, .tail_cache_bytes = 0});
  fill(log, 100);
  for (const Call call : {Call::open, Call::read}) {
    log.directory().fail_at(call, 1);
    const Result<bool> step = log->scan_oldest(300, ignore);
    ASSERT_FALSE(step);
    EXPECT_EQ(step.error().code, ErrorCode::io);
  }
}

TEST(Cleaning, AnErrorOfTheReceiverIsReturned) {
  TestLog log;
  fill(log, 100);
  const Result<bool> step = log->scan_oldest(
      1u << 20, [](Position, ByteView) { return Result<void>(fail(ErrorCode::corrupt, "odd")); });
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().message, "odd");
}

TEST(Cleaning, AFileThatCannotBeRemovedIsAFailedWrite) {
  TestLog log;
  fill(log, 100);
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  ASSERT_TRUE(log.commit());
  log.directory().fail_at(Call::remove, 1);
  const Result<void> written = log.commit();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
}

TEST(Cleaning, WhatWasDroppedCannotBeRead) {
  TestLog log(LogOptions{.segment_bytes = 4u << 10, .tail_cache_bytes = 0});
  fill(log, 100);
  const Position first(1, segment_header_bytes + frame_header_bytes);
  EXPECT_EQ(*log->read(first, 3), "job");
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  EXPECT_EQ(log->read(first, 3).error().code, ErrorCode::corrupt);
}

/// Copies what pin() lists, as a backup does.
void copy(TestLog& log, const std::vector<Log::Extent>& extents, io::MemoryDirectory& to) {
  for (const Log::Extent& extent : extents) {
    to.put(extent.file, ByteView(log.directory().content(extent.file)).substr(0, extent.bytes));
  }
}

Strings read_log(io::MemoryDirectory& directory) {
  Strings seen;
  const auto opened = Log::open(directory,
                                TestLog::small(),
                                [&](Position, ByteView payload) {
                                  seen.emplace_back(payload);
                                  return Result<void>();
                                },
                                {});
  if (!opened) seen = {opened.error().message};
  return seen;
}

TEST(Backup, ACopyOfThePinnedFilesIsALogOfWhatIsDurable) {
  TestLog log;
  const Strings all = fill(log, 150);
  log.append("not yet durable");
  const std::vector<Log::Extent> extents = log->pin();
  ASSERT_TRUE(log.commit());
  fill(log, 150);
  io::MemoryDirectory copied("copy");
  copy(log, extents, copied);
  log->unpin();
  EXPECT_EQ(read_log(copied), all);
}

TEST(Backup, PinnedFilesStayUntilUnpinned) {
  TestLog log;
  const Strings all = fill(log, 150);
  const std::vector<Log::Extent> extents = log->pin();
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  for (int i = 0; i < 3; ++i)
    fill(log, 1);
  EXPECT_TRUE(log.directory().contains(segment_name(1)));
  io::MemoryDirectory copied("copy");
  copy(log, extents, copied);
  EXPECT_EQ(read_log(copied), all);
  log->unpin();
  fill(log, 1);
  EXPECT_FALSE(log.directory().contains(segment_name(1)));
}

TEST(Backup, APinBetweenADropAndItsMarkIsComplete) {
  TestLog log;
  const Strings all = fill(log, 150);
  scan_all(*log.operator->(), 1u << 20);
  ASSERT_TRUE(log->drop_oldest(log->durable_end()));
  const std::vector<Log::Extent> before = log->pin();
  io::MemoryDirectory copied("copy");
  copy(log, before, copied);
  EXPECT_EQ(read_log(copied), all);
  log->unpin();
  ASSERT_TRUE(log.commit());
  const std::vector<Log::Extent> after = log->pin();
  EXPECT_EQ(after.size() + 1, before.size());
  io::MemoryDirectory copied_after("copy");
  copy(log, after, copied_after);
  const Strings left = read_log(copied_after);
  EXPECT_LT(left.size(), all.size());
  EXPECT_GT(left.size(), all.size() / 2);
}

TEST(Backup, WhatIsNotDurableIsNotCopiedHoweverManySegmentsItFills) {
  TestLog log;
  const Strings all = fill(log, 10);
  for (int i = 0; i < 100; ++i)
    log.append(std::string(100, 'x'));
  const std::vector<Log::Extent> extents = log->pin();
  ASSERT_EQ(extents.size(), 1u);
  ASSERT_TRUE(log.commit());
  io::MemoryDirectory copied("copy");
  copy(log, extents, copied);
  EXPECT_EQ(read_log(copied), all);
}

TEST(Backup, ASegmentOfWhichNothingIsDurableIsNotCopied) {
  TestLog log;
  Strings all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::to_string(i) + std::string(100, 'x'));
    log.append(all.back());
  }
  ASSERT_TRUE(log.commit(Sync::no));
  // Each segment was made durable before the next one was begun, so all but the last one are.
  const std::size_t durable_segments = log->segment_count() - 1;
  EXPECT_EQ(log->durable_end(), Position(log->end().segment(), 0));
  const std::vector<Log::Extent> extents = log->pin();
  EXPECT_EQ(extents.size(), durable_segments);
  io::MemoryDirectory copied("copy");
  copy(log, extents, copied);
  const Strings found = read_log(copied);
  EXPECT_GT(found.size(), 70u);
  EXPECT_LT(found.size(), 100u);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), all.begin()));
}

}  // namespace
}  // namespace sluice::journal
