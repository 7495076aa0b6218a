// Log lines: one line whatever is in them, and the same fields as text and as JSON.
#include "server/log.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

TEST(LogFields, PlainValuesAreBareAndOthersQuoted) {
  EXPECT_EQ(text_fields({{"event", "listening"}, {"address", "127.0.0.1:7770"}, {"jobs", 42}}),
            "event=listening address=127.0.0.1:7770 jobs=42");
  EXPECT_EQ(text_fields({{"text", "two words"}, {"empty", ""}, {"sum", "a=b"}}),
            R"(text="two words" empty="" sum="a=b")");
}

TEST(LogFields, NothingInAValueEndsTheLineOrReachesTheTerminal) {
  EXPECT_EQ(text_fields({{"worker", "a\r\nevent=fake \x1b[2J\"\\\x7f\xc2\x9b"}}),
            R"(worker="a\x0d\nevent=fake \x1b[2J\"\\\x7f\xc2\x9b")");
  EXPECT_EQ(json_fields({{"worker", "a\r\n\x1b\"\\\x7f"}}),
            R"("worker":"a\u000d\u000a\u001b\"\\\u007f")");
}

TEST(LogFields, JsonStaysUtf8WhateverTheBytesAre) {
  EXPECT_EQ(json_fields({{"w", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80"}}),
            "\"w\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80\"");
  // A lone continuation, an overlong slash, a surrogate, a cut character, a C1 control.
  EXPECT_EQ(json_fields({{"w", "\x80"}}), R"("w":"\ufffd")");
  EXPECT_EQ(json_fields({{"w", "\xe0\x80\xaf"}}), R"("w":"\ufffd\ufffd\ufffd")");
  EXPECT_EQ(json_fields({{"w", "\xed\xa0\x80"}}), R"("w":"\ufffd\ufffd\ufffd")");
  EXPECT_EQ(json_fields({{"w", "\xf0\x9f"}}), R"("w":"\ufffd\ufffd")");
  EXPECT_EQ(json_fields({{"w", "\xc2\x9b"}}), R"("w":"\ufffd\ufffd")");
}

TEST(LogFields, NumbersAreNumbersInJson) {
  EXPECT_EQ(json_fields({{"jobs", 42}, {"job", "42"}}), R"("jobs":42,"job":"42")");
}

TEST(LogFields, LongValuesAreCut) {
  const std::string at_max(log_value_bytes_max, 'x');
  EXPECT_EQ(text_fields({{"a", at_max}}), "a=" + at_max);
  EXPECT_EQ(text_fields({{"a", at_max + "y"}}), "a=" + at_max + "...");
  EXPECT_EQ(json_fields({{"a", at_max + "y"}}), "\"a\":\"" + at_max + "...\"");
}

TEST(LogFields, LinesOfOtherLayersAreReadBack) {
  const auto fields = parse_fields(R"(event=lease_expired queue=mail note="a \"b\" c" n=3)");
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[0].name, "event");
  EXPECT_EQ(fields[0].value, "lease_expired");
  EXPECT_EQ(fields[2].name, "note");
  EXPECT_EQ(fields[2].value, R"(a "b" c)");
  EXPECT_EQ(fields[3].value, "3");
}

TEST(LogFields, ALineThatIsNoFieldsIsKeptAsText) {
  const auto fields = parse_fields("event=x something else = 3");
  ASSERT_EQ(fields.size(), 2u);
  EXPECT_EQ(fields[1].name, "text");
  EXPECT_EQ(fields[1].value, "something else = 3");
}

}  // namespace
}  // namespace sluice::server
