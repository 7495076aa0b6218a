// Every limit of the core at its maximum and one beyond: taken, then refused with an error that
// names the field and the limit, and nothing has changed.
#include "core/test_core.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class CoreLimits : public testing::Test {
 protected:
  void start(const model::Limits& limits) { core_ = std::make_unique<TestCore>(limits); }

  model::Answer apply(const model::Command& command) { return core_->apply(command); }

  bool takes(const model::Push& push) { return std::holds_alternative<model::Pushed>(apply(push)); }

  /// Expects a refusal without a fact; the message must hold all of `words`.
  void expect_refusal(const model::Command& command,
                      ErrorCode code,
                      const std::vector<std::string>& words) {
    const model::Answer answer = apply(command);
    const auto* error = std::get_if<std::unique_ptr<Error>>(&answer);
    ASSERT_NE(error, nullptr);
    EXPECT_EQ((*error)->code, code) << (*error)->message;
    for (const std::string& word : words) {
      EXPECT_NE((*error)->message.find(word), std::string::npos) << (*error)->message;
    }
    EXPECT_FALSE(core_->has_written());
  }

  bool put_exchange(std::string_view name, const model::Exchange& exchange = {}) {
    return std::holds_alternative<model::Done>(apply(put(name, exchange)));
  }

  static model::RoutingCommand put(std::string_view name, const model::Exchange& exchange = {}) {
    return model::PutExchange{name, std::make_shared<model::Exchange>(exchange)};
  }

  /// From exchange "e" to queue "q".
  static model::Binding binding(std::string_view key = {}) {
    model::Binding binding;
    binding.exchange = "e";
    binding.destination = "q";
    binding.key = key;
    return binding;
  }

  static model::RoutingCommand bind(const model::Binding& binding) {
    return model::Bind{std::make_shared<model::Binding>(binding)};
  }

  /// Whether it was new.
  bool is_bound(const model::Binding& binding) {
    return std::get<model::Counted>(apply(bind(binding))).count == 1;
  }

  /// A core with exchange "e" and queue "q".
  void start_with_exchange(const model::Limits& limits = {}) {
    start(limits);
    EXPECT_TRUE(put_exchange("e"));
    EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  }

  std::unique_ptr<TestCore> core_;
};

TEST_F(CoreLimits, Payload) {
  model::Limits limits;
  limits.payload_bytes_max = 100;
  start(limits);
  const std::string most(100, 'x');
  EXPECT_TRUE(takes({"q", "t", most, nullptr}));
  expect_refusal(
      model::Push{"q", "t", most + "x", nullptr}, ErrorCode::too_big, {"payload", "101", "100"});
}

TEST_F(CoreLimits, Result) {
  model::Limits limits;
  limits.payload_bytes_max = 100;
  start(limits);
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  const std::vector<ByteView> queues{"q"};
  model::Pull pull;
  pull.queues = &queues;
  const model::Answer answer = apply(pull);
  const auto& job = std::get<std::unique_ptr<model::Delivered>>(answer)->jobs.at(0);
  const std::string most(100, 'r');
  expect_refusal(
      model::Ack{job.id, job.token, most + "r"}, ErrorCode::too_big, {"result", "101", "100"});
  EXPECT_TRUE(std::holds_alternative<model::Done>(apply(model::Ack{job.id, job.token, most})));
}

TEST_F(CoreLimits, Headers) {
  model::Limits limits;
  limits.headers_bytes_max = 10;
  start(limits);
  model::PushOptions options;
  options.headers = {{"12345", "67890"}};
  EXPECT_TRUE(takes({"q", "t", "p", &options}));
  options.headers = {{"12345", "67890"}, {"", "1"}};
  expect_refusal(model::Push{"q", "t", "p", &options}, ErrorCode::too_big, {"headers", "11", "10"});
}

