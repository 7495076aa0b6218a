// Commands on a whole queue touch a bounded number of jobs a step, and say whether more are left.
#include "core/test_core.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

constexpr std::uint64_t step_jobs = 10'000;  // As in queues.cc.

class Steps : public testing::Test {
 protected:
  /// One job more than a step takes.
  Steps() {
    for (std::uint64_t job = 0; job <= step_jobs; ++job)
      core_.push("mail");
  }

  void lease_all() {
    for (std::uint64_t job = 0; job <= step_jobs; ++job)
      core_.pull("mail");
  }

  void kill_all() {
    for (std::uint64_t job = 0; job <= step_jobs; ++job) {
      const model::Delivery each = core_.pull("mail");
      core_.apply(model::Fail{each.id, each.token, "no", {}, true});
    }
  }

  /// Two steps of the command do all there is.
  void expect_two_steps(const model::Command& command) {
    const auto first = std::get<model::Counted>(core_.apply(command));
    EXPECT_EQ(first.count, step_jobs);
    EXPECT_TRUE(first.more);
    const auto second = std::get<model::Counted>(core_.apply(command));
    EXPECT_EQ(second.count, 1u);
    EXPECT_FALSE(second.more);
    core_->check_invariants();
  }

  std::uint64_t jobs_in(model::JobState state) {
    const model::Answer answer = core_.apply(model::GetQueue{"mail"});
    return std::get<std::unique_ptr<model::QueueInfo>>(answer)
        ->jobs[static_cast<std::size_t>(state)];
  }

  TestCore core_;
};

TEST_F(Steps, OfAQueueThatEndsUnused) {
  model::QueuePolicy policy;
  policy.expires = Duration(1000);
  core_.apply(model::DeclareQueue{"unused", std::make_shared<model::QueuePolicy>(policy)});
  for (std::uint64_t job = 0; job <= step_jobs; ++job)
    core_.push("unused");
  core_.pass(Duration(900));
  EXPECT_TRUE(std::holds_alternative<model::Counted>(
      core_.apply(model::PurgeQueue{"mail"})));  // Another one; this is no use of it.
  core_.pass(Duration(200));
  EXPECT_EQ(TestCore::error_of(core_.apply(model::GetQueue{"unused"})), ErrorCode::no_queue);
  core_->check_invariants();
}

TEST_F(Steps, OfAPurge) {
  expect_two_steps(model::PurgeQueue{"mail"});
  EXPECT_EQ(jobs_in(model::JobState::ready), 0u);
}

TEST_F(Steps, OfADeletionAndTheLastOneTakesTheQueue) {
  lease_all();
  EXPECT_EQ(TestCore::error_of(core_.apply(model::DeleteQueue{"mail"})), ErrorCode::busy);
  expect_two_steps(model::DeleteQueue{"mail", true});
  EXPECT_EQ(TestCore::error_of(core_.apply(model::GetQueue{"mail"})), ErrorCode::no_queue);
}

TEST_F(Steps, OfARedrive) {
  kill_all();
  expect_two_steps(model::RedriveDead{"mail", {}});
  EXPECT_EQ(jobs_in(model::JobState::ready), step_jobs + 1);
}

TEST_F(Steps, OfADeletionOfDeadJobs) {
  kill_all();
  expect_two_steps(model::DeleteDead{"mail", {}});
  EXPECT_EQ(jobs_in(model::JobState::dead), 0u);
}

}  // namespace
}  // namespace sluice::core
