// Offline check, salvage, and reading a log that nobody has open.
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

/// What read_log() hands out, or its error as the only frame.
Strings frames_of(io::MemoryDirectory& directory) {
  Strings seen;
  const Result<void> done = read_log(directory, [&](Position, ByteView payload) {
    seen.emplace_back(payload);
    return Result<void>();
  });
  if (!done) seen = {done.error().message};
  return seen;
}

CheckReport check_of(io::MemoryDirectory& directory, Strings* seen = nullptr) {
  const Result<CheckReport> report = check_log(directory, [&](Position, ByteView payload) {
    if (seen != nullptr) seen->emplace_back(payload);
    return Result<void>();
  });
  check(report.has_value());
  return *report;
}

bool is_fatal(const CheckReport& report) {
  return std::any_of(report.findings.begin(), report.findings.end(), [](const Finding& finding) {
    return finding.is_fatal;
  });
}

TEST(Check, AHealthyLogHasNoFindings) {
  TestLog log;
  const Strings all = fill(log, 150);
  ASSERT_TRUE(log->close());
  log.kill();
  Strings seen;
  const CheckReport report = check_of(log.directory(), &seen);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.frames, 150u);
  EXPECT_GE(report.segments, 4u);
  EXPECT_EQ(seen, all);
}

TEST(Check, ChangesNothing) {
  TestLog log;
  fill(log, 150);
  log.directory().flip(segment_name(2), 700, 1);
  log.kill();
  log.directory().clear_faults();
  check_of(log.directory());
  EXPECT_EQ(log.directory().calls(Call::write), 0u);
  EXPECT_EQ(log.directory().calls(Call::remove), 0u);
  EXPECT_EQ(log.directory().calls(Call::sync), 0u);
}

TEST(Check, ATornEndIsNotFatal) {
  TestLog log;
  fill(log, 5);
  const Position last = log->end();
  fill(log, 5);
  log.directory().flip(segment_name(1), last.offset() + 300, 1);
  log.kill();
  const CheckReport report = check_of(log.directory());
  EXPECT_FALSE(report.findings.empty());
  EXPECT_FALSE(is_fatal(report));
}

TEST(Check, DamageInTheMiddleIsFatalAndTheRestIsStillRead) {
  TestLog log;
  const Strings all = fill(log, 150);
  log.directory().flip(segment_name(2), 700, 1);
  log.kill();
  Strings seen;
  const CheckReport report = check_of(log.directory(), &seen);
  EXPECT_TRUE(is_fatal(report));
  EXPECT_EQ(seen.size(), all.size() - 1);
}

TEST(Check, AMissingSegmentAndABrokenHeaderAreFatal) {
  TestLog log;
  const Strings all = fill(log, 150);
  log.directory().lose(segment_name(2));
  log.directory().flip(segment_name(3), 20, 1);
  log.kill();
  Strings seen;
  const CheckReport report = check_of(log.directory(), &seen);
  EXPECT_TRUE(is_fatal(report));
  EXPECT_GT(seen.size(), all.size() / 2);
  EXPECT_LT(seen.size(), all.size() - 20);
}

TEST(Salvage, CopiesEverythingThatIsIntactIntoAHealthyLog) {
  TestLog log;
  Strings all = fill(log, 150);
  log.directory().flip(segment_name(2), 700, 1);
  log.kill();
  io::MemoryDirectory target("target");
  const Result<CheckReport> report = salvage_log(log.directory(), target);
  ASSERT_TRUE(report);
  EXPECT_TRUE(is_fatal(*report));
  EXPECT_EQ(report->frames, 149u);
  target.kill();
  EXPECT_TRUE(check_of(target).findings.empty());
  const Strings saved = frames_of(target);
  ASSERT_EQ(saved.size(), 149u);
  for (const std::string& frame : saved) {
    EXPECT_NE(std::find(all.begin(), all.end(), frame), all.end());
  }
}

TEST(Salvage, RefusesATargetThatIsNotEmpty) {
  TestLog log;
  io::MemoryDirectory target("target");
  target.put("something", "x");
  const Result<CheckReport> report = salvage_log(log.directory(), target);
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("not empty"), std::string::npos);
}

/// A log with damage in its second segment and a torn end: a check looks at all of it.
struct Damaged {
  TestLog log;

  Damaged() {
    fill(log, 150);
    const Position last = log->end();
    fill(log, 2);
    log.directory().flip(segment_name(2), 700, 1);
    log.directory().flip(segment_name(last.segment()), last.offset() + 30, 1);
    log.kill();
    log.directory().clear_faults();
  }
};

TEST(Check, WhateverCallFailsIsAnIoErrorAndNoFinding) {
  for (const Call call : {Call::open, Call::read, Call::list, Call::size}) {
    for (std::uint64_t nth = 1;; ++nth) {
      Damaged damaged;
      damaged.log.directory().fail_at(call, nth);
      const auto report =
          check_log(damaged.log.directory(), [](Position, ByteView) { return Result<void>(); });
      if (damaged.log.directory().calls(call) < nth) {
        EXPECT_TRUE(report);
        EXPECT_GT(nth, 1u) << "no such call at all";
        break;
      }
      ASSERT_FALSE(report) << "call " << int(call) << " nth " << nth;
      EXPECT_EQ(report.error().code, ErrorCode::io);
    }
  }
}

