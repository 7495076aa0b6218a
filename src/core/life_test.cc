// Turns of a job's life that people order: redrive, purge, delete; and what a dead letter leaves
// behind.
#include "core/test_core.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

using model::JobState;

class Life : public testing::Test {
 protected:
  model::JobId push_with_ttl(std::uint32_t attempts) {
    model::PushOptions options;
    options.ttl = Duration(1000);
    options.max_attempts = attempts;
    return core_.push("mail", &options);
  }

  void kill_next(std::string_view queue) {
    const model::Delivery job = core_.pull(queue);
    core_.apply(model::Fail{job.id, job.token, "no", {}, true});
  }

  TestCore core_;
};

TEST_F(Life, ARedrivenJobHasItsWholeTtlAgain) {
  const model::JobId id = push_with_ttl(1);
  kill_next("mail");
  core_.pass(Duration(5000));
  core_.apply(model::RedriveDead{"mail", {id}});
  core_.pass(Duration(900));
  EXPECT_EQ(core_.state(id), JobState::ready);
  core_.pass(Duration(200));
  EXPECT_EQ(core_.state(id), JobState::expired);
}

TEST_F(Life, ADeadLetterDoesNotExpireInItsNewQueue) {
  auto change = std::make_shared<model::PolicyChange>();
  change->dead_letter = "graveyard";
  core_.apply(model::SetQueue{"mail", change});
  const model::JobId id = push_with_ttl(1);
  kill_next("mail");
  core_.pass(Duration(5000));
  const model::Delivery job = core_.pull("graveyard");
  EXPECT_EQ(job.id, id);
  core_.apply(model::Release{job.id, job.token, Duration(0)});
  core_.pass(Duration(5000));
  EXPECT_EQ(core_.state(id), JobState::ready);
}

TEST_F(Life, ALeaseWithoutAWorkersNameForgetsTheOneBefore) {
  const model::JobId id = core_.push("mail");
  const model::Delivery first = core_.pull("mail", "ada");
  core_.apply(model::Release{first.id, first.token, Duration(0)});
  core_.pull("mail");
  EXPECT_EQ(core_.info(id).worker, "");
}

TEST_F(Life, ARestartDoesNotLengthenALeaseByTheIdleTimeBeforeIt) {
  model::PushOptions options;
  options.timeout = std::chrono::hours(2);
  const model::JobId id = core_.push("mail", &options);
  core_.pull("mail");
  for (int second = 0; second < 3600; ++second)
    core_.pass(std::chrono::seconds(1));
  core_.restart(std::chrono::minutes(10));
  core_.pass(std::chrono::minutes(59));
  EXPECT_EQ(core_.state(id), JobState::leased);
  core_.pass(std::chrono::minutes(1) + model::time_mark_period + Duration(2));
  EXPECT_EQ(core_.state(id), JobState::ready);
}

