// FrameParser and reply texts: the protocol header, every malformed frame with its code, limits at
// their edge, and cuts at every byte.
#include "wire/amqp/frame.h"

#include "wire/amqp/events.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

constexpr ByteView heartbeat{"\x08\0\0\0\0\0\0\xCE", 8};

/// A frame of any type and size, right or not.
std::string frame(char type, std::uint16_t channel, ByteView payload, char end = frame_end) {
  std::string bytes(frame_head_bytes, type);
  put_big(&bytes[1], channel);
  put_big(&bytes[3], static_cast<std::uint32_t>(payload.size()));
  return bytes + std::string(payload) + end;
}

FrameParser opened() {
  FrameParser parser;
  EXPECT_EQ(parser.next(protocol_header), Outcome::opened);
  EXPECT_EQ(parser.consumed(), protocol_header.size());
  return parser;
}

std::string broken(ByteView bytes) {
  FrameParser parser = opened();
  EXPECT_EQ(parser.next(bytes), Outcome::broken);
  EXPECT_EQ(parser.problem().code, ReplyCode::frame_error);
  return reply_text(parser.problem());
}

TEST(FrameParser, TakesTheProtocolHeaderByteByByte) {
  FrameParser parser;
  for (std::size_t size = 0; size < protocol_header.size(); ++size) {
    EXPECT_EQ(parser.next(protocol_header.substr(0, size)), Outcome::incomplete);
    EXPECT_EQ(parser.consumed(), 0u);
    EXPECT_EQ(parser.needed(), size + 1);
  }
  EXPECT_EQ(parser.next(protocol_header), Outcome::opened);
  EXPECT_EQ(parser.next(heartbeat), Outcome::frame);
}

TEST(FrameParser, AnotherProtocolIsToldAtTheFirstByteThatDiffers) {
  for (const ByteView other : {ByteView("G"),
                               ByteView("GET / HTTP/1.1\r\n"),
                               ByteView("AMQX"),
                               ByteView("AMQP\x01"),
                               ByteView("AMQP\x03\x01\0\0", 8),
                               ByteView("AMQP\0\x01\0\0", 8),
                               ByteView("AMQP\0\0\x09\0", 8),
                               ByteView("AMQP\x01\x01\0\x09", 8)}) {
    FrameParser parser;
    EXPECT_EQ(parser.next(other), Outcome::wrong_protocol) << other;
  }
}

TEST(FrameParser, ReadsFramesOfEveryType) {
  FrameParser parser = opened();
  const std::string input = frame(1, 7, "method") + frame(2, 0, "header") + frame(3, 65535, "b") +
                            frame(3, 1, "") + std::string(heartbeat) + "\x01";
  ByteView left = input;
  const auto expect = [&](FrameType type, std::uint16_t channel, ByteView payload) {
    ASSERT_EQ(parser.next(left), Outcome::frame);
    EXPECT_EQ(parser.frame().type, type);
    EXPECT_EQ(parser.frame().channel, channel);
    EXPECT_EQ(parser.frame().payload, payload);
    EXPECT_EQ(parser.consumed(), payload.size() + frame_overhead_bytes);
    left.remove_prefix(parser.consumed());
  };
  expect(FrameType::method, 7, "method");
  expect(FrameType::header, 0, "header");
  expect(FrameType::body, 65535, "b");
  expect(FrameType::body, 1, "");
  expect(FrameType::heartbeat, 0, "");
  EXPECT_EQ(parser.next(left), Outcome::incomplete);
  EXPECT_EQ(parser.needed(), frame_head_bytes);
}

TEST(FrameParser, TellsHowMuchItNeeds) {
  FrameParser parser = opened();
  const std::string input = frame(3, 1, "twelve bytes");
  EXPECT_EQ(parser.next(""), Outcome::incomplete);
  EXPECT_EQ(parser.needed(), frame_head_bytes);
  for (std::size_t size = frame_head_bytes; size < input.size(); ++size) {
    EXPECT_EQ(parser.next(ByteView(input).substr(0, size)), Outcome::incomplete);
    EXPECT_EQ(parser.needed(), input.size());
  }
  EXPECT_EQ(parser.next(input), Outcome::frame);
}

TEST(FrameParser, AFrameMayHaveFrameMaxOctetsAndNotOneMore) {
  FrameParser parser = opened();
  const std::string fits(frame_max_before_tune - frame_overhead_bytes, 'x');
  EXPECT_EQ(parser.next(frame(3, 1, fits)), Outcome::frame);
  EXPECT_EQ(broken(frame(3, 1, fits + "x")),
            "FRAME_ERROR - the frame is larger than frame_max, in octets: 8193 (limit 8192)");
  parser.limit_frames(frame_max_before_tune + 1);
  EXPECT_EQ(parser.next(frame(3, 1, fits + "x")), Outcome::frame);
  EXPECT_EQ(parser.next(frame(3, 1, fits + "xx")), Outcome::broken);
}

TEST(FrameParser, ASizeIsRefusedBeforeItsPayloadIsThere) {
  for (const ByteView head : {ByteView("\x01\0\1\xFF\xFF\xFF\xFF", 7),
                              ByteView("\x01\0\1\x80\0\0\0", 7),
                              ByteView("\x01\0\1\x7F\xFF\xFF\xFF", 7),
                              ByteView("\x01\0\1\0\0\x1F\xF9", 7)}) {
    EXPECT_EQ(broken(head).substr(0, 45), "FRAME_ERROR - the frame is larger than frame_");
  }
  FrameParser parser = opened();
  EXPECT_EQ(parser.next(ByteView("\x01\0\1\0\0\x1F\xF8", 7)), Outcome::incomplete);
}

