// Starting again after every kind of accident: what is torn is dropped, what rotted is refused.
#include "journal/recovery.h"

#include "io/memory.h"
#include "journal/format.h"
#include "journal/test_log.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

using Strings = std::vector<std::string>;
using Call = io::MemoryDirectory::Call;

constexpr std::array all_calls = {Call::write,
                                  Call::sync,
                                  Call::open,
                                  Call::allocate,
                                  Call::remove,
                                  Call::read,
                                  Call::list,
                                  Call::size};

bool is_prefix(const Strings& part, const Strings& all) {
  return part.size() <= all.size() && std::equal(part.begin(), part.end(), all.begin());
}

std::string numbered(std::size_t i) {
  return "frame " + std::to_string(i) + std::string(i % 53, '.');
}

/// Three synced batches in one segment, then a fourth that is on the disk, too, but of which no
/// later frame says so: `certain` frames are known to be durable, `all` are there.
struct FourBatches {
  TestLog log{LogOptions{.segment_bytes = 64u << 10}};
  Strings all;
  std::size_t certain = 0;
  Position last_batch;

  FourBatches() {
    for (int batch = 0; batch < 4; ++batch) {
      // What is sealed after batch n was retired says that batch n is durable.
      if (batch == 3) certain = all.size();
      last_batch = log->end();
      for (int i = 0; i < 5; ++i) {
        all.push_back(numbered(all.size()));
        log.append(all.back());
      }
      check(log.commit().has_value());
    }
    log.kill();
  }
};

TEST(Recovery, ACutOfTheLastBatchAtAnyByteGivesAPrefix) {
  FourBatches four;
  const std::string name = segment_name(1);
  const std::string whole = four.log.directory().content(name);
  const std::size_t end = four.last_batch.offset() + 5 * 30;
  std::size_t shortest = four.all.size();
  for (std::size_t cut = four.last_batch.offset(); cut < end; ++cut) {
    std::string torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
    io::MemoryDirectory directory;
    directory.put(name, torn);
    Strings seen;
    const auto opened = Log::open(directory,
                                  TestLog::small(),
                                  [&](Position, ByteView payload) {
                                    seen.emplace_back(payload);
                                    return Result<void>();
                                  },
                                  {});
    // Without one whole frame of the last batch nothing says that the third one was durable.
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(is_prefix(seen, four.all));
    EXPECT_GE(seen.size(), four.certain);
    shortest = std::min(shortest, seen.size());
  }
  EXPECT_EQ(shortest, four.certain);
}

TEST(Recovery, AFlippedBitBelowTheDurableMarkIsRefusedWithItsPlace) {
  FourBatches four;
  const std::string name = segment_name(1);
  for (std::uint32_t at = segment_header_bytes; at < four.last_batch.offset(); ++at) {
    four.log.directory().flip(name, at, 0x10);
    four.log.kill();
    const auto opened = four.log.try_open();
    ASSERT_FALSE(opened) << "offset " << at;
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
    EXPECT_NE(opened.error().message.find(name), std::string::npos);
    EXPECT_NE(opened.error().message.find("offset"), std::string::npos);
    EXPECT_EQ(four.log.directory().content(name).size(), reserved_bytes(64u << 10)) << "cut";
    four.log.directory().flip(name, at, 0x10);
  }
}

TEST(Recovery, AFlippedBitInTheHeaderOfTheOnlySegmentIsRefused) {
  FourBatches four;
  for (std::uint32_t at = 0; at < segment_header_bytes; ++at) {
    four.log.directory().flip(segment_name(1), at, 0x01);
    four.log.kill();
    const auto opened = four.log.try_open();
    ASSERT_FALSE(opened) << "offset " << at;
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
    four.log.directory().flip(segment_name(1), at, 0x01);
  }
}

