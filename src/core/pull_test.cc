// Pulls that wait: who gets a job that becomes ready, and in which order.
#include "core/core.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

constexpr Now now{Time(Duration(1000)), WallTime(Duration(1000))};
const std::vector<ByteView> mail_queue{"mail"};

class WaitingPulls : public testing::Test {
 protected:
  WaitingPulls() : core_(model::Limits{}, std::uint16_t{0}) {
    EXPECT_TRUE(core_.finish_restore());
    call([this](Output& out) { core_.boot(now, out); });
  }

  template <class Call>
  std::vector<model::Reply> call(Call run) {
    Buffer facts;
    Output out;
    out.open(facts, Position(1, 64));
    run(out);
    return std::move(out.replies);
  }

  std::vector<model::Reply> apply(std::uint64_t ticket, const model::Command& command) {
    return call([&](Output& out) { core_.apply(command, model::Ticket(ticket), now, out); });
  }

  std::vector<model::Reply> pull(std::uint64_t ticket, Duration wait) {
    model::Pull command;
    command.queues = &mail_queue;
    command.wait = wait;
    return apply(ticket, command);
  }

  void push() { apply(99, model::Push{"mail", "type", "payload", nullptr}); }

  static bool has_job(const model::Reply& reply) {
    return std::holds_alternative<std::unique_ptr<model::Delivered>>(reply.answer);
  }

  Core core_;
};

TEST_F(WaitingPulls, AreServedInTheOrderInWhichTheyCame) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  EXPECT_TRUE(pull(2, Duration(100)).empty());
  push();
  push();
  const auto replies = call([this](Output& out) { core_.dispatch(now, out); });
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullOfTheSameTurn) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  push();
  const auto replies = pull(2, Duration(100));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_TRUE(has_job(replies[0]));
}

TEST_F(WaitingPulls, AreNotOvertakenByAPullThatDoesNotWait) {
  EXPECT_TRUE(pull(1, Duration(100)).empty());
  push();
  const auto replies = pull(2, Duration(0));
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].ticket, model::Ticket(1));
  EXPECT_TRUE(has_job(replies[0]));
  EXPECT_EQ(replies[1].ticket, model::Ticket(2));
  EXPECT_TRUE(std::holds_alternative<model::Nothing>(replies[1].answer));
}

}  // namespace
}  // namespace sluice::core
