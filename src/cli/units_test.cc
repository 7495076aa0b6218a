// The words and numbers that people read and write on the command line.
#include "cli/units.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;

TEST(ParseDuration, TakesMillisecondsAndUnits) {
  EXPECT_EQ(parse_duration("1500"), milliseconds(1500));
  EXPECT_EQ(parse_duration("1500ms"), milliseconds(1500));
  EXPECT_EQ(parse_duration("30s"), milliseconds(30'000));
  EXPECT_EQ(parse_duration("5m"), milliseconds(300'000));
  EXPECT_EQ(parse_duration("2h"), milliseconds(7'200'000));
  EXPECT_EQ(parse_duration("7d"), milliseconds(604'800'000));
  EXPECT_EQ(parse_duration("0"), milliseconds(0));
}

TEST(ParseDuration, RefusesWhatItCannotMean) {
  for (const char* wrong : {"", "s", "-1s", "1.5s", "1 s", "1w", "1sm", "+1", "0x10"}) {
    EXPECT_EQ(parse_duration(wrong), std::nullopt) << wrong;
  }
}

TEST(ParseDuration, EndsAtTheLongestDuration) {
  EXPECT_EQ(parse_duration("365000d"), duration_max);
  EXPECT_EQ(parse_duration("365001d"), std::nullopt);
  EXPECT_EQ(parse_duration("18446744073709551615d"), std::nullopt);
  EXPECT_EQ(parse_duration("18446744073709551616"), std::nullopt);
}

TEST(ShortDuration, ShowsTwoUnitsAtMost) {
  EXPECT_EQ(short_duration(milliseconds(0)), "0ms");
  EXPECT_EQ(short_duration(milliseconds(999)), "999ms");
  EXPECT_EQ(short_duration(milliseconds(1000)), "1s");
  EXPECT_EQ(short_duration(milliseconds(1500)), "1.5s");
  EXPECT_EQ(short_duration(milliseconds(200'000)), "3m20s");
  EXPECT_EQ(short_duration(milliseconds(3'600'000)), "1h");
  EXPECT_EQ(short_duration(milliseconds(7 * 86'400'000 + 3 * 3'600'000 + 5)), "7d3h");
  EXPECT_EQ(short_duration(milliseconds(-1500)), "-1.5s");
}

TEST(RelativeTime, LooksBothWays) {
  const SystemTime now{milliseconds(1'000'000)};
  EXPECT_EQ(relative_time(now, now), "now");
  EXPECT_EQ(relative_time(now - milliseconds(5000), now), "5s ago");
  EXPECT_EQ(relative_time(now + milliseconds(250), now), "in 250ms");
}

TEST(IsoTime, IsUtcWithMilliseconds) {
  EXPECT_EQ(iso_time(SystemTime{milliseconds(1'700'000'000'123)}), "2023-11-14 22:13:20.123Z");
}

TEST(Grouped, SetsACommaBeforeEveryThirdDigit) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1'234'567), "1,234,567");
}

TEST(ShortRate, KeepsThreeDigits) {
  EXPECT_EQ(short_rate(0), "0");
  EXPECT_EQ(short_rate(1.234), "1.23");
  EXPECT_EQ(short_rate(12.34), "12.3");
  EXPECT_EQ(short_rate(999), "999");
  EXPECT_EQ(short_rate(1234), "1.23k");
  EXPECT_EQ(short_rate(1'234'567), "1.23M");
}

TEST(ShortBytes, UsesBinaryUnits) {
  EXPECT_EQ(short_bytes(1023), "1023 B");
  EXPECT_EQ(short_bytes(1536), "1.5 KiB");
  EXPECT_EQ(short_bytes(std::uint64_t{3} << 30), "3.0 GiB");
}

TEST(Escaped, LeavesNoControlCharacter) {
  EXPECT_EQ(escaped("plain äöü €"), "plain äöü €");
  EXPECT_EQ(escaped("a\nb\tc\\"), "a\\nb\\tc\\\\");
  EXPECT_EQ(escaped("\x1b[2Jgone"), "\\x1b[2Jgone");
  EXPECT_EQ(escaped(ByteView("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "31m"),
            "\\xc2\\x9b31m");
  EXPECT_EQ(escaped("\xff\xfe"), "\\xff\\xfe");
}

TEST(IsUtf8, KnowsOverlongAndCutSequences) {
  EXPECT_TRUE(is_utf8("aä€😀"));
  EXPECT_FALSE(is_utf8("\xc0\x80"));
  EXPECT_FALSE(is_utf8("\xe0\x80\x80"));
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));
  EXPECT_FALSE(is_utf8("\xe2\x82"));
  EXPECT_FALSE(is_utf8("\x80"));
}

TEST(Clipped, CutsByCharactersNotBytes) {
  EXPECT_EQ(clipped("abc", 3), "abc");
  EXPECT_EQ(clipped("abcd", 3), "ab…");
  EXPECT_EQ(clipped("äöüß", 3), "äö…");
}

}  // namespace
}  // namespace sluice::cli
