// Messages and jobs, declarations and policies: the mapping of the AMQP gateway without a socket.
#include "gateway/amqp/celery.h"
#include "gateway/amqp/death_table.h"
#include "gateway/amqp/exchange_arguments.h"
#include "gateway/amqp/instant.h"
#include "gateway/amqp/message.h"
#include "gateway/amqp/queue_arguments.h"
#include "model/header_names.h"
#include "model/headers.h"
#include "wire/amqp/table_writer.h"

#include <deque>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

/// A table with bytes of its own.
class OwnTable {
 public:
  explicit OwnTable(const std::function<void(TableWriter&)>& write) {
    TableWriter table(bytes_);
    write(table);
    table.finish();
  }

  Table table() const { return Table{bytes_.view().substr(sizeof(std::uint32_t))}; }

 private:
  Buffer bytes_;
};

std::string raw(const Properties& properties) {
  Buffer out;
  append_properties(out, properties);
  return std::string(out.view());
}

// -- Instants. -----------------------------------------------------------------------------------

TEST(Instant, IsReadAsPythonAndOthersWriteIt) {
  const auto ms = [](ByteView text) {
    const std::optional<WallTime> time = parse_instant(text);
    return time ? time->time_since_epoch().count() : -1;
  };
  constexpr std::int64_t noon = 1'795'780'800'000;  // 2026-11-27T12:00:00Z
  EXPECT_EQ(ms("2026-11-27T12:00:00Z"), noon);
  EXPECT_EQ(ms("2026-11-27 12:00:00"), noon);
  EXPECT_EQ(ms("2026-11-27T12:00"), noon);
  EXPECT_EQ(ms("2026-11-27T12:00:00.123456+00:00"), noon + 123);
  EXPECT_EQ(ms("2026-11-27T12:00:00.5"), noon + 500);
  EXPECT_EQ(ms("2026-11-27T13:00:00+01:00"), noon);
  EXPECT_EQ(ms("2026-11-27T06:30:00-0530"), noon);
  EXPECT_EQ(ms("1970-01-01T00:00:00Z"), 0);
}

TEST(Instant, IsNothingElse) {
  for (const ByteView text : {"",
                              "soon",
                              "2026-11-27",
                              "2026-13-27T12:00:00Z",
                              "2026-02-30T12:00:00Z",
                              "2026-11-27T24:00:00Z",
                              "2026-11-27T12:60:00Z",
                              "2026-11-27T12:00:61Z",
                              "2026-11-27T12:00:00.",
                              "2026-11-27T12:00:00Z ",
                              "2026-11-27T12:00:00+",
                              "2026-11-27T12:00:00*01:00",
                              "2026/11/27T12:00:00Z",
                              "1969-12-31T23:59:59Z",
                              "1970-01-01T00:00:00+01:00"}) {
    EXPECT_FALSE(parse_instant(text)) << text;
  }
}

// -- Messages. -----------------------------------------------------------------------------------

class Messages : public testing::Test {
 protected:
  Allowed<model::Publish> command(const Properties& properties, ByteView exchange = "") {
    raw_ = raw(properties);
    BasicPublish publish;
    publish.exchange.bytes = exchange;
    publish.routing_key.bytes = "key";
    return publish_command(publish, {raw_, "body"}, {"guest", reply_queue_}, batch_);
  }

  Allowed<model::Publish> with_headers(const std::function<void(TableWriter&)>& write) {
    tables_.emplace_back(write);
    Properties properties;
    properties.headers = tables_.back().table();
    return command(properties);
  }

  const model::PushOptions& options(const Allowed<model::Publish>& publish) {
    EXPECT_TRUE(publish) << publish.error().sentence;
    return *publish->job.options;
  }

  std::string refusal(const std::function<void(TableWriter&)>& write) {
    const Allowed<model::Publish> publish = with_headers(write);
    if (publish) return "allowed";
    EXPECT_EQ(publish.error().code, ReplyCode::precondition_failed);
    return publish.error().sentence;
  }

  /// What the receiver of the job gets.
  Outgoing received(const model::Publish& publish) {
    record_.clear();
    for (const auto& [name, value] : publish.job.options->headers)
      model::put_header(record_, name, value);
    model::Delivery job;
    job.id = model::JobId(7);
    job.queue = "q";
    job.type = publish.job.type;
    job.payload = publish.job.payload;
    job.headers = record_.view();
    return outgoing(job, Vhost(), scratch_);
  }

