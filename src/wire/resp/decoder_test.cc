// Decoder and Writer: every type of RESP2 and RESP3, cuts at every byte, limits, and that what the
// Writer writes is what the Decoder reads.
#include "wire/resp/decoder.h"

#include "wire/resp/events.h"
#include "wire/resp/writer.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace sluice::resp {
namespace {

Value decode(ByteView bytes) {
  Decoder decoder;
  Value value;
  EXPECT_EQ(decoder.next(bytes, value), Decoded::value) << bytes;
  EXPECT_EQ(decoder.consumed(), bytes.size());
  return value;
}

std::string problem_of(ByteView bytes, DecoderLimits limits = {}) {
  Decoder decoder(limits);
  Value value;
  EXPECT_EQ(decoder.next(bytes, value), Decoded::broken) << bytes;
  return std::string(decoder.problem());
}

TEST(Decoder, ReadsScalars) {
  EXPECT_EQ(decode("+OK\r\n").text, "OK");
  EXPECT_EQ(decode("-STALE the lease is gone\r\n").text, "STALE the lease is gone");
  EXPECT_TRUE(decode("-ERR\r\n").is_error());
  EXPECT_EQ(decode(":-9223372036854775808\r\n").integer, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(decode(":+7\r\n").integer, 7);
  EXPECT_EQ(decode("$5\r\na\r\nbc\r\n").text, "a\r\nbc");
  EXPECT_EQ(decode("$0\r\n\r\n").kind, Kind::bulk);
  EXPECT_TRUE(decode("$-1\r\n").is_null());
  EXPECT_TRUE(decode("*-1\r\n").is_null());
  EXPECT_TRUE(decode("_\r\n").is_null());
  EXPECT_EQ(decode("#t\r\n").integer, 1);
  EXPECT_EQ(decode(",1.5\r\n").real, 1.5);
  EXPECT_EQ(decode(",inf\r\n").real, std::numeric_limits<double>::infinity());
  EXPECT_EQ(decode("(12345678901234567890\r\n").text, "12345678901234567890");
  EXPECT_EQ(decode("=7\r\ntxt:abc\r\n").text, "abc");
  EXPECT_EQ(decode("!5\r\nERR x\r\n").kind, Kind::error);
}

TEST(Decoder, ReadsAggregates) {
  const Value map = decode("%2\r\n$2\r\nid\r\n$1\r\n7\r\n+jobs\r\n*2\r\n:1\r\n~1\r\n_\r\n");
  ASSERT_NE(map.find("id"), nullptr);
  EXPECT_EQ(map.find("id")->text, "7");
  EXPECT_EQ(map.find("jobs")->items[1].kind, Kind::set);
  EXPECT_EQ(map.find("none"), nullptr);
  EXPECT_EQ(decode(">2\r\n+a\r\n+b\r\n").kind, Kind::push);
  EXPECT_TRUE(decode("*0\r\n").items.empty());
  EXPECT_EQ(decode("*2\r\n+id\r\n:4\r\n").find("id")->integer, 4);
}

TEST(Decoder, AttributesAreDropped) {
  const Value value =
      decode("|1\r\n+ttl\r\n:3\r\n*2\r\n|0\r\n:1\r\n|1\r\n+a\r\n*1\r\n+b\r\n:2\r\n");
  ASSERT_EQ(value.items.size(), 2u);
  EXPECT_EQ(value.items[1].integer, 2);
}

TEST(Decoder, WhatIsNotRespBreaks) {
  EXPECT_EQ(problem_of("HTTP/1.1 400 Bad Request\r\n"), "a value has an unknown type");
  EXPECT_EQ(problem_of("+OK\n"), "a line does not end in CR LF");
  EXPECT_EQ(problem_of("$x\r\n"), "a length is not a number");
  EXPECT_EQ(problem_of("$-2\r\n"), "a length is not a number");
  EXPECT_EQ(problem_of("=-1\r\n"), "a length is not a number");
  EXPECT_EQ(problem_of("%-1\r\n"), "a length is not a number");
  EXPECT_EQ(problem_of("$2\r\nabcd\r\n"), "a string is not as long as said");
  EXPECT_EQ(problem_of("=2\r\nab\r\n"), "a verbatim string has no format");
  EXPECT_EQ(problem_of(":1x\r\n"), "a number, boolean or null is malformed");
  EXPECT_EQ(problem_of("#x\r\n"), "a number, boolean or null is malformed");
  EXPECT_EQ(problem_of("_x\r\n"), "a number, boolean or null is malformed");
  EXPECT_EQ(problem_of("$?\r\n"), "a length is not a number");
  EXPECT_EQ(problem_of(std::string((64 << 10) + 1, '+')), "a line is longer than 64 KiB");
}

TEST(Decoder, LimitsHold) {
  const DecoderLimits limits{.text_bytes_max = 4, .values_max = 4, .depth_max = 2};
  EXPECT_EQ(problem_of("$5\r\n", limits), "a string is longer than the limit");
  EXPECT_EQ(problem_of("*5\r\n", limits), "a reply has too many values");
  EXPECT_EQ(problem_of("%2\r\n", limits), "a reply has too many values");
  EXPECT_EQ(problem_of("*1\r\n*1\r\n*1\r\n", limits), "a reply is nested too deeply");
  EXPECT_EQ(problem_of("*9223372036854775807\r\n"), "a reply has too many values");
  Decoder decoder(limits);
  Value value;
  EXPECT_EQ(decoder.next("*3\r\n$4\r\nabcd\r\n*1\r\n:1\r\n", value), Decoded::incomplete);
}

TEST(Decoder, WaitsForALongStringWithoutReadingItAgain) {
  Decoder decoder;
  Value value;
  EXPECT_EQ(decoder.next("*2\r\n:1\r\n$1000\r\nabc", value), Decoded::incomplete);
  EXPECT_EQ(decoder.consumed(), 8u);
  EXPECT_EQ(decoder.needed(), 7u + 1000 + 2);
}

std::string random_reply(std::mt19937& random, int depth) {
  switch (random() % (depth > 3 ? 8 : 12)) {
    case 0:
      return "+OK\r\n";
    case 1:
      return "-ERR no\r\n";
    case 2:
      return ":" + std::to_string(random()) + "\r\n";
    case 3:
      return "$4\r\na\r\nb\r\n";
    case 4:
      return "$-1\r\n";
    case 5:
      return ",2.25\r\n";
    case 6:
      return "#f\r\n";
    case 7:
      return "=6\r\ntxt:hi\r\n";
    case 8:
      return "*1\r\n" + random_reply(random, depth + 1);
    case 9:
      return "%2\r\n+k\r\n" + random_reply(random, depth + 1) + "+l\r\n" +
             random_reply(random, depth + 1);
    case 10:
      return "|1\r\n+k\r\n" + random_reply(random, depth + 1) + random_reply(random, depth);
    default:
      return ">2\r\n" + random_reply(random, depth + 1) + random_reply(random, depth + 1);
  }
}

TEST(Decoder, AnyCutGivesTheSameValues) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::string stream;
    for (int i = 0; i < 6; ++i)
      stream += random_reply(random, 0);
    if (round % 10 == 0) stream += "?";
    const auto whole = decoder_events(stream, {stream.size()}, {});
    EXPECT_EQ(whole, decoder_events(stream, {1}, {}));
    EXPECT_EQ(whole, decoder_events(stream, {3, 1, 17, 2}, {}));
  }
}

