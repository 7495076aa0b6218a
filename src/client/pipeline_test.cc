// Tests of the pipeline: order, breaks, deadlines and abandoned calls, without a network or a
// clock.

#include "client/pipeline.h"

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime start{};
const Error broken{ErrorCode::closed, "the connection broke"};

/// Keeps what it was told.
class Kept final : public Call {
 public:
  using Call::Call;

  void finish(Reply reply) override {
    ++finished;
    result = std::move(reply);
  }

  int finished = 0;
  Reply result;
};

class PipelineTest : public testing::Test {
 protected:
  std::shared_ptr<Kept> submit(Request request, SteadyTime deadline = start + 10s) {
    auto call = std::make_shared<Kept>(std::move(request), deadline);
    pipeline_.submit(call);
    return call;
  }

  std::string sent(SteadyTime now = start) {
    std::string out;
    pipeline_.take_output(out, now);
    return out;
  }

  Pipeline pipeline_{std::size_t{1} << 20};
};

TEST_F(PipelineTest, RepliesGoToTheCallsInOrderAtAnyCut) {
  const std::string replies = "$1\r\na\r\n*2\r\n:1\r\n$2\r\nbc\r\n+OK\r\n";
  for (std::size_t cut = 0; cut <= replies.size(); ++cut) {
    const auto first = submit(ping().request);
    const auto second = submit(ping().request);
    const auto third = submit(ping().request);
    sent();
    ASSERT_TRUE(pipeline_.feed(replies.substr(0, cut)));
    ASSERT_TRUE(pipeline_.feed(replies.substr(cut)));
    EXPECT_EQ(first->result.values.at(0).text, "a");
    EXPECT_EQ(second->result.values.at(0).items.at(1).text, "bc");
    EXPECT_EQ(third->result.values.at(0).text, "OK");
    ASSERT_TRUE(pipeline_.is_empty());
    ASSERT_EQ(pipeline_.outstanding_bytes(), 0u);
  }
}

TEST_F(PipelineTest, AReplyNobodyAskedForAndBytesThatAreNoReplyBreakTheConnection) {
  EXPECT_EQ(pipeline_.feed("+OK\r\n").error().code, ErrorCode::protocol);
  submit(ping().request);
  sent();
  EXPECT_EQ(pipeline_.feed("HTTP/1.1 200 OK\r\n").error().code, ErrorCode::protocol);
}

TEST_F(PipelineTest, OutOfBandMessagesAreSkipped) {
  const auto call = submit(ping().request);
  sent();
  ASSERT_TRUE(pipeline_.feed(">1\r\n+news\r\n+PONG\r\n"));
  EXPECT_EQ(call->result.values.at(0).text, "PONG");
}

TEST_F(PipelineTest, ABreakRepeatsWhatMayBeRepeatedAndKeepsWhatWasNotSent) {
  const auto read = submit(job(JobId(1)).request);
  const auto change = submit(cancel(JobId(2)).request);
  sent();
  const auto queued = submit(cancel(JobId(3)).request);
  pipeline_.on_break(broken, start);
  EXPECT_EQ(change->result.problem.value().code, ErrorCode::closed);
  EXPECT_EQ(change->result.problem.value().message,
            "the connection broke; whether CANCEL happened is unknown");
  EXPECT_EQ(read->finished, 0);
  EXPECT_EQ(queued->finished, 0);
  EXPECT_EQ(sent(), job(JobId(1)).request.bytes + cancel(JobId(3)).request.bytes);
}

TEST_F(PipelineTest, HalfAReplyIsForgottenWithItsConnection) {
  const auto call = submit(job(JobId(1)).request);
  sent();
  ASSERT_TRUE(pipeline_.feed("%1\r\n+id\r\n$5\r\n12"));
  pipeline_.on_break(broken, start);
  sent();
  ASSERT_TRUE(pipeline_.feed("%1\r\n+id\r\n+1\r\n"));
  EXPECT_EQ(call->result.values.at(0).items.at(1).text, "1");
}

TEST_F(PipelineTest, AWaitThatIsRepeatedTwiceWaitsForWhatIsLeft) {
  Request request = await(JobId(7), 10s).request;
  const auto call = submit(std::move(request), start + 12s);
  sent();
  pipeline_.on_break(broken, start + 1s);
  EXPECT_EQ(sent(), await(JobId(7), 10s).request.bytes);  // The way's two seconds are not used up.
  pipeline_.on_break(broken, start + 5s);
  EXPECT_EQ(sent(), await(JobId(7), 7s).request.bytes);
}

TEST_F(PipelineTest, ADeadlineEndsACallThatWasSentAsUnknownAndOneThatWasNotAsUnsent) {
  const auto late = submit(cancel(JobId(1)).request, start + 1s);
  sent();
  const auto unsent = submit(cancel(JobId(2)).request, start + 1s);
  const auto later = submit(cancel(JobId(3)).request, start + 2s);
  EXPECT_EQ(pipeline_.next_deadline(), start + 1s);
  EXPECT_TRUE(pipeline_.expire(start + 1s, {ErrorCode::closed, "cannot connect"}));
  EXPECT_EQ(late->result.problem.value().code, ErrorCode::timed_out);
  EXPECT_EQ(unsent->result.problem.value().code, ErrorCode::closed);
  EXPECT_EQ(unsent->result.problem.value().message, "CANCEL was not sent: cannot connect");
  EXPECT_EQ(later->finished, 0);
  EXPECT_EQ(pipeline_.next_deadline(), start + 2s);
  // The late reply is dropped, the next one is the next call's.
  EXPECT_EQ(sent(), cancel(JobId(3)).request.bytes);
  ASSERT_TRUE(pipeline_.feed("+late\r\n+right\r\n"));
  EXPECT_EQ(late->finished, 1);
  EXPECT_EQ(later->result.values.at(0).text, "right");
}

TEST_F(PipelineTest, AnAbandonedCallIsNotFinishedAndKeepsItsPlace) {
  const auto left = submit(ping().request);
  sent();
  const auto unsent = submit(ping().request);
  const auto stays = submit(ping().request);
  EXPECT_TRUE(pipeline_.abandon(*left));
  EXPECT_FALSE(pipeline_.abandon(*unsent));
  EXPECT_FALSE(pipeline_.abandon(*unsent));
  sent();
  ASSERT_TRUE(pipeline_.feed("+left\r\n+stays\r\n"));
  EXPECT_EQ(left->finished, 0);
  EXPECT_EQ(stays->result.values.at(0).text, "stays");
  EXPECT_TRUE(pipeline_.is_empty());
}

TEST_F(PipelineTest, FinishAllEndsEveryCallOnce) {
  const auto one = submit(ping().request);
  sent();
  const auto two = submit(ping().request);
  pipeline_.finish_all(broken);
  EXPECT_EQ(one->finished, 1);
  EXPECT_EQ(two->finished, 1);
  EXPECT_TRUE(pipeline_.is_empty());
  EXPECT_EQ(pipeline_.outstanding_bytes(), 0u);
}

}  // namespace
}  // namespace sluice::client
