// Durations, backoff specifications, policies and names as people write them.
#include "gateway/text.h"

#include "model/limits.h"

#include <string>

#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

std::string backoff_and_back(ByteView text) {
  const Result<model::Backoff> backoff = parse_backoff(text);
  return backoff ? format_backoff(*backoff) : "ERROR " + backoff.error().message;
}

std::string policy_error(ByteView field, ByteView value) {
  model::PolicyChange change;
  const Result<void> set = set_policy_field(change, field, value);
  return set ? "" : set.error().message;
}

TEST(Durations, HaveUnits) {
  EXPECT_EQ(parse_duration("1500"), Duration(1500));
  EXPECT_EQ(parse_duration("1500ms"), Duration(1500));
  EXPECT_EQ(parse_duration("30s"), seconds(30));
  EXPECT_EQ(parse_duration("5m"), minutes(5));
  EXPECT_EQ(parse_duration("2h"), hours(2));
  EXPECT_EQ(parse_duration("7d"), days(7));
  EXPECT_EQ(parse_duration("0"), Duration(0));
  EXPECT_EQ(parse_duration("365000d"), duration_max);
}

TEST(Durations, WhatIsNotOneIsRefused) {
  for (const char* text : {"",
                           "s",
                           "-1",
                           "+1",
                           " 1",
                           "1 ",
                           "1.5s",
                           "1S",
                           "1w",
                           "365001d",
                           "18446744073709551616",
                           "99999999999999999999d"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(Durations, AreWrittenShortly) {
  EXPECT_EQ(format_duration(Duration(0)), "0");
  EXPECT_EQ(format_duration(Duration(1500)), "1500ms");
  EXPECT_EQ(format_duration(seconds(90)), "90s");
  EXPECT_EQ(format_duration(minutes(120)), "2h");
  EXPECT_EQ(format_duration(days(7)), "7d");
}

TEST(BackoffText, RoundTrips) {
  EXPECT_EQ(backoff_and_back("exponential 1s cap 10m jitter 20%"),
            "exponential 1s cap 10m jitter 20%");
  EXPECT_EQ(backoff_and_back("exponential 500ms"), "exponential 500ms cap 10m jitter 20%");
  EXPECT_EQ(backoff_and_back("fixed 5s"), "fixed 5s");
  EXPECT_EQ(backoff_and_back("fixed 5s jitter 100"), "fixed 5s jitter 100%");
  EXPECT_EQ(backoff_and_back("linear 5s cap 1m"), "linear 5s cap 1m");
  EXPECT_EQ(backoff_and_back("list 1s 10s 1m"), "list 1s 10s 1m");
}

TEST(BackoffText, ErrorsNameThePart) {
  EXPECT_NE(backoff_and_back("quadratic 1s").find("not a kind: \"quadratic\""), std::string::npos);
  EXPECT_NE(backoff_and_back("fixed").find("not a duration: \"\""), std::string::npos);
  EXPECT_NE(backoff_and_back("fixed 5s cap 1m").find("not understood: \"cap\""), std::string::npos);
  EXPECT_NE(backoff_and_back("linear 5s jitter 101%").find("jitter"), std::string::npos);
  EXPECT_NE(backoff_and_back("list").find("a delay is missing"), std::string::npos);
  std::string list = "list";
  for (std::size_t i = 0; i < model::backoff_list_max; ++i)
    list += " 1s";
  EXPECT_EQ(backoff_and_back(list), list);
  EXPECT_NE(backoff_and_back(list + " 1s").find("more than 32"), std::string::npos);
}

TEST(PolicyText, SetsEveryField) {
  model::PolicyChange change;
  EXPECT_TRUE(set_policy_field(change, "priority", "255"));
  EXPECT_TRUE(set_policy_field(change, "DELAY", "1s"));
  EXPECT_TRUE(set_policy_field(change, "Attempts", "65535"));
  EXPECT_TRUE(set_policy_field(change, "backoff", "fixed 1s"));
  EXPECT_TRUE(set_policy_field(change, "timeout", "24h"));
  EXPECT_TRUE(set_policy_field(change, "ttl", "0"));
  EXPECT_TRUE(set_policy_field(change, "keep", "7d"));
  EXPECT_TRUE(set_policy_field(change, "keep_max", "5"));
  EXPECT_TRUE(set_policy_field(change, "max_length", "100"));
  EXPECT_TRUE(set_policy_field(change, "overflow", "drop_head"));
  EXPECT_TRUE(set_policy_field(change, "dead_letter", "mail.dead"));
  EXPECT_EQ(change.priority, 255);
  EXPECT_EQ(change.delay, seconds(1));
  EXPECT_EQ(change.max_attempts, 65535u);
  EXPECT_EQ(change.timeout, hours(24));
  EXPECT_EQ(change.overflow, model::Overflow::drop_head);
  EXPECT_EQ(change.dead_letter, "mail.dead");
}

TEST(PolicyText, ValuesOutOfRangeAreRefused) {
  EXPECT_EQ(policy_error("priority", "256"),
            "priority is \"256\"; allowed: a number from 0 to 255");
  EXPECT_NE(policy_error("max_attempts", "65536"), "");
  EXPECT_NE(policy_error("timeout", "0"), "");
  EXPECT_NE(policy_error("timeout", "86400001"), "");
  EXPECT_NE(policy_error("overflow", "explode"), "");
  EXPECT_NE(policy_error("dead_letter", "a\tb"), "");
  EXPECT_NE(policy_error("colour", "red").find("\"colour\" is not a field"), std::string::npos);
}

TEST(BadQueueName, SaysWhatIsWrong) {
  EXPECT_EQ(bad_queue_name(std::string(256, 'q')).code, ErrorCode::too_big);
  const Error error = bad_queue_name("a\nb");
  EXPECT_EQ(error.code, ErrorCode::arg);
  EXPECT_NE(error.message.find("\"a\\x0ab\" is not a queue's name"), std::string::npos);
}

TEST(Quoting, IsShortAndSafe) {
  EXPECT_EQ(shown("a\r\nb"), "\"a\\x0d\\x0ab\"");
  EXPECT_EQ(shown("schlüssel"), "\"schlüssel\"");
  EXPECT_EQ(shown("q\xff"), "\"q\\xff\"");
  EXPECT_EQ(shown(std::string(63, 'x') + "üü"), "\"" + std::string(63, 'x') + "ü…\"");
  EXPECT_EQ(shown(std::string(65, 'x')), "\"" + std::string(64, 'x') + "…\"");
}

}  // namespace
}  // namespace sluice::gateway
