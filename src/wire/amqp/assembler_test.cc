// ContentAssembler: bodies of none, one and many frames, what is viewed and what copied, and every
// frame that is not the one that is due.
#include "wire/amqp/assembler.h"

#include "wire/amqp/method.h"
#include "wire/amqp/octets.h"
#include "wire/amqp/writer.h"

#include <chrono>
#include <cstdio>
#include <string>
#include <variant>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

constexpr std::uint64_t body_limit = 1000;
constexpr ByteView persistent{"\x10\0\2", 3};

std::string header_payload(std::uint64_t body_bytes, std::uint16_t class_id = content_class_id) {
  std::string payload(12, '\0');
  put_big(payload.data(), class_id);
  put_big(payload.data() + 4, body_bytes);
  return payload + std::string(persistent);
}

Frame header(ByteView payload) {
  return {.type = FrameType::header, .channel = 1, .payload = payload};
}

Frame body(ByteView payload) {
  return {.type = FrameType::body, .channel = 1, .payload = payload};
}

ContentAssembler started() {
  ContentAssembler assembler(body_limit);
  assembler.start({.exchange = {"mail"}, .routing_key = {"to.ada"}});
  return assembler;
}

std::string refusal(ContentAssembler& assembler, const Frame& frame) {
  EXPECT_EQ(assembler.next(frame), Assembled::refused);
  EXPECT_FALSE(assembler.is_busy());
  return reply_text(assembler.problem());
}

TEST(ContentAssembler, ABodyOfOneFrameIsNotCopied) {
  ContentAssembler assembler = started();
  const std::string payload = header_payload(5);
  const std::string text = "hello";
  EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
  EXPECT_TRUE(assembler.is_busy());
  EXPECT_EQ(assembler.next(body(text)), Assembled::content);
  EXPECT_FALSE(assembler.is_busy());
  EXPECT_EQ(assembler.content().body.data(), text.data());
  EXPECT_EQ(assembler.content().body, text);
  EXPECT_EQ(assembler.content().properties, persistent);
  EXPECT_EQ(assembler.content().properties.data(), payload.data() + 12);
  EXPECT_EQ(assembler.publish().routing_key.bytes, "to.ada");
}

TEST(ContentAssembler, AnEmptyBodyHasNoFrame) {
  ContentAssembler assembler = started();
  EXPECT_EQ(assembler.next(header(header_payload(0))), Assembled::content);
  EXPECT_EQ(assembler.content().body, "");
  EXPECT_EQ(refusal(assembler, body("")),
            "UNEXPECTED_FRAME - expected a method frame, got a content frame");
}

TEST(ContentAssembler, SeveralFramesAreJoined) {
  ContentAssembler assembler = started();
  const std::string payload = header_payload(6);
  EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
  for (const ByteView part : {"ab", "", "cd"})
    EXPECT_EQ(assembler.next(body(std::string(part))), Assembled::more);
  EXPECT_EQ(assembler.next(body("ef")), Assembled::content);
  EXPECT_EQ(assembler.content().body, "abcdef");
  assembler.done();
  assembler.start({.exchange = {"next"}});
  EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
  EXPECT_EQ(assembler.next(body("123")), Assembled::more);
  EXPECT_EQ(assembler.next(body("456")), Assembled::content);
  EXPECT_EQ(assembler.content().body, "123456");
}

TEST(ContentAssembler, WhatIsViewedIsKeptBeforeTheInputMoves) {
  ContentAssembler assembler(body_limit);
  {
    const std::string exchange = "mail";
    const std::string key = "to.ada";
    assembler.start({.exchange = {exchange}, .routing_key = {key}, .mandatory = true});
    assembler.keep();
  }
  {
    const std::string payload = header_payload(4);
    EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
    assembler.keep();
    assembler.keep();
  }
  {
    const std::string part = "ab";
    EXPECT_EQ(assembler.next(body(part)), Assembled::more);
    assembler.keep();
  }
  EXPECT_EQ(assembler.next(body("cd")), Assembled::content);
  EXPECT_EQ(assembler.publish().exchange.bytes, "mail");
  EXPECT_EQ(assembler.publish().routing_key.bytes, "to.ada");
  EXPECT_TRUE(assembler.publish().mandatory);
  EXPECT_EQ(assembler.content().properties, persistent);
  EXPECT_EQ(assembler.content().body, "abcd");
  EXPECT_TRUE(assembler.holds_bytes());
  assembler.done();
  EXPECT_FALSE(assembler.holds_bytes());
}

TEST(ContentAssembler, SaysWhetherTheMessageIsInItsMemory) {
  ContentAssembler assembler = started();
  const std::string whole = header_payload(4);
  assembler.next(header(whole));
  EXPECT_EQ(assembler.next(body("abcd")), Assembled::content);
  EXPECT_FALSE(assembler.holds_bytes());
  assembler.done();
  assembler.start({.exchange = {"next"}});
  assembler.next(header(whole));
  assembler.next(body("ab"));
  EXPECT_EQ(assembler.next(body("cd")), Assembled::content);
  EXPECT_TRUE(assembler.holds_bytes());
}

