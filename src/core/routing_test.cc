// Exchanges and bindings as commands see them: what a publish reaches, what is refused, what goes
// with what.
#include "core/test_core.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class Routing : public testing::Test {
 protected:
  void put_exchange(std::string_view name,
                    model::ExchangeKind kind,
                    std::string_view alternate = {},
                    bool is_auto_delete = false) {
    auto exchange = std::make_shared<model::Exchange>();
    exchange->kind = kind;
    exchange->alternate = std::string(alternate);
    exchange->is_auto_delete = is_auto_delete;
    const auto answer = routing(model::PutExchange{name, exchange});
    EXPECT_TRUE(std::holds_alternative<model::Done>(answer));
  }

  void put_queue(std::string_view name) {
    core_.apply(model::SetQueue{name, std::make_shared<model::PolicyChange>()});
  }

  model::Answer routing(model::RoutingCommand command) { return core_.apply(std::move(command)); }

  static std::shared_ptr<model::Binding> to_queue(std::string_view exchange,
                                                  std::string_view queue,
                                                  std::string_view key = {}) {
    auto binding = std::make_shared<model::Binding>();
    binding->exchange = exchange;
    binding->destination = queue;
    binding->key = key;
    return binding;
  }

  static std::shared_ptr<model::Binding> to_exchange(std::string_view exchange,
                                                     std::string_view other,
                                                     std::string_view key = {}) {
    auto binding = to_queue(exchange, other, key);
    binding->is_to_exchange = true;
    return binding;
  }

  /// Whether it was new.
  bool bind(std::shared_ptr<model::Binding> binding) {
    return std::get<model::Counted>(routing(model::Bind{std::move(binding)})).count == 1;
  }

  bool unbind(std::shared_ptr<model::Binding> binding) {
    return std::get<model::Counted>(routing(model::Unbind{std::move(binding)})).count == 1;
  }

  ErrorCode error(model::RoutingCommand command) {
    return TestCore::error_of(routing(std::move(command)));
  }

  /// The queues that got the job, in order.
  std::string publish(std::string_view exchange,
                      std::string_view key,
                      const model::PushOptions* options = nullptr) {
    const model::Answer answer = core_.apply(
        model::Publish{exchange, key, model::Push{{}, "type", "payload", options}, nullptr});
    const auto& routed = std::get<model::Routed>(answer);
    if (routed.first.value == 0) return {};
    std::string queues = core_.info(routed.first).queue;
    if (routed.others == nullptr) return queues;
    for (const model::JobId id : *routed.others)
      queues += ' ' + core_.info(id).queue;
    return queues;
  }

  TestCore core_;
};

TEST_F(Routing, ADirectExchangeGivesToTheQueuesOfTheKey) {
  put_queue("mail");
  put_queue("print");
  put_exchange("orders", model::ExchangeKind::direct);
  EXPECT_TRUE(bind(to_queue("orders", "mail", "new")));
  EXPECT_TRUE(bind(to_queue("orders", "print", "new")));
  EXPECT_TRUE(bind(to_queue("orders", "print", "old")));
  EXPECT_EQ(publish("orders", "new"), "mail print");
  EXPECT_EQ(publish("orders", "old"), "print");
  EXPECT_EQ(publish("orders", "other"), "");
}

TEST_F(Routing, AFanoutGivesToAllOnceHoweverOftenTheyAreBound) {
  put_queue("mail");
  put_queue("print");
  put_exchange("all", model::ExchangeKind::fanout);
  EXPECT_TRUE(bind(to_queue("all", "mail", "a")));
  EXPECT_TRUE(bind(to_queue("all", "mail", "b")));
  EXPECT_FALSE(bind(to_queue("all", "mail", "b")));
  EXPECT_TRUE(bind(to_queue("all", "print")));
  EXPECT_EQ(publish("all", "any"), "mail print");
  EXPECT_TRUE(unbind(to_queue("all", "mail", "a")));
  EXPECT_EQ(publish("all", "any"), "mail print");
  EXPECT_TRUE(unbind(to_queue("all", "mail", "b")));
  EXPECT_FALSE(unbind(to_queue("all", "mail", "b")));
  EXPECT_EQ(publish("all", "any"), "print");
}

