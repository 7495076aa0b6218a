// The names of segments, and frame headers at the edges of what they can say.
#include "journal/format.h"

#include <cstring>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace sluice::journal {
namespace {

TEST(Format, ANameIsANumberAndBack) {
  for (const std::uint32_t number : {1u, 9u, 10u, 0xabcdefu, 0xffffffffu}) {
    EXPECT_EQ(segment_number(segment_name(number)), number);
  }
  EXPECT_EQ(segment_name(0x1a), "000000000000001a.seg");
}

TEST(Format, OtherNamesAreNone) {
  for (const char* name : {"",
                           "lock",
                           "000000000000001a.tmp",
                           "00000000000001a.seg",
                           "0000000000000000.seg",
                           "000000000000001A.seg",
                           "000000000000001g.seg",
                           "000000000000001/.seg",
                           "000000000000001 .seg",
                           "0000000100000000.seg",
                           "ffffffffffffffff.seg"}) {
    EXPECT_EQ(segment_number(name), std::nullopt) << name;
  }
}

TEST(Format, TheLagOfAFrameSaturates) {
  std::string frame(frame_header_bytes, '\0');
  const std::uint64_t far = std::uint64_t{1} << 33;
  seal_frame(frame.data(), 0, {.salt = 1, .offset = 64, .sequence = far, .durable_upto = 1});
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  EXPECT_EQ(header.lag, 0xffffffffu);
  EXPECT_EQ(header.durable_upto(), far - 0xffffffffu);
  EXPECT_TRUE(is_intact_frame(frame, 1, 64));
}

TEST(Format, AFrameThatIsCutAnywhereIsNotIntact) {
  std::string frame(frame_header_bytes + 3, 'x');
  seal_frame(frame.data(), 3, {.salt = 1, .offset = 64, .sequence = 5, .durable_upto = 5});
  EXPECT_TRUE(is_intact_frame(frame, 1, 64));
  EXPECT_TRUE(is_intact_frame(frame + "what follows", 1, 64));
  for (std::size_t size = 0; size < frame.size(); ++size)
    EXPECT_FALSE(is_intact_frame(frame.substr(0, size), 1, 64)) << size;
}

TEST(Format, AFrameThatLagsBehindTheFirstOneIsNotIntact) {
  std::string frame(frame_header_bytes, '\0');
  // A lag of 6, with a checksum that is right.
  seal_frame(frame.data(), 0, {.salt = 1, .offset = 64, .sequence = 6, .durable_upto = 0});
  EXPECT_TRUE(is_intact_frame(frame, 1, 64));
  seal_frame(frame.data(), 0, {.salt = 1, .offset = 64, .sequence = 5, .durable_upto = ~0ull});
  EXPECT_FALSE(is_intact_frame(frame, 1, 64));
}

}  // namespace
}  // namespace sluice::journal
