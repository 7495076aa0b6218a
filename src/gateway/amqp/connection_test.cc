// Connection between bytes and commands, with the engine's answers given by hand: what it waits
// for. What clients see of each method is tested in tests/amqp.
#include "gateway/amqp/connection.h"

#include "gateway/native/fake_port.h"
#include "wire/amqp/writer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

constexpr const char* queue_name = "mail";

/// A connection with channel 1 open.
class Talk {
 public:
  Talk() {
    connection_.start([] {});
    connection_.input().append(protocol_header);
    ConnectionStartOk start;
    start.mechanism.bytes = "PLAIN";
    start.response.bytes = ByteView("\0guest\0guest", 12);
    say(start, 0);
    say(ConnectionTuneOk{2047, 8192, 0}, 0);
    ConnectionOpen open;
    open.virtual_host.bytes = "/";
    say(open, 0);
    say(ChannelOpen{});
    EXPECT_TRUE(hears<ChannelOpenOk>());
  }

  /// What the engine is asked because of the method.
  template <class M>
  std::vector<engine::Request> say(const M& method, std::uint16_t channel = 1) {
    append_method(connection_.input(), channel, method);
    return keep(connection_.consume());
  }

  /// … because of the bytes.
  std::vector<engine::Request> say_bytes(ByteView bytes) {
    connection_.input().append(bytes);
    return keep(connection_.consume());
  }

  /// What it is asked next.
  std::vector<engine::Request> answer(const engine::Request& request,
                                      model::Answer with,
                                      std::uint32_t count = 1) {
    std::vector<engine::SessionReply> replies;
    replies.emplace_back(request.sequence, std::move(with), Charge(), count);
    connection_.answer_some(replies, 0, SIZE_MAX / 2);
    return keep(connection_.take_requests());
  }

  /// Whether this method is in what was sent since the last call.
  template <class M>
  bool hears() {
    bool is_there = false;
    ByteView left = connection_.output().view();
    while (!left.empty()) {
      const auto size = load_big<std::uint32_t>(left.data() + 3);
      is_there = is_there || method_id(left.substr(frame_head_bytes, size)) == M::id;
      left.remove_prefix(frame_overhead_bytes + size);
    }
    connection_.output().clear();
    return is_there;
  }

  /// The client gets a message, without one behind it.
  void get(std::uint64_t job) {
    BasicGet get;
    get.queue.bytes = queue_name;
    const std::vector<engine::Request> pull = say(get);
    ASSERT_EQ(pull.size(), 1u);
    auto delivered = std::make_unique<model::Delivered>();
    model::Delivery& delivery = delivered->jobs.emplace_back();
    delivery.id = model::JobId(job);
    delivery.token = model::LeaseToken(job);
    delivery.queue = queue_name;
    const std::vector<engine::Request> rest = answer(pull.front(), std::move(delivered));
    ASSERT_EQ(rest.size(), 1u);
    answer(rest.front(), std::make_unique<model::QueueInfo>());
    connection_.output().clear();
  }

 private:
  std::vector<engine::Request> keep(engine::RequestBatch batch) {
    std::vector<engine::Request> requests = batch.requests;
    batches_.push_back(std::move(batch));  // The commands view it.
    return requests;
  }

  Broker broker_;
  native::FakePort port_;
  ConnectionOptions options_;
  Connection connection_{broker_, port_, options_, 1};
  std::vector<engine::RequestBatch> batches_;
};

TEST(AmqpConnection, WaitsForNoAnswerToAnAck) {
  Talk talk;
  talk.get(1);
  const std::vector<engine::Request> acks = talk.say(BasicAck{1, false});
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<model::Ack>(acks[0].command));
  EXPECT_FALSE(acks[0].has_reply);
}

TEST(AmqpConnection, ConfirmsWhatOneReplySaysOfSeveralPublishes) {
  Talk talk;
  talk.say(ConfirmSelect{});
  Buffer bytes;
  for (int number = 0; number < 3; ++number) {
    append_method(bytes, 1, BasicPublish{0, {""}, {queue_name}, number == 1});
    append_content(bytes, 1, {ByteView("\0\0", 2), "body"}, frame_max_min);
  }
  const std::vector<engine::Request> requests = talk.say_bytes(bytes.view());
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_TRUE(requests[0].may_share_reply);
  EXPECT_FALSE(requests[1].may_share_reply);  // Mandatory: it matters whether it went to a queue.
  talk.hears<ConfirmSelectOk>();
  talk.answer(requests[1], model::Routed{model::JobId(2), nullptr}, 2);
  EXPECT_FALSE(talk.hears<BasicAck>());
  talk.answer(requests[0], model::Routed{model::JobId(1), nullptr});
  EXPECT_TRUE(talk.hears<BasicAck>());
  // More than there is, as of a connection that was closed meanwhile.
  talk.answer(requests[0], model::Routed{model::JobId(1), nullptr}, 5);
  EXPECT_FALSE(talk.hears<BasicAck>());
}

/// A message in two pieces: what the first one brought is the connection's until the second comes.
TEST(AmqpConnection, WhatAPublishViewsLivesAsLongAsItsBatch) {
  const auto message = [](const std::string& key, const std::string& body) {
    Buffer bytes;
    append_method(bytes, 1, BasicPublish{0, {""}, {key}});
    append_content(bytes, 1, {ByteView("\x10\0\2", 3), body}, frame_max_min);
    return std::string(bytes.view());
  };
  const std::string key = "the key of the message";
  const std::string body(frame_max_min + 100, 'b');
  const std::string bytes = message(key, body);
  for (const std::size_t cut : {0u, 5u, 30u, 50u, 60u, 80u, 1000u, 4200u, 4250u}) {
    ASSERT_LT(cut, bytes.size());
    Talk talk;
    EXPECT_TRUE(talk.say_bytes(ByteView(bytes).substr(0, cut)).empty());
    const std::vector<engine::Request> requests = talk.say_bytes(ByteView(bytes).substr(cut));
    ASSERT_EQ(requests.size(), 1u) << cut;
    talk.say_bytes(message(std::string(key.size(), 'x'), std::string(body.size(), 'x')));
    const auto& publish = std::get<model::Publish>(requests.front().command);
    EXPECT_EQ(publish.key, key) << cut;
    EXPECT_EQ(publish.job.payload, body) << cut;
    EXPECT_EQ(publish.job.options->headers.back().second, ByteView("\x10\0\2", 3)) << cut;
    EXPECT_FALSE(publish.job.options->is_transient);
  }
}

/// The last one may be refused at once, while those before it are not durable yet.
TEST(AmqpConnection, CommitsWhenTheEngineHasAnsweredEveryAckAndReject) {
  Talk talk;
  talk.say(TxSelect{});
  for (const std::uint64_t job : {1u, 2u, 3u})
    talk.get(job);
  talk.say(BasicAck{2, true});
  talk.say(BasicReject{3, false});
  const std::vector<engine::Request> requests = talk.say(TxCommit{});
  ASSERT_EQ(requests.size(), 3u);
  for (const engine::Request& request : requests)
    EXPECT_TRUE(request.has_reply);
  talk.answer(requests[2], std::make_unique<Error>(Error{ErrorCode::stale, "its lease ended"}));
  EXPECT_FALSE(talk.hears<TxCommitOk>());
  talk.answer(requests[0], model::Done{});
  EXPECT_FALSE(talk.hears<TxCommitOk>());
  talk.answer(requests[1], model::Done{});
  EXPECT_TRUE(talk.hears<TxCommitOk>());
}

}  // namespace
}  // namespace sluice::amqp