TEST_F(Life, WhoeverAwaitsAJobIsToldWhenItIsPurged) {
  const model::JobId id = core_.push("mail");
  EXPECT_TRUE(core_.replies(7, model::Await{id, Duration(60'000)}).empty());
  const auto replies = core_.replies(8, model::PurgeQueue{"mail"});
  ASSERT_EQ(replies.size(), 2u);
  for (const model::Reply& reply : replies) {
    if (reply.ticket == model::Ticket(8)) continue;
    EXPECT_EQ(reply.ticket, model::Ticket(7));
    EXPECT_EQ(TestCore::error_of(reply.answer), ErrorCode::no_job);
  }
  EXPECT_TRUE(core_.pass(Duration(120'000)).empty()) << "nobody is answered twice";
}

TEST_F(Life, WhoeverAwaitsALeasedJobIsToldWhenItsQueueIsDeleted) {
  const model::JobId id = core_.push("mail");
  core_.pull("mail");
  EXPECT_TRUE(core_.replies(7, model::Await{id, Duration(60'000)}).empty());
  EXPECT_EQ(core_.replies(8, model::DeleteQueue{"mail", true}).size(), 2u);
}

TEST_F(Life, OneListingExaminesABoundedNumberOfJobsAndGoesOnFromItsCursor) {
  model::PushOptions options;
  options.keep = Duration(std::chrono::hours(1));
  const std::size_t jobs = model::list_examined_max + 5;
  for (std::size_t job = 0; job < jobs; ++job)
    core_.push("mail", &options);
  const model::JobId last = core_.push("mail", &options);
  for (std::size_t job = 0; job < jobs; ++job) {
    const model::Delivery each = core_.pull("mail");
    core_.apply(model::Ack{each.id, each.token, {}});
  }
  core_.apply(model::Cancel{last});
  model::ListJobs list;
  list.queue = "mail";
  list.state = JobState::cancelled;
  list.count = 10;
  const model::Answer first = core_.apply(list);
  const model::JobList& none = *std::get<std::unique_ptr<model::JobList>>(first);
  EXPECT_TRUE(none.jobs.empty());
  ASSERT_NE(none.cursor, model::JobId());
  list.cursor = none.cursor;
  const model::Answer second = core_.apply(list);
  const model::JobList& found = *std::get<std::unique_ptr<model::JobList>>(second);
  ASSERT_EQ(found.jobs.size(), 1u);
  EXPECT_EQ(found.jobs[0].id, last);
  EXPECT_EQ(found.cursor, model::JobId());
}

TEST_F(Life, AListingOfOneStateDoesNotGoOnFromAJobOfAnother) {
  model::PushOptions options;
  options.keep = Duration(std::chrono::hours(1));
  const model::JobId id = core_.push("mail", &options);
  core_.apply(model::Cancel{id});
  model::ListJobs list;
  list.queue = "mail";
  list.state = JobState::ready;
  list.cursor = id;
  EXPECT_EQ(TestCore::error_of(core_.apply(list)), ErrorCode::no_job);
  list.state = JobState::cancelled;
  EXPECT_TRUE(std::holds_alternative<std::unique_ptr<model::JobList>>(core_.apply(list)));
}

TEST_F(Life, AListingSaysHowOldAndHowNewItsJobsMayBe) {
  core_.push("mail");
  model::ListJobs list;
  list.queue = "mail";
  const model::Answer all = core_.apply(list);
  EXPECT_EQ(std::get<std::unique_ptr<model::JobList>>(all)->created_from, Time::min());
  EXPECT_EQ(std::get<std::unique_ptr<model::JobList>>(all)->created_to, core_.now().time);
  list.older_than = Duration(10);
  list.newer_than = Duration(60);
  const model::Answer some = core_.apply(list);
  EXPECT_EQ(std::get<std::unique_ptr<model::JobList>>(some)->created_from,
            core_.now().time - Duration(60));
  EXPECT_EQ(std::get<std::unique_ptr<model::JobList>>(some)->created_to,
            core_.now().time - Duration(10));
}

TEST_F(Life, WhoeverAwaitsAJobAndLeavesIsNotToldAndOthersAre) {
  const model::JobId id = core_.push("mail");
  for (std::uint64_t ticket = 1; ticket <= 4; ++ticket)
    EXPECT_TRUE(core_.replies(ticket, model::Await{id, Duration(100)}).empty());
  EXPECT_TRUE(core_.replies(9, model::Abandon{model::Ticket(2), model::Ticket(3)}).empty());
  const auto replies = core_.pass(Duration(200));
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_EQ(replies[1].ticket, model::Ticket(4));
}

TEST_F(Life, AKeyWhoseJobIsGoneCannotBeReplacedWithinItsWindow) {
  model::PushOptions options;
  options.unique_key = "a key";
  options.unique_window = Duration(60'000);
  options.on_conflict = model::OnConflict::replace;
  options.keep = Duration(0);
  core_.push("mail", &options);
  const model::Delivery job = core_.pull("mail");
  core_.apply(model::Ack{job.id, job.token, {}});
  const model::Answer answer = core_.apply(model::Push{"mail", "type", "payload", &options});
  EXPECT_EQ(TestCore::error_of(answer), ErrorCode::exists);
}

TEST_F(Life, AnAckOfAJobThatIsNotKeptWritesThatItIsGoneAndNothingElse) {
  model::PushOptions options;
  options.keep = Duration(0);
  const model::JobId id = core_.push("mail", &options);
  const model::Delivery job = core_.pull("mail");
  EXPECT_TRUE(
      std::holds_alternative<model::Done>(core_.apply(model::Ack{job.id, job.token, "fine"})));
  Buffer gone;
  put_gone(gone, id);
  EXPECT_EQ(core_.written_bytes(), gone.size());
  core_->check_invariants();
  core_.restart(Duration(0));
  EXPECT_EQ(TestCore::error_of(core_.apply(model::GetJob{id})), ErrorCode::no_job);
}

TEST_F(Life, NobodyWaitsForAJobThatHadEndedAndEndsAgain) {
  model::PushOptions options;
  options.keep = Duration(0);
  options.max_attempts = 1;
  const model::JobId id = core_.push("mail", &options);
  kill_next("mail");
  model::PushOptions behind;
  behind.after.push_back({id, true});
  core_.push("later", &behind);
  core_.apply(model::RedriveDead{"mail", {id}});
  const model::Delivery job = core_.pull("mail");
  core_.apply(model::Ack{job.id, job.token, {}});
  Buffer gone;
  put_gone(gone, id);
  EXPECT_EQ(core_.written_bytes(), gone.size());
}

TEST_F(Life, WhoeverAwaitsAJobThatIsNotKeptIsToldHowItEnded) {
  model::PushOptions options;
  options.keep = Duration(0);
  const model::JobId id = core_.push("mail", &options);
  const model::Delivery job = core_.pull("mail");
  EXPECT_TRUE(core_.replies(7, model::Await{id, Duration(60'000)}).empty());
  for (const model::Reply& reply : core_.replies(8, model::Ack{job.id, job.token, "fine"})) {
    if (reply.ticket == model::Ticket(8)) continue;
    EXPECT_EQ(reply.ticket, model::Ticket(7));
    const auto& told = std::get<std::unique_ptr<model::JobInfo>>(reply.answer);
    EXPECT_EQ(told->state, JobState::succeeded);
    return;
  }
  FAIL() << "nobody was told";
}

TEST_F(Life, AJobBehindOneThatIsNotKeptStarts) {
  model::PushOptions options;
  options.keep = Duration(0);
  model::PushOptions behind;
  behind.after.push_back({core_.push("mail", &options)});
  const model::JobId later = core_.push("mail", &behind);
  EXPECT_EQ(core_.state(later), JobState::waiting);
  const model::Delivery job = core_.pull("mail");
  core_.apply(model::Ack{job.id, job.token, {}});
  EXPECT_EQ(core_.state(later), JobState::ready);
}

}  // namespace
}  // namespace sluice::core
