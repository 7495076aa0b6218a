// Content headers, properties and the frames of a content: pika's bytes, every property alone and
// together, what is malformed, and bodies cut to frame_max.
#include "wire/amqp/content.h"

#include "wire/amqp/events.h"
#include "wire/amqp/table_writer.h"

#include <boost/pfr/ops.hpp>

#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

constexpr ByteView no_properties{"\0\0", 2};

std::string raw(const Properties& properties) {
  Buffer out;
  append_properties(out, properties);
  return std::string(out.view());
}

std::string properties_problem(ByteView raw_properties) {
  const Parsed<Properties> properties = decode_properties(raw_properties);
  return properties ? "fine" : reply_text(properties.error());
}

std::string header_problem_of(ByteView payload) {
  const Parsed<ContentHeader> header = decode_content_header(payload);
  return header ? "fine" : reply_text(header.error());
}

Properties all_properties(ByteView headers) {
  Properties all;
  all.content_type = {"application/json"};
  all.content_encoding = {"utf-8"};
  all.headers = {headers};
  all.delivery_mode = 2;
  all.priority = 9;
  all.correlation_id = {"corr"};
  all.reply_to = {"reply"};
  all.expiration = {"60000"};
  all.message_id = {"msg"};
  all.timestamp = 1577923200;
  all.type = {"kind"};
  all.user_id = {"guest"};
  all.app_id = {"app"};
  all.cluster_id = {"cluster"};
  return all;
}

void expect_header(const Properties& properties, ByteView hex) {
  const std::string raw_properties = raw(properties);
  Buffer out;
  append_content(out, 1, {.properties = raw_properties, .body = "hello"}, frame_max_min);
  EXPECT_EQ(to_hex(out.view()), std::string(hex) + "0300010000000568656c6c6fce");
  const Parsed<Properties> read = decode_properties(raw_properties);
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(boost::pfr::eq(*read, properties));
}

TEST(Content, HasTheBytesOfPika) {
  expect_header({}, "0200010000000e003c000000000000000000050000ce");
  Properties properties;
  properties.headers = {""};
  properties.delivery_mode = 2;
  expect_header(properties, "02000100000013003c0000000000000000000530000000000002ce");
  properties.content_type = {"text/plain"};
  properties.headers.reset();
  expect_header(properties, "0200010000001a003c0000000000000000000590000a746578742f706c61696e02ce");
  Buffer headers;
  TableWriter table(headers);
  table.name("lang").text("py");
  table.name("eta").nothing();
  table.name("retries").integer32(0);
  table.name("clock").integer(std::int64_t{1} << 40);
  table.name("timelimit").open_array();
  table.nothing();
  table.boolean(true);
  table.close();
  table.name("when").timestamp(1577923200);
  table.name("price").value({ValueType::decimal, ByteView("\2\0\0\0\x7d", 5)});
  table.name("raw").binary(ByteView("\0\xff", 2));
  table.name("deep").open_table();
  table.name("a").open_table();
  table.name("b").open_array();
  table.integer32(1);
  table.close();
  table.close();
  table.close();
  table.finish();
  expect_header(
      all_properties(headers.view().substr(4)),
      "020001000000e0003c00000000000000000005fffc106170706c69636174696f6e2f6a736f6e057574662d380000"
      "0081046c616e675300000002707903657461560772657472696573490000000005636c6f636b6c00000100000000"
      "000974696d656c696d69744100000003567401047768656e54000000005e0d328005707269636544020000007d03"
      "726177780000000200ff046465657046000000130161460000000c016241000000054900000001020904636f7272"
      "057265706c79053630303030036d7367000000005e0d3280046b696e640567756573740361707007636c75737465"
      "72ce");
}

TEST(Properties, EachAloneRoundTrips) {
  const Properties all = all_properties(ByteView("\1aV", 3));
  std::uint16_t flag = 1u << 15;
  for (int index = 0; index < 14; ++index) {
    Properties one;
    int at = 0;
    boost::pfr::for_each_field(one, [&](auto& field) {
      int from = 0;
      boost::pfr::for_each_field(all, [&](const auto& value) {
        if constexpr (std::is_same_v<decltype(field), std::remove_cvref_t<decltype(value)>&>) {
          if (from == at && at == index) field = value;
        }
        ++from;
      });
      ++at;
    });
    const std::string bytes = raw(one);
    EXPECT_EQ(load_big<std::uint16_t>(bytes.data()), flag);
    const Parsed<Properties> read = decode_properties(bytes);
    ASSERT_TRUE(read.has_value());
    EXPECT_TRUE(boost::pfr::eq(*read, one)) << index;
    flag >>= 1;
  }
}

