// PUBLISH, EXCHANGE, BIND and UNBIND: which requests they become, what is said about mistakes, and
// how their answers look.
#include "gateway/native/talk.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::native {
namespace {

template <class Command>
const Command& last_routing(Talk& talk) {
  return std::get<Command>(talk.last<model::RoutingCommand>());
}

TEST(RoutingCommands, Publish) {
  Talk talk;
  EXPECT_EQ(talk.say("PUBLISH orders order.eu.paid event {}\r\n"), "");
  const auto& plain = talk.last<model::Publish>();
  EXPECT_EQ(plain.exchange, "orders");
  EXPECT_EQ(plain.key, "order.eu.paid");
  EXPECT_EQ(plain.job.queue, "");
  EXPECT_EQ(plain.job.type, "event");
  EXPECT_EQ(plain.job.payload, "{}");
  EXPECT_EQ(plain.job.options, nullptr);
  EXPECT_EQ(plain.more_keys, nullptr);
  EXPECT_EQ(talk.say("publish '' mail t p DELAY 5s HEADER a b\r\n"), "");
  const auto& with_options = talk.last<model::Publish>();
  EXPECT_EQ(with_options.exchange, "");
  EXPECT_EQ(with_options.key, "mail");
  EXPECT_EQ(with_options.job.options->delay, std::chrono::seconds(5));
  EXPECT_EQ(with_options.job.options->headers.at(0).second, "b");
}

TEST(RoutingCommands, Exchanges) {
  Talk talk;
  EXPECT_EQ(talk.say("EXCHANGE SET e topic\r\n"), "");
  EXPECT_EQ(last_routing<model::PutExchange>(talk).exchange, "e");
  model::Exchange expected;
  expected.kind = model::ExchangeKind::topic;
  EXPECT_EQ(*last_routing<model::PutExchange>(talk).as, expected);
  EXPECT_EQ(talk.say("exchange set e headers alternate rest transient autodelete internal\r\n"),
            "");
  expected.kind = model::ExchangeKind::headers;
  expected.alternate = "rest";
  expected.is_durable = false;
  expected.is_auto_delete = true;
  expected.is_internal = true;
  EXPECT_EQ(*last_routing<model::PutExchange>(talk).as, expected);
  EXPECT_EQ(talk.say("EXCHANGE LIST\r\n"), "");
  last_routing<model::ListExchanges>(talk);
  EXPECT_EQ(talk.say("EXCHANGE GET e\r\n"), "");
  EXPECT_EQ(last_routing<model::GetExchange>(talk).exchange, "e");
  EXPECT_EQ(talk.say("EXCHANGE DELETE e\r\n"), "");
  EXPECT_EQ(last_routing<model::DeleteExchange>(talk).exchange, "e");
  EXPECT_FALSE(last_routing<model::DeleteExchange>(talk).if_unused);
  EXPECT_EQ(talk.say("EXCHANGE DELETE e IFUNUSED\r\n"), "");
  EXPECT_TRUE(last_routing<model::DeleteExchange>(talk).if_unused);
}

TEST(RoutingCommands, Bindings) {
  Talk talk;
  EXPECT_EQ(talk.say("BIND e QUEUE q\r\n"), "");
  const model::Binding plain = *last_routing<model::Bind>(talk).binding;
  EXPECT_EQ(plain.exchange, "e");
  EXPECT_EQ(plain.destination, "q");
  EXPECT_FALSE(plain.is_to_exchange);
  EXPECT_EQ(plain.key, "");
  EXPECT_TRUE(plain.headers.empty());
  EXPECT_FALSE(plain.is_any_enough);
  EXPECT_EQ(talk.say("bind e exchange f key a.# any header format pdf header pages ''\r\n"), "");
  const model::Binding full = *last_routing<model::Bind>(talk).binding;
  EXPECT_TRUE(full.is_to_exchange);
  EXPECT_EQ(full.destination, "f");
  EXPECT_EQ(full.key, "a.#");
  EXPECT_TRUE(full.is_any_enough);
  ASSERT_EQ(full.headers.size(), 2u);
  EXPECT_EQ(full.headers[0], (model::HeaderView("format", "pdf")));
  EXPECT_EQ(full.headers[1], (model::HeaderView("pages", "")));
  EXPECT_EQ(talk.say("UNBIND e QUEUE q ANY ALL KEY k\r\n"), "");
  const model::Binding gone = *last_routing<model::Unbind>(talk).binding;
  EXPECT_FALSE(gone.is_any_enough);
  EXPECT_EQ(gone.key, "k");
}

struct BadRouting {
  const char* command;
  const char* reply;  ///< How the reply starts.
};

TEST(RoutingCommands, BadArgumentsNameFieldValueAndLimit) {
  const BadRouting cases[] = {
      {"PUBLISH e k t",
       "-ARG wrong number of arguments for 'PUBLISH'; usage: PUBLISH exchange key"},
      {"PUBLISH e k '' p", "-ARG type is \"\"; allowed: 1 to 255 bytes"},
      {"PUBLISH e k t p FOO 1", "-ARG PUSH: unknown option \"FOO\"; allowed: DELAY AT PRIORITY"},
      {"EXCHANGE", "-ARG wrong number of arguments for 'EXCHANGE'"},
      {"EXCHANGE GET", "-ARG wrong number of arguments for 'EXCHANGE'"},
      {"EXCHANGE LIST e", "-ARG EXCHANGE is \"LIST\"; allowed: LIST, GET, SET, DELETE"},
      {"EXCHANGE GET e f", "-ARG EXCHANGE is \"GET\"; allowed: LIST, GET, SET, DELETE"},
      {"EXCHANGE BURN e", "-ARG EXCHANGE is \"BURN\"; allowed: LIST, GET, SET, DELETE"},
      {"EXCHANGE SET e", "-ARG wrong number of arguments for 'EXCHANGE'"},
      {"EXCHANGE SET e ring", "-ARG kind of the exchange is \"ring\"; allowed: direct, fanout"},
      {"EXCHANGE SET e topic ROUND",
       "-ARG option of EXCHANGE SET is \"ROUND\"; allowed: ALTERNATE exchange, TRANSIENT"},
      {"EXCHANGE SET e topic ALTERNATE", "-ARG option of EXCHANGE SET is \"ALTERNATE\""},
      {"EXCHANGE DELETE e NOW", "-ARG option of EXCHANGE DELETE is \"NOW\"; allowed: IFUNUSED"},
      {"EXCHANGE DELETE e IFUNUSED x", "-ARG option of EXCHANGE DELETE is \"IFUNUSED\""},
      {"BIND e QUEUE", "-ARG wrong number of arguments for 'BIND'"},
      {"BIND e THING q", "-ARG destination is \"THING\"; allowed: QUEUE name, EXCHANGE name"},
      {"BIND e QUEUE q KEY", "-ARG option of BIND is \"KEY\"; allowed: KEY key, ALL, ANY, HEADER"},
      {"BIND e QUEUE q HEADER a", "-ARG option of BIND is \"HEADER\""},
      {"UNBIND e QUEUE q SOME", "-ARG option of UNBIND is \"SOME\""},
  };
  for (const BadRouting& bad : cases) {
    Talk talk;
    const std::string reply = talk.say(std::string(bad.command) + "\r\n");
    EXPECT_EQ(reply.substr(0, std::string(bad.reply).size()), bad.reply) << bad.command;
    EXPECT_TRUE(talk.batches.empty()) << bad.command;
    EXPECT_EQ(talk.say("PING\r\n"), "+PONG\r\n") << bad.command;
  }
}

TEST(RoutingCommands, APayloadThatIsTooBigSaysByHowMuch) {
  ConversationOptions options;
  options.limits.payload_bytes_max = 10;
  Talk talk(options);
  EXPECT_EQ(talk.say("PUBLISH e k t 1234567890\r\n"), "");
  Talk other(options);
  EXPECT_EQ(other.say("PUBLISH e k t 12345678901\r\n"), "-TOOBIG payload: 11 bytes (limit 10)\r\n");
  EXPECT_TRUE(other.batches.empty());
}

TEST(RoutingReplies, TheIdsOfAPublish) {
  Talk talk;
  EXPECT_EQ(talk.say("PUBLISH e a t p\r\nPUBLISH e b t p\r\nPUBLISH e c t p\r\n"), "");
  EXPECT_EQ(talk.answer(0, model::Routed{}), "*0\r\n");
  EXPECT_EQ(talk.answer(1, model::Routed{model::JobId(7), nullptr}), "*1\r\n$1\r\n7\r\n");
  auto others = std::make_unique<std::vector<model::JobId>>();
  others->push_back(model::JobId(9));
  EXPECT_EQ(talk.answer(2, model::Routed{model::JobId(8), std::move(others)}),
            "*2\r\n$1\r\n8\r\n$1\r\n9\r\n");
}

model::ExchangeInfo some_exchange() {
  model::ExchangeInfo info;
  info.name = "orders";
  info.exchange.kind = model::ExchangeKind::headers;
  info.exchange.is_internal = true;
  info.exchange.alternate = "rest";
  info.binding_count = 2;
  return info;
}

// What is said of it in a list; of its map only the number of fields differs.
constexpr const char* listed =
    "$4\r\nname\r\n$6\r\norders\r\n$4\r\nkind\r\n$7\r\nheaders\r\n$7\r\ndurable\r\n:1\r\n"
    "$11\r\nauto_delete\r\n:0\r\n$8\r\ninternal\r\n:1\r\n$9\r\nalternate\r\n$4\r\nrest\r\n"
    "$13\r\nbinding_count\r\n:2\r\n";

TEST(RoutingReplies, AnExchangeWithItsBindings) {
  Talk talk;
  EXPECT_EQ(talk.say("EXCHANGE GET orders\r\nEXCHANGE LIST\r\n"), "");
  auto info = std::make_unique<model::ExchangeInfo>(some_exchange());
  info->bindings.push_back({"mail", false, "k", {{"format", "pdf"}}, true, "not shown"});
  info->bindings.push_back({"other", true, "", {}, false, ""});
  EXPECT_EQ(talk.answer(0, std::move(info)),
            std::string("*16\r\n") + listed +
                "$8\r\nbindings\r\n*2\r\n"
                "*10\r\n$2\r\nto\r\n$5\r\nqueue\r\n$4\r\nname\r\n$4\r\nmail\r\n$3\r\nkey\r\n"
                "$1\r\nk\r\n$5\r\nmatch\r\n$3\r\nany\r\n$7\r\nheaders\r\n*2\r\n$6\r\nformat\r\n"
                "$3\r\npdf\r\n"
                "*10\r\n$2\r\nto\r\n$8\r\nexchange\r\n$4\r\nname\r\n$5\r\nother\r\n$3\r\nkey\r\n"
                "$0\r\n\r\n$5\r\nmatch\r\n$3\r\nall\r\n$7\r\nheaders\r\n*0\r\n");
  auto list = std::make_unique<model::ExchangeList>();
  list->exchanges.push_back(some_exchange());
  EXPECT_EQ(talk.answer(1, std::move(list)), std::string("*1\r\n*14\r\n") + listed);
}

TEST(RoutingReplies, ThatWaitForTheirTurnCountAsMemory) {
  Talk talk;
  EXPECT_EQ(talk.say("PING\r\nCANCEL 1\r\nEXCHANGE GET orders\r\nEXCHANGE LIST\r\n"), "+PONG\r\n");
  const std::string large(10'000, 'x');
  auto info = std::make_unique<model::ExchangeInfo>(some_exchange());
  info->bindings.push_back({"mail", false, "", {{"name", large}}, false, large});
  EXPECT_EQ(talk.answer(1, std::move(info)), "");
  EXPECT_GT(talk.conversation.unsent_bytes(), 2 * large.size());
  EXPECT_LT(talk.conversation.unsent_bytes(), 3 * large.size());
  auto list = std::make_unique<model::ExchangeList>();
  list->exchanges.push_back(some_exchange());
  list->exchanges[0].exchange.arguments = large;
  EXPECT_EQ(talk.answer(2, std::move(list)), "");
  EXPECT_GT(talk.conversation.unsent_bytes(), 3 * large.size());
}

}  // namespace
}  // namespace sluice::native
