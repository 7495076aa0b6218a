// The names of segments, and frame headers at the edges of what they can say.
#include "journal/format.h"

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

}  // namespace
}  // namespace sluice::journal