TEST(FrameParser, WhatIsNoFrameBreaks) {
  EXPECT_EQ(broken(frame(1, 1, "abcd", '\xCD')),
            "FRAME_ERROR - the frame does not end in 0xCE where its size says");
  EXPECT_EQ(broken(frame(8, 1, "")), "FRAME_ERROR - a heartbeat is on a channel");
  EXPECT_EQ(broken(frame(8, 0, "x")), "FRAME_ERROR - a heartbeat has a payload");
  for (const char type : {'\0', '\4', '\5', '\6', '\7', '\x09', 'A', '\xFF'}) {
    EXPECT_EQ(broken(frame(type, 0, "")), "FRAME_ERROR - the frame has an unknown type");
  }
}

TEST(FrameParser, AnyCutGivesTheSameEvents) {
  std::string stream(protocol_header);
  stream += encoded(0, ConnectionTuneOk{.channel_max = 2047, .frame_max = 8192});
  stream += encoded(1, BasicPublish{.exchange = {"e"}, .routing_key = {"first"}});
  stream += encoded(2, BasicPublish{.exchange = {"f"}, .routing_key = {"second"}});
  Buffer content;
  append_content(content, 2, {.properties = ByteView("\0\0", 2), .body = "whole"}, frame_max_min);
  stream += frame(2, 1, ByteView("\0\x3c\0\0\0\0\0\0\0\0\0\x06\x10\0\2", 15));
  stream += frame(3, 1, "abc") + frame(3, 1, "");
  stream += content.view();
  stream += frame(3, 1, "def") + std::string(heartbeat);
  stream += encoded(1, BasicAck{.delivery_tag = 9}) + frame(3, 1, "");
  const auto whole = stream_events(stream, {stream.size()}, 8192, 100);
  ASSERT_EQ(whole.size(), 7u);
  EXPECT_EQ(whole[2].substr(whole[2].size() - 10), "0000 whole");
  EXPECT_EQ(whole[3].substr(whole[3].size() - 13), "100002 abcdef");
  EXPECT_EQ(whole[5], "basic.ack " + to_hex(encoded(1, BasicAck{.delivery_tag = 9})));
  EXPECT_EQ(whole[6], "refused UNEXPECTED_FRAME - expected a method frame, got a content frame");
  for (std::size_t piece = 1; piece < 40; ++piece) {
    EXPECT_EQ(stream_events(stream, {piece}, 8192, 100), whole);
    EXPECT_EQ(stream_events(stream, {piece, 1, 17}, 8192, 100), whole);
  }
}

TEST(ReplyCode, TellsWhatItCloses) {
  EXPECT_FALSE(closes_connection(ReplyCode::not_found));
  EXPECT_FALSE(closes_connection(ReplyCode::access_refused));
  EXPECT_FALSE(closes_connection(ReplyCode::resource_locked));
  EXPECT_FALSE(closes_connection(ReplyCode::precondition_failed));
  EXPECT_FALSE(closes_connection(ReplyCode::content_too_large));
  EXPECT_TRUE(closes_connection(ReplyCode::connection_forced));
  EXPECT_TRUE(closes_connection(ReplyCode::invalid_path));
  EXPECT_TRUE(closes_connection(ReplyCode::channel_error));
  EXPECT_TRUE(closes_connection(ReplyCode::not_allowed));
  EXPECT_TRUE(closes_connection(ReplyCode::internal_error));
}

TEST(ReplyCode, IsNamedAsInRabbitMq) {
  const std::pair<ReplyCode, ByteView> names[] = {{ReplyCode{200}, "REPLY_SUCCESS"},
                                                  {ReplyCode{311}, "CONTENT_TOO_LARGE"},
                                                  {ReplyCode{312}, "NO_ROUTE"},
                                                  {ReplyCode{313}, "NO_CONSUMERS"},
                                                  {ReplyCode{320}, "CONNECTION_FORCED"},
                                                  {ReplyCode{402}, "INVALID_PATH"},
                                                  {ReplyCode{403}, "ACCESS_REFUSED"},
                                                  {ReplyCode{404}, "NOT_FOUND"},
                                                  {ReplyCode{405}, "RESOURCE_LOCKED"},
                                                  {ReplyCode{406}, "PRECONDITION_FAILED"},
                                                  {ReplyCode{501}, "FRAME_ERROR"},
                                                  {ReplyCode{502}, "SYNTAX_ERROR"},
                                                  {ReplyCode{503}, "COMMAND_INVALID"},
                                                  {ReplyCode{504}, "CHANNEL_ERROR"},
                                                  {ReplyCode{505}, "UNEXPECTED_FRAME"},
                                                  {ReplyCode{506}, "RESOURCE_ERROR"},
                                                  {ReplyCode{530}, "NOT_ALLOWED"},
                                                  {ReplyCode{540}, "NOT_IMPLEMENTED"},
                                                  {ReplyCode{541}, "INTERNAL_ERROR"}};
  for (const auto& [code, text] : names)
    EXPECT_EQ(name(code), text);
}

TEST(ReplyCode, ATextIsCutToWhatAShortStringHolds) {
  EXPECT_EQ(reply_text(ReplyCode::not_found, "no queue 'x'"), "NOT_FOUND - no queue 'x'");
  const std::string fits(reply_text_bytes_max - 12, 'x');
  EXPECT_EQ(reply_text(ReplyCode::not_found, fits), "NOT_FOUND - " + fits);
  EXPECT_EQ(reply_text(ReplyCode::not_found, fits + "x"), "NOT_FOUND - " + fits);
  // Of a character of two bytes, not one alone.
  const std::string shorter = fits.substr(1);
  EXPECT_EQ(reply_text(ReplyCode::not_found, shorter + "\u00e4"), "NOT_FOUND - " + shorter);
}

}  // namespace
}  // namespace sluice::amqp
