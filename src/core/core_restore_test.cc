// Restoring from facts one by one: what a log may say in an order of its own, and what none says.
#include "core/core.h"
#include "core/routing/binding_terms.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

using model::JobState;

class Restore : public testing::Test {
 protected:
  static constexpr Now now{Time(Duration(1000)), WallTime(Duration(1000))};
  static constexpr Position at{1, 64};
  static constexpr model::JobId job{1};

  void put_queue(QueueIndex index, ByteView name) { core::put_queue(facts_, index, name, {}); }

  void put_record(JobState state, ByteView details = {}) {
    JobRecord record;
    record.id = job;
    record.state = state;
    record.order = 1;
    record.type = "type";
    record.details = details;
    put_job(facts_, record);
  }

  static std::string timeout_details() {
    Details details;
    details.timeout = Duration(5000);
    Buffer encoded;
    put_details(encoded, details, {});
    return std::string(encoded.view());
  }

  void put_exchange(ExchangeIndex index, ByteView name, const model::Exchange& exchange = {}) {
    core::put_exchange(facts_, index, name, exchange);
  }

  /// Puts the binding, or that it is gone.
  void put_binding(ExchangeIndex from, Destination to, ByteView key = {}) {
    core::put_binding(facts_, {from, encode({to, key, {}, false, {}})});
  }

  void put_binding_gone(ExchangeIndex from, Destination to, ByteView key = {}) {
    core::put_binding_gone(facts_, {from, encode({to, key, {}, false, {}})});
  }

  /// Restores what was put; the error's message, or nothing.
  std::string restore() { return restore(core_); }

  std::string restore(Core& core) const {
    Result<void> restored = core.restore(at, facts_.view());
    if (restored) restored = core.finish_restore();
    if (restored) return {};
    EXPECT_EQ(restored.error().code, ErrorCode::corrupt);
    return restored.error().message;
  }

  template <class T>
  T ask(const model::Command& command) {
    Buffer facts;
    Output out;
    out.open(facts, at);
    core_.apply(command, model::Ticket(1), now, out);
    return std::move(*std::get<std::unique_ptr<T>>(out.replies.at(0).answer));
  }

  std::vector<std::string> exchanges() {
    std::vector<std::string> names;
    const model::RoutingCommand list = model::ListExchanges{};
    for (const model::ExchangeInfo& each : ask<model::ExchangeList>(list).exchanges)
      names.push_back(each.name + ' ' + std::to_string(each.binding_count));
    return names;
  }

  model::JobInfo info() { return ask<model::JobInfo>(model::GetJob{job}); }

  Core core_{model::Limits(), std::uint16_t{0}};
  Buffer facts_;
};

TEST_F(Restore, AJobInAQueueWithoutARecordIsRefused) {
  put_record(JobState::ready);
  EXPECT_EQ(restore(), "job 1 is in queue number 0, of which the log has no record");
}

TEST_F(Restore, AJobThatMovedToAQueueWithoutARecordIsRefused) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  JobChanged moved;
  moved.id = job;
  moved.state = JobState::ready;
  moved.queue = 7;
  put_changed(facts_, moved);
  EXPECT_EQ(restore(), "job 1 is in queue number 7, of which the log has no record");
}

TEST_F(Restore, AJobThatIsLeftInAQueueThatIsGoneIsRefused) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  put_queue_gone(facts_, 0);
  EXPECT_EQ(restore(), "job 1 is in queue number 0, of which the log has no record");
}

TEST_F(Restore, AQueueOfWhichOnlyJobsThatAreGoneSpeakIsNotThere) {
  put_record(JobState::ready);
  put_gone(facts_, job);
  EXPECT_EQ(restore(), "");
  EXPECT_TRUE(ask<model::QueueList>(model::ListQueues{}).queues.empty());
}

TEST_F(Restore, TheLastNameOfAQueueCounts) {
  put_queue(0, "mail");
  put_queue(0, "print");
  EXPECT_EQ(restore(), "");
  const auto queues = ask<model::QueueList>(model::ListQueues{}).queues;
  ASSERT_EQ(queues.size(), 1u);
  EXPECT_EQ(queues[0].name, "print");
}

TEST_F(Restore, ALaterRecordOfAJobLeavesNothingOfAnEarlierOne) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  Core once{model::Limits(), std::uint16_t{0}};
  EXPECT_EQ(restore(once), "");
  facts_.clear();
  put_queue(0, "mail");
  put_record(JobState::ready, timeout_details());
  put_record(JobState::ready);
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(core_.dump(), once.dump());
  EXPECT_EQ(core_.live_bytes(), once.live_bytes());
}

