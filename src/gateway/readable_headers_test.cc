// Headers that are shown.
#include "gateway/readable_headers.h"

#include "model/death.h"
#include "model/header_names.h"
#include "model/headers.h"
#include "wire/amqp/content.h"
#include "wire/amqp/table_writer.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

std::string raw(const amqp::Properties& properties) {
  Buffer out;
  amqp::append_properties(out, properties);
  return std::string(out.view());
}

TEST(ReadableHeaders, AreThoseOfAClientAsTheyCame) {
  EXPECT_EQ(readable_header("colour", "red"), (Headers{{"colour", "red"}}));
  EXPECT_EQ(readable_header(model::exchange_header, "orders"), (Headers{{":exchange", "orders"}}));
}

TEST(ReadableHeaders, HaveTheValuesOfAnAmqpTableAsText) {
  Buffer table;
  amqp::TableWriter writer(table);
  writer.name("text").text("a \"b\"");
  writer.name("number").integer(-7);
  writer.name("yes").boolean(true);
  writer.name("no").boolean(false);
  writer.name("time").timestamp(1'700'000'000);
  writer.name("nothing").nothing();
  writer.name("list").open_array();
  writer.integer32(1);
  writer.text("a\"\\\n");
  writer.open_table();
  writer.name("deep").nothing();
  writer.name("deeper").open_array();
  writer.close();
  writer.close();
  writer.close();
  writer.finish();
  amqp::Properties properties;
  properties.headers = amqp::Table{table.view().substr(4)};
  EXPECT_EQ(readable_header(model::properties_header, raw(properties)),
            (Headers{{"text", "a \"b\""},
                     {"number", "-7"},
                     {"yes", "true"},
                     {"no", "false"},
                     {"time", "1700000000"},
                     {"nothing", "null"},
                     {"list", R"([1,"a\"\\\u000a",{"deep":null,"deeper":[]}])"}}));
}

TEST(ReadableHeaders, HaveFloatingNumbers) {
  // "n", d, 1.5
  const std::string entries("\1nd\x3f\xf8\0\0\0\0\0\0", 11);
  amqp::Properties properties;
  properties.headers = amqp::Table{entries};
  EXPECT_EQ(readable_header(model::properties_header, raw(properties)), (Headers{{"n", "1.5"}}));
}

TEST(ReadableHeaders, HaveThePropertiesThatAreNotTheJobsOwn) {
  amqp::Properties properties;
  properties.content_type = amqp::ShortString{"text/plain"};
  properties.delivery_mode = std::uint8_t{2};
  properties.correlation_id = amqp::ShortString{"c"};
  properties.timestamp = 5;
  EXPECT_EQ(
      readable_header(model::properties_header, raw(properties)),
      (Headers{{":content-type", "text/plain"}, {":correlation-id", "c"}, {":timestamp", "5"}}));
}

TEST(ReadableHeaders, SayNothingOfPropertiesThatAreNone) {
  EXPECT_TRUE(readable_header(model::properties_header, "\xff").empty());
}

TEST(ReadableHeaders, SayWhereAJobDied) {
  const std::vector<model::Death> deaths{{"mail", model::DeathReason::rejected, 2, {}, "", {}},
                                         {"slow", model::DeathReason::expired, 1, {}, "", {}}};
  EXPECT_EQ(readable_header(model::deaths_header, model::encode_deaths(deaths)),
            (Headers{{":deaths", "mail rejected 2, slow expired 1"}}));
}

TEST(ReadableHeaders, AreEncodedAgain) {
  amqp::Properties properties;
  properties.app_id = amqp::ShortString{"app"};
  Buffer record;
  model::put_header(record, "mine", "kept");
  model::put_header(record, model::properties_header, raw(properties));
  Buffer expected;
  model::put_header(expected, "mine", "kept");
  model::put_header(expected, ":app-id", "app");
  EXPECT_EQ(readable_headers(record.view()), expected.view());
}

}  // namespace
}  // namespace sluice::gateway