TEST_F(Routing, ATopicExchangeGivesByPattern) {
  put_queue("emea");
  put_queue("errors");
  put_exchange("log", model::ExchangeKind::topic);
  bind(to_queue("log", "emea", "emea.#"));
  bind(to_queue("log", "errors", "*.*.error"));
  EXPECT_EQ(publish("log", "emea.web.error"), "emea errors");
  EXPECT_EQ(publish("log", "emea"), "emea");
  EXPECT_EQ(publish("log", "apac.web.error"), "errors");
  EXPECT_EQ(publish("log", "apac.web.web.error"), "");
}

TEST_F(Routing, AHeadersExchangeLooksAtTheHeadersOfTheJob) {
  put_queue("pdf");
  put_queue("large");
  put_exchange("documents", model::ExchangeKind::headers);
  auto all = to_queue("documents", "pdf");
  all->headers = {{"format", "pdf"}, {"pages", ""}};
  bind(all);
  auto any = to_queue("documents", "large");
  any->headers = {{"size", "large"}, {"format", "tiff"}};
  any->is_any_enough = true;
  bind(any);
  model::PushOptions options;
  options.headers = {{"format", "pdf"}, {"pages", "7"}, {"size", "large"}};
  EXPECT_EQ(publish("documents", "", &options), "large pdf");
  options.headers = {{"format", "pdf"}};
  EXPECT_EQ(publish("documents", "", &options), "");
  options.headers = {{"format", "tiff"}};
  EXPECT_EQ(publish("documents", "", &options), "large");
  EXPECT_EQ(publish("documents", ""), "");
}

TEST_F(Routing, ExchangesLeadToExchangesAlsoInCircles) {
  put_queue("mail");
  put_exchange("a", model::ExchangeKind::direct);
  put_exchange("b", model::ExchangeKind::fanout);
  bind(to_exchange("a", "b", "new"));
  bind(to_exchange("b", "a"));
  bind(to_queue("b", "mail"));
  EXPECT_EQ(publish("a", "new"), "mail");
  EXPECT_EQ(publish("a", "old"), "");
}

TEST_F(Routing, WhatNoBindingWantsGoesToTheAlternateExchange) {
  put_queue("mail");
  put_queue("lost");
  put_exchange("a", model::ExchangeKind::direct, "rest");
  bind(to_queue("a", "mail", "new"));
  EXPECT_EQ(publish("a", "old"), "");
  put_exchange("rest", model::ExchangeKind::fanout);
  bind(to_queue("rest", "lost"));
  EXPECT_EQ(publish("a", "new"), "mail");
  EXPECT_EQ(publish("a", "old"), "lost");
}

TEST_F(Routing, WithoutAnExchangeTheKeyNamesTheQueue) {
  put_queue("mail");
  EXPECT_EQ(publish("", "mail"), "mail");
  EXPECT_EQ(publish("", "none"), "");
}

TEST_F(Routing, SeveralKeysReachEachQueueOnce) {
  put_queue("mail");
  put_queue("print");
  put_exchange("orders", model::ExchangeKind::direct);
  bind(to_queue("orders", "mail", "a"));
  bind(to_queue("orders", "mail", "b"));
  bind(to_queue("orders", "print", "b"));
  const std::vector<ByteView> more{"b", "c"};
  const model::Answer answer = core_.apply(
      model::Publish{"orders", "a", model::Push{{}, "type", "payload", nullptr}, &more});
  const auto& routed = std::get<model::Routed>(answer);
  ASSERT_NE(routed.others, nullptr);
  EXPECT_EQ(routed.others->size(), 1u);
}

TEST_F(Routing, EachExchangeOnTheWayLooksAtAllKeys) {
  put_queue("mail");
  put_queue("rest");
  put_exchange("left", model::ExchangeKind::fanout);
  put_exchange("first", model::ExchangeKind::direct, "left");
  put_exchange("second", model::ExchangeKind::direct);
  bind(to_exchange("first", "second", "a"));
  bind(to_queue("second", "mail", "b"));
  bind(to_queue("left", "rest"));
  const auto publish_to_both = [this](ByteView key, ByteView other) {
    const std::vector<ByteView> more{other};
    const model::Answer answer = core_.apply(
        model::Publish{"first", key, model::Push{{}, "type", "payload", nullptr}, &more});
    const auto& routed = std::get<model::Routed>(answer);
    EXPECT_EQ(routed.others, nullptr);
    return core_.info(routed.first).queue;
  };
  EXPECT_EQ(publish_to_both("a", "b"), "mail");
  EXPECT_EQ(publish_to_both("b", "a"), "mail");
  EXPECT_EQ(publish_to_both("b", "c"), "rest");  // The alternate is for what no key has a way for.
}