TEST_F(CoreLimits, Names) {
  start({});
  const std::string name(model::queue_name_bytes_max, 'q');
  const std::string type(model::type_bytes_max, 't');
  EXPECT_TRUE(takes({name, type, "p", nullptr}));
  expect_refusal(
      model::Push{name + "q", "t", "p", nullptr}, ErrorCode::arg, {"queue", "255", "256"});
  expect_refusal(model::Push{"", "t", "p", nullptr}, ErrorCode::arg, {"queue"});
  expect_refusal(model::Push{"a\tb", "t", "p", nullptr}, ErrorCode::arg, {"queue"});
  expect_refusal(model::Push{"q", type + "t", "p", nullptr}, ErrorCode::too_big, {"type", "255"});
  expect_refusal(model::Push{"q", "", "p", nullptr}, ErrorCode::arg, {"type"});
}

TEST_F(CoreLimits, NamesAreTextWithoutControlCharacters) {
  start({});
  EXPECT_TRUE(takes({"celery@host/mail é 猫", "t", "p", nullptr}));
  // Control characters of ASCII and of Latin-1, and what is no UTF-8.
  for (const ByteView name : {"a\n", "\x1f", "\x7f", "\xc2\x9f", "\xc3", "\xff"}) {
    expect_refusal(
        model::Push{name, "t", "p", nullptr}, ErrorCode::arg, {"without control characters"});
  }
}

TEST_F(CoreLimits, NamesInAPull) {
  start({});
  const std::vector<ByteView> queues{"fine", "not\nfine"};
  model::Pull pull;
  pull.queues = &queues;
  expect_refusal(pull, ErrorCode::arg, {"queue", "without control characters"});
}

TEST_F(CoreLimits, UniqueKey) {
  start({});
  const std::string key(model::key_bytes_max, 'k');
  const std::string longer = key + "k";
  model::PushOptions options;
  options.unique_key = key;
  EXPECT_TRUE(takes({"q", "t", "p", &options}));
  options.unique_key = longer;
  expect_refusal(model::Push{"q", "t", "p", &options}, ErrorCode::too_big, {"unique key", "1024"});
}

TEST_F(CoreLimits, Queues) {
  model::Limits limits;
  limits.queues_max = 2;
  start(limits);
  EXPECT_TRUE(takes({"a", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"b", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"a", "t", "p", nullptr}));
  expect_refusal(model::Push{"c", "t", "p", nullptr}, ErrorCode::busy, {"queues", "2"});
}

TEST_F(CoreLimits, JobsOfAQueue) {
  model::Limits limits;
  limits.queue_jobs_max = 2;
  start(limits);
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  expect_refusal(model::Push{"q", "t", "p", nullptr}, ErrorCode::busy, {"full", "2"});
  EXPECT_TRUE(takes({"other", "t", "p", nullptr}));
}