TEST_F(Restore, ARecordWithDetailsThatAreCutShortIsRefused) {
  put_queue(0, "mail");
  const std::string details = timeout_details();
  put_record(JobState::ready, ByteView(details).substr(0, details.size() - 1));
  EXPECT_EQ(restore(), "the details of a job record are cut short");
}

TEST_F(Restore, AChangeThatIsNoEventCanHaveAWorker) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  JobChanged changed;
  changed.id = job;
  changed.is_event = false;
  changed.state = JobState::leased;
  changed.worker = "ada";
  put_changed(facts_, changed);
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(info().worker, "ada");
  EXPECT_TRUE(info().history.empty());
}

TEST_F(Restore, AChangeThatIsNoEventCanHaveAnError) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  JobChanged changed;
  changed.id = job;
  changed.is_event = false;
  changed.state = JobState::retry;
  changed.note = "no luck";
  changed.is_error = true;
  put_changed(facts_, changed);
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(info().error, "no luck");
}

TEST_F(Restore, AChangeThatIsNoEventCanHaveAResult) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  JobChanged changed;
  changed.id = job;
  changed.is_event = false;
  changed.state = JobState::succeeded;
  changed.has_result = true;
  changed.result = "done";
  const std::size_t offset = put_changed(facts_, changed);
  EXPECT_EQ(restore(), "");
  EXPECT_TRUE(info().has_result);
  EXPECT_EQ(info().result_bytes, 4u);
  EXPECT_EQ(info().result_at, at.plus(offset));
}

constexpr Destination queue_0{0, false};
constexpr Destination exchange_1{1, true};

TEST_F(Restore, ABindingFromAnExchangeWithoutARecordIsRefused) {
  put_queue(0, "mail");
  put_exchange(1, "orders");
  put_binding(1, queue_0);
  put_binding(7, queue_0);
  EXPECT_EQ(restore(),
            "the log has a binding from exchange number 7 to queue number 0, and no record of one "
            "of them");
}

TEST_F(Restore, ABindingToAQueueWithoutARecordIsRefused) {
  put_exchange(1, "orders");
  put_binding(1, queue_0);
  EXPECT_EQ(restore(),
            "the log has a binding from exchange number 1 to queue number 0, and no record of one "
            "of them");
}

TEST_F(Restore, ABindingToAQueueWithoutARecordBelowOthersIsRefused) {
  put_queue(1, "mail");
  put_exchange(1, "orders");
  put_binding(1, queue_0);
  EXPECT_EQ(restore(),
            "the log has a binding from exchange number 1 to queue number 0, and no record of one "
            "of them");
}

TEST_F(Restore, ABindingToAQueueOfWhichOnlyJobsSpeakIsRefused) {
  put_exchange(1, "orders");
  put_record(JobState::ready);
  put_gone(facts_, job);
  put_binding(1, queue_0);
  EXPECT_EQ(restore(),
            "the log has a binding from exchange number 1 to queue number 0, and no record of one "
            "of them");
}

TEST_F(Restore, ABindingToAQueueThatIsGoneAndCameBackAsAnotherIsNotRestored) {
  put_queue(0, "mail");
  put_exchange(1, "orders");
  put_binding(1, queue_0);
  put_queue_gone(facts_, 0);
  put_queue(0, "print");
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(exchanges(), (std::vector<std::string>{"orders 0"}));
}

TEST_F(Restore, ABindingToAnExchangeWithoutARecordIsRefused) {
  put_exchange(0, "outer");
  put_binding(0, exchange_1);
  EXPECT_EQ(restore(),
            "the log has a binding from exchange number 0 to exchange number 1, and no record of "
            "one of them");
  // One that only has bindings from it has no record either.
  Core other{model::Limits(), std::uint16_t{0}};
  put_queue(0, "mail");
  put_binding(1, queue_0);
  EXPECT_NE(restore(other), "");
}

TEST_F(Restore, TheRecordOfAnExchangeMayComeBehindItsBindings) {
  put_binding(0, exchange_1);
  put_binding(1, queue_0);
  put_queue(0, "mail");
  put_exchange(1, "inner");
  put_exchange(0, "outer");
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(exchanges(), (std::vector<std::string>{"inner 1", "outer 1"}));
  core_.check_invariants();
}

TEST_F(Restore, TheEndOfAnExchangeTakesItsBindingsAlongThoughItsRecordIsLost) {
  put_queue(0, "mail");
  put_exchange(0, "outer");
  put_binding(0, exchange_1);
  put_binding(1, queue_0);
  put_exchange_gone(facts_, 1);
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(exchanges(), (std::vector<std::string>{"outer 0"}));
}