TEST_F(Routing, APublishThatOneQueueRefusesReachesNone) {
  put_queue("mail");
  auto small = std::make_shared<model::PolicyChange>();
  small->max_length = 1;
  core_.apply(model::SetQueue{"small", small});
  put_exchange("all", model::ExchangeKind::fanout);
  bind(to_queue("all", "mail"));
  bind(to_queue("all", "small"));
  EXPECT_EQ(publish("all", ""), "mail small");
  const model::Answer answer =
      core_.apply(model::Publish{"all", "", model::Push{{}, "type", "payload", nullptr}, nullptr});
  EXPECT_EQ(TestCore::error_of(answer), ErrorCode::busy);
  const model::Answer mail = core_.apply(model::GetQueue{"mail"});
  EXPECT_EQ(std::get<std::unique_ptr<model::QueueInfo>>(mail)->pushed_total, 1u);
}

TEST_F(Routing, WhatDoesNotExistIsNamed) {
  put_exchange("a", model::ExchangeKind::fanout);
  EXPECT_EQ(error(model::Bind{to_queue("none", "mail")}), ErrorCode::no_exchange);
  EXPECT_EQ(error(model::Bind{to_queue("a", "mail")}), ErrorCode::no_queue);
  EXPECT_EQ(error(model::Bind{to_exchange("a", "none")}), ErrorCode::no_exchange);
  EXPECT_EQ(error(model::DeleteExchange{"none"}), ErrorCode::no_exchange);
  EXPECT_EQ(error(model::GetExchange{"none"}), ErrorCode::no_exchange);
  const model::Answer answer = core_.apply(model::Publish{"none", "", {}, nullptr});
  EXPECT_EQ(TestCore::error_of(answer), ErrorCode::no_exchange);
}

TEST_F(Routing, AnExchangeIsNotDeclaredDifferentlyLater) {
  put_exchange("a", model::ExchangeKind::fanout);
  put_exchange("a", model::ExchangeKind::fanout);
  auto other = std::make_shared<model::Exchange>();
  other->kind = model::ExchangeKind::topic;
  const model::Answer answer = routing(model::PutExchange{"a", other});
  EXPECT_EQ(std::get<std::unique_ptr<Error>>(answer)->message,
            "exchange \"a\" exists and is different: its kind is fanout, not topic");
}

TEST_F(Routing, AnInternalExchangeTakesNothingFromClients) {
  auto internal = std::make_shared<model::Exchange>();
  internal->is_internal = true;
  routing(model::PutExchange{"inside", internal});
  const model::Answer answer = core_.apply(model::Publish{"inside", "", {}, nullptr});
  EXPECT_EQ(TestCore::error_of(answer), ErrorCode::no_perm);
}

TEST_F(Routing, BindingsGoWithTheirQueueAndAutoDeleteExchangesWithTheirLastBinding) {
  put_queue("mail");
  put_queue("print");
  put_exchange("outer", model::ExchangeKind::fanout, {}, true);
  put_exchange("inner", model::ExchangeKind::fanout, {}, true);
  bind(to_exchange("outer", "inner"));
  bind(to_queue("inner", "mail"));
  bind(to_queue("inner", "print"));
  core_.apply(model::DeleteQueue{"mail", false});
  EXPECT_EQ(publish("outer", ""), "print");
  core_.apply(model::DeleteQueue{"print", false});
  EXPECT_EQ(error(model::GetExchange{"inner"}), ErrorCode::no_exchange);
  EXPECT_EQ(error(model::GetExchange{"outer"}), ErrorCode::no_exchange);
}

TEST_F(Routing, AnExchangeInUseIsDeletedOnlyWithoutThatCondition) {
  put_queue("mail");
  put_exchange("a", model::ExchangeKind::fanout);
  bind(to_queue("a", "mail"));
  EXPECT_EQ(error(model::DeleteExchange{"a", true}), ErrorCode::busy);
  EXPECT_TRUE(std::holds_alternative<model::Done>(routing(model::DeleteExchange{"a", false})));
  EXPECT_EQ(error(model::GetExchange{"a"}), ErrorCode::no_exchange);
}

