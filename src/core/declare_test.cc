// Queues as the protocols with exchanges declare them, and how they are read: jobs lent to
// connections or given away, ranks, what does not survive a restart.
#include "core/test_core.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

using model::JobState;

class DeclaredQueue : public testing::Test {
 protected:
  void declare(const model::QueuePolicy& policy) {
    const model::Answer answer = core_.apply(command(policy));
    ASSERT_TRUE(std::holds_alternative<std::unique_ptr<model::QueueInfo>>(answer));
  }

  static model::DeclareQueue command(const model::QueuePolicy& policy) {
    return {"q", std::make_shared<model::QueuePolicy>(policy)};
  }

  std::vector<model::Reply> pull(std::uint64_t ticket,
                                 model::Duty duty,
                                 std::uint32_t count = 1,
                                 std::int32_t rank = 0) {
    model::Pull pull;
    pull.queues = &queues_;
    pull.count = count;
    pull.wait = duration_max;
    pull.duty = duty;
    pull.rank = rank;
    return core_.replies(ticket, pull);
  }

  model::Delivery take(model::Duty duty) {
    const auto replies = pull(1, duty);
    return std::get<std::unique_ptr<model::Delivered>>(replies.at(0).answer)->jobs.at(0);
  }

  std::vector<model::Reply> dispatch() {
    return core_.call([this](Output& out) { core_->dispatch(core_.now(), 1u << 20, out); });
  }

  static std::size_t jobs_in(const model::Reply& reply) {
    return std::get<std::unique_ptr<model::Delivered>>(reply.answer)->jobs.size();
  }

  model::Answer give_back(const model::Delivery& job) {
    return core_.apply(model::Release{job.id, job.token, Duration(0), true});
  }

  std::uint64_t count(JobState state) {
    const model::Answer answer = core_.apply(model::GetQueue{"q"});
    return std::get<std::unique_ptr<model::QueueInfo>>(answer)
        ->jobs[static_cast<std::size_t>(state)];
  }

  bool exists() {
    return std::holds_alternative<std::unique_ptr<model::QueueInfo>>(
        core_.apply(model::GetQueue{"q"}));
  }

  model::JobId push_transient() {
    model::PushOptions options;
    options.is_transient = true;
    return core_.push("q", &options);
  }

  const std::vector<ByteView> queues_{"q"};
  TestCore core_;
};

TEST_F(DeclaredQueue, IsTheSameWhenDeclaredAgain) {
  model::QueuePolicy policy;
  policy.arguments = "a";
  declare(policy);
  policy.max_length = 7;  // Somebody may have set that since.
  declare(policy);
  EXPECT_FALSE(core_.has_written());
}

TEST_F(DeclaredQueue, IsRefusedWhereItIsDifferent) {
  declare({});
  model::QueuePolicy transient;
  transient.is_durable = false;
  EXPECT_EQ(TestCore::error_of(core_.apply(command(transient))), ErrorCode::exists);
  model::QueuePolicy auto_delete;
  auto_delete.is_auto_delete = true;
  EXPECT_EQ(TestCore::error_of(core_.apply(command(auto_delete))), ErrorCode::exists);
  model::QueuePolicy arguments;
  arguments.arguments = "a";
  EXPECT_EQ(TestCore::error_of(core_.apply(command(arguments))), ErrorCode::exists);
}

TEST_F(DeclaredQueue, HasArgumentsOfBoundedSize) {
  model::QueuePolicy policy;
  policy.arguments = std::string(model::queue_arguments_bytes_max + 1, 'a');
  EXPECT_EQ(TestCore::error_of(core_.apply(command(policy))), ErrorCode::too_big);
  policy.arguments.pop_back();
  declare(policy);
}

TEST_F(DeclaredQueue, OnlyALeaseMakesTheQueueItWants) {
  const auto replies = pull(1, model::Duty::connection);
  EXPECT_EQ(TestCore::error_of(replies.at(0).answer), ErrorCode::no_queue);
  EXPECT_TRUE(pull(1, model::Duty::lease).empty());
  EXPECT_TRUE(exists());
}

