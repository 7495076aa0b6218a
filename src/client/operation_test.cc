// Tests of commands as bytes, of replies as values, and of addresses. No network.

#include "client/operation.h"

#include "client/address.h"
#include "client/decode.h"

#include <sluice/payload.h>

#include <boost/describe/class.hpp>

#include <gtest/gtest.h>

namespace shop {

struct Line {
  std::string article;
  int count = 0;
};
BOOST_DESCRIBE_STRUCT(Line, (), (article, count))

struct Order {
  std::string customer;
  std::vector<Line> lines;
};
BOOST_DESCRIBE_STRUCT(Order, (), (customer, lines))

}  // namespace shop

namespace sluice::client {
namespace {

using namespace std::chrono_literals;
using resp::Kind;

/// The words of one command, joined by spaces.
std::string words(const Request& request) {
  std::string joined;
  std::string_view rest = request.bytes;
  rest.remove_prefix(rest.find('\n') + 1);
  while (!rest.empty()) {
    const std::size_t size = std::stoul(std::string(rest.substr(1, rest.find('\r') - 1)));
    rest.remove_prefix(rest.find('\n') + 1);
    joined += (joined.empty() ? "" : " ") + std::string(rest.substr(0, size));
    rest.remove_prefix(size + 2);
  }
  return joined;
}

resp::Value text(std::string bytes) {
  resp::Value value;
  value.kind = Kind::bulk;
  value.text = std::move(bytes);
  return value;
}

resp::Value integer(std::int64_t number) {
  resp::Value value;
  value.kind = Kind::integer;
  value.integer = number;
  return value;
}

resp::Value list(Kind kind, std::vector<resp::Value> items) {
  resp::Value value;
  value.kind = kind;
  value.items = std::move(items);
  return value;
}

TEST(Operation, EncodesACommandAsAnArrayOfBulkStrings) {
  EXPECT_EQ(cancel(JobId(17)).request.bytes, "*2\r\n$6\r\nCANCEL\r\n$2\r\n17\r\n");
}

TEST(Operation, PushSaysEveryOptionOnceAndInAnOrderTheServerTakes) {
  const auto options = PushOptions()
                           .unique("k")
                           .window(1min)
                           .on_conflict(OnConflict::replace)
                           .delay(1s)
                           .delay(30s)
                           .at(SystemTime(5ms))
                           .priority(9)
                           .max_attempts(3)
                           .backoff(Backoff::exponential(1s).cap(10min).jitter(20))
                           .timeout(1min)
                           .ttl(1h)
                           .keep(2h)
                           .after(JobId(1))
                           .after(JobId(2))
                           .after_any(JobId(3))
                           .header("DELAY", "not an option");
  EXPECT_EQ(words(push("q", "t", "p", options).request),
            "PUSH q t p DELAY 30000 AT 5 PRIORITY 9 ATTEMPTS 3 "
            "BACKOFF exponential 1000 cap 600000 jitter 20% TIMEOUT 60000 TTL 3600000 KEEP 7200000 "
            "AFTER 1 AFTER 2 AFTER_ANY 3 HEADER DELAY not an option "
            "UNIQUE k WINDOW 60000 ONCONFLICT replace");
}

TEST(Operation, APushMayBeRepeatedOnlyWithAKeyThatAnswersWithTheExistingJob) {
  EXPECT_EQ(push("q", "t", "p", {}).request.on_break, OnBreak::report);
  EXPECT_EQ(push("q", "t", "p", PushOptions().unique("k")).request.on_break, OnBreak::repeat);
  const auto reject = PushOptions().unique("k").on_conflict(OnConflict::reject);
  EXPECT_EQ(push("q", "t", "p", reject).request.on_break, OnBreak::report);
}

TEST(Operation, OnlyCallsThatWaitLeaveTheSharedLane) {
  EXPECT_EQ(pull({"q"}, {}).request.lane, Lane::shared);
  const Request waiting =
      pull({"a", "b"}, PullOptions().count(5).wait(2s).lease(1min).as("w")).request;
  EXPECT_EQ(waiting.lane, Lane::waiting);
  EXPECT_EQ(waiting.wait, 2s);
  EXPECT_EQ(words(waiting), "PULL a b COUNT 5 WAIT 2000 LEASE 60000 AS w");
  EXPECT_EQ(await(JobId(1), 0s).request.lane, Lane::shared);
  EXPECT_EQ(await(JobId(1), 1s).request.lane, Lane::waiting);
}

TEST(Operation, ARepeatedAwaitWaitsOnlyForWhatIsLeft) {
  Request request = await(JobId(7), 10s).request;
  request.bytes = request.with_wait(3s);
  EXPECT_EQ(words(request), "AWAIT 7 3000");
}

TEST(Operation, AnswersForALease) {
  const Lease lease(JobId(3), LeaseToken(4));
  EXPECT_EQ(words(ack(lease, "").request), "ACK 3 4");
  EXPECT_EQ(words(ack(lease, "done").request), "ACK 3 4 RESULT done");
  EXPECT_EQ(words(fail(lease, "why", {}).request), "FAIL 3 4 why");
  EXPECT_EQ(words(fail(lease, "why", FailOptions().retry(5s)).request), "FAIL 3 4 why RETRY 5000");
  EXPECT_EQ(words(fail(lease, "why", FailOptions().dead()).request), "FAIL 3 4 why DEAD");
  EXPECT_EQ(words(release(lease, 0s).request), "RELEASE 3 4");
  EXPECT_EQ(words(release(lease, 1s).request), "RELEASE 3 4 DELAY 1000");
  EXPECT_EQ(words(extend(lease, 1min).request), "EXTEND 3 4 60000");
  EXPECT_EQ(words(progress(lease, 40, "rendering").request), "PROGRESS 3 4 40 rendering");
}

TEST(Operation, RunsQueues) {
  const auto change = QueueChange().max_attempts(5).drop_head().dead_letter("morgue");
  EXPECT_EQ(words(queue_set("q", change).request),
            "QUEUE SET q max_attempts 5 overflow drop_head dead_letter morgue");
  EXPECT_EQ(words(queue_do("PAUSE", "q").request), "QUEUE PAUSE q");
  EXPECT_EQ(words(dead_do("REDRIVE", "q", {JobId(1), JobId(2)}).request), "DEAD REDRIVE q 1 2");
  EXPECT_EQ(words(jobs("q", JobFilter().state(JobState::dead).older(1h).count(10)).request),
            "JOBS q STATE dead OLDER 3600000 COUNT 10");
}

TEST(Operation, AWindowOfManyPushesEndsAtItsLimit) {
  std::vector<PushItem> items;
  for (int i = 0; i < 3; ++i)
    items.emplace_back("q", Payload("t", std::string(3u << 20, 'x')));
  std::size_t done = 0;
  EXPECT_EQ(push_window(items, done).ends.size(), 2u);
  EXPECT_EQ(done, 2u);
  EXPECT_EQ(push_window(items, done).ends.size(), 1u);
  EXPECT_EQ(done, 3u);
}

TEST(Decode, TakesAJobFromAMapAndFromAFlatArray) {
  for (const Kind kind : {Kind::map, Kind::array}) {
    resp::Value headers = list(kind, {text("k"), text("v")});
    resp::Value job = list(kind,
                           {text("id"),
                            text("3"),
                            text("token"),
                            text("4"),
                            text("queue"),
                            text("mail"),
                            text("type"),
                            text("SendMail"),
                            text("attempt"),
                            integer(2),
                            text("payload"),
                            text("{}"),
                            text("headers"),
                            headers,
                            text("deadline"),
                            integer(1000),
                            text("new"),
                            text("unknown to this client")});
    resp::Value reply = list(Kind::array, {job});
    const auto jobs = decode_pulled(reply);
    ASSERT_TRUE(jobs) << jobs.error().message;
    ASSERT_EQ(jobs->size(), 1u);
    EXPECT_EQ(jobs->front().id, JobId(3));
    EXPECT_EQ(jobs->front().token, LeaseToken(4));
    EXPECT_EQ(jobs->front().queue, "mail");
    EXPECT_EQ(jobs->front().attempt, 2u);
    EXPECT_EQ(jobs->front().header("k"), "v");
    EXPECT_EQ(jobs->front().header("other"), "");
    EXPECT_EQ(jobs->front().deadline, SystemTime(1s));
  }
}

TEST(Decode, NothingPulledIsAnEmptyList) {
  resp::Value null;
  EXPECT_TRUE(decode_pulled(null).value().empty());
}

TEST(Decode, AReplyOfAnotherShapeIsAProtocolError) {
  resp::Value reply = integer(1);
  EXPECT_EQ(decode_pulled(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_job(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_page(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_queue(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_queues(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_info(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_backup(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_pushed(reply).error().code, ErrorCode::protocol);
  reply = text("x");
  EXPECT_EQ(decode_count(reply).error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_deadline(reply).error().code, ErrorCode::protocol);
}

TEST(Decode, InfoIsLinesOfNamesAndValues) {
  resp::Value reply = text("# Server\r\nsluice_version:0.1.0\r\n\r\nuptime:5\r\n");
  const auto facts = decode_info(reply);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->size(), 2u);
  EXPECT_EQ(facts->at("sluice_version"), "0.1.0");
}

TEST(Decode, ErrorLinesSplitIntoCodeAndSentence) {
  EXPECT_EQ(error_of_line("STALE the lease is over").code, ErrorCode::stale);
  EXPECT_EQ(error_of_line("STALE the lease is over").message, "the lease is over");
  EXPECT_EQ(error_of_line("NEWCODE what").code, ErrorCode::unknown);
  EXPECT_EQ(error_of_line("NEWCODE what").message, "NEWCODE what");
}

TEST(Payload, ADescribedStructTravelsAsJsonUnderItsName) {
  shop::Order order;
  order.customer = "ada";
  order.lines.push_back({"tea", 2});
  const Payload payload = order;
  EXPECT_EQ(payload.type(), "Order");
  EXPECT_EQ(payload.bytes(), R"({"customer":"ada","lines":[{"article":"tea","count":2}]})");
  const auto back = decode<shop::Order>(payload.bytes());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->lines.front().count, 2);
  EXPECT_EQ(decode<shop::Order>("{}").error().code, ErrorCode::arg);
  EXPECT_EQ(decode<shop::Order>("not JSON").error().code, ErrorCode::arg);
}

TEST(Id, ReadsOnlyDecimalNumbersThatFit) {
  EXPECT_EQ(JobId::parse("18446744073709551615").value(), JobId(18446744073709551615u));
  for (const char* wrong : {"", "0", "-1", "1x", " 1", "18446744073709551616"}) {
    EXPECT_EQ(JobId::parse(wrong).error().code, ErrorCode::arg) << wrong;
  }
}

TEST(Address, TakesWhatPeopleWrite) {
  EXPECT_EQ(parse_address("sluice://localhost").value().text(), "localhost:7770");
  EXPECT_EQ(parse_address("localhost:9").value().text(), "localhost:9");
  EXPECT_EQ(parse_address("sluice://[::1]:9/").value().text(), "[::1]:9");
  const Address address = parse_address("sluice://ada:p%40ss@host:1").value();
  EXPECT_EQ(address.user, "ada");
  EXPECT_EQ(address.password, "p@ss");
}

TEST(Address, SaysWhatIsWrong) {
  for (const char* wrong : {"",
                            "http://host",
                            "sluice://",
                            "host:",
                            "host:0",
                            "host:65536",
                            "host:x",
                            "[::1",
                            "[::1]9",
                            "ada@host",
                            "a:%zz@host",
                            "a:%4@host"}) {
    const auto address = parse_address(wrong);
    ASSERT_FALSE(address) << wrong;
    EXPECT_EQ(address.error().code, ErrorCode::arg);
    EXPECT_NE(address.error().message.find("use sluice://host:port"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::client
