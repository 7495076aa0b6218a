// Scrubbing: a segment of a running log is verified from the device, up to where it is durable.
#include "journal/format.h"
#include "journal/test_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

class Verify : public testing::Test {
 protected:
  /// Three full segments and a begun one.
  Verify() {
    while (log_->segment_count() < 4) {
      log_.append(std::string(200, 'a'));
      check(log_.commit().has_value());
    }
    extents_ = log_->pin();
    log_->unpin();
  }

  Result<void> verify(const Log::Extent& extent) {
    return verify_segment(log_.directory(), extent, [this](std::uint64_t bytes) {
      verified_ += bytes;
      return true;
    });
  }

  TestLog log_;
  std::vector<Log::Extent> extents_;
  std::uint64_t verified_ = 0;
};

TEST_F(Verify, EveryByteOfAHealthyLogIsVerified) {
  std::uint64_t bytes = 0;
  for (const Log::Extent& extent : extents_) {
    EXPECT_TRUE(verify(extent));
    bytes += extent.bytes;
  }
  EXPECT_EQ(extents_.size(), 4u);
  EXPECT_EQ(verified_, bytes);
}

TEST_F(Verify, WhatIsAppendedMeanwhileIsNotLookedAt) {
  log_.append("more");
  EXPECT_TRUE(verify(extents_.back()));
  ASSERT_TRUE(log_.commit());
  EXPECT_TRUE(verify(extents_.back()));
}

TEST_F(Verify, OneFlippedBitAnywhereIsFoundAndItsFrameNamed) {
  const Log::Extent& extent = extents_[1];
  for (const std::uint64_t offset : {std::uint64_t{3},
                                     std::uint64_t{segment_header_bytes + 30},
                                     extent.bytes / 2,
                                     extent.bytes - 1}) {
    log_.directory().flip(extent.file, offset, 0x10);
    const Result<void> verified = verify(extent);
    ASSERT_FALSE(verified) << offset;
    EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
    EXPECT_NE(verified.error().message.find(extent.file), std::string::npos);
    log_.directory().flip(extent.file, offset, 0x10);
    EXPECT_TRUE(verify(extent));
  }
}

TEST_F(Verify, ASegmentThatWasRemovedMeanwhileIsAnIoError) {
  log_.directory().lose(extents_[0].file);
  const Result<void> verified = verify(extents_[0]);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::io);
}

TEST_F(Verify, ADiskThatCannotReadIsAnIoError) {
  using Call = io::MemoryDirectory::Call;
  for (std::uint64_t nth = 1; nth <= 2; ++nth) {  // The header, then the frames.
    log_.directory().fail_at(Call::read, nth);
    const Result<void> verified = verify(extents_[0]);
    ASSERT_FALSE(verified) << nth;
    EXPECT_EQ(verified.error().code, ErrorCode::io);
  }
  EXPECT_TRUE(verify(extents_[0]));
}

TEST(VerifyLarge, SaysEveryMegabyteHowFarItIsAndEndsWhenToldTo) {
  TestLog log(LogOptions{.segment_bytes = 4u << 20, .tail_cache_bytes = 0});
  for (int i = 0; i < 25; ++i)
    log.append(std::string(100'000, 'a'));
  ASSERT_TRUE(log.commit());
  const std::vector<Log::Extent> extents = log->pin();
  log->unpin();
  ASSERT_EQ(extents.size(), 1u);
  std::vector<std::uint64_t> told;
  const auto tell = [&told](std::uint64_t bytes) {
    told.push_back(bytes);
    return true;
  };
  EXPECT_TRUE(verify_segment(log.directory(), extents[0], tell));
  constexpr std::uint64_t frame = frame_header_bytes + 100'000;
  EXPECT_EQ(told,
            (std::vector<std::uint64_t>{segment_header_bytes + 11 * frame, 11 * frame, 3 * frame}));
  int calls = 0;
  log.directory().flip(extents[0].file, 20 * frame, 1);
  const auto stop = [&calls](std::uint64_t) {
    ++calls;
    return false;
  };
  EXPECT_TRUE(verify_segment(log.directory(), extents[0], stop));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(verify_segment(log.directory(), extents[0], tell));
}

}  // namespace
}  // namespace sluice::journal
