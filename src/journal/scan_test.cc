// Reading frames in order, finding them behind damage, and what is said of files that are none of
// ours.
#include "journal/scan.h"

#include "io/memory.h"

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

using Call = io::MemoryDirectory::Call;

constexpr std::uint64_t salt = 1;
constexpr std::size_t large_bytes = 2u << 20;  // More than is read at a time.

std::string frame(std::uint32_t offset,
                  std::uint64_t sequence,
                  ByteView payload,
                  std::uint32_t flags = 0) {
  std::string bytes(frame_header_bytes, '\0');
  bytes += payload;
  seal_frame(bytes.data(),
             static_cast<std::uint32_t>(payload.size()),
             {.salt = salt, .offset = offset, .sequence = sequence, .durable_upto = sequence},
             flags);
  return bytes;
}

class Scan : public testing::Test {
 protected:
  /// A file with these bytes, and a range that covers `to` bytes of it.
  void put(ByteView bytes, std::size_t to) {
    directory_.put("file", bytes);
    file_ = std::move(*directory_.open("file", io::OpenMode::read_only));
    range_ = {salt, 0, static_cast<std::uint32_t>(to)};
  }

  void put(ByteView bytes) { put(bytes, bytes.size()); }

  io::MemoryDirectory directory_;
  std::unique_ptr<io::File> file_;
  SegmentRange range_;
};

TEST_F(Scan, AFrameLargerThanOneReadComesWhole) {
  const std::string payload(large_bytes, 'L');
  put(frame(0, 5, payload));
  FrameScanner scanner(*file_, range_, 5);
  ASSERT_TRUE(scanner.next());
  EXPECT_EQ(scanner.payload(), payload);
  EXPECT_FALSE(scanner.next());
  EXPECT_EQ(scanner.offset(), range_.to);
}

TEST_F(Scan, ALargeFrameWithDamageInItsLastByteEndsTheScanInFrontOfIt) {
  put(frame(0, 5, std::string(large_bytes, 'L')));
  directory_.flip("file", range_.to - 1, 1);
  FrameScanner scanner(*file_, range_, 5);
  EXPECT_FALSE(scanner.next());
  EXPECT_EQ(scanner.offset(), 0u);
  EXPECT_EQ(scanner.error(), nullptr);
}

TEST_F(Scan, ALargeFrameThatTheFileCutsShortEndsTheScanInFrontOfIt) {
  const std::string whole = frame(0, 5, std::string(large_bytes, 'L'));
  put(ByteView(whole).substr(0, whole.size() - 1), whole.size());
  FrameScanner scanner(*file_, range_, 5);
  EXPECT_FALSE(scanner.next());
  EXPECT_EQ(scanner.offset(), 0u);
  EXPECT_EQ(scanner.error(), nullptr);
}

TEST_F(Scan, ALargeFrameOfWhichTheRestCannotBeReadIsAnError) {
  put(frame(0, 5, std::string(large_bytes, 'L')));
  directory_.fail_at(Call::read, 2);
  FrameScanner scanner(*file_, range_, 5);
  EXPECT_FALSE(scanner.next());
  ASSERT_NE(scanner.error(), nullptr);
  EXPECT_EQ(scanner.error()->code, ErrorCode::io);
}

class Find : public Scan {
 protected:
  /// Damage, then this frame.
  void put_behind_damage(ByteView payload, std::uint32_t flags = 0) {
    std::string bytes(damaged_bytes, 'x');
    bytes += frame(damaged_bytes, 5, payload, flags);
    put(bytes);
  }

  bool finds() {
    FrameFinder finder(*file_, range_, 5);
    const Result<bool> is_found = finder.next();
    EXPECT_TRUE(is_found);
    if (!is_found || !*is_found) return false;
    EXPECT_EQ(finder.found().offset, damaged_bytes);
    return true;
  }

  static constexpr std::uint32_t damaged_bytes = 100;
};

TEST_F(Find, AFrameBehindDamage) {
  put_behind_damage("payload");
  EXPECT_TRUE(finds());
}

TEST_F(Find, AMarkOfEitherKindButNoneOfAnotherLength) {
  put_behind_damage("", mark_bit);
  EXPECT_TRUE(finds());
  put_behind_damage("1234", mark_bit);
  EXPECT_TRUE(finds());
  put_behind_damage("12345", mark_bit);
  EXPECT_FALSE(finds());
}

TEST_F(Find, AFrameLargerThanOneRead) {
  put_behind_damage(std::string(large_bytes, 'L'));
  EXPECT_TRUE(finds());
  directory_.flip("file", range_.to - 1, 1);
  EXPECT_FALSE(finds());
}

TEST_F(Find, ALargeFrameThatCannotBeReadIsAnError) {
  put_behind_damage(std::string(large_bytes, 'L'));
  directory_.fail_at(Call::read, 2);
  const Result<bool> is_found = FrameFinder(*file_, range_, 5).next();
  ASSERT_FALSE(is_found);
  EXPECT_EQ(is_found.error().code, ErrorCode::io);
}

TEST_F(Scan, BehindTheEndOfAFileThereAreOnlyZeros) {
  put(std::string(100, '\0'));
  EXPECT_EQ(is_zero(*file_, 0, 1000), true);
  put(std::string(100, '\0') + "x");
  EXPECT_EQ(is_zero(*file_, 0, 1000), false);
  EXPECT_EQ(is_zero(*file_, 0, 100), true);
}

TEST(ListSegments, AFileLargerThanASegmentCanBeIsRefusedByName) {
  io::MemoryDirectory directory;
  const auto file = directory.open(segment_name(1), io::OpenMode::create_new);
  ASSERT_TRUE(file);
  const std::uint64_t most = std::uint64_t{segment_bytes_max} + frame_payload_bytes_max;
  ASSERT_TRUE((*file)->allocate(most));
  EXPECT_TRUE(list_segments(directory));
  ASSERT_TRUE((*file)->allocate(most + 1));
  const auto listed = list_segments(directory);
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, ErrorCode::corrupt);
  EXPECT_NE(listed.error().message.find(segment_name(1)), std::string::npos);
}

}  // namespace
}  // namespace sluice::journal
