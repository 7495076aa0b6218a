// Sizes and durations are read and printed exactly.
#include "server/units.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

TEST(Units, SizesAreBinaryWithAnIAndDecimalWithout) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("1024"), 1024u);
  EXPECT_EQ(parse_bytes("7B"), 7u);
  EXPECT_EQ(parse_bytes("64KiB"), 65'536u);
  EXPECT_EQ(parse_bytes("512MiB"), 536'870'912u);
  EXPECT_EQ(parse_bytes("8 gib"), 8'589'934'592u);
  EXPECT_EQ(parse_bytes("1TiB"), 1'099'511'627'776u);
  EXPECT_EQ(parse_bytes("1MB"), 1'000'000u);
  EXPECT_EQ(parse_bytes("18446744073709551615"), 18'446'744'073'709'551'615u);
}

TEST(Units, WhatIsNoSizeIsRefused) {
  for (const char* text : {"",
                           " ",
                           "MiB",
                           "-1",
                           "1.5GiB",
                           "512M",
                           "1k",
                           "1 ",
                           "1  MiB",
                           "1MiBx",
                           "18446744073709551616",
                           "16777216TiB",
                           "0x10"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(Units, DurationsHaveUnitsOrAreMilliseconds) {
  EXPECT_EQ(parse_duration("1500"), Duration(1500));
  EXPECT_EQ(parse_duration("10ms"), Duration(10));
  EXPECT_EQ(parse_duration("30s"), Duration(30'000));
  EXPECT_EQ(parse_duration("5m"), Duration(300'000));
  EXPECT_EQ(parse_duration("2h"), Duration(7'200'000));
  EXPECT_EQ(parse_duration("7d"), Duration(604'800'000));
}

TEST(Units, WhatIsNoDurationIsRefused) {
  for (const char* text : {"", "s", "-1s", "1.5s", "1 year", "99999999999999d", "365001d"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(Units, TheShortestExactSpellingIsPrinted) {
  EXPECT_EQ(bytes_text(0), "0B");
  EXPECT_EQ(bytes_text(1000), "1000B");
  EXPECT_EQ(bytes_text(1536), "1536B");
  EXPECT_EQ(bytes_text(65'536), "64KiB");
  EXPECT_EQ(bytes_text(8'589'934'592), "8GiB");
  EXPECT_EQ(duration_text(Duration(0)), "0ms");
  EXPECT_EQ(duration_text(Duration(90'000)), "90s");
  EXPECT_EQ(duration_text(Duration(120'000)), "2m");
  EXPECT_EQ(duration_text(Duration(1)), "1ms");
}

}  // namespace
}  // namespace sluice::server
