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

  TestCore core_;
};

TEST_F(WaitingPulls, AreServedInTheOrderInWhichTheyCame) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  EXPECT_TRUE(pull(2, Duration(100)).empty());
  core_.push("mail");
  core_.push("mail");
  const auto replies = core_.call([this](Output& out) { core_->dispatch(core_.now(), out); });
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullOfTheSameTurn) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  core_.push("mail");
  const auto replies = pull(2, Duration(100));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_TRUE(has_job(replies[0]));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullThatDoesNotWait) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  core_.push("mail");
  const auto replies = pull(2, Duration(0));
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_TRUE(has_job(replies[0]));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
  EXPECT_TRUE(std::holds_alternative<model::Nothing>(replies[1].answer));
}

}  // namespace
}  // namespace sluice::core