TEST_F(Routing, ARestartKeepsWhatIsDurableAndForgetsTheRest) {
  put_queue("mail");
  put_exchange("orders", model::ExchangeKind::topic);
  bind(to_queue("orders", "mail", "new.*"));
  auto transient = std::make_shared<model::Exchange>();
  transient->is_durable = false;
  routing(model::PutExchange{"passing", transient});
  bind(to_queue("passing", "mail", "x"));
  core_.restart(Duration(1000));
  EXPECT_EQ(publish("orders", "new.small"), "mail");
  EXPECT_EQ(error(model::GetExchange{"passing"}), ErrorCode::no_exchange);
  core_->check_invariants();
}

TEST_F(Routing, EverythingInWhichTwoExchangesCanDifferIsNamed) {
  model::Exchange is;
  is.alternate = "rest";
  is.arguments = "opaque";
  const auto put = [this](const model::Exchange& as) {
    return routing(model::PutExchange{"a", std::make_shared<model::Exchange>(as)});
  };
  put(is);
  EXPECT_TRUE(std::holds_alternative<model::Done>(put(is)));
  const auto difference = [&](auto change) {
    model::Exchange other = is;
    change(other);
    const model::Answer answer = put(other);
    const auto& error = *std::get<std::unique_ptr<Error>>(answer);
    EXPECT_EQ(error.code, ErrorCode::exists);
    return error.message.substr(std::string("exchange \"a\" exists and is different: ").size());
  };
  using model::Exchange;
  EXPECT_EQ(difference([](Exchange& e) { e.kind = model::ExchangeKind::headers; }),
            "its kind is direct, not headers");
  EXPECT_EQ(difference([](Exchange& e) { e.is_durable = false; }), "durable is true, not false");
  EXPECT_EQ(difference([](Exchange& e) { e.is_auto_delete = true; }),
            "auto-delete is false, not true");
  EXPECT_EQ(difference([](Exchange& e) { e.is_internal = true; }), "internal is false, not true");
  EXPECT_EQ(difference([](Exchange& e) { e.alternate.clear(); }),
            "its alternate exchange is \"rest\", not \"\"");
  EXPECT_EQ(difference([](Exchange& e) { e.arguments.clear(); }), "its arguments are others");
}

TEST_F(Routing, ANewStartTakesWhatWasThereForTransientExchangesOnly) {
  put_queue("mail");
  const auto put_transient = [this](std::string_view name, bool is_auto_delete) {
    auto exchange = std::make_shared<model::Exchange>();
    exchange->is_durable = false;
    exchange->is_auto_delete = is_auto_delete;
    routing(model::PutExchange{name, exchange});
  };
  put_transient("a", false);
  put_transient("b", true);  // Transient, and there for "a" only.
  put_exchange("c", model::ExchangeKind::fanout, {}, true);
  bind(to_exchange("b", "a"));
  bind(to_exchange("c", "a"));
  bind(to_queue("a", "mail"));
  core_.restart(Duration(1000));
  const model::Answer answer = routing(model::ListExchanges{});
  EXPECT_TRUE(std::get<std::unique_ptr<model::ExchangeList>>(answer)->exchanges.empty());
  core_->check_invariants();
}

TEST_F(Routing, WhatAListSaysOfAnExchange) {
  put_queue("mail");
  put_exchange("b", model::ExchangeKind::topic, "rest", true);
  put_exchange("a", model::ExchangeKind::fanout);
  bind(to_queue("b", "mail", "x.#"));
  bind(to_exchange("b", "a", "y"));
  const model::Answer answer = routing(model::ListExchanges{});
  const auto& list = std::get<std::unique_ptr<model::ExchangeList>>(answer)->exchanges;
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].name, "a");
  EXPECT_EQ(list[1].binding_count, 2u);
  EXPECT_EQ(list[1].exchange.alternate, "rest");
  EXPECT_TRUE(list[1].exchange.is_auto_delete);
  EXPECT_TRUE(list[1].bindings.empty());
  const model::Answer one = routing(model::GetExchange{"b"});
  const auto& bindings = std::get<std::unique_ptr<model::ExchangeInfo>>(one)->bindings;
  ASSERT_EQ(bindings.size(), 2u);
  EXPECT_EQ(bindings[0].destination, "mail");
  EXPECT_TRUE(bindings[1].is_to_exchange);
  EXPECT_EQ(bindings[1].destination, "a");
}

// -- Publishes to a queue and to the one that gets its dead letters. -----------------------------