TEST(ContentAssembler, AMessageMayBeGivenUpHalfReceived) {
  ContentAssembler assembler = started();
  const std::string payload = header_payload(4);
  for (const bool has_header : {false, true}) {
    if (has_header) {
      EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
      EXPECT_EQ(assembler.next(body("ab")), Assembled::more);
    }
    assembler.keep();
    assembler.done();
    EXPECT_FALSE(assembler.is_busy());
    assembler.keep();  // Views nothing of what was given up.
    assembler.start({.exchange = {"next"}});
  }
  EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
  EXPECT_EQ(assembler.next(body("1234")), Assembled::content);
  EXPECT_EQ(assembler.content().body, "1234");
  EXPECT_EQ(assembler.publish().exchange.bytes, "next");
}

TEST(ContentAssembler, ABodyMayBeAsLargeAsTheLimit) {
  ContentAssembler assembler = started();
  EXPECT_EQ(assembler.next(header(header_payload(body_limit))), Assembled::more);
  ContentAssembler other = started();
  EXPECT_EQ(refusal(other, header(header_payload(body_limit + 1))),
            "PRECONDITION_FAILED - the message is too large, in octets: 1001 (limit 1000)");
  EXPECT_FALSE(closes_connection(other.problem().code));
  for (const std::uint64_t huge :
       {std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    ContentAssembler third = started();
    EXPECT_EQ(refusal(third, header(header_payload(huge))).substr(0, 19), "PRECONDITION_FAILED");
  }
}

TEST(ContentAssembler, MoreBodyThanAnnouncedIsRefused) {
  ContentAssembler assembler = started();
  EXPECT_EQ(assembler.next(header(header_payload(4))), Assembled::more);
  EXPECT_EQ(assembler.next(body("abc")), Assembled::more);
  EXPECT_EQ(refusal(assembler, body("de")),
            "UNEXPECTED_FRAME - a body is longer than its header says, in octets: 5 (limit 4)");
  ContentAssembler other = started();
  EXPECT_EQ(other.next(header(header_payload(4))), Assembled::more);
  EXPECT_EQ(refusal(other, body("abcde")).substr(0, 16), "UNEXPECTED_FRAME");
}

TEST(ContentAssembler, OnlyTheFrameThatIsDueIsTaken) {
  const Frame method{.type = FrameType::method, .channel = 1, .payload = {}};
  for (const Frame& early : {method, body("x")}) {
    ContentAssembler assembler = started();
    EXPECT_EQ(refusal(assembler, early),
              "UNEXPECTED_FRAME - expected a content header, got another frame");
  }
  const std::string payload = header_payload(4);
  for (const Frame& early : {method, header(payload)}) {
    ContentAssembler assembler = started();
    EXPECT_EQ(assembler.next(header(payload)), Assembled::more);
    EXPECT_EQ(refusal(assembler, early),
              "UNEXPECTED_FRAME - expected a content body, got another frame");
  }
}

TEST(ContentAssembler, AHeaderOfAnotherClassOrMalformedIsRefused) {
  ContentAssembler assembler = started();
  EXPECT_EQ(refusal(assembler, header(header_payload(4, 50))),
            "UNEXPECTED_FRAME - a content header is of another class than its method");
  ContentAssembler other = started();
  EXPECT_EQ(refusal(other, header("short")), "SYNTAX_ERROR - a content header is cut short");
}

TEST(ContentAssembler, StartingTwiceAborts) {
  ContentAssembler assembler = started();
  EXPECT_DEATH(assembler.start({}), "invariant");
}

/// Method, header and body frame of a persistent message of 100 bytes, as a client sends them.
std::string published_messages(int count) {
  Buffer out;
  const std::string text(100, 'x');
  Properties properties;
  properties.content_type = {"application/json"};
  properties.headers = {ByteView("\4langS\0\0\0\2py\7retriesI\0\0\0\0", 25)};
  properties.delivery_mode = 2;
  Buffer raw;
  append_properties(raw, properties);
  for (int i = 0; i < count; ++i) {
    append_method(out, 1, BasicPublish{.exchange = {"mail"}, .routing_key = {"to.ada"}});
    append_content(out, 1, {.properties = raw.view(), .body = text}, frame_max_min);
  }
  return std::string(out.view());
}

TEST(ContentAssembler, CostOfAMessageInAndOut) {
  constexpr int count = 1000;
  constexpr int rounds = 50;
  const std::string stream = published_messages(count);
  FrameParser parser;
  ASSERT_EQ(parser.next(protocol_header), Outcome::opened);
  ContentAssembler assembler(body_limit);
  Buffer out;
  std::uint64_t messages = 0;
  const auto take = [&](const Frame& frame) {
    if (frame.type == FrameType::method) {
      return assembler.start(std::get<BasicPublish>(*decode_method(frame.payload)));
    }
    if (assembler.next(frame) != Assembled::content) return;
    const Parsed<Properties> properties = decode_properties(assembler.content().properties);
    messages += properties->delivery_mode == 2 ? 1u : 0u;
    append_method(out,
                  1,
                  BasicDeliver{.consumer_tag = {"ctag1.4f"},
                               .delivery_tag = messages,
                               .exchange = assembler.publish().exchange,
                               .routing_key = assembler.publish().routing_key});
    append_content(out, 1, assembler.content(), frame_max_min);
  };
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < rounds; ++round) {
    out.clear();
    for (std::size_t at = 0; at < stream.size(); at += parser.consumed()) {
      ASSERT_EQ(parser.next(ByteView(stream).substr(at)), Outcome::frame);
      take(parser.frame());
    }
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(messages, std::uint64_t{count * rounds});
  std::printf("publish read and deliver written: %.1f ns\n", spent.count() / (count * rounds));
}

}  // namespace
}  // namespace sluice::amqp