TEST_F(CoreLimits, Memory) {
  model::Limits limits;
  limits.memory_bytes_max = 64u << 10;
  start(limits);
  std::size_t jobs = 0;
  while (jobs < 10'000 && takes({"q", "t", "p", nullptr}))
    ++jobs;
  // About 68 bytes a job, whatever its payload.
  EXPECT_GT(jobs, 700u);
  EXPECT_LT(jobs, 1200u);
  expect_refusal(model::Push{"q", "t", "p", nullptr}, ErrorCode::busy, {"memory"});
}

TEST_F(CoreLimits, AQueuedJobCostsAtMostAHundredBytesOfMemory) {
  start({});
  const std::string payload(1000, 'x');
  for (int job = 0; job < 100'000; ++job)
    ASSERT_TRUE(takes({"q", "t", payload, nullptr}));
  EXPECT_LT((*core_)->memory_bytes(), 100u * 100'000u);
}

TEST_F(CoreLimits, Exchanges) {
  model::Limits limits;
  limits.exchanges_max = 2;
  start(limits);
  EXPECT_TRUE(put_exchange("a"));
  EXPECT_TRUE(put_exchange("b"));
  EXPECT_TRUE(put_exchange("a"));
  expect_refusal(put("c"), ErrorCode::busy, {"exchanges", "2", "exchanges_max"});
  apply(model::RoutingCommand(model::DeleteExchange{"a"}));
  EXPECT_TRUE(put_exchange("c"));
}

TEST_F(CoreLimits, Bindings) {
  model::Limits limits;
  limits.bindings_max = 2;
  start_with_exchange(limits);
  EXPECT_TRUE(is_bound(binding("a")));
  EXPECT_TRUE(is_bound(binding("b")));
  EXPECT_FALSE(is_bound(binding("a")));
  expect_refusal(bind(binding("c")), ErrorCode::busy, {"bindings", "2", "bindings_max"});
  apply(model::RoutingCommand(model::Unbind{std::make_shared<model::Binding>(binding("a"))}));
  EXPECT_TRUE(is_bound(binding("c")));
}

TEST_F(CoreLimits, NamesOfExchanges) {
  start({});
  const std::string name(model::queue_name_bytes_max, 'e');
  EXPECT_TRUE(put_exchange(name));
  expect_refusal(put(name + "e"), ErrorCode::arg, {"exchange", "255", "256"});
  expect_refusal(put(""), ErrorCode::arg, {"exchange"});
  expect_refusal(put("a\nb"), ErrorCode::arg, {"exchange", "without control characters"});
  model::Exchange exchange;
  exchange.alternate = name;
  EXPECT_TRUE(put_exchange("e", exchange));
  exchange.alternate = name + "e";
  expect_refusal(put("f", exchange), ErrorCode::arg, {"alternate exchange", "255", "256"});
  exchange.alternate = "a\nb";
  expect_refusal(
      put("f", exchange), ErrorCode::arg, {"alternate exchange", "without control characters"});
}

TEST_F(CoreLimits, ArgumentsOfAnExchange) {
  start({});
  model::Exchange exchange;
  exchange.arguments = std::string(model::binding_bytes_max, 'a');
  EXPECT_TRUE(put_exchange("e", exchange));
  exchange.arguments += 'a';
  expect_refusal(put("f", exchange), ErrorCode::too_big, {"arguments", "16385", "16384"});
}

TEST_F(CoreLimits, RoutingKeys) {
  start_with_exchange();
  const std::string key(model::routing_key_bytes_max, 'k');
  const std::string longer = key + "k";
  EXPECT_TRUE(is_bound(binding(key)));
  expect_refusal(bind(binding(longer)), ErrorCode::too_big, {"key", "256", "255"});
  const model::Push job{{}, "t", "p", nullptr};
  const model::Answer answer = apply(model::Publish{"e", key, job, nullptr});
  EXPECT_NE(std::get<model::Routed>(answer).first.value, 0u);
  expect_refusal(
      model::Publish{"e", longer, job, nullptr}, ErrorCode::too_big, {"key", "256", "255"});
  expect_refusal(
      model::Publish{"", longer, job, nullptr}, ErrorCode::too_big, {"key", "256", "255"});
  const std::vector<ByteView> more{"k", longer};
  expect_refusal(model::Publish{"e", key, job, &more}, ErrorCode::too_big, {"key", "256", "255"});
}

TEST_F(CoreLimits, HeadersOfABinding) {
  start_with_exchange();
  model::Binding most = binding();
  most.headers.assign(model::binding_headers_max, {"name", "value"});
  EXPECT_TRUE(is_bound(most));
  most.headers.emplace_back("name", "value");
  expect_refusal(bind(most), ErrorCode::too_big, {"headers", "65", "64"});
}

TEST_F(CoreLimits, BytesOfABinding) {
  start_with_exchange();
  const std::string value(model::binding_bytes_max - 8, 'v');
  model::Binding most = binding();
  most.headers = {{"name", value}};
  most.arguments = "1234";
  EXPECT_TRUE(is_bound(most));
  most.arguments = "12345";
  expect_refusal(bind(most), ErrorCode::too_big, {"headers and arguments", "16385", "16384"});
}

TEST_F(CoreLimits, StepsOfAPublish) {
  start({});
  model::Exchange headers;
  headers.kind = model::ExchangeKind::headers;
  EXPECT_TRUE(put_exchange("e", headers));
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  model::PushOptions options;
  options.headers.assign(model::headers_max, {"n", "v"});
  model::Binding hard = binding();
  hard.headers.assign(model::binding_headers_max, {"n", "v"});
  hard.headers.back().second = "w";
  constexpr std::size_t steps = 1 + model::headers_max * model::binding_headers_max;
  std::vector<std::string> keys;
  for (std::size_t key = 0; key < model::routing_steps_max / steps; ++key) {
    keys.push_back(std::to_string(key));
    hard.key = keys.back();
    ASSERT_TRUE(is_bound(hard));
  }
  const model::Publish publish{"e", "k", {{}, "t", "p", &options}, nullptr};
  EXPECT_EQ(std::get<model::Routed>(apply(publish)).first.value, 0u);
  hard.key = "one more";
  ASSERT_TRUE(is_bound(hard));
  expect_refusal(publish, ErrorCode::too_big, {"key", "steps", "10000000"});
}

TEST_F(CoreLimits, BytesOfAPublish) {
  start({});
  model::Exchange fanout;
  fanout.kind = model::ExchangeKind::fanout;
  EXPECT_TRUE(put_exchange("e", fanout));
  constexpr std::size_t queues = 64;
  for (std::size_t queue = 0; queue < queues; ++queue) {
    const std::string name = "q" + std::to_string(queue);
    EXPECT_TRUE(takes({name, "t", "p", nullptr}));
    model::Binding to_queue = binding();
    to_queue.destination = name;
    EXPECT_TRUE(is_bound(to_queue));
  }
  const std::string key(100, 'k');
  const std::string other_key(100, 'o');
  model::PushOptions options;
  options.headers = {{"name", "value"}};
  options.unique_key = key;
  const std::string payload(model::publish_bytes_max / queues - 256 - 1 - 9 - 100, 'p');
  const std::string larger = payload + "p";
  const auto publish = [&](std::string_view exchange, ByteView bytes) {
    return model::Publish{exchange, "q0", {{}, "t", bytes, &options}, nullptr};
  };
  expect_refusal(publish("e", larger), ErrorCode::too_big, {"64 queues", "134217728"});
  // One queue takes what a push takes, and then has the job already.
  EXPECT_NE(std::get<model::Routed>(apply(publish("", larger))).first.value, 0u);
  expect_refusal(publish("e", larger + larger), ErrorCode::too_big, {"63 queues", "134217728"});
  options.unique_key = other_key;
  EXPECT_EQ(std::get<model::Routed>(apply(publish("e", payload))).others->size(), queues - 1);
  EXPECT_GT(core_->written_bytes(), queues * payload.size());
  EXPECT_LT(core_->written_bytes(), model::publish_bytes_max);
}

TEST_F(CoreLimits, MemoryOfExchangesAndBindings) {
  model::Limits limits;
  limits.memory_bytes_max = 64u << 10;
  start_with_exchange(limits);
  int bindings = 0;
  for (bool is_taken = true; is_taken && bindings < 10'000;) {
    const model::Answer answer = apply(bind(binding("key" + std::to_string(bindings))));
    is_taken = std::holds_alternative<model::Counted>(answer);
    if (is_taken) ++bindings;
  }
  EXPECT_GT(bindings, 50);
  EXPECT_LT(bindings, 300);
  expect_refusal(bind(binding("one more")), ErrorCode::busy, {"memory"});
  expect_refusal(put("other"), ErrorCode::busy, {"memory"});
  // What is there already may be asked for again.
  EXPECT_FALSE(is_bound(binding("key0")));
  EXPECT_TRUE(put_exchange("e"));
}

TEST_F(CoreLimits, MemoryOfUniqueKeys) {
  model::Limits limits;
  limits.memory_bytes_max = 64u << 10;
  start(limits);
  // The jobs are gone at once; what costs memory is that their keys are held for an hour.
  model::PolicyChange change;
  change.keep = Duration{0};
  apply(model::SetQueue{"q", std::make_shared<model::PolicyChange>(change)});
  const auto push_and_finish = [&](int number) {
    const std::string key = "key" + std::to_string(number);
    model::PushOptions options;
    options.unique_key = key;
    options.unique_window = std::chrono::hours(1);
    if (!takes({"q", "t", "p", &options})) return false;
    const model::Delivery job = core_->pull("q");
    apply(model::Ack{job.id, job.token, {}});
    return true;
  };
  int keys = 0;
  while (keys < 10'000 && push_and_finish(keys))
    ++keys;
  EXPECT_GT(keys, 50);
  EXPECT_LT(keys, 1000);
  expect_refusal(model::Push{"q", "t", "p", nullptr}, ErrorCode::busy, {"memory"});
  core_->pass(std::chrono::hours(1) + one_tick);
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
}

TEST_F(CoreLimits, KeysExchangesAndBindingsAreLiveBytes) {
  start_with_exchange();
  std::uint64_t live = (*core_)->live_bytes();
  // All that each of these writes lives: it is what cleaning would have to keep.
  const auto lives = [&] {
    live += core_->written_bytes();
    return (*core_)->live_bytes() == live;
  };
  model::PushOptions options;
  options.unique_key = "key";
  options.unique_window = std::chrono::hours(1);
  EXPECT_TRUE(takes({"q", "t", "p", &options}));
  EXPECT_TRUE(lives());
  model::Exchange exchange;
  exchange.alternate = "e";
  exchange.arguments = "arguments";
  EXPECT_TRUE(put_exchange("other", exchange));
  EXPECT_TRUE(lives());
  EXPECT_TRUE(is_bound(binding("key")));
  EXPECT_TRUE(lives());
  core_->restart(Duration(1));
  EXPECT_EQ((*core_)->live_bytes(), live);
  // The jobs go, the window of the key stays.
  apply(model::PurgeQueue{"q"});
  apply(model::RoutingCommand(model::DeleteExchange{"e"}));
  apply(model::RoutingCommand(model::DeleteExchange{"other"}));
  EXPECT_GT((*core_)->live_bytes(), 0u);
  apply(model::DeleteQueue{"q", false});
  EXPECT_EQ((*core_)->live_bytes(), 0u);
}

TEST_F(CoreLimits, WhatIsUnboundAndDeletedCostsNoMemory) {
  start_with_exchange();
  const std::uint64_t before = (*core_)->memory_bytes();
  model::Exchange topic;
  topic.kind = model::ExchangeKind::topic;
  topic.arguments = "arguments";
  EXPECT_TRUE(put_exchange("topic", topic));
  const std::string dots(model::routing_key_bytes_max, '.');
  model::Binding deep = binding(dots);
  deep.exchange = "topic";
  EXPECT_TRUE(is_bound(deep));
  // Each of its 256 words is a node of the index.
  EXPECT_GT((*core_)->memory_bytes(), before + 256 * 100);
  apply(model::RoutingCommand(model::DeleteExchange{"topic"}));
  EXPECT_EQ((*core_)->memory_bytes(), before);
}

TEST_F(CoreLimits, AnExchangeShowsTheFirstOfItsBindings) {
  start_with_exchange();
  for (std::size_t key = 0; key <= model::list_examined_max; ++key)
    ASSERT_TRUE(is_bound(binding(std::to_string(key))));
  const model::Answer answer = apply(model::RoutingCommand(model::GetExchange{"e"}));
  const auto& info = *std::get<std::unique_ptr<model::ExchangeInfo>>(answer);
  EXPECT_EQ(info.bindings.size(), model::list_examined_max);
  EXPECT_EQ(info.binding_count, model::list_examined_max + 1);
}

TEST_F(CoreLimits, HistoryKeepsTheFirstAndTheLatest) {
  Details details;
  for (std::uint16_t attempt = 1; attempt <= 100; ++attempt) {
    add_event(details, {Time(Duration(1000)), model::JobState::retry, attempt, "w", "n"});
  }
  EXPECT_EQ(details.history.size(), model::history_max);
  EXPECT_EQ(details.history.front().attempt, 1);
  EXPECT_EQ(details.history.back().attempt, 100);
}

}  // namespace
}  // namespace sluice::core