TEST(Recovery, ATornLastBatchIsDroppedAndItsFileIsNotContinued) {
  FourBatches four;
  four.log.directory().flip(segment_name(1), four.last_batch.offset() + 60, 0xff);
  four.log.kill();
  ASSERT_TRUE(four.log.open());
  EXPECT_TRUE(is_prefix(four.log.recovered(), four.all));
  EXPECT_GE(four.log.recovered().size(), four.certain);
  EXPECT_EQ(four.log->end().segment(), 2u);
  EXPECT_EQ(four.log->durable_end(), four.log->end());
  Strings now = four.log.recovered();
  now.emplace_back("after");
  four.log.append("after");
  ASSERT_TRUE(four.log.commit());
  four.log.crash_and_open(3);
  EXPECT_EQ(four.log.recovered(), now);
}

/// A log of many small segments, ended cleanly.
struct ManySegments {
  TestLog log;
  Strings all;

  ManySegments() {
    for (std::size_t i = 0; i < 400; ++i) {
      all.push_back(numbered(i));
      log.append(all.back());
      check(i % 9 != 0 || log.commit().has_value());
    }
    check(log->close().has_value());
    log.kill();
  }

  Error refusal() {
    log.kill();
    const auto opened = log.try_open();
    return opened ? Error{ErrorCode::unknown, "was not refused"} : opened.error();
  }
};

/// A log of two acknowledged frames, then `payload` in a frame that is torn in its first byte.
struct TornPayload {
  TestLog log{LogOptions{.segment_bytes = 1u << 20}};

  explicit TornPayload(ByteView payload) {
    log.append("one");
    check(log.commit().has_value());
    log.append("two");
    check(log.commit().has_value());
    const Position at = log.append(payload);
    check(log.commit().has_value());
    log.kill();
    log.directory().flip(segment_name(1), at.offset(), 0xff);
  }
};

/// What looks most like frames: at every eighth byte a header of a frame that would come next and
/// is `length` bytes long.
std::string look_alikes(std::size_t bytes, std::uint32_t length) {
  std::string all(bytes, '\0');
  for (std::size_t at = 0; at + frame_header_bytes <= bytes; at += 8) {
    // The word is a sequence for the header 16 bytes in front of it and a length for the one 8
    // bytes in front: both must be small numbers, so the words take turns.
    const std::uint64_t word = at / 8 % 3 == 1 ? length : at / 8 % 3 == 2 ? 4 + at / 64 : 0;
    std::memcpy(all.data() + at, &word, sizeof word);
  }
  return all;
}

TEST(Recovery, AFewBytesThatLookLikeFramesAreVerifiedAndNoFrames) {
  TornPayload torn(look_alikes(48u << 10, 20));
  ASSERT_TRUE(torn.log.open());
  EXPECT_EQ(torn.log.recovered(), (Strings{"one", "two"}));
}

TEST(Recovery, APayloadFullOfHeadersOfLongFramesDoesNotTakeForever) {
  // 33,000 look-alikes of up to 800 KB each: verifying all of them would hash 13 GB.
  TornPayload torn(look_alikes(800u << 10, 400u << 10));
  const auto opened = torn.log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
  EXPECT_NE(opened.error().message.find("cannot be told"), std::string::npos)
      << opened.error().message;
  EXPECT_NE(opened.error().message.find(segment_name(1)), std::string::npos);

  // Everything in front of it can be had.
  io::MemoryDirectory target;
  const auto salvaged = salvage_log(torn.log.directory(), target);
  ASSERT_TRUE(salvaged) << salvaged.error().message;
  EXPECT_EQ(salvaged->frames, 2u);
}

TEST(Recovery, ADurableFrameBehindLookAlikesIsFound) {
  TestLog log{LogOptions{.segment_bytes = 1u << 20}};
  log.append("one");
  ASSERT_TRUE(log.commit());
  const Position rotten = log.append(look_alikes(48u << 10, 20));
  ASSERT_TRUE(log.commit());
  log.append("three, which says that two was durable");
  ASSERT_TRUE(log.commit());
  log.kill();
  log.directory().flip(segment_name(1), rotten.offset(), 0xff);
  const auto opened = log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("damaged at offset"), std::string::npos);
}