  std::string reply_queue_;
  engine::RequestBatch batch_;
  std::string raw_;
  std::deque<OwnTable> tables_;
  Buffer record_;
  Buffer scratch_;
};

TEST_F(Messages, AreTransientUnlessTheySayOtherwise) {
  EXPECT_TRUE(options(command({})).is_transient);
  Properties durable;
  durable.delivery_mode = std::uint8_t{2};
  EXPECT_FALSE(options(command(durable)).is_transient);
  durable.delivery_mode = std::uint8_t{1};
  EXPECT_TRUE(options(command(durable)).is_transient);
}

TEST_F(Messages, GiveTheirPropertiesToTheJob) {
  Properties properties;
  properties.priority = std::uint8_t{7};
  properties.expiration = ShortString{"1500"};
  properties.type = ShortString{"paid"};
  const Allowed<model::Publish> publish = command(properties, "orders");
  EXPECT_EQ(options(publish).priority, 7);
  EXPECT_EQ(options(publish).ttl, Duration(1500));
  EXPECT_EQ(publish->job.type, "paid");
  EXPECT_EQ(publish->exchange, "orders");
  EXPECT_EQ(publish->key, "key");
  EXPECT_EQ(publish->job.payload, "body");
}

TEST_F(Messages, HaveAnExpirationThatIsANumber) {
  for (const ByteView text : {"", "soon", "-1", "1.5", "99999999999999999999"}) {
    Properties properties;
    properties.expiration = ShortString{text};
    const Allowed<model::Publish> publish = command(properties);
    ASSERT_FALSE(publish) << text;
    EXPECT_EQ(publish.error().code, ReplyCode::precondition_failed);
    EXPECT_NE(publish.error().sentence.find("invalid expiration"), std::string::npos);
  }
}

TEST_F(Messages, OfCeleryHaveTheTaskForTypeAndAreHeldUntilTheirEta) {
  const Allowed<model::Publish> publish = with_headers([](TableWriter& table) {
    table.name("task").text("shop.send_mail");
    table.name("eta").text("2026-11-27T12:00:00+00:00");
  });
  EXPECT_EQ(publish->job.type, "shop.send_mail");
  ASSERT_TRUE(options(publish).at);
  EXPECT_EQ(options(publish).at->time_since_epoch().count(), 1'795'780'800'000);
  const auto eta_alone = [](TableWriter& table) {
    table.name("eta").text("2026-11-27T12:00:00+00:00");
  };
  EXPECT_FALSE(options(with_headers(eta_alone)).at);
}

