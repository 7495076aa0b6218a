// Pulls that wait: who gets a job that becomes ready, and in which order.
#include "core/test_core.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

const std::vector<ByteView> mail_queue{"mail"};

class WaitingPulls : public testing::Test {
 protected:
  std::vector<model::Reply> pull(std::uint64_t ticket, Duration wait) {
    model::Pull command;
    command.queues = &mail_queue;
    command.wait = wait;
    return core_.replies(ticket, command);
  }

  static bool has_job(const model::Reply& reply) {
    return std::holds_alternative<std::unique_ptr<model::Delivered>>(reply.answer);
  }

  std::vector<model::Reply> dispatch(std::uint64_t bytes_budget = ~std::uint64_t{0}) {
    return core_.call(
        [&](Output& out) { has_more_ = core_->dispatch(core_.now(), bytes_budget, out); });
  }

  TestCore core_;
  bool has_more_ = false;
};

TEST_F(WaitingPulls, AreServedInTheOrderInWhichTheyCame) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  EXPECT_TRUE(pull(2, Duration(100)).empty());
  core_.push("mail");
  core_.push("mail");
  const auto replies = dispatch();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullOfTheSameTurn) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  core_.push("mail");
  EXPECT_TRUE(pull(2, Duration(100)).empty());
  const auto replies = dispatch();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_TRUE(has_job(replies[0]));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullThatDoesNotWait) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  core_.push("mail");
  EXPECT_TRUE(pull(2, Duration(0)).empty());
  EXPECT_EQ(dispatch().size(), 1u);
  const auto replies = core_.pass(Duration(1));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(2));
  EXPECT_TRUE(std::holds_alternative<model::Nothing>(replies[0].answer));
}

TEST_F(WaitingPulls, HandOutAtMostTheirLimitOfBytes) {
  const std::string large(16u << 20, 'x');
  for (int job = 0; job < 5; ++job)
    core_.apply(model::Push{"mail", "type", large, nullptr});
  model::Pull command;
  command.queues = &mail_queue;
  command.count = 100;
  const model::Answer answer = core_.apply(command);
  EXPECT_EQ(std::get<std::unique_ptr<model::Delivered>>(answer)->jobs.size(), 4u);
}

TEST_F(WaitingPulls, ThatStayEndWithTheirBytesAndSayWhatIsLeftOfTheirCount) {
  model::Pull command;
  command.queues = &mail_queue;
  command.wait = duration_max;
  command.count = 10;
  command.stay_bytes = 1u << 20;
  EXPECT_TRUE(core_.replies(1, command).empty());
  const std::string half(command.stay_bytes / 2, 'x');
  const auto unused_after_a_push = [&] {
    core_.apply(model::Push{"mail", "type", half, nullptr});
    const auto replies = dispatch();
    return std::get<std::unique_ptr<model::Delivered>>(replies.at(0).answer)->unused;
  };
  EXPECT_EQ(unused_after_a_push(), 0u);
  EXPECT_EQ(unused_after_a_push(), 8u);
  core_.push("mail");
  EXPECT_TRUE(dispatch().empty());
}

TEST_F(WaitingPulls, ThatStayAreNotGivenMoreThanTheirBytesAtOnce) {
  for (int job = 0; job < 5; ++job)
    core_.push("mail");
  model::Pull command;
  command.queues = &mail_queue;
  command.count = 10;
  command.stay_bytes = 1;
  const model::Answer answer = core_.apply(command);
  const auto& delivered = *std::get<std::unique_ptr<model::Delivered>>(answer);
  EXPECT_EQ(delivered.jobs.size(), 1u);
  EXPECT_EQ(delivered.unused, 9u);
}

TEST_F(WaitingPulls, BehindOthersInOneQueueAreServedFromAnother) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  core_.push("mail");
  const model::JobId other = core_.push("print");
  const std::vector<ByteView> both{"mail", "print"};
  model::Pull command;
  command.queues = &both;
  EXPECT_TRUE(core_.replies(2, command).empty());
  const auto replies = dispatch();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(std::get<std::unique_ptr<model::Delivered>>(replies[1].answer)->jobs.at(0).id, other);
}

TEST_F(WaitingPulls, AreServedAsFarAsTheirBytesHaveRoomAndTheRestLater) {
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket)
    EXPECT_TRUE(pull(ticket, Duration(100)).empty());
  for (int job = 0; job < 3; ++job)
    core_.push("mail");
  EXPECT_TRUE(dispatch(0).empty());
  EXPECT_TRUE(has_more_);
  EXPECT_EQ(dispatch(1).size(), 1u);
  EXPECT_TRUE(has_more_);
  EXPECT_EQ(dispatch().size(), 2u);
  EXPECT_FALSE(has_more_);
}

TEST_F(WaitingPulls, MayNameAQueueTwiceAndWaitInItOnce) {
  const std::vector<ByteView> twice{"mail", "mail"};
  model::Pull command;
  command.queues = &twice;
  command.wait = Duration(100);
  EXPECT_TRUE(core_.replies(1, command).empty());
  const model::Answer answer = core_.apply(model::GetQueue{"mail"});
  EXPECT_EQ(std::get<std::unique_ptr<model::QueueInfo>>(answer)->waiting_pulls, 1u);
}

TEST_F(WaitingPulls, OfAClientThatLeavesAreForgottenAndThoseOfOthersWaitOn) {
  for (std::uint64_t ticket = 1; ticket <= 4; ++ticket)
    EXPECT_TRUE(pull(ticket, Duration(100)).empty());
  EXPECT_TRUE(core_.replies(9, model::Abandon{model::Ticket(2), model::Ticket(3)}).empty());
  const auto replies = core_.pass(Duration(200));
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_EQ(replies[1].ticket, model::Ticket(4));
}

}  // namespace
}  // namespace sluice::core
