// CommandParser: the two forms of a command, cuts at every byte, limits at and above the maximum.
#include "wire/resp/parser.h"

#include "wire/resp/events.h"

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::resp {
namespace {

using Lines = std::vector<std::string>;

ParserLimits small_limits() {
  return {.arguments_max = 8, .bulk_bytes_max = 20, .command_bytes_max = 90};
}

Lines parse(ByteView stream, ParserLimits limits = small_limits()) {
  return parser_events(stream, {stream.size()}, limits);
}

std::string bulks(const std::vector<std::string>& arguments) {
  std::string out = "*" + std::to_string(arguments.size()) + "\r\n";
  for (const std::string& argument : arguments) {
    out += "$" + std::to_string(argument.size()) + "\r\n" + argument + "\r\n";
  }
  return out;
}

TEST(CommandParser, ReadsAnArrayOfBulkStrings) {
  EXPECT_EQ(parse(bulks({"PUSH", "mail", "email", ""})), Lines{"command [PUSH] [mail] [email] []"});
}

TEST(CommandParser, BulkStringsMayHoldAnything) {
  EXPECT_EQ(parse(bulks({"ECHO", std::string("a\r\n\0*1", 6)})),
            Lines{"command [ECHO] [" + std::string("a\r\n\0*1", 6) + "]"});
}

TEST(CommandParser, ReadsInlineCommands) {
  EXPECT_EQ(parse("PING\r\nJOB  17 \nECHO x\r\n"),
            (Lines{"command [PING]", "command [JOB] [17]", "command [ECHO] [x]"}));
}

TEST(CommandParser, InlineQuotesWorkAsInRedis) {
  EXPECT_EQ(parse(R"(SET "a b\x41\n" 'it\'s "' "")"
                  "\r\n"),
            Lines{"command [SET] [a bA\n] [it's \"] []"});
}

TEST(CommandParser, UnbalancedQuotesAreRefusedAndTheNextLineIsRead) {
  EXPECT_EQ(parse("SET \"a\r\nSET 'a\r\nSET \"a\"b\r\nPING\r\n"),
            (Lines{"refused 3 0 0 ", "refused 3 0 0 ", "refused 3 0 0 ", "command [PING]"}));
}

TEST(CommandParser, EmptyLinesAndEmptyArraysBetweenCommandsAreIgnored) {
  EXPECT_EQ(parse("\r\n\r\n*0\r\n*-1\r\n  \r\n" + bulks({"PING"}) + "\r\n"),
            Lines{"command [PING]"});
}

TEST(CommandParser, ManyEmptyCommandsNeedNoStack) {
  std::string stream;
  for (int i = 0; i < 1'000'000; ++i)
    stream += "*0\r\n";
  EXPECT_EQ(parse(stream + "PING\r\n"), Lines{"command [PING]"});
}

TEST(CommandParser, AnArgumentAtTheLimitIsTakenOneAboveIsSkipped) {
  EXPECT_EQ(parse(bulks({"PUSH", "q", std::string(20, 'x')})),
            Lines{"command [PUSH] [q] [" + std::string(20, 'x') + "]"});
  EXPECT_EQ(parse(bulks({"PUSH", "q", std::string(21, 'x'), "y"}) + bulks({"PING"})),
            (Lines{"refused 0 2 21 PUSH", "command [PING]"}));
}

TEST(CommandParser, ACommandAboveItsLimitIsSkipped) {
  const std::string part(20, 'x');
  EXPECT_EQ(parse(bulks({part, part, part})).size(), 1u);
  EXPECT_EQ(parse(bulks({"PUSH", part, part, part}) + "PING\n"),
            (Lines{"refused 1 3 93 PUSH", "command [PING]"}));
}

TEST(CommandParser, TooManyArgumentsAreSkipped) {
  EXPECT_EQ(parse(bulks(Lines(8, "x"))).front().substr(0, 7), "command");
  EXPECT_EQ(parse(bulks(Lines(9, "x")) + "PING\n"), (Lines{"refused 2 0 9 ", "command [PING]"}));
}

TEST(CommandParser, LostFramingBreaks) {
  EXPECT_EQ(parse("*1\r\nPING\r\n"), Lines{"broken expected '$' before an argument"});
  EXPECT_EQ(parse("*x\r\n"), Lines{"broken invalid multibulk length"});
  EXPECT_EQ(parse("*-2\r\n"), Lines{"broken invalid multibulk length"});
  EXPECT_EQ(parse("*2147483648\r\n"), Lines{"broken invalid multibulk length"});
  EXPECT_EQ(parse("*99999999999999999999\r\n"), Lines{"broken invalid multibulk length"});
  EXPECT_EQ(parse("*1\r\n$-1\r\n"), Lines{"broken invalid bulk length"});
  EXPECT_EQ(parse("*1\r\n$-5\r\n"), Lines{"broken invalid bulk length"});
  EXPECT_EQ(parse("*1\r\n$\r\n"), Lines{"broken invalid bulk length"});
  EXPECT_EQ(parse("*1\r\n$9223372036854775808\r\n"), Lines{"broken invalid bulk length"});
  EXPECT_EQ(parse("*1\r\n$1073741825\r\n"), Lines{"broken invalid bulk length"});
  EXPECT_EQ(parse("*1\r\n$4\r\nPINGxx"), Lines{"broken an argument is not as long as said"});
  EXPECT_EQ(parse(std::string((64 << 10) + 1, 'x')), Lines{"broken too big inline request"});
}

TEST(CommandParser, AnInlineCommandOf64KiBIsTaken) {
  const std::string line((64 << 10) - 1, 'x');
  EXPECT_EQ(parse(line + "\n"), Lines{"command [" + line + "]"});
  EXPECT_EQ(parse(line + "x\n"), Lines{"broken too big inline request"});
}

TEST(CommandParser, AnnouncedLengthsAreOnlyWaitedFor) {
  CommandParser parser(ParserLimits{});
  std::string input = "*3\r\n$4\r\nPUSH\r\n$16777216\r\nabc";
  EXPECT_EQ(parser.next(input.data(), input.size()), Outcome::incomplete);
  EXPECT_EQ(parser.consumed(), 0u);
  EXPECT_EQ(parser.needed(), input.size() - 3 + 16'777'216 + 2);
}

TEST(CommandParser, SkippedBytesAreConsumedAsTheyCome) {
  CommandParser parser(small_limits());
  std::string input = "*2\r\n$4\r\nPUSH\r\n$1000000\r\n" + std::string(500, 'x');
  EXPECT_EQ(parser.next(input.data(), input.size()), Outcome::incomplete);
  EXPECT_EQ(parser.consumed(), input.size());
}

/// A stream with everything in it.
std::string mixed_stream(std::mt19937& random) {
  const std::vector<std::string> parts{
      bulks({"PUSH", "mail", "email", "hello"}),
      bulks({"ACK", "1", "2", "RESULT", std::string(15, 'r')}),
      bulks({"PUSH", "q", std::string(33, 'x'), "y", "z"}),
      bulks(Lines(11, "abc")),
      bulks({std::string(20, 'a'), std::string(20, 'b'), std::string(20, 'c'), "ddddd"}),
      "PING\r\n",
      "ECHO \"a\\x41 b\" 'c'\n",
      "ECHO \"open\r\n",
      "\r\n",
      "   \r\n",
      "*0\r\n",
      bulks({"", ""}),
      "*1\r\n$3\r\nabcd\r\n",
      "*2\r\n+x\r\n",
  };
  std::string stream;
  const std::size_t last = random() % 8 == 0 ? parts.size() : parts.size() - 2;
  for (unsigned i = 0; i < 12; ++i)
    stream += parts[random() % last];
  return stream;
}

TEST(CommandParser, AnyCutGivesTheSameCommands) {
  std::mt19937 random(42);
  for (int round = 0; round < 500; ++round) {
    const std::string stream = mixed_stream(random);
    const Lines whole = parse(stream);
    EXPECT_EQ(whole, parser_events(stream, {1}, small_limits())) << stream;
    std::vector<std::size_t> pieces;
    for (int i = 0; i < 17; ++i)
      pieces.push_back(1 + random() % 40);
    EXPECT_EQ(whole, parser_events(stream, pieces, small_limits())) << stream;
  }
}

TEST(CommandParser, CostOfAPush) {
  std::string stream;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i)
    stream += bulks({"PUSH", "mail", "email", std::string(100, 'x')});
  CommandParser parser(ParserLimits{});
  std::size_t bytes = 0;
  constexpr int rounds = 50;
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t at = 0; at < stream.size(); at += parser.consumed()) {
      ASSERT_EQ(parser.next(stream.data() + at, stream.size() - at), Outcome::command);
      bytes += parser.arguments()[3].size();
    }
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(bytes, std::size_t{100} * count * rounds);
  std::printf("parse of one PUSH: %.1f ns\n", spent.count() / (count * rounds));
}

}  // namespace
}  // namespace sluice::resp
