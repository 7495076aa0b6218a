// A session of tests that keeps what it is told, by sequence, until the test takes it.
#pragma once

#include "engine/port.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace sluice::engine {

class TestSession final : public Session {
 public:
  void on_replies(std::vector<SessionReply> replies) override {
    const std::lock_guard lock(mutex_);
    for (SessionReply& reply : replies)
      answers_[reply.sequence] = std::move(reply.answer);
    changed_.notify_all();
  }

  /// The answer to a request; none if it does not come in time, or nothing is to come any more.
  std::optional<model::Answer> take(Sequence sequence,
                                    std::chrono::milliseconds wait = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [&] { return is_over_ || answers_.contains(sequence); });
    const auto found = answers_.find(sequence);
    if (found == answers_.end()) return std::nullopt;
    model::Answer answer = std::move(found->second);
    answers_.erase(found);
    return answer;
  }

  /// Nothing is to come any more, as the engine has failed: ends every take().
  void end() {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Sequence, model::Answer> answers_;
  bool is_over_ = false;
};

}  // namespace sluice::engine