TEST_F(Messages, MayHaveJobOptionsInHeaders) {
  const Allowed<model::Publish> publish = with_headers([](TableWriter& table) {
    table.name("x-delay").integer(250);
    table.name("x-unique-key").text("k");
    table.name("x-unique-window").integer(1000);
    table.name("x-on-conflict").text("replace");
    table.name("x-max-attempts").integer(3);
    table.name("x-backoff").text("fixed 5s");
    table.name("x-timeout").integer(60'000);
    table.name("x-keep").integer(10);
    table.name("x-other").text("is the client's own");
  });
  const model::PushOptions& found = options(publish);
  EXPECT_EQ(found.delay, Duration(250));
  EXPECT_EQ(found.unique_key, "k");
  EXPECT_EQ(found.unique_window, Duration(1000));
  EXPECT_EQ(found.on_conflict, model::OnConflict::replace);
  EXPECT_EQ(found.max_attempts, 3u);
  EXPECT_EQ(found.backoff->kind, model::Backoff::Kind::fixed);
  EXPECT_EQ(found.timeout, Duration(60'000));
  EXPECT_EQ(found.keep, Duration(10));
}

TEST_F(Messages, SayWhenTheyAreToRun) {
  const auto at = [this](const std::function<void(TableWriter&)>& write) {
    const Allowed<model::Publish> publish = with_headers(write);
    return options(publish).at->time_since_epoch().count();
  };
  EXPECT_EQ(at([](TableWriter& t) { t.name("x-run-at").integer(1234); }), 1234);
  EXPECT_EQ(at([](TableWriter& t) { t.name("x-run-at").timestamp(5); }), 5000);
  EXPECT_EQ(at([](TableWriter& t) { t.name("x-run-at").text("1970-01-01T00:00:01Z"); }), 1000);
}

TEST_F(Messages, WithBadOptionsAreRefusedByName) {
  const auto has = [](const std::string& text, ByteView wanted) {
    EXPECT_NE(text.find(wanted), std::string::npos) << text;
  };
  has(refusal([](TableWriter& t) { t.name("x-delay").text("1s"); }), "header 'x-delay'");
  has(refusal([](TableWriter& t) { t.name("x-timeout").integer(0); }), "header 'x-timeout'");
  has(refusal([](TableWriter& t) { t.name("x-keep").integer(-1); }), "header 'x-keep'");
  has(refusal([](TableWriter& t) { t.name("x-unique-window").integer(0); }), "x-unique-window");
  has(refusal([](TableWriter& t) { t.name("x-unique-key").text(""); }), "x-unique-key");
  has(refusal([](TableWriter& t) { t.name("x-unique-key").integer(1); }), "x-unique-key");
  has(refusal([](TableWriter& t) { t.name("x-on-conflict").text("explode"); }), "x-on-conflict");
  has(refusal([](TableWriter& t) { t.name("x-max-attempts").integer(0); }), "x-max-attempts");
  has(refusal([](TableWriter& t) { t.name("x-backoff").text("quadratic"); }), "x-backoff");
  has(refusal([](TableWriter& t) { t.name("x-run-at").text("tomorrow"); }), "x-run-at");
  has(refusal([](TableWriter& t) { t.name("x-run-at").integer(-1); }), "x-run-at");
  has(refusal([](TableWriter& t) { t.name("CC").text("not an array"); }), "header 'CC'");
  has(refusal([](TableWriter& t) {
        t.name("BCC").open_array();
        t.integer(1);
        t.close();
      }),
      "header 'BCC'");
  EXPECT_EQ(refusal([](TableWriter& t) { t.name("x-delay").integer(-1); }), "allowed");
}

TEST_F(Messages, AreReceivedByteForByteWhateverTheyHave) {
  std::mt19937_64 random(20261127);
  const auto pick = [&random](std::uint64_t below) { return random() % below; };
  const auto text = [&](std::size_t max) {
    std::string bytes(pick(max), '\0');
    for (char& c : bytes)
      c = static_cast<char>(pick(256));
    return bytes;
  };
  for (int round = 0; round < 500; ++round) {
    const OwnTable headers([&](TableWriter& table) {
      for (std::uint64_t left = pick(6); left > 0; --left) {
        table.name("h" + text(20));
        switch (pick(5)) {
          case 0:
            table.integer(static_cast<std::int64_t>(random()));
            break;
          case 1:
            table.text(text(300));
            break;
          case 2:
            table.boolean(pick(2) == 1);
            break;
          case 3:
            table.open_array();
            table.binary(text(10));
            table.nothing();
            table.close();
            break;
          default:
            table.open_table();
            table.name("deep").timestamp(random());
            table.close();
        }
      }
    });
    std::deque<std::string> strings;
    const auto maybe = [&](std::optional<ShortString>& field) {
      if (pick(2) == 1) field = ShortString{strings.emplace_back(text(255))};
    };
    Properties properties;
    maybe(properties.content_type);
    maybe(properties.content_encoding);
    if (pick(2) == 1) properties.headers = headers.table();
    if (pick(2) == 1) properties.delivery_mode = static_cast<std::uint8_t>(pick(256));
    if (pick(2) == 1) properties.priority = static_cast<std::uint8_t>(pick(256));
    maybe(properties.correlation_id);
    maybe(properties.reply_to);
    maybe(properties.message_id);
    if (pick(2) == 1) properties.timestamp = random();
    maybe(properties.type);
    maybe(properties.app_id);
    maybe(properties.cluster_id);
    const bool has_exchange = pick(2) == 1;
    const Allowed<model::Publish> publish = command(properties, has_exchange ? "orders" : "");
    ASSERT_TRUE(publish) << publish.error().sentence;
    const Outgoing message = received(*publish);
    EXPECT_EQ(message.content.properties, raw_);
    EXPECT_EQ(message.content.body, "body");
    EXPECT_EQ(message.exchange, has_exchange ? "orders" : "");
    EXPECT_EQ(message.routing_key, has_exchange ? "key" : "q");
  }
}

TEST_F(Messages, HaveCopiesThatReceiversSeeAndBlindOnes) {
  const Allowed<model::Publish> publish = with_headers([](TableWriter& table) {
    table.name("BCC").open_array();
    table.text("blind");
    table.close();
    table.name("CC").open_array();
    table.text("copy");
    table.close();
  });
  ASSERT_TRUE(publish);
  EXPECT_EQ(*publish->more_keys, (std::vector<ByteView>{"copy", "blind"}));
  const Parsed<Properties> properties = decode_properties(received(*publish).content.properties);
  ASSERT_TRUE(properties);
  EXPECT_TRUE(properties->headers->find("CC"));
  EXPECT_FALSE(properties->headers->find("BCC"));
}

TEST_F(Messages, WantRepliesWhereTheirConnectionGetsThem) {
  Properties properties;
  properties.reply_to = ShortString{direct_reply_to};
  EXPECT_FALSE(command(properties));
  reply_queue_ = "amq.rabbitmq.reply-to.x";
  const Allowed<model::Publish> publish = command(properties);
  ASSERT_TRUE(publish);
  const Parsed<Properties> seen = decode_properties(received(*publish).content.properties);
  EXPECT_EQ(seen->reply_to->bytes, "amq.rabbitmq.reply-to.x");
}

TEST_F(Messages, SayWhoTheyAreFromOnlyTruly) {
  Properties properties;
  properties.user_id = ShortString{"guest"};
  EXPECT_TRUE(command(properties));
  properties.user_id = ShortString{"eve"};
  EXPECT_FALSE(command(properties));
}

TEST_F(Messages, OfAnotherProtocolAreMadeUp) {
  model::put_header(record_, "colour", "red");
  model::Delivery job;
  job.id = model::JobId(7);
  job.queue = "q";
  job.type = "mail.welcome";
  job.headers = record_.view();
  const Outgoing message = outgoing(job, Vhost(), scratch_);
  const Parsed<Properties> properties = decode_properties(message.content.properties);
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->type->bytes, "mail.welcome");
  EXPECT_EQ(properties->message_id->bytes, "7");
  EXPECT_EQ(properties->delivery_mode, 2);
  EXPECT_EQ(properties->headers->find("colour")->text(), "red");
  EXPECT_EQ(message.routing_key, "q");
}

TEST_F(Messages, ThatDiedSayWhereAndLoseTheirExpiration) {
  Properties properties;
  properties.expiration = ShortString{"500"};
  properties.app_id = ShortString{"app"};
  const std::vector<model::Death> deaths{
      {"second", model::DeathReason::rejected, 2, {}, "x", {"k"}},
      {"first", model::DeathReason::expired, 1, {}, "", {"k"}}};
  Buffer out;
  append_dead_properties(out, raw(properties), deaths, true);
  const Parsed<Properties> found = decode_properties(out.view());
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->expiration);
  EXPECT_EQ(found->app_id->bytes, "app");
  EXPECT_EQ(found->headers->find("x-first-death-queue")->text(), "first");
  EXPECT_EQ(found->headers->find("x-first-death-reason")->text(), "expired");
  const std::optional<Array> list = found->headers->find("x-death")->array();
  ASSERT_TRUE(list);
  const Table newest = *list->begin()->table();
  EXPECT_EQ(newest.find("count")->integer(), 2);
  EXPECT_EQ(newest.find("queue")->text(), "second");
  EXPECT_FALSE(newest.find("original-expiration"));
}

TEST(DeadProperties, CountOnWhatTheMessageWasPublishedWith) {
  constexpr std::int64_t greatest = std::numeric_limits<std::int64_t>::max();
  const OwnTable headers([](TableWriter& table) {
    table.name("x-death").open_array();
    for (const std::int64_t count : {greatest, greatest, -greatest}) {
      table.open_table();
      table.name("queue").text("q");
      table.name("reason").text("rejected");
      table.name("count").integer(count);
      table.close();
    }
    table.close();
  });
  Properties properties;
  properties.headers = headers.table();
  Buffer out;
  append_dead_properties(
      out, raw(properties), {{"q", model::DeathReason::rejected, 1, {}, "x", {"k"}}}, true);
  const Parsed<Properties> found = decode_properties(out.view());
  ASSERT_TRUE(found);
  const std::optional<Array> list = found->headers->find("x-death")->array();
  ASSERT_TRUE(list);
  std::vector<std::int64_t> counts;
  for (const Value& death : *list)
    counts.push_back(death.table()->find("count")->integer().value_or(-1));
  EXPECT_EQ(counts, std::vector<std::int64_t>{(std::int64_t{1} << 51) + 1});
}

TEST(Revocations, NameTheirTasks) {
  using Tasks = std::vector<std::string>;
  EXPECT_EQ(
      revoked_tasks(R"({"method": "revoke", "arguments": {"task_id": "a", "terminate": false}})"),
      Tasks{"a"});
  EXPECT_EQ(revoked_tasks(R"({"method": "revoke", "arguments": {"task_id": ["a", 5, "b"]}})"),
            (Tasks{"a", "b"}));
  for (const ByteView other : {"",
                               "no JSON",
                               "[]",
                               "{}",
                               R"({"method": 5})",
                               R"({"method": "ping", "arguments": {"task_id": "a"}})",
                               R"({"method": "revoke"})",
                               R"({"method": "revoke", "arguments": 5})",
                               R"({"method": "revoke", "arguments": {}})",
                               R"({"method": "revoke", "arguments": {"task_id": 5}})"}) {
    EXPECT_TRUE(revoked_tasks(other).empty()) << other;
  }
  EXPECT_TRUE(revoked_tasks(std::string(2u << 20, ' ')).empty());
}

TEST(VirtualHosts, PutNamesInsideAndTakeThemOut) {
  const Vhost root;
  const Vhost shop("shop");
  EXPECT_EQ(root.inside("mail"), "mail");
  EXPECT_EQ(shop.inside("mail"), "shop/mail");
  EXPECT_EQ(shop.outside("shop/mail"), "mail");
  EXPECT_EQ(shop.outside("bank/mail"), "bank/mail");
  EXPECT_EQ(shop.outside(shop.default_exchange()), "");
  EXPECT_EQ(shop.told("no queue 'shop/mail' in vhost '/'"), "no queue 'mail' in vhost 'shop'");
  EXPECT_EQ(root.told("no queue 'shop/mail' in vhost '/'"), "no queue 'shop/mail' in vhost '/'");
}

TEST(VirtualHosts, LeaveKeysAndReplyAddressesAsTheyAre) {
  const Vhost shop("shop");
  std::deque<std::string> kept;
  const auto keep = [&kept](std::string name) { return ByteView(kept.emplace_back(name)); };
  ClientMethod publish = BasicPublish{0, {""}, {"mail"}};
  ASSERT_TRUE(shop.put_inside(publish, keep));
  EXPECT_EQ(std::get<BasicPublish>(publish).exchange.bytes, "shop/");
  EXPECT_EQ(std::get<BasicPublish>(publish).exchange.bytes.data(), kept.back().data());
  EXPECT_EQ(std::get<BasicPublish>(publish).routing_key.bytes, "mail");
  ClientMethod reply = BasicPublish{0, {""}, {"amq.rabbitmq.reply-to.x"}};
  ASSERT_TRUE(shop.put_inside(reply, keep));
  EXPECT_EQ(std::get<BasicPublish>(reply).exchange.bytes, "");
  ClientMethod bind = ExchangeBind{0, {"to"}, {"from"}, {"key"}};
  ASSERT_TRUE(shop.put_inside(bind, keep));
  EXPECT_EQ(std::get<ExchangeBind>(bind).destination.bytes, "shop/to");
  EXPECT_EQ(std::get<ExchangeBind>(bind).source.bytes, "shop/from");
  EXPECT_EQ(std::get<ExchangeBind>(bind).routing_key.bytes, "key");
  const std::string longest(251, 'q');
  ClientMethod declare = QueueDeclare{0, {longest}};
  EXPECT_EQ(shop.put_inside(declare, keep).error().code, ReplyCode::precondition_failed);
}

// -- Queues. -------------------------------------------------------------------------------------

QueueDeclare durable_queue(Table arguments = {}) {
  QueueDeclare declare;
  declare.queue.bytes = "q";
  declare.durable = true;
  declare.arguments = arguments;
  return declare;
}

model::QueuePolicy policy_of(const std::function<void(TableWriter&)>& write) {
  const OwnTable arguments(write);
  const Allowed<model::QueuePolicy> policy = queue_policy(durable_queue(arguments.table()));
  EXPECT_TRUE(policy) << policy.error().sentence;
  return policy.value_or(model::QueuePolicy());
}

TEST(QueueArguments, ArePartOfThePolicy) {
  const model::QueuePolicy policy = policy_of([](TableWriter& table) {
    table.name("x-message-ttl").integer(0);
    table.name("x-expires").integer(60'000);
    table.name("x-max-length").integer(10);
    table.name("x-max-length-bytes").integer(1000);
    table.name("x-overflow").text("reject-publish-dlx");
    table.name("x-dead-letter-exchange").text("dlx");
    table.name("x-dead-letter-routing-key").text("key");
    table.name("x-max-priority").integer(9);
    table.name("x-delivery-limit").integer(2);
    table.name("x-keep").integer(5);
    table.name("x-keep-dead").boolean(true);
    table.name("x-retry-backoff").text("fixed 2s");
    table.name("x-single-active-consumer").boolean(true);
    table.name("x-queue-type").text("quorum");
    table.name("x-consumer-timeout").integer(5000);
  });
  EXPECT_EQ(consumer_timeout(policy), Duration(5000));
  EXPECT_EQ(policy.ttl_max, Duration(1));
  EXPECT_EQ(policy.expires, Duration(60'000));
  EXPECT_EQ(policy.max_length, 10u);
  EXPECT_EQ(policy.max_bytes, 1000u);
  EXPECT_EQ(policy.overflow, model::Overflow::reject_dead_letter);
  EXPECT_EQ(policy.dead_letter_exchange, "dlx");
  EXPECT_EQ(policy.dead_letter_key, "key");
  EXPECT_EQ(policy.priority_max, 9);
  EXPECT_EQ(policy.max_attempts, 3u);
  EXPECT_EQ(policy.keep, Duration(5));
  EXPECT_FALSE(policy.drops_dead);
  EXPECT_EQ(policy.backoff.kind, model::Backoff::Kind::fixed);
  EXPECT_TRUE(is_single_active_consumer(policy));
}

TEST(QueueArguments, NotThereMeanWhatRabbitmqMeans) {
  const model::QueuePolicy policy = policy_of([](TableWriter&) {});
  EXPECT_EQ(policy.max_attempts, model::attempts_unlimited);
  EXPECT_EQ(policy.priority_max, 0);
  EXPECT_EQ(policy.keep, Duration(0));
  EXPECT_TRUE(policy.drops_dead);
  EXPECT_TRUE(policy.is_durable);
  EXPECT_FALSE(is_single_active_consumer(policy));
  EXPECT_EQ(consumer_timeout(policy), Duration(0));
}

TEST(QueueArguments, ThatAreWrongAreRefusedByName) {
  const auto refusal = [](const std::function<void(TableWriter&)>& write) {
    const OwnTable arguments(write);
    const Allowed<model::QueuePolicy> policy = queue_policy(durable_queue(arguments.table()));
    return policy ? std::string("allowed") : policy.error().sentence;
  };
  const auto has = [](const std::string& text, ByteView wanted) {
    EXPECT_NE(text.find(wanted), std::string::npos) << text;
  };
  has(refusal([](TableWriter& t) { t.name("x-message-ttl").integer(-1); }), "'x-message-ttl'");
  has(refusal([](TableWriter& t) { t.name("x-message-ttl").text("1"); }), "an integer is wanted");
  has(refusal([](TableWriter& t) { t.name("x-expires").integer(0); }), "'x-expires'");
  has(refusal([](TableWriter& t) { t.name("x-max-length").integer(0); }), "'x-max-length'");
  has(refusal([](TableWriter& t) { t.name("x-max-length-bytes").integer(0); }), "length-bytes'");
  has(refusal([](TableWriter& t) { t.name("x-overflow").text("explode"); }), "drop-head");
  has(refusal([](TableWriter& t) { t.name("x-max-priority").integer(256); }), "0 to 255");
  has(refusal([](TableWriter& t) { t.name("x-dead-letter-routing-key").text("k"); }), "no_dlx");
  has(refusal([](TableWriter& t) { t.name("x-dead-letter-exchange").integer(1); }), "a string");
  has(refusal([](TableWriter& t) { t.name("x-dead-letter-exchange").text("a\nb"); }), "one line");
  has(refusal([](TableWriter& t) { t.name("x-queue-type").text("stream"); }), "classic, quorum");
  has(refusal([](TableWriter& t) { t.name("x-retry-backoff").text("so"); }), "x-retry-backoff");
  has(refusal([](TableWriter& t) { t.name("x-max-attempts").integer(0); }), "x-max-attempts");
  has(refusal([](TableWriter& t) { t.name("x-keep-dead").integer(1); }), "a boolean is wanted");
}

TEST(QueueArguments, AreEquivalentWhateverTheTypeOfTheirNumbers) {
  const model::QueuePolicy is = policy_of([](TableWriter& t) { t.name("x-expires").integer(5); });
  const model::QueuePolicy same =
      policy_of([](TableWriter& t) { t.name("x-expires").integer32(5); });
  const model::QueuePolicy other =
      policy_of([](TableWriter& t) { t.name("x-expires").integer(6); });
  const model::QueuePolicy none = policy_of([](TableWriter&) {});
  const auto said = [&is](const model::QueuePolicy& asked) {
    const Allowed<void> fine = check_equivalent("q", is, asked);
    return fine ? std::string() : fine.error().sentence;
  };
  EXPECT_EQ(said(same), "");
  EXPECT_EQ(said(other),
            "inequivalent arg 'x-expires' for queue 'q' in vhost '/': received '6' but current is "
            "'5'");
  EXPECT_NE(said(none).find("received none"), std::string::npos);
  EXPECT_NE(check_equivalent("q", none, is).error().sentence.find("current is none"),
            std::string::npos);
}

// -- Exchanges. ----------------------------------------------------------------------------------

TEST(ExchangeArguments, HaveTheKindsOfRabbitmqAndTheDelayedOne) {
  ExchangeDeclare declare;
  for (const ByteView type : {"direct", "fanout", "topic", "headers"}) {
    declare.type.bytes = type;
    EXPECT_TRUE(exchange_of(declare)) << type;
  }
  declare.type.bytes = "x-random";
  EXPECT_EQ(exchange_of(declare).error().code, ReplyCode::command_invalid);
  declare.type.bytes = "x-delayed-message";
  EXPECT_EQ(exchange_of(declare).error().code, ReplyCode::precondition_failed);
  const OwnTable inner([](TableWriter& table) { table.name("x-delayed-type").text("topic"); });
  declare.arguments = inner.table();
  EXPECT_EQ(exchange_of(declare)->kind, model::ExchangeKind::topic);
}

TEST(ExchangeArguments, DifferInNamedThings) {
  ExchangeDeclare declare;
  declare.type.bytes = "direct";
  const model::Exchange is = *exchange_of(declare);
  const auto differs_in = [&](ByteView name, const std::function<void(model::Exchange&)>& change) {
    model::Exchange asked = is;
    change(asked);
    const Allowed<void> fine = check_equivalent("x", is, asked);
    ASSERT_FALSE(fine) << name;
    EXPECT_NE(fine.error().sentence.find("arg '" + std::string(name) + "'"), std::string::npos)
        << fine.error().sentence;
  };
  EXPECT_TRUE(check_equivalent("x", is, is));
  differs_in("type", [](auto& asked) { asked.kind = model::ExchangeKind::topic; });
  differs_in("durable", [](auto& asked) { asked.is_durable = !asked.is_durable; });
  differs_in("auto_delete", [](auto& asked) { asked.is_auto_delete = true; });
  differs_in("internal", [](auto& asked) { asked.is_internal = true; });
  differs_in("alternate-exchange", [](auto& asked) { asked.alternate = "a"; });
}

TEST(BindingArguments, SayWhatHeadersAreCompared) {
  const auto names = [](ByteView match) {
    const OwnTable arguments([match](TableWriter& table) {
      table.name("x-match").text(match);
      table.name("x-id").text("1");
      table.name("colour").text("red");
    });
    const Allowed<BindingMatch> found = binding_match(arguments.table());
    std::string text;
    if (!found) return text;
    for (const auto& [name, value] : found->headers)
      text += std::string(name) + ' ';
    return text + (found->is_any_enough ? "any" : "all");
  };
  EXPECT_EQ(names("all"), "colour all");
  EXPECT_EQ(names("any"), "colour any");
  EXPECT_EQ(names("all-with-x"), "x-id colour all");
  EXPECT_EQ(names("any-with-x"), "x-id colour any");
  EXPECT_EQ(names("some"), "");
}

}  // namespace
}  // namespace sluice::amqp
