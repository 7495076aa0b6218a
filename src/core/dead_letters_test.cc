// Dead-letter exchanges: where dead jobs go, what they have with them, and where that ends.
#include "core/test_core.h"
#include "model/death.h"
#include "model/header_names.h"
#include "model/headers.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

using model::Death;
using model::DeathReason;
using model::JobState;

class DeadLetters : public testing::Test {
 protected:
  static model::QueuePolicy to_exchange(const std::string& exchange) {
    model::QueuePolicy policy;
    policy.dead_letter_exchange = exchange;
    policy.drops_dead = true;
    return policy;
  }

  static model::QueuePolicy to_queue(const std::string& queue) {
    model::QueuePolicy policy = to_exchange("");
    policy.dead_letter_key = queue;
    return policy;
  }

  void declare(const std::string& queue, const model::QueuePolicy& policy = {}) {
    core_.apply(model::DeclareQueue{queue, std::make_shared<model::QueuePolicy>(policy)});
  }

  void put_exchange(const std::string& name, model::ExchangeKind kind) {
    auto exchange = std::make_shared<model::Exchange>();
    exchange->kind = kind;
    core_.apply(model::RoutingCommand(model::PutExchange{name, std::move(exchange)}));
  }

  void bind(const std::string& exchange, const std::string& queue, const std::string& key) {
    auto binding = std::make_shared<model::Binding>();
    binding->exchange = exchange;
    binding->destination = queue;
    binding->key = key;
    core_.apply(model::RoutingCommand(model::Bind{std::move(binding)}));
  }

  model::JobId push(const std::string& queue, const model::HeaderList& headers) {
    model::PushOptions options;
    options.headers = headers;
    return core_.push(queue, &options);
  }

  /// A worker says that the next job of the queue is not to run again.
  void reject(const std::string& queue, TestCore& core) {
    const model::Delivery job = core.pull(queue);
    model::Fail fail{job.id, job.token, "no", std::nullopt, true};
    core.apply(fail);
  }

  void reject(const std::string& queue) {
    reject(queue, core_);
    core_.forward_dead(headers_of_);
  }

  static std::uint64_t count(TestCore& core, const std::string& queue, JobState state) {
    const model::Answer answer = core.apply(model::GetQueue{queue});
    return std::get<std::unique_ptr<model::QueueInfo>>(answer)
        ->jobs[static_cast<std::size_t>(state)];
  }

  std::uint64_t ready(const std::string& queue) { return count(core_, queue, JobState::ready); }

  /// What the next job of the queue says of its deaths; it is given back.
  std::vector<Death> deaths(const std::string& queue) {
    std::vector<Death> found;
    for (const auto& [name, value] : headers(queue)) {
      if (name == model::deaths_header) found = model::decode_deaths(value);
    }
    return found;
  }

  std::vector<std::pair<std::string, std::string>> headers(const std::string& queue) {
    const model::Delivery job = core_.pull(queue);
    const Result<ByteView> bytes = core_.read(job.home, job.record_bytes);
    const Result<JobRecord> record = read_record(*bytes);
    std::vector<std::pair<std::string, std::string>> found;
    model::for_each_header(record->headers, [&found](ByteView name, ByteView value) {
      found.emplace_back(name, value);
    });
    core_.apply(model::Release{job.id, job.token});
    return found;
  }

  TestCore core_;
  Core::HeadersOf headers_of_;
};

TEST_F(DeadLetters, SayWhereAndWhyTheyDied) {
  declare("dead");
  declare("q", to_queue("dead"));
  push("q",
       {{model::exchange_header, "orders"},
        {model::key_header, "paid"},
        {model::more_key_header, "copy"},
        {"mine", "kept"}});
  reject("q");
  EXPECT_EQ(ready("q"), 0u);
  const std::vector<Death> found = deaths("dead");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].queue, "q");
  EXPECT_EQ(found[0].reason, DeathReason::rejected);
  EXPECT_EQ(found[0].exchange, "orders");
  EXPECT_EQ(found[0].keys, (std::vector<std::string>{"paid", "copy"}));
  const auto all = headers("dead");
  EXPECT_NE(std::find(all.begin(), all.end(), std::pair<std::string, std::string>("mine", "kept")),
            all.end());
}

TEST_F(DeadLetters, KeepTheirKeysUnlessTheQueueHasOne) {
  put_exchange("dlx", model::ExchangeKind::direct);
  declare("first");
  declare("second");
  bind("dlx", "first", "paid");
  bind("dlx", "second", "copy");
  declare("q", to_exchange("dlx"));
  push("q", {{model::key_header, "paid"}, {model::more_key_header, "copy"}});
  reject("q");
  EXPECT_EQ(ready("first"), 1u);
  EXPECT_EQ(ready("second"), 1u);
}