TEST(Properties, EveryCutIsRefused) {
  const std::string all = raw(all_properties(ByteView("\1aV", 3)));
  EXPECT_EQ(properties_problem(all), "fine");
  for (std::size_t size = 0; size < all.size(); ++size) {
    EXPECT_EQ(properties_problem(ByteView(all).substr(0, size)),
              size < 2 ? "SYNTAX_ERROR - property flags are cut short"
                       : "SYNTAX_ERROR - arguments are cut short");
  }
  EXPECT_EQ(properties_problem(all + "x"), "SYNTAX_ERROR - octets follow the arguments");
}

TEST(Properties, ContinuationAndUnknownFlagsAreRefused) {
  EXPECT_EQ(properties_problem(ByteView("\0\1\0\0", 4)),
            "SYNTAX_ERROR - a property flag has no property");
  EXPECT_EQ(properties_problem(ByteView("\0\2", 2)),
            "SYNTAX_ERROR - a property flag has no property");
  EXPECT_EQ(properties_problem(no_properties), "fine");
}

TEST(Properties, MalformedHeadersAreRefused) {
  Properties properties;
  properties.headers = {ByteView("\1a?", 3)};
  EXPECT_EQ(properties_problem(raw(properties)),
            "SYNTAX_ERROR - a table has a value of an unknown type");
}

TEST(ContentHeader, IsRead) {
  const Parsed<ContentHeader> header =
      decode_content_header(ByteView("\0\x3c\0\0\1\2\3\4\5\6\7\x08\x10\0\2", 15));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->class_id, 60);
  EXPECT_EQ(header->body_bytes, 0x0102030405060708u);
  EXPECT_EQ(header->properties, ByteView("\x10\0\2", 3));
}

TEST(ContentHeader, EveryCutAndAWeightAreRefused) {
  const ByteView whole("\0\x3c\0\0\0\0\0\0\0\0\0\5\0\0", 14);
  EXPECT_EQ(header_problem_of(whole), "fine");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(header_problem_of(whole.substr(0, size)),
              "SYNTAX_ERROR - a content header is cut short");
  }
  std::string heavy(whole);
  heavy[3] = 1;
  EXPECT_EQ(header_problem_of(heavy), "SYNTAX_ERROR - a content header has a weight");
}

/// Sizes of the body frames that a body of `bytes` is cut to.
std::vector<std::size_t> body_frames(std::size_t bytes) {
  Buffer out(64);
  const std::string body(bytes, 'b');
  append_content(out, 9, {.properties = no_properties, .body = body}, frame_max_min);
  FrameParser parser;
  EXPECT_EQ(parser.next(protocol_header), Outcome::opened);
  parser.limit_frames(frame_max_min);
  ByteView left = out.view();
  EXPECT_EQ(parser.next(left), Outcome::frame);
  EXPECT_EQ(decode_content_header(parser.frame().payload)->body_bytes, bytes);
  left.remove_prefix(parser.consumed());
  std::vector<std::size_t> sizes;
  while (!left.empty()) {
    EXPECT_EQ(parser.next(left), Outcome::frame);
    EXPECT_EQ(parser.frame().type, FrameType::body);
    EXPECT_EQ(parser.frame().channel, 9);
    sizes.push_back(parser.frame().payload.size());
    left.remove_prefix(parser.consumed());
  }
  return sizes;
}

TEST(Writer, CutsABodyToFrameMax) {
  constexpr std::size_t most = frame_max_min - frame_overhead_bytes;
  using Sizes = std::vector<std::size_t>;
  EXPECT_EQ(body_frames(0), Sizes{});
  EXPECT_EQ(body_frames(1), Sizes{1});
  EXPECT_EQ(body_frames(most), Sizes{most});
  EXPECT_EQ(body_frames(most + 1), (Sizes{most, 1}));
  EXPECT_EQ(body_frames(3 * most), (Sizes{most, most, most}));
}

TEST(Writer, WritesHeartbeats) {
  Buffer out;
  append_heartbeat(out);
  EXPECT_EQ(to_hex(out.view()), "08000000000000ce");
}

}  // namespace
}  // namespace sluice::amqp
