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

}  // namespace
}  // namespace sluice::journal
