// Frames that are cut short: the journal's checksums keep them away, but if one came through, it
// would be refused as corrupt or taken for the facts that are whole; nothing reads beyond its end.
#include "core/core.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

/// A life of a queue with every kind of fact, as the frames that it writes.
class History {
 public:
  History() : core_(model::Limits(), std::uint16_t{0}) {
    EXPECT_TRUE(core_.finish_restore());
    frame([this](Output& out) { core_.boot(now, out); });
    set_queue();
    push_and_fail();
    push_and_cancel();
    apply(model::PauseQueue{"mail", true});
    put_exchanges();
    frame([this](Output& out) { core_.put_meta(out); });
  }

  const std::vector<std::string>& frames() const { return frames_; }

 private:
  static constexpr Now now{Time(Duration(1000)), WallTime(Duration(1000))};

  template <class Call>
  void frame(Call call) {
    Buffer facts;
    Output out;
    out.open(facts, Position(1, offset_));
    call(out);
    replies_ = std::move(out.replies);
    frames_.emplace_back(facts.view());
    offset_ += static_cast<std::uint32_t>(facts.size());
  }

  void apply(const model::Command& command) {
    frame([&](Output& out) { core_.apply(command, model::Ticket(1), now, out); });
  }

  static model::Backoff backoff() {
    model::Backoff steps;
    steps.kind = model::Backoff::Kind::list;
    steps.list = {Duration(10), Duration(20)};
    return steps;
  }

  void set_queue() {
    auto change = std::make_shared<model::PolicyChange>();
    change->dead_letter = "dead";
    change->backoff = backoff();
    apply(model::SetQueue{"mail", std::move(change)});
  }

  void push_and_fail() {
    model::PushOptions options;
    options.headers = {{"key", "value"}};
    options.unique_key = "a key";
    options.unique_window = Duration(60'000);
    options.delay = Duration(0);
    options.max_attempts = 3;
    options.backoff = backoff();
    options.timeout = Duration(5000);
    options.keep = Duration(7000);
    apply(model::Push{"mail", "type", "payload", &options});
    const std::vector<ByteView> queues{"mail"};
    model::Pull pull;
    pull.queues = &queues;
    pull.worker = "somebody";
    apply(pull);
    const auto& jobs = std::get<std::unique_ptr<model::Delivered>>(replies_.at(0).answer)->jobs;
    model::Fail fail;
    fail.id = jobs.at(0).id;
    fail.token = jobs.at(0).token;
    fail.message = "no luck";
    apply(fail);
  }

  void push_and_cancel() {
    model::PushOptions options;
    options.after = {model::Dependency{model::JobId(1), false}};
    apply(model::Push{"mail", "type", "waits for the first", &options});
    const auto* pushed = std::get_if<model::Pushed>(&replies_.at(0).answer);
    ASSERT_NE(pushed, nullptr);
    apply(model::Cancel{pushed->id});
  }

  void put_exchanges() {
    auto exchange = std::make_shared<model::Exchange>();
    exchange->kind = model::ExchangeKind::headers;
    exchange->is_auto_delete = true;
    exchange->alternate = "rest";
    exchange->arguments = "for the gateway";
    apply(model::RoutingCommand(model::PutExchange{"documents", exchange}));
    auto binding = std::make_shared<model::Binding>();
    binding->exchange = "documents";
    binding->destination = "mail";
    binding->key = "key";
    binding->headers = {{"format", "pdf"}, {"pages", ""}};
    binding->is_any_enough = true;
    binding->arguments = "opaque";
    apply(model::RoutingCommand(model::Bind{binding}));
    apply(model::RoutingCommand(model::Unbind{binding}));  // The exchange goes with it.
    apply(model::RoutingCommand(model::PutExchange{"documents", exchange}));
    apply(model::RoutingCommand(model::Bind{binding}));
  }

  Core core_;
  std::uint32_t offset_ = 64;
  std::vector<model::Reply> replies_;
  std::vector<std::string> frames_;
};

/// How many facts the bytes hold, or the error that ends them.
Result<std::size_t> count_facts(ByteView bytes) {
  FactReader reader(bytes, Position(1, 64));
  std::size_t count = 0;
  for (; !reader.at_end(); ++count) {
    if (Result<Fact> fact = reader.next(); !fact) return tl::unexpected<Error>(fact.error());
  }
  return count;
}

TEST(CoreDamage, AFrameCutAnywhereIsCorruptOrHoldsItsFirstFacts) {
  const History history;
  for (const std::string& frame : history.frames()) {
    const Result<std::size_t> whole = count_facts(frame);
    ASSERT_TRUE(whole) << whole.error().message;
    std::size_t before = 0;
    for (std::size_t size = 0; size < frame.size(); ++size) {
      // A copy of its own, so that a byte beyond would be one beyond its memory.
      const std::string cut(frame, 0, size);
      const Result<std::size_t> count = count_facts(cut);
      if (!count) {
        EXPECT_EQ(count.error().code, ErrorCode::corrupt);
        continue;
      }
      EXPECT_GE(*count, before);
      EXPECT_LT(*count, *whole);
      before = *count;
    }
  }
}

TEST(CoreDamage, ACutFrameEndsTheRestoreWithAnError) {
  const History history;
  const std::vector<std::string>& frames = history.frames();
  std::size_t refused = 0;
  for (std::size_t last = 0; last < frames.size(); ++last) {
    for (std::size_t size = 1; size < frames[last].size(); ++size) {
      Core core(model::Limits(), std::uint16_t{0});
      std::uint32_t offset = 64;
      for (std::size_t index = 0; index < last; ++index) {
        ASSERT_TRUE(core.restore(Position(1, offset), frames[index]));
        offset += static_cast<std::uint32_t>(frames[index].size());
      }
      const Result<void> restored =
          core.restore(Position(1, offset), ByteView(frames[last]).substr(0, size));
      EXPECT_EQ(restored.has_value(), count_facts(frames[last].substr(0, size)).has_value());
      if (!restored) ++refused;
    }
  }
  EXPECT_GT(refused, 100u);
}

TEST(CoreDamage, AFactOfAnUnknownKindIsRefused) {
  const std::string unknown(64, '\x7f');
  const Result<std::size_t> count = count_facts(unknown);
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace sluice::core