/// "a" dead-letters to "b", and "all" gives to both.
class RoutingLetters : public Routing {
 protected:
  RoutingLetters() {
    change_queue("a", [](auto& change) { change.dead_letter = "b"; });
    put_queue("b");
    put_exchange("all", model::ExchangeKind::fanout);
    bind(to_queue("all", "a"));
    bind(to_queue("all", "b"));
    options_.unique_key = "key";
    options_.unique_window = Duration(60'000);
    options_.on_conflict = model::OnConflict::replace;
  }

  template <class Change>
  void change_queue(std::string_view name, Change change) {
    auto policy = std::make_shared<model::PolicyChange>();
    change(*policy);
    core_.apply(model::SetQueue{name, policy});
  }

  void keep_one_job(std::string_view name, model::Overflow overflow) {
    change_queue(name, [overflow](auto& change) {
      change.max_length = 1;
      change.overflow = overflow;
    });
  }

  /// A job that was pushed to the queue with the key, and was dead there.
  model::JobId letter_from(std::string_view name) {
    const model::JobId letter = core_.push(name, &options_);
    const model::Delivery job = core_.pull(name);
    model::Fail fail;
    fail.id = job.id;
    fail.token = job.token;
    fail.dead = true;
    core_.apply(fail);
    return letter;
  }

  void expect_sound() {
    core_->check_invariants();
    const std::string before = core_->dump();
    core_.restart(Duration(0));
    core_->check_invariants();
    EXPECT_EQ(core_->dump(), before);
  }

  std::uint64_t ready_in(std::string_view name) {
    const model::Answer answer = core_.apply(model::GetQueue{name});
    const auto& info = *std::get<std::unique_ptr<model::QueueInfo>>(answer);
    return info.jobs[static_cast<std::size_t>(model::JobState::ready)];
  }

  model::PushOptions options_;
};

TEST_F(RoutingLetters, ALetterTakesTheLastPlaceAndThePublishedJobComesAllTheSame) {
  keep_one_job("a", model::Overflow::drop_head);
  keep_one_job("b", model::Overflow::reject);
  const model::JobId first = core_.push("a");
  EXPECT_EQ(publish("all", ""), "a b");
  EXPECT_EQ(core_.info(first).queue, "b");
  EXPECT_EQ(ready_in("b"), 2u);
  expect_sound();
}

TEST_F(RoutingLetters, OnePublishReplacesTheLetterThatAnotherWouldHaveDropped) {
  keep_one_job("b", model::Overflow::drop_head);
  core_.push("b");
  core_.pull("b");
  const model::JobId letter = letter_from("a");
  EXPECT_EQ(core_.info(letter).queue, "b");
  // In "a" it is replaced; then "b" is full of a leased job and has none to drop.
  EXPECT_EQ(publish("all", "", &options_), "a b");
  EXPECT_EQ(ready_in("b"), 1u);
  expect_sound();
}

TEST_F(RoutingLetters, OnePublishDropsTheLetterThatAnotherReplaces) {
  change_queue("b", [](auto& change) { change.dead_letter = "a"; });
  change_queue("a", [](auto& change) { change.dead_letter = std::string(); });
  keep_one_job("a", model::Overflow::drop_head);
  const model::JobId letter = letter_from("b");
  EXPECT_EQ(core_.info(letter).queue, "a");
  EXPECT_EQ(publish("all", "", &options_), "a b");
  EXPECT_EQ(core_.state(letter), model::JobState::dead);
  EXPECT_EQ(ready_in("a"), 1u);
  EXPECT_EQ(ready_in("b"), 1u);
  expect_sound();
}

TEST_F(Routing, ABindingIsShownAsItWasAskedFor) {
  put_queue("mail");
  put_exchange("documents", model::ExchangeKind::headers);
  auto binding = to_queue("documents", "mail", "key");
  binding->headers = {{"format", "pdf"}};
  binding->is_any_enough = true;
  binding->arguments = "opaque";
  bind(binding);
  const model::Answer answer = routing(model::GetExchange{"documents"});
  const auto& info = *std::get<std::unique_ptr<model::ExchangeInfo>>(answer);
  ASSERT_EQ(info.bindings.size(), 1u);
  EXPECT_EQ(info.bindings[0].destination, "mail");
  EXPECT_EQ(info.bindings[0].key, "key");
  EXPECT_EQ(info.bindings[0].headers.at(0).second, "pdf");
  EXPECT_TRUE(info.bindings[0].is_any_enough);
  EXPECT_EQ(info.bindings[0].arguments, "opaque");
}

}  // namespace
}  // namespace sluice::core