TEST(Check, AnErrorOfTheReceiverEndsItAndIsReturned) {
  TestLog log;
  fill(log, 150);
  int calls = 0;
  const auto report = check_log(log.directory(), [&](Position, ByteView) -> Result<void> {
    if (++calls < 3) return {};
    return fail(ErrorCode::io, "the target is full");
  });
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().message, "the target is full");
  EXPECT_EQ(calls, 3);
}

TEST(Check, ABrokenFirstHeaderIsFatalAndTheNextOneSaysWhichLogItIs) {
  TestLog log;
  const Strings all = fill(log, 150);
  log.directory().flip(segment_name(1), 20, 1);
  log.kill();
  Strings seen;
  EXPECT_TRUE(is_fatal(check_of(log.directory(), &seen)));
  EXPECT_EQ(seen, all);
}

TEST(Check, AShortenedSegmentIsFatal) {
  TestLog log;
  const Strings all = fill(log, 150);
  const std::string content = log.directory().content(segment_name(2));
  log.directory().put(segment_name(2), ByteView(content).substr(0, 700));
  log.kill();
  Strings seen;
  const CheckReport report = check_of(log.directory(), &seen);
  const auto is_told = [](const Finding& finding) {
    return finding.file == segment_name(2) && finding.offset == 700 && finding.is_fatal &&
           finding.what == "the file is shorter than the segment was";
  };
  EXPECT_TRUE(std::any_of(report.findings.begin(), report.findings.end(), is_told));
  EXPECT_LT(seen.size(), all.size() - 20);
  EXPECT_EQ(seen.back(), all.back());
}

TEST(Check, DamageUpToTheEndOfAMiddleSegmentIsFatal) {
  TestLog log;
  const Strings all = fill(log, 150);
  std::string content = log.directory().content(segment_name(2));
  std::fill(content.begin() + 3500, content.end(), 'x');
  log.directory().put(segment_name(2), content);
  log.kill();
  Strings seen;
  const CheckReport report = check_of(log.directory(), &seen);
  const auto is_told = [](const Finding& finding) {
    return finding.file == segment_name(2) && finding.is_fatal &&
           finding.what.find("bytes of the segment are no intact frames") != std::string::npos;
  };
  EXPECT_TRUE(std::any_of(report.findings.begin(), report.findings.end(), is_told));
  EXPECT_EQ(seen.back(), all.back());
}

TEST(Check, ASegmentOfAnotherLogThatBeginsEarlierIsFatal) {
  TestLog log;
  fill(log, 150);
  LogOptions options = TestLog::small();
  options.identity_seed = 7;
  TestLog other(options);
  for (int i = 0; i < 3; ++i)
    other.append(std::string(4096, 'x'));  // A segment each: the third one begins with frame 3.
  ASSERT_TRUE(other.commit());
  log.directory().put(segment_name(3), other.directory().content(segment_name(3)));
  log.kill();
  EXPECT_TRUE(is_fatal(check_of(log.directory())));
}

TEST(Salvage, WhateverCallOnTheTargetFailsIsAnError) {
  TestLog source(LogOptions{.segment_bytes = 64u << 10, .tail_cache_bytes = 0});
  for (int i = 0; i < 15; ++i)
    source.append(std::string(100u << 10, 'x'));  // More than is written at a time.
  ASSERT_TRUE(source.commit());
  source.kill();
  for (const Call call : {Call::write, Call::sync, Call::open, Call::allocate, Call::list}) {
    for (std::uint64_t nth = 1;; ++nth) {
      io::MemoryDirectory target("target");
      target.fail_at(call, nth);
      const Result<CheckReport> report = salvage_log(source.directory(), target);
      if (target.calls(call) < nth) {
        EXPECT_TRUE(report);
        EXPECT_GT(nth, 1u) << "no such call at all";
        break;
      }
      if (report)
        continue;  // The next segment is prepared ahead; that may fail and be tried again.
      EXPECT_EQ(report.error().code, ErrorCode::io);
    }
  }
}

TEST(Salvage, MoreThanIsWrittenAtATimeIsCopiedWhole) {
  TestLog source(LogOptions{.segment_bytes = 1u << 20, .tail_cache_bytes = 0});
  Strings all;
  for (char name = 'a'; name < 'd'; ++name) {
    all.emplace_back(700u << 10, name);
    source.append(all.back());
  }
  ASSERT_TRUE(source->close());
  source.kill();
  io::MemoryDirectory target("target");
  const Result<CheckReport> report = salvage_log(source.directory(), target);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->findings.empty());
  EXPECT_EQ(frames_of(target), all);
}

TEST(ReadLog, HandsOutWhatAStartWouldAndChangesNothing) {
  TestLog log;
  const Strings all = fill(log, 150);
  log.append("the last batch");
  ASSERT_TRUE(log.commit());
  log.kill();
  log.directory().clear_faults();
  Strings expected = all;
  expected.emplace_back("the last batch");
  EXPECT_EQ(frames_of(log.directory()), expected);
  EXPECT_EQ(frames_of(log.directory()), expected);
  EXPECT_EQ(log.directory().calls(Call::write), 0u);
  EXPECT_EQ(log.directory().calls(Call::remove), 0u);
  EXPECT_EQ(log.directory().calls(Call::sync), 0u);
}

}  // namespace
}  // namespace sluice::journal
