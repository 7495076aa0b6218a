// Every limit of the core at its maximum and one beyond: taken, then refused with an error that
// names the field and the limit, and nothing has changed.
#include "core/test_core.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class CoreLimits : public testing::Test {
 protected:
  void start(const model::Limits& limits) { core_ = std::make_unique<TestCore>(limits); }

  model::Answer apply(const model::Command& command) { return core_->apply(command); }

  bool takes(const model::Push& push) { return std::holds_alternative<model::Pushed>(apply(push)); }

  /// Expects a refusal without a fact; the message must hold all of `words`.
  void expect_refusal(const model::Command& command,
                      ErrorCode code,
                      const std::vector<std::string>& words) {
    const model::Answer answer = apply(command);
    const auto* error = std::get_if<std::unique_ptr<Error>>(&answer);
    ASSERT_NE(error, nullptr);
    EXPECT_EQ((*error)->code, code) << (*error)->message;
    for (const std::string& word : words) {
      EXPECT_NE((*error)->message.find(word), std::string::npos) << (*error)->message;
    }
    EXPECT_FALSE(core_->has_written());
  }

  std::unique_ptr<TestCore> core_;
};

TEST_F(CoreLimits, Payload) {
  model::Limits limits;
  limits.payload_bytes_max = 100;
  start(limits);
  const std::string most(100, 'x');
  EXPECT_TRUE(takes({"q", "t", most, nullptr}));
  expect_refusal(
      model::Push{"q", "t", most + "x", nullptr}, ErrorCode::too_big, {"payload", "101", "100"});
}

TEST_F(CoreLimits, Result) {
  model::Limits limits;
  limits.payload_bytes_max = 100;
  start(limits);
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  const std::vector<ByteView> queues{"q"};
  model::Pull pull;
  pull.queues = &queues;
  const model::Answer answer = apply(pull);
  const auto& job = std::get<std::unique_ptr<model::Delivered>>(answer)->jobs.at(0);
  const std::string most(100, 'r');
  expect_refusal(
      model::Ack{job.id, job.token, most + "r"}, ErrorCode::too_big, {"result", "101", "100"});
  EXPECT_TRUE(std::holds_alternative<model::Done>(apply(model::Ack{job.id, job.token, most})));
}

TEST_F(CoreLimits, Headers) {
  model::Limits limits;
  limits.headers_bytes_max = 10;
  start(limits);
  model::PushOptions options;
  options.headers = {{"12345", "67890"}};
  EXPECT_TRUE(takes({"q", "t", "p", &options}));
  options.headers = {{"12345", "67890"}, {"", "1"}};
  expect_refusal(model::Push{"q", "t", "p", &options}, ErrorCode::too_big, {"headers", "11", "10"});
}

TEST_F(CoreLimits, Names) {
  start({});
  const std::string name(model::queue_name_bytes_max, 'q');
  const std::string type(model::type_bytes_max, 't');
  EXPECT_TRUE(takes({name, type, "p", nullptr}));
  expect_refusal(
      model::Push{name + "q", "t", "p", nullptr}, ErrorCode::arg, {"queue", "255", "256"});
  expect_refusal(model::Push{"", "t", "p", nullptr}, ErrorCode::arg, {"queue"});
  expect_refusal(model::Push{"a/b", "t", "p", nullptr}, ErrorCode::arg, {"queue"});
  expect_refusal(model::Push{"q", type + "t", "p", nullptr}, ErrorCode::too_big, {"type", "255"});
  expect_refusal(model::Push{"q", "", "p", nullptr}, ErrorCode::arg, {"type"});
}

TEST_F(CoreLimits, NamesHaveLettersDigitsAndDotUnderscoreColonHyphen) {
  start({});
  EXPECT_TRUE(takes({"abcxyzABCXYZ0189._:-", "t", "p", nullptr}));
  // The neighbours of each range in ASCII, and bytes that are no ASCII.
  for (const ByteView byte : {"`", "{", "@", "[", "/", ";", " ", "+", ",", "^", "\x7f", "\xc3"}) {
    expect_refusal(model::Push{byte, "t", "p", nullptr}, ErrorCode::arg, {"letters, digits"});
  }
}

TEST_F(CoreLimits, NamesInAPull) {
  start({});
  const std::vector<ByteView> queues{"fine", "not fine"};
  model::Pull pull;
  pull.queues = &queues;
  expect_refusal(pull, ErrorCode::arg, {"queue", "letters, digits"});
}

TEST_F(CoreLimits, UniqueKey) {
  start({});
  const std::string key(model::key_bytes_max, 'k');
  const std::string longer = key + "k";
  model::PushOptions options;
  options.unique_key = key;
  EXPECT_TRUE(takes({"q", "t", "p", &options}));
  options.unique_key = longer;
  expect_refusal(model::Push{"q", "t", "p", &options}, ErrorCode::too_big, {"unique key", "1024"});
}

TEST_F(CoreLimits, Queues) {
  model::Limits limits;
  limits.queues_max = 2;
  start(limits);
  EXPECT_TRUE(takes({"a", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"b", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"a", "t", "p", nullptr}));
  expect_refusal(model::Push{"c", "t", "p", nullptr}, ErrorCode::busy, {"queues", "2"});
}

TEST_F(CoreLimits, JobsOfAQueue) {
  model::Limits limits;
  limits.queue_jobs_max = 2;
  start(limits);
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  EXPECT_TRUE(takes({"q", "t", "p", nullptr}));
  expect_refusal(model::Push{"q", "t", "p", nullptr}, ErrorCode::busy, {"full", "2"});
  EXPECT_TRUE(takes({"other", "t", "p", nullptr}));
}

TEST_F(CoreLimits, Memory) {
  model::Limits limits;
  limits.memory_bytes_max = 64u << 10;
  start(limits);
  std::size_t jobs = 0;
  while (jobs < 10'000 && takes({"q", "t", "p", nullptr}))
    ++jobs;
  // About 68 bytes a job, whatever its payload.
  EXPECT_GT(jobs, 700u);
  EXPECT_LT(jobs, 1200u);
  expect_refusal(model::Push{"q", "t", "p", nullptr}, ErrorCode::busy, {"memory"});
}

TEST_F(CoreLimits, AQueuedJobCostsAtMostAHundredBytesOfMemory) {
  start({});
  const std::string payload(1000, 'x');
  for (int job = 0; job < 100'000; ++job)
    ASSERT_TRUE(takes({"q", "t", payload, nullptr}));
  EXPECT_LT((*core_)->memory_bytes(), 100u * 100'000u);
}

TEST_F(CoreLimits, HistoryKeepsTheFirstAndTheLatest) {
  Details details;
  for (std::uint16_t attempt = 1; attempt <= 100; ++attempt) {
    add_event(details, {Time(Duration(1000)), model::JobState::retry, attempt, "w", "n"});
  }
  EXPECT_EQ(details.history.size(), model::history_max);
  EXPECT_EQ(details.history.front().attempt, 1);
  EXPECT_EQ(details.history.back().attempt, 100);
}

}  // namespace
}  // namespace sluice::core