TEST(Recovery, AMissingSegmentIsRefusedByName) {
  for (const std::uint32_t number : {1u, 2u, 4u}) {
    ManySegments many;
    many.log.directory().lose(segment_name(number));
    const Error error = many.refusal();
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_NE(error.message.find(segment_name(number)), std::string::npos) << error.message;
  }
}

TEST(Recovery, AShortenedSegmentIsRefused) {
  ManySegments many;
  std::string content = many.log.directory().content(segment_name(2));
  content.resize(content.size() / 2);
  many.log.directory().put(segment_name(2), content);
  EXPECT_EQ(many.refusal().code, ErrorCode::corrupt);
}

TEST(Recovery, SegmentsThatChangedPlacesAreRefused) {
  ManySegments many;
  const std::string two = many.log.directory().content(segment_name(2));
  const std::string three = many.log.directory().content(segment_name(3));
  many.log.directory().put(segment_name(2), three);
  many.log.directory().put(segment_name(3), two);
  EXPECT_EQ(many.refusal().code, ErrorCode::corrupt);
}

TEST(Recovery, ASegmentOfAnotherLogIsRefused) {
  ManySegments many;
  LogOptions options = TestLog::small();
  options.identity_seed = 7;
  TestLog other(options);
  for (std::size_t i = 0; i < 400; ++i)
    other.append(numbered(i));
  ASSERT_TRUE(other.commit());
  many.log.directory().put(segment_name(2), other.directory().content(segment_name(2)));
  EXPECT_EQ(many.refusal().code, ErrorCode::corrupt);
}

TEST(Recovery, AFrameAtAnotherOffsetOrInAnotherSegmentIsNotIntact) {
  Buffer bytes;
  bytes.extend(frame_header_bytes);
  bytes.append("payload");
  const std::uint64_t salt = segment_salt(1, 1);
  seal_frame(bytes.data(), 7, {salt, 100, 5, 5});
  EXPECT_TRUE(is_intact_frame(bytes.view(), salt, 100));
  EXPECT_FALSE(is_intact_frame(bytes.view(), salt, 101));
  EXPECT_FALSE(is_intact_frame(bytes.view(), segment_salt(1, 2), 100));
  EXPECT_FALSE(is_intact_frame(bytes.view(), segment_salt(2, 1), 100));
}

TEST(Recovery, AnOlderVersionOfASectorIsNoticed) {
  FourBatches four;
  const std::string name = segment_name(1);
  std::string content = four.log.directory().content(name);
  // As if the disk had lost a write of the second batch: zeros were there before.
  std::fill_n(content.begin() + 200, 100, '\0');
  four.log.directory().put(name, content);
  four.log.kill();
  const auto opened = four.log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
}

TEST(Recovery, ANewerFormatIsNamed) {
  ManySegments many;
  std::string content = many.log.directory().content(segment_name(2));
  content[8] = 9;
  const std::uint64_t checksum = XXH3_64bits(content.data(), 56);
  std::memcpy(content.data() + 56, &checksum, sizeof checksum);
  many.log.directory().put(segment_name(2), content);
  EXPECT_NE(many.refusal().message.find("format version 9"), std::string::npos);
}