TEST_F(DeclaredQueue, LendsToAConnectionWithoutAnEnd) {
  declare({});
  const model::JobId id = core_.push("q");
  EXPECT_EQ(take(model::Duty::connection).deadline, never);
  core_.pass(std::chrono::hours(1000));
  EXPECT_EQ(core_.state(id), JobState::leased);
}

TEST_F(DeclaredQueue, HasWhatWasLentToAConnectionAtItsOldPlaceAfterARestart) {
  declare({});
  const model::JobId first = core_.push("q");
  core_.push("q");
  take(model::Duty::connection);
  core_.restart(Duration(1));
  const model::Delivery again = take(model::Duty::connection);
  EXPECT_EQ(again.id, first);
  EXPECT_EQ(again.attempt, 2);
}

TEST_F(DeclaredQueue, IsDoneWithWhatItGivesAway) {
  declare({});
  const model::JobId id = core_.push("q");
  const model::Delivery given = take(model::Duty::none);
  EXPECT_EQ(given.id, id);
  EXPECT_EQ(given.attempt, 1);
  EXPECT_EQ(given.token, model::LeaseToken());
  EXPECT_EQ(core_.state(id), JobState::succeeded);
}

TEST_F(DeclaredQueue, KeepsNothingOfWhatItGivesAwayIfThePolicySaysSo) {
  model::QueuePolicy policy;
  policy.keep = Duration(0);
  declare(policy);
  EXPECT_TRUE(pull(1, model::Duty::none).empty());
  const model::JobId id = core_.push("q");
  EXPECT_EQ(dispatch().size(), 1u);
  EXPECT_EQ(TestCore::error_of(core_.apply(model::GetJob{id})), ErrorCode::no_job);
}

TEST_F(DeclaredQueue, ServesTheGreaterRankFirst) {
  declare({});
  EXPECT_TRUE(pull(1, model::Duty::lease, 1, -1).empty());
  EXPECT_TRUE(pull(2, model::Duty::lease, 1, 0).empty());
  EXPECT_TRUE(pull(3, model::Duty::lease, 1, 5).empty());
  core_.push("q");
  core_.push("q");
  const auto replies = dispatch();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(3));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
}

TEST_F(DeclaredQueue, SharesAmongThoseWhoWait) {
  declare({});
  EXPECT_TRUE(pull(1, model::Duty::lease, 100).empty());
  EXPECT_TRUE(pull(2, model::Duty::lease, 100).empty());
  for (int count = 0; count < 10; ++count)
    core_.push("q");
  const auto replies = dispatch();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(jobs_in(replies[0]), 5u);
  EXPECT_EQ(jobs_in(replies[1]), 5u);
}

TEST_F(DeclaredQueue, CountsTheAttemptOfWhatIsGivenBackSo) {
  declare({});
  const model::JobId first = core_.push("q");
  core_.push("q");
  give_back(take(model::Duty::connection));
  const model::Delivery again = take(model::Duty::connection);
  EXPECT_EQ(again.id, first);
  EXPECT_EQ(again.attempt, 2);
}

TEST_F(DeclaredQueue, EndsAJobThatIsGivenBackAfterItsLastAttempt) {
  model::QueuePolicy policy;
  policy.max_attempts = 2;
  declare(policy);
  const model::JobId id = core_.push("q");
  give_back(take(model::Duty::connection));
  give_back(take(model::Duty::connection));
  EXPECT_EQ(core_.state(id), JobState::dead);
}