TEST_F(DeadLetters, OfAJobThatWasPushedHaveTheNameOfTheQueueForKey) {
  put_exchange("dlx", model::ExchangeKind::direct);
  declare("dead");
  bind("dlx", "dead", "q");
  declare("q", to_exchange("dlx"));
  core_.push("q");
  reject("q");
  EXPECT_EQ(ready("dead"), 1u);
}

TEST_F(DeadLetters, ComeIntoInternalExchanges) {
  auto internal = std::make_shared<model::Exchange>();
  internal->is_internal = true;
  core_.apply(model::RoutingCommand(model::PutExchange{"dlx", std::move(internal)}));
  declare("dead");
  bind("dlx", "dead", "q");
  declare("q", to_exchange("dlx"));
  core_.push("q");
  reject("q");
  EXPECT_EQ(ready("dead"), 1u);
}

TEST_F(DeadLetters, AreMatchedByWhatTheirPropertiesSay) {
  put_exchange("dlx", model::ExchangeKind::headers);
  declare("dead");
  auto binding = std::make_shared<model::Binding>();
  binding->exchange = "dlx";
  binding->destination = "dead";
  binding->headers = {{"colour", "red"}};
  core_.apply(model::RoutingCommand(model::Bind{binding}));
  declare("q", to_exchange("dlx"));
  headers_of_ = [](ByteView properties) { return model::HeaderList{{"colour", properties}}; };
  push("q", {{model::properties_header, "red"}});
  reject("q");
  EXPECT_EQ(ready("dead"), 1u);
  push("q", {{model::properties_header, "blue"}});
  reject("q");
  push("q", {{"colour", "blue"}});  // Without properties its headers are its own.
  reject("q");
  EXPECT_EQ(ready("dead"), 1u);
  push("q", {{"colour", "red"}});
  reject("q");
  EXPECT_EQ(ready("dead"), 2u);
  headers_of_ = nullptr;
  push("q", {{model::properties_header, "red"}});
  reject("q");
  EXPECT_EQ(ready("dead"), 2u);
}

TEST_F(DeadLetters, CountWhatHappensAgain) {
  declare("a", to_queue("b"));
  declare("b", to_queue("a"));
  core_.push("a");
  reject("a");
  reject("b");
  reject("a");
  const std::vector<Death> found = deaths("b");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].queue, "a");
  EXPECT_EQ(found[0].count, 2u);
  EXPECT_EQ(found[1].queue, "b");
  EXPECT_EQ(found[1].count, 1u);
}

TEST_F(DeadLetters, CountEachReasonAlone) {
  model::QueuePolicy policy = to_queue("dead");
  policy.ttl = Duration(10);
  declare("q", policy);
  declare("dead", to_queue("q"));
  core_.push("q");
  core_.pass(Duration(20));
  core_.forward_dead();
  reject("dead");  // By somebody, so it is no cycle.
  reject("q");
  const std::vector<Death> found = deaths("dead");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].queue, "q");
  EXPECT_EQ(found[0].reason, DeathReason::rejected);
  EXPECT_EQ(found[1].queue, "dead");
  EXPECT_EQ(found[2].queue, "q");
  EXPECT_EQ(found[2].reason, DeathReason::expired);
}

TEST_F(DeadLetters, EndWhereTheyWouldGoRoundByThemselves) {
  model::QueuePolicy policy = to_queue("b");
  policy.ttl = Duration(10);
  declare("a", policy);
  policy.dead_letter_key = "a";
  declare("b", policy);
  core_.push("a");
  core_.pass(Duration(20));
  core_.forward_dead();
  EXPECT_EQ(ready("b"), 1u);
  core_.pass(Duration(20));
  core_.forward_dead();
  EXPECT_EQ(ready("a"), 0u);
  EXPECT_EQ(ready("b"), 0u);
}

TEST_F(DeadLetters, GoRoundAsOftenAsSomebodyRejectsThem) {
  model::QueuePolicy policy = to_queue("b");
  policy.ttl = Duration(10);
  declare("a", policy);
  declare("b", to_queue("a"));
  core_.push("a");
  for (int round = 0; round < 3; ++round) {
    core_.pass(Duration(20));
    core_.forward_dead();
    EXPECT_EQ(ready("b"), 1u) << round;
    reject("b");
    EXPECT_EQ(ready("a"), 1u) << round;
  }
}

TEST_F(DeadLetters, RememberABoundedNumberOfDeaths) {
  std::vector<Death> many(model::deaths_max);
  for (std::size_t index = 0; index < many.size(); ++index)
    many[index].queue = "elsewhere " + std::to_string(index);
  declare("dead");
  declare("q", to_queue("dead"));
  const std::string encoded = model::encode_deaths(many);
  push("q", {{model::deaths_header, encoded}});
  reject("q");
  const std::vector<Death> found = deaths("dead");
  ASSERT_EQ(found.size(), model::deaths_max);
  EXPECT_EQ(found[0].queue, "q");
  EXPECT_EQ(found[1].queue, "elsewhere 0");
}