TEST_F(Restore, TheEndOfWhatIsNotKnownSaysNothing) {
  put_queue(0, "mail");
  put_exchange(0, "orders");
  put_exchange_gone(facts_, 5);
  put_binding_gone(5, queue_0);
  put_binding_gone(0, queue_0);
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(exchanges(), (std::vector<std::string>{"orders 0"}));
}

TEST_F(Restore, AnExchangeOfWhichOnlyBindingsThatAreGoneSpeakIsNotThere) {
  put_queue(0, "mail");
  put_binding(5, queue_0);
  put_binding_gone(5, queue_0);
  EXPECT_EQ(restore(), "");
  EXPECT_TRUE(exchanges().empty());
}

TEST_F(Restore, ABindingThatWasCarriedIsOne) {
  put_queue(0, "mail");
  put_exchange(0, "orders");
  put_binding(0, queue_0, "a");
  put_binding(0, queue_0, "b");
  put_binding(0, queue_0, "a");
  put_exchange(0, "orders");
  EXPECT_EQ(restore(), "");
  EXPECT_EQ(exchanges(), (std::vector<std::string>{"orders 2"}));
}

class NoRecords final : public RecordReader {
 public:
  Result<ByteView> read(Position, std::size_t) override {
    return fail(ErrorCode::corrupt, "nothing is there");
  }
};

class Carry : public Restore {
 protected:
  Result<void> carry() {
    Output out;
    out.open(carried_, at);
    return core_.carry(at, facts_.view(), reader_, out);
  }

  NoRecords reader_;
  Buffer carried_;
};

TEST_F(Carry, AFactThatCannotBeReadIsAnError) {
  facts_.append("\x7f");
  const Result<void> done = carry();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::corrupt);
  EXPECT_TRUE(carried_.empty());
}

TEST_F(Carry, AQueueThatIsNotKnownIsLeftBehind) {
  put_queue(5, "mail");
  EXPECT_TRUE(carry());
  EXPECT_TRUE(carried_.empty());
}

TEST_F(Carry, OnlyTheLastRecordOfAJobIsItsHome) {
  put_queue(0, "mail");
  put_record(JobState::ready);
  put_record(JobState::ready);
  ASSERT_EQ(restore(), "");
  facts_.clear();
  put_record(JobState::ready);
  const std::size_t record_bytes = facts_.size();
  facts_.clear();
  put_queue(0, "mail");
  put_record(JobState::ready);
  put_record(JobState::ready);
  const std::size_t all_bytes = facts_.size();
  EXPECT_TRUE(carry());
  EXPECT_EQ(carried_.size(), all_bytes - record_bytes);
}

TEST_F(Carry, AResultThatCannotBeReadIsAnError) {
  put_queue(0, "mail");
  Details details;
  details.has_result = true;
  Buffer encoded;
  put_details(encoded, details, "done");
  put_record(JobState::succeeded, encoded.view());
  ASSERT_EQ(restore(), "");
  const Result<void> done = carry();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "nothing is there");
}

TEST_F(Carry, AnExchangeAndABindingThatAreNotKnownAreLeftBehind) {
  put_exchange(5, "orders");
  put_binding(5, queue_0);
  EXPECT_TRUE(carry());
  EXPECT_TRUE(carried_.empty());
  facts_.clear();
  put_exchange(5, "orders");
  ASSERT_EQ(restore(), "");
  facts_.clear();
  put_binding(5, queue_0);
  EXPECT_TRUE(carry());
  EXPECT_TRUE(carried_.empty());
}

TEST_F(Carry, OnlyTheLastRecordOfAnExchangeAndOfABindingIsItsHome) {
  model::Exchange topic;
  topic.kind = model::ExchangeKind::topic;
  topic.arguments = "arguments";
  put_queue(0, "mail");
  const std::size_t queue_bytes = facts_.size();
  for (int twice = 0; twice < 2; ++twice) {
    put_exchange(0, "orders", topic);
    put_binding(0, queue_0, "new.*");
  }
  const std::size_t both_bytes = (facts_.size() - queue_bytes) / 2;
  ASSERT_EQ(restore(), "");
  const std::string before = core_.dump();
  EXPECT_TRUE(carry());
  EXPECT_EQ(carried_.size(), queue_bytes + both_bytes);
  Core later{model::Limits(), std::uint16_t{0}};
  EXPECT_TRUE(later.restore(at, carried_.view()));
  EXPECT_TRUE(later.finish_restore());
  EXPECT_EQ(later.dump(), before);
}

}  // namespace
}  // namespace sluice::core
