// Question: a session that asks one thing at a time and waits for the answer. For threads that may
// wait: neither the engine's nor one that serves connections.
//
//   Question question(port);
//   std::optional<model::Answer> answer = question.ask(model::ListQueues{},
//   std::chrono::seconds(5));
#pragma once

#include "engine/port.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace sluice::engine {

class Question {
 public:
  /// `port` outlives this.
  explicit Question(Port& port) : port_(port), id_(port.attach(answers_)) {}

  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  ~Question() { port_.detach(id_); }

  /// Nothing: there was no answer in this time. What the command views is in `batch`, or lives
  /// longer than this.
  std::optional<model::Answer> ask(model::Command command,
                                   std::chrono::milliseconds at_most,
                                   RequestBatch batch = {}) {
    batch.requests.push_back({++last_, std::move(command)});
    port_.submit(id_, std::move(batch));
    return answers_->wait(last_, at_most);
  }

 private:
  class Answers final : public Session {
   public:
    void on_replies(std::vector<SessionReply> replies) override {
      const std::lock_guard lock(mutex_);
      for (SessionReply& reply : replies)
        reply_ = std::move(reply);
      has_come_.notify_one();
    }

    std::optional<model::Answer> wait(Sequence sequence, std::chrono::milliseconds at_most) {
      std::unique_lock lock(mutex_);
      const bool has_come =
          has_come_.wait_for(lock, at_most, [&] { return reply_ && reply_->sequence == sequence; });
      if (!has_come) return std::nullopt;
      return std::move(std::exchange(reply_, std::nullopt)->answer);
    }

   private:
    std::mutex mutex_;
    std::condition_variable has_come_;
    std::optional<SessionReply> reply_;
  };

  Port& port_;
  std::shared_ptr<Answers> answers_ = std::make_shared<Answers>();
  SessionId id_;
  Sequence last_ = 0;
};

}  // namespace sluice::engine