TEST_F(DeadLetters, StayWhereTheyAreIfNobodyTakesThemAndTheyAreKept) {
  model::QueuePolicy policy = to_exchange("missing");
  policy.drops_dead = false;
  declare("q", policy);
  core_.push("q");
  reject("q");
  EXPECT_EQ(count(core_, "q", JobState::dead), 1u);
}

TEST_F(DeadLetters, ThatNobodyTakesAreDroppedIfTheQueueSaysSo) {
  declare("q", to_exchange("missing"));
  core_.push("q");
  reject("q");
  EXPECT_EQ(count(core_, "q", JobState::dead), 0u);
  model::QueuePolicy without_exchange;
  without_exchange.drops_dead = true;
  declare("p", without_exchange);
  core_.push("p");
  reject("p");
  EXPECT_EQ(count(core_, "p", JobState::dead), 0u);
}

TEST_F(DeadLetters, ThatCannotBeReadAreNotLost) {
  declare("dead");
  declare("q", to_queue("dead"));
  core_.push("q");
  core_.is_unreadable = true;
  reject("q");
  EXPECT_EQ(count(core_, "q", JobState::dead), 1u);
  EXPECT_EQ(ready("dead"), 0u);
}

class Zeros final : public RecordReader {
 public:
  Result<ByteView> read(Position, std::size_t size) override {
    bytes_.assign(size, '\0');
    return bytes_;
  }

 private:
  std::string bytes_;
};

TEST_F(DeadLetters, OfWhichTheDiskReturnsOtherBytesAreNotLost) {
  declare("dead");
  declare("q", to_queue("dead"));
  core_.push("q");
  reject("q", core_);
  Zeros zeros;
  core_.call([&](Output& out) { core_->forward_dead(core_.now(), {}, zeros, out); });
  EXPECT_EQ(count(core_, "q", JobState::dead), 1u);
}

TEST_F(DeadLetters, ThatSomebodyRedroveAreForwardedNoMore) {
  declare("dead");
  declare("q", to_queue("dead"));
  core_.push("q");
  reject("q", core_);
  core_.apply(model::RedriveDead{"q", {}});
  core_.forward_dead();
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(ready("dead"), 0u);
}

TEST_F(DeadLetters, OfAQueueThatHasNoExchangeForThemStay) {
  declare("dead");
  declare("other");
  declare("q", to_queue("dead"));
  core_.push("q");
  reject("q", core_);
  core_.apply(model::RedriveDead{"q", {}});
  auto change = std::make_shared<model::PolicyChange>();
  change->dead_letter = "other";
  core_.apply(model::SetQueue{"q", change});
  reject("q", core_);
  reject("other", core_);
  core_.forward_dead();
  EXPECT_EQ(count(core_, "other", JobState::dead), 1u);
}

TEST_F(DeadLetters, WaitForMemory) {
  model::Limits limits;
  limits.memory_bytes_max = 100'000;
  TestCore core(limits);
  const auto declare_in = [&core](const char* name, const model::QueuePolicy& policy) {
    core.apply(model::DeclareQueue{name, std::make_shared<model::QueuePolicy>(policy)});
  };
  declare_in("dead", {});
  declare_in("q", to_queue("dead"));
  const model::Push one{"q", "type", "payload", nullptr};
  for (bool fits = true; fits;)
    fits = std::holds_alternative<model::Pushed>(core.apply(one));
  reject("q", core);
  core.forward_dead();
  EXPECT_EQ(count(core, "q", JobState::dead), 1u);
  EXPECT_EQ(count(core, "dead", JobState::ready), 0u);
  core.apply(model::PurgeQueue{"q", true});
  core.forward_dead();
  EXPECT_EQ(count(core, "q", JobState::dead), 0u);
  EXPECT_EQ(count(core, "dead", JobState::ready), 1u);
}

TEST_F(DeadLetters, AreNotMoreThanAFrameTakes) {
  put_exchange("dlx", model::ExchangeKind::fanout);
  for (int number = 0; number < 20; ++number) {
    const std::string name = "dead" + std::to_string(number);
    declare(name);
    bind("dlx", name, "");
  }
  model::QueuePolicy policy = to_exchange("dlx");
  policy.drops_dead = false;
  declare("q", policy);
  const std::string payload(model::publish_bytes_max / 20, 'x');
  core_.apply(model::Push{"q", "type", payload, nullptr});
  reject("q");
  EXPECT_EQ(count(core_, "q", JobState::dead), 1u);
  EXPECT_EQ(ready("dead0"), 0u);
}

}  // namespace
}  // namespace sluice::core
