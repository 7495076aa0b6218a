// Field tables: every type read and written, what is malformed refused, limits at their edge.
#include "wire/amqp/table.h"

#include "wire/amqp/events.h"
#include "wire/amqp/table_writer.h"

#include <limits>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

std::string sized(ByteView payload) {
  std::string bytes(4, '\0');
  put_big(bytes.data(), static_cast<std::uint32_t>(payload.size()));
  return bytes + std::string(payload);
}

/// The entries that `write` writes.
template <class Write>
std::string written(const Write& write) {
  Buffer out;
  TableWriter table(out);
  write(table);
  table.finish();
  EXPECT_EQ(load_big<std::uint32_t>(out.data()), out.size() - 4);
  return std::string(out.view().substr(4));
}

std::string table_problem(ByteView entries) {
  const std::optional<Problem> problem = validate_table(entries);
  return problem ? reply_text(*problem) : "fine";
}

std::optional<std::int64_t> integer(char type, ByteView payload) {
  const std::string entries = std::string("\1a") + type + std::string(payload);
  EXPECT_EQ(table_problem(entries), "fine");
  return Table{entries}.find("a")->integer();
}

TEST(Table, IntegersHaveRabbitMqsTypes) {
  EXPECT_EQ(integer('b', "\x80"), -128);
  EXPECT_EQ(integer('B', "\x80"), 128);
  EXPECT_EQ(integer('s', "\x80\x01"), -32767);
  EXPECT_EQ(integer('u', "\x80\x01"), 32769);
  EXPECT_EQ(integer('I', "\xFF\xFF\xFF\xFE"), -2);
  EXPECT_EQ(integer('i', "\xFF\xFF\xFF\xFE"), 4294967294);
  EXPECT_EQ(integer('l', "\x80\x01\x01\x01\x01\x01\x01\x01"), -9223089458054627071);
  EXPECT_EQ(integer('L', "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), -1);
  EXPECT_EQ(integer('t', "\x01"), std::nullopt);
  EXPECT_EQ(integer('T', "\x01\x01\x01\x01\x01\x01\x01\x01"), std::nullopt);
}

TEST(Table, OtherValuesAreOfTheirTypeOnly) {
  const std::string entries = std::string("\4true") + "t\x02" + "\3flt" + "f\x3f\xc0" +
                              std::string(2, '\0') + "\3dbl" + "d\xbf\xf8" + std::string(6, '\0') +
                              "\3dec" + "D\2" + std::string(3, '\0') + "\x7d" + "\4text" + "S" +
                              sized("hi") + "\3bin" + "x" + sized("\xff") + "\4time" + "T" +
                              std::string(6, '\0') + "\1\2" + "\4void" + "V" + "\5array" + "A" +
                              sized("V") + "\5table" + "F" + sized("\1xV");
  ASSERT_EQ(table_problem(entries), "fine");
  const Table table{entries};
  EXPECT_EQ(table.find("true")->boolean(), true);
  EXPECT_EQ(table.find("flt")->real(), 1.5);
  EXPECT_EQ(table.find("dbl")->real(), -1.5);
  EXPECT_EQ(table.find("dec")->payload.size(), 5u);
  EXPECT_EQ(table.find("text")->text(), "hi");
  EXPECT_EQ(table.find("bin")->text(), "\xff");
  EXPECT_EQ(table.find("time")->timestamp(), 258u);
  EXPECT_EQ(table.find("void")->type, ValueType::nothing);
  EXPECT_EQ(table.find("array")->array()->begin()->type, ValueType::nothing);
  EXPECT_EQ(table.find("table")->table()->begin()->name, "x");
  EXPECT_EQ(table.find("none").has_value(), false);
  for (const auto& [name, value] : table) {
    EXPECT_EQ(value.integer(), std::nullopt) << name;
    EXPECT_EQ(value.boolean().has_value(), name == "true");
    EXPECT_EQ(value.real().has_value(), name == "flt" || name == "dbl");
    EXPECT_EQ(value.text().has_value(), name == "text" || name == "bin");
    EXPECT_EQ(value.timestamp().has_value(), name == "time");
    EXPECT_EQ(value.array().has_value(), name == "array");
    EXPECT_EQ(value.table().has_value(), name == "table");
  }
}

TEST(Table, TheFirstEntryOfANameCounts) {
  const std::string entries = "\1ab\1\1ab\2";
  EXPECT_EQ(Table{entries}.find("a")->integer(), 1);
}

TEST(Table, AnEmptyOneIsFine) {
  EXPECT_EQ(table_problem(""), "fine");
  EXPECT_EQ(table_problem(ByteView()), "fine");
  EXPECT_TRUE(Table{}.begin() == Table{}.end());
  EXPECT_EQ(table_problem(std::string("\0V", 2)), "fine");  // A name may be empty.
}

TEST(Table, EveryCutIsRefused) {
  const std::string whole = written([](TableWriter& table) {
    table.name("n").open_table();
    table.name("a").open_array();
    table.integer(1);
    table.close();
    table.close();
    table.name("text").text("value");
  });
  ASSERT_EQ(table_problem(whole), "fine");
  const std::size_t first_entry = 3 + 4 + 3 + 4 + 9;
  for (std::size_t size = 1; size < whole.size(); ++size) {
    if (size == first_entry) continue;
    EXPECT_EQ(table_problem(ByteView(whole).substr(0, size)),
              "SYNTAX_ERROR - a table is cut short");
  }
  // A nested one may not reach beyond its parent, though there are bytes.
  std::string long_array = whole;
  ++long_array[13];
  EXPECT_EQ(table_problem(long_array), "SYNTAX_ERROR - a table is cut short");
}

TEST(Table, LengthsAreNotBelieved) {
  for (const ByteView length : {ByteView("\xFF\xFF\xFF\xFF", 4),
                                ByteView("\x7F\xFF\xFF\xFF", 4),
                                ByteView("\x80\0\0\0", 4),
                                ByteView("\0\0\0\3", 4)}) {
    for (const char type : {'S', 'x', 'F', 'A'}) {
      EXPECT_EQ(table_problem(std::string("\1a") + type + std::string(length) + "VV"),
                "SYNTAX_ERROR - a table is cut short");
    }
  }
}

TEST(Table, UnknownTypesAreRefused) {
  const ByteView known = "tbBsuIilLfdDSxTAFV";
  for (int type = 0; type < 256; ++type) {
    const char letter = static_cast<char>(type);
    if (known.find(letter) != ByteView::npos) continue;
    EXPECT_EQ(table_problem(std::string("\1a") + letter + "12345678"),
              "SYNTAX_ERROR - a table has a value of an unknown type");
  }
}

std::string nested(std::size_t depth, char type) {
  std::string inner = type == 'F' ? "\1xV" : "V";
  for (std::size_t level = 1; level < depth; ++level) {
    const bool is_outermost = level + 1 == depth;
    inner = (type == 'F' || is_outermost ? std::string("\1a") : "") + type + sized(inner);
  }
  return inner;
}

TEST(Table, MayBeNestedEightDeep) {
  for (const char type : {'F', 'A'}) {
    EXPECT_EQ(table_problem(nested(table_depth_max, type)), "fine");
    EXPECT_EQ(table_problem(nested(table_depth_max + 1, type)),
              "SYNTAX_ERROR - a table is nested too deeply: 9 (limit 8)");
  }
  EXPECT_EQ(table_problem(nested(5000, 'A')).substr(0, 40),
            "SYNTAX_ERROR - a table is nested too dee");
}

TEST(Table, MayHaveAThousandValuesInAll) {
  const std::string some(400, 'V');
  std::string entries = "\1aA" + sized(some) + "\1bA" + sized(some);
  for (int i = 0; i < 198; ++i)
    entries += "\1cV";
  EXPECT_EQ(table_problem(entries), "fine");
  EXPECT_EQ(table_problem(entries + "\1cV"),
            "SYNTAX_ERROR - a table has too many values: 1001 (limit 1000)");
}

TEST(Table, WalkingEndsWhereBytesMakeNoSense) {
  const std::string entries = std::string("\1ab\1") + "\1b?";
  std::size_t count = 0;
  for (const Entry& entry : Table{entries})
    count += entry.name.size();
  EXPECT_EQ(count, 1u);
  EXPECT_EQ((Value{ValueType::int64, "abc"}.integer()), 0);
}

TEST(Table, ArgumentsAreComparedAsRabbitMqDoes) {
  const Value one_byte{ValueType::int8, "\1"};
  const Value one_short{ValueType::int16, ByteView("\0\1", 2)};
  const Value two{ValueType::int8, "\2"};
  EXPECT_TRUE(is_equivalent(one_byte, one_short));
  EXPECT_FALSE(is_equivalent(one_byte, two));
  EXPECT_TRUE(is_equivalent({ValueType::boolean, "\1"}, {ValueType::boolean, "\2"}));
  EXPECT_FALSE(is_equivalent({ValueType::boolean, "\1"}, one_byte));
  EXPECT_FALSE(is_equivalent(one_byte, {ValueType::boolean, "\1"}));
  EXPECT_TRUE(is_equivalent({ValueType::long_string, "a"}, {ValueType::long_string, "a"}));
  EXPECT_FALSE(is_equivalent({ValueType::long_string, "a"}, {ValueType::binary, "a"}));
}

TEST(TableWriter, WritesWhatClientsRead) {
  const std::string entries = written([](TableWriter& table) {
    table.name("t").boolean(true);
    table.name("I").integer32(-2);
    table.name("l").integer(std::numeric_limits<std::int64_t>::min());
    table.name("S").text("hi");
    table.name("x").binary("");
    table.name("T").timestamp(1);
    table.name("V").nothing();
    table.name("x-death").open_array();
    table.open_table();
    table.name("count").integer(3);
    table.name("routing-keys").open_array();
    table.text("k");
    table.close();
    table.close();
    table.close();
  });
  EXPECT_EQ(to_hex(entries),
            "017474010149"
            "49fffffffe"
            "016c6c8000000000000000"
            "01535300000002"
            "6869"
            "01787800000000"
            "0154540000000000000001"
            "015656"
            "07782d6465617468410000002c"
            "4600000027"
            "05636f756e746c0000000000000003"
            "0c726f7574696e672d6b65797341000000065300000001"
            "6b");
  EXPECT_EQ(table_problem(entries), "fine");
}

TEST(TableWriter, CopiesEntriesOfAnyType) {
  const std::string original = nested(4, 'F') + nested(3, 'A') + "\1bb\7\1ss\1\1\1dd12345678" +
                               "\1DD12345" + "\1tt\1" + "\1sS" + sized("text");
  ASSERT_EQ(table_problem(original), "fine");
  const std::string copied = written([&](TableWriter& table) {
    for (const auto& [name, value] : Table{original})
      table.name(name).value(value);
  });
  EXPECT_EQ(to_hex(copied), to_hex(original));
  const std::string twice = written([&](TableWriter& table) {
    table.entries({original});
    table.name("more").open_table();
    table.entries({original});
    table.close();
  });
  EXPECT_EQ(twice, original + "\4moreF" + sized(original));
}

TEST(TableWriter, WrongUseAborts) {
  Buffer out;
  TableWriter table(out);
  EXPECT_DEATH(table.integer(1), "invariant");
  EXPECT_DEATH(table.name("a").name("b"), "invariant");
  EXPECT_DEATH(table.name(std::string(256, 'a')), "invariant");
  table.name("a").open_array();
  EXPECT_DEATH(table.name("a"), "invariant");
  EXPECT_DEATH(table.finish(), "invariant");
}

}  // namespace
}  // namespace sluice::amqp