TEST_F(DeclaredQueue, TriesForEverIfAttemptsAreUnlimited) {
  model::QueuePolicy policy;
  policy.max_attempts = model::attempts_unlimited;
  declare(policy);
  const model::JobId id = core_.push("q");
  for (int count = 0; count < 66'000; ++count)
    give_back(take(model::Duty::connection));
  EXPECT_EQ(core_.state(id), JobState::ready);
  EXPECT_EQ(core_.info(id).attempt, model::attempts_max);
}

TEST_F(DeclaredQueue, TakesGreaterPrioritiesForItsGreatest) {
  model::QueuePolicy policy;
  policy.priority_max = 5;
  declare(policy);
  model::PushOptions options;
  options.priority = 9;
  EXPECT_EQ(core_.info(core_.push("q", &options)).priority, 5);
}

TEST_F(DeclaredQueue, BoundsTheTtl) {
  model::QueuePolicy policy;
  policy.ttl_max = Duration(100);
  declare(policy);
  model::PushOptions longer;
  longer.ttl = Duration(1000);
  model::PushOptions shorter;
  shorter.ttl = Duration(10);
  const model::JobId a = core_.push("q");
  const model::JobId b = core_.push("q", &longer);
  const model::JobId c = core_.push("q", &shorter);
  core_.pass(Duration(50));
  EXPECT_EQ(core_.state(c), JobState::expired);
  EXPECT_EQ(core_.state(b), JobState::ready);
  core_.pass(Duration(100));
  EXPECT_EQ(core_.state(a), JobState::expired);
  EXPECT_EQ(core_.state(b), JobState::expired);
}

TEST_F(DeclaredQueue, GoesOnWithTheTtlOfAStartedJobIfItSaysSo) {
  for (const bool goes_on : {false, true}) {
    core_.apply(model::DeleteQueue{"q", true, false});
    model::QueuePolicy policy;
    policy.ttl = Duration(100);
    policy.is_ttl_for_started = goes_on;
    declare(policy);
    const model::JobId id = core_.push("q");
    give_back(take(model::Duty::connection));
    core_.pass(Duration(150));
    EXPECT_EQ(core_.state(id), goes_on ? JobState::expired : JobState::ready);
  }
}

TEST_F(DeclaredQueue, CountsOnlyReadyJobsAsItsLengthIfItSaysSo) {
  model::QueuePolicy policy;
  policy.max_length = 1;
  policy.is_length_of_ready = true;
  declare(policy);
  core_.push("q");
  take(model::Duty::connection);
  core_.push("q");
  const model::Answer refused = core_.apply(model::Push{"q", "type", "payload", nullptr});
  EXPECT_EQ(TestCore::error_of(refused), ErrorCode::busy);
}

TEST_F(DeclaredQueue, IsFullByTheBytesOfItsReadyJobs) {
  model::QueuePolicy policy;
  policy.max_bytes = 20;
  declare(policy);
  core_.push("q");  // Seven bytes each.
  core_.push("q");
  const model::Push third{"q", "type", "payload", nullptr};
  const model::Answer refused = core_.apply(third);
  EXPECT_EQ(TestCore::error_of(refused), ErrorCode::busy);
  EXPECT_NE(std::get<std::unique_ptr<Error>>(refused)->message.find("max_bytes"),
            std::string::npos);
  core_.restart(Duration(1));
  EXPECT_EQ(TestCore::error_of(core_.apply(third)), ErrorCode::busy);
  take(model::Duty::connection);
  core_.push("q");
}

TEST_F(DeclaredQueue, DropsSeveralSmallJobsForALargeOne) {
  model::QueuePolicy policy;
  policy.max_bytes = 20;
  policy.overflow = model::Overflow::drop_head;
  declare(policy);
  core_.push("q");
  core_.push("q");
  core_.apply(model::Push{"q", "type", "twenty bytes of it ..", nullptr});
  EXPECT_EQ(count(JobState::ready), 1u);
  EXPECT_EQ(count(JobState::dead), 2u);
}

TEST_F(DeclaredQueue, IsPurgedOfWhatIsReadyOnly) {
  declare({});
  core_.push("q");
  core_.push("q");
  take(model::Duty::connection);
  model::PushOptions later;
  later.delay = Duration(100);
  core_.push("q", &later);
  const model::Answer answer = core_.apply(model::PurgeQueue{"q", true});
  EXPECT_EQ(std::get<model::Counted>(answer).count, 1u);
  EXPECT_EQ(count(JobState::scheduled), 1u);
  EXPECT_EQ(count(JobState::leased), 1u);
}

TEST_F(DeclaredQueue, IsNotDeletedWithReadyJobsIfItMustBeEmpty) {
  declare({});
  core_.push("q");
  const model::DeleteQueue if_empty{"q", true, true};
  EXPECT_EQ(TestCore::error_of(core_.apply(if_empty)), ErrorCode::busy);
  take(model::Duty::connection);
  core_.apply(if_empty);
  EXPECT_FALSE(exists());
}

TEST_F(DeclaredQueue, ForgetsTransientJobsAtARestart) {
  declare({});
  const model::JobId kept = core_.push("q");
  for (int each = 0; each < 5; ++each)
    push_transient();
  core_.restart(Duration(1));
  EXPECT_EQ(count(JobState::ready), 1u);
  EXPECT_EQ(core_.state(kept), JobState::ready);
}

TEST_F(DeclaredQueue, AnswersForATransientJobAtOnce) {
  declare({});
  model::PushOptions options;
  options.is_transient = true;
  EXPECT_EQ(core_.replies(1, model::Push{"q", "type", "payload", &options}).at(0).needs,
            Position());
  EXPECT_NE(core_.replies(1, model::Push{"q", "type", "payload", nullptr}).at(0).needs, Position());
}

TEST_F(DeclaredQueue, DoesNotLetATransientJobOvertakeThoseBeforeIt) {
  declare({});
  core_.push("q");
  const Position needs = pull(1, model::Duty::connection).at(0).needs;
  EXPECT_NE(needs, Position());
  push_transient();
  EXPECT_EQ(pull(2, model::Duty::connection).at(0).needs, needs);
}

TEST_F(DeclaredQueue, ThatIsUsedDoesNotEndUnused) {
  model::QueuePolicy policy;
  policy.expires = Duration(1000);
  declare(policy);
  core_.pass(Duration(900));
  declare(policy);
  core_.pass(Duration(900));
  core_.apply(model::GetQueue{"q", true});
  core_.pass(Duration(900));
  EXPECT_TRUE(exists());  // Somebody only looks.
  core_.pass(Duration(200));
  EXPECT_FALSE(exists());
}

TEST_F(DeclaredQueue, IsGoneAfterARestartIfItIsNotDurable) {
  model::QueuePolicy policy;
  policy.is_durable = false;
  declare(policy);
  const model::JobId id = core_.push("q");
  core_.restart(Duration(1));
  EXPECT_FALSE(exists());
  EXPECT_EQ(TestCore::error_of(core_.apply(model::GetJob{id})), ErrorCode::no_job);
}

TEST_F(DeclaredQueue, EndsThoseThatWaitForAForgottenJob) {
  declare({});
  const model::JobId forgotten = push_transient();
  model::PushOptions options;
  options.after = {{forgotten, false}};
  const model::JobId waits = core_.push("q", &options);
  core_.restart(Duration(1));
  EXPECT_EQ(core_.state(waits), JobState::dead);
}

TEST_F(DeclaredQueue, KeepsItsPolicyOverARestart) {
  model::QueuePolicy policy;
  policy.overflow = model::Overflow::reject_dead_letter;
  policy.priority_max = 9;
  policy.ttl_max = Duration(5);
  policy.is_ttl_for_started = true;
  policy.is_length_of_ready = true;
  policy.max_bytes = 77;
  policy.dead_letter_exchange = "";
  policy.dead_letter_key = "dead";
  policy.drops_dead = true;
  policy.expires = Duration(9'000'000);
  policy.is_auto_delete = true;
  policy.arguments = "arguments";
  declare(policy);
  core_.restart(Duration(1));
  const model::Answer answer = core_.apply(model::GetQueue{"q"});
  EXPECT_EQ(std::get<std::unique_ptr<model::QueueInfo>>(answer)->policy, policy);
}

}  // namespace
}  // namespace sluice::core