TEST(Recovery, AnErrorOfTheReceiverEndsTheScanAndIsReturned) {
  ManySegments many;
  int calls = 0;
  const auto opened = Log::open(many.log.directory(),
                                TestLog::small(),
                                [&](Position, ByteView) -> Result<void> {
                                  if (++calls < 3) return {};
                                  return fail(ErrorCode::corrupt, "not understood");
                                },
                                {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message, "not understood");
  EXPECT_EQ(calls, 3);
}

TEST(Recovery, ProgressEndsWithAllFramesAndBytes) {
  ManySegments many;
  ScanProgress last;
  const auto opened = Log::open(
      many.log.directory(),
      TestLog::small(),
      [](Position, ByteView) { return Result<void>(); },
      [&](const ScanProgress& progress) { last = progress; });
  ASSERT_TRUE(opened);
  EXPECT_EQ(last.frames, many.all.size());
  EXPECT_EQ(last.bytes_done, last.bytes_total);
}

TEST(Recovery, ACleanEndIsReadWithoutAWrite) {
  ManySegments many;
  many.log.directory().clear_faults();
  ASSERT_TRUE(many.log.open());
  EXPECT_EQ(many.log.recovered(), many.all);
  EXPECT_EQ(many.log.directory().calls(Call::write), 0u);
}

/// One life of a log with a fault planned: appends, commits, cleans. Everything that write()
/// reported as durable is in `durable`.
struct FaultyLife {
  Strings durable;
  Strings all;

  void live(TestLog& log) {
    Strings pending;
    for (std::size_t i = 0; i < 150; ++i) {
      all.push_back(numbered(i));
      pending.push_back(all.back());
      log.append(all.back());
      if (i % 6 != 5) continue;
      const bool is_synced = i % 4 != 1;
      if (!log.commit(is_synced ? Sync::yes : Sync::no)) return;
      if (!is_synced) continue;
      durable.insert(durable.end(), pending.begin(), pending.end());
      pending.clear();
    }
  }
};

TEST(Recovery, NoSyncedFrameIsLostWhateverCallFails) {
  for (const Call call : {Call::write, Call::sync, Call::open, Call::allocate, Call::remove}) {
    for (const bool is_persistent : {false, true}) {
      for (std::uint64_t nth = 1;; ++nth) {
        TestLog log;
        FaultyLife life;
        log.directory().clear_faults();
        log.directory().fail_at(call, nth, is_persistent);
        life.live(log);
        const bool is_hit = log.directory().calls(call) >= nth;
        log.directory().clear_faults();
        nth % 2 == 0 ? log.kill() : log.crash(nth);
        const Result<void> opened = log.open();
        ASSERT_TRUE(opened) << "call " << int(call) << " nth " << nth << ": "
                            << opened.error().message;
        ASSERT_TRUE(is_prefix(log.recovered(), life.all));
        ASSERT_GE(log.recovered().size(), life.durable.size()) << int(call) << " nth " << nth;
        if (!is_hit) break;
      }
    }
  }
}

TEST(Recovery, AFaultDuringRecoveryLosesNothingEither) {
  for (const Call call : all_calls) {
    for (std::uint64_t nth = 1;; ++nth) {
      TestLog log;
      FaultyLife life;
      life.live(log);
      log.crash(nth);
      log.directory().clear_faults();
      log.directory().fail_at(call, nth);
      const bool is_open = log.open().has_value();
      const bool is_hit = log.directory().calls(call) >= nth;
      EXPECT_TRUE(is_open || is_hit);
      log.directory().clear_faults();
      log.crash(nth + 1);
      const Result<void> opened = log.open();
      ASSERT_TRUE(opened) << "call " << int(call) << " nth " << nth << ": "
                          << opened.error().message;
      ASSERT_TRUE(is_prefix(log.recovered(), life.all));
      ASSERT_GE(log.recovered().size(), life.durable.size());
      if (!is_hit) break;
    }
  }
}

TEST(Recovery, AFullDiskLosesNothingThatWasSynced) {
  for (std::uint64_t capacity = 5'000; capacity < 24'000; capacity += 500) {
    TestLog log;
    FaultyLife life;
    log.directory().set_capacity(capacity);
    life.live(log);
    log.directory().set_capacity(1u << 30);
    log.crash_and_open(capacity);
    ASSERT_TRUE(is_prefix(log.recovered(), life.all));
    ASSERT_GE(log.recovered().size(), life.durable.size());
  }
}

/// Changes a segment's header as no program does; its checksum is right.
template <class Edit>
void edit_header(io::MemoryDirectory& directory, std::uint32_t number, Edit edit) {
  std::string content = directory.content(segment_name(number));
  DecodedHeader decoded = decode_header(content, number);
  check(decoded.state == HeaderState::valid);
  edit(decoded.header);
  const SegmentHeaderBytes bytes = encode(decoded.header);
  std::copy(bytes.begin(), bytes.end(), content.begin());
  directory.put(segment_name(number), content);
}

TEST(Recovery, ASegmentThatEndsWhereTheNextOneDoesNotSayIsRefused) {
  for (const std::uint32_t end : {0u, segment_header_bytes - 1, 3000u, 5000u}) {
    ManySegments many;
    edit_header(many.log.directory(), 3, [end](SegmentHeader& h) { h.previous_end = end; });
    const Error error = many.refusal();
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_NE(error.message.find(segment_name(2)), std::string::npos) << error.message;
  }
}

TEST(Recovery, ASegmentThatBeginsWithAnotherFrameThanTheOneBeforeEndsWithIsRefused) {
  ManySegments many;
  edit_header(many.log.directory(), 3, [](SegmentHeader& h) { ++h.first_sequence; });
  const Error error = many.refusal();
  EXPECT_EQ(error.code, ErrorCode::corrupt);
  EXPECT_NE(error.message.find(segment_name(2)), std::string::npos) << error.message;
}

TEST(Recovery, ALogThatSaysThatAllOfItWasDroppedIsRefused) {
  FourBatches four;
  edit_header(four.log.directory(), 1, [](SegmentHeader& h) { h.oldest_segment = 2; });
  const auto opened = four.log.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
  EXPECT_NE(opened.error().message.find(segment_name(2)), std::string::npos);
  EXPECT_TRUE(four.log.directory().contains(segment_name(1)));
}

TEST(Recovery, AnErrorOfTheReceiverForTheLastBatchIsReturnedToo) {
  FourBatches four;
  std::size_t calls = 0;
  const auto opened = Log::open(four.log.directory(),
                                TestLog::small(),
                                [&](Position, ByteView) -> Result<void> {
                                  if (++calls <= four.certain) return {};
                                  return fail(ErrorCode::corrupt, "not understood");
                                },
                                {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message, "not understood");
  EXPECT_EQ(calls, four.certain + 1);
}

TEST(Recovery, ProgressIsToldEverySixteenMegabytes) {
  TestLog log{LogOptions{.tail_cache_bytes = 0}};
  for (int i = 0; i < 40; ++i)
    log.append(std::string(1'000'000, 'x'));
  ASSERT_TRUE(log->close());
  log.kill();
  std::vector<std::uint64_t> frames;
  const auto opened = Log::open(
      log.directory(),
      LogOptions(),
      [](Position, ByteView) { return Result<void>(); },
      [&](const ScanProgress& progress) { frames.push_back(progress.frames); });
  ASSERT_TRUE(opened);
  EXPECT_EQ(frames, (std::vector<std::uint64_t>{17, 34, 40}));
}

/// Each call of a kind fails in a start of its own; the next start finds everything.
template <class Stopped>
void expect_a_second_start_to_find_all(Call call) {
  for (std::uint64_t nth = 1;; ++nth) {
    Stopped stopped;
    TestLog& log = stopped.log;
    log.directory().put("recovery.tmp", "of a start that was interrupted");
    log.directory().clear_faults();
    log.directory().fail_at(call, nth);
    const bool is_open = log.open().has_value();
    const bool is_hit = log.directory().calls(call) >= nth;
    EXPECT_TRUE(is_open || is_hit);
    log.directory().clear_faults();
    log.kill();
    const Result<void> opened = log.open();
    ASSERT_TRUE(opened) << "call " << int(call) << " nth " << nth << ": " << opened.error().message;
    EXPECT_EQ(log.recovered(), stopped.all) << "call " << int(call) << " nth " << nth;
    if (!is_hit) break;
  }
}

TEST(Recovery, AFaultInAStartAfterAKillLosesNothing) {
  for (const Call call : all_calls)
    expect_a_second_start_to_find_all<FourBatches>(call);
}

TEST(Recovery, AFaultInAStartAfterACleanEndLosesNothing) {
  for (const Call call : all_calls)
    expect_a_second_start_to_find_all<ManySegments>(call);
}

}  // namespace
}  // namespace sluice::journal