std::string written(Version version, void (*write)(Writer&)) {
  Buffer out;
  Writer writer(out, version);
  write(writer);
  return std::string(out.view());
}

TEST(Writer, WritesBothVersions) {
  const auto all = [](Writer& out) {
    out.simple("OK");
    out.error("ARG",
              "bad\r\nth\xff"
              "ing\xc2\x9b");
    out.integer(-12);
    out.bulk("a\r\n");
    out.bulk_decimal(UINT64_MAX);
    out.array(2);
    out.map(1);
    out.null();
    out.null_array();
    out.boolean(true);
    out.verbatim("hi");
  };
  EXPECT_EQ(
      written(Version::resp2, all),
      "+OK\r\n-ARG bad  th?ing  \r\n:-12\r\n$3\r\na\r\n\r\n$20\r\n18446744073709551615\r\n*2\r\n"
      "*2\r\n$-1\r\n*-1\r\n:1\r\n$2\r\nhi\r\n");
  EXPECT_EQ(
      written(Version::resp3, all),
      "+OK\r\n-ARG bad  th?ing  \r\n:-12\r\n$3\r\na\r\n\r\n$20\r\n18446744073709551615\r\n*2\r\n"
      "%1\r\n_\r\n_\r\n#t\r\n=6\r\ntxt:hi\r\n");
}

TEST(Writer, DecimalsOfEveryLength) {
  std::uint64_t value = 0;
  for (int i = 0; i < 20; ++i) {
    for (const std::uint64_t near : {value, value + 1, value == 0 ? 0 : value - 1}) {
      char digits[digits_max];
      const char* const end = put_decimal(digits, near);
      EXPECT_EQ(ByteView(digits, static_cast<std::size_t>(end - digits)), std::to_string(near));
    }
    value = value == 0 ? 10 : value * 10;
  }
  Buffer out;
  Writer writer(out, Version::resp2);
  writer.integer(std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(out.view(), ":-9223372036854775808\r\n");
}

TEST(Writer, WhatAClientWritesTheServerReads) {
  Buffer out;
  append_command(out, {"PUSH", "mail", "", "x\r\ny"});
  EXPECT_EQ(parser_events(out.view(), {out.size()}, {}),
            std::vector<std::string>{"command [PUSH] [mail] [] [x\r\ny]"});
}

}  // namespace
}  // namespace sluice::resp
