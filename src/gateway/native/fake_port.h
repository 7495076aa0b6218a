// For tests: a Port that answers from a function, and an engine that is one at a distance.
#pragma once

#include "engine/port.h"

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::native {

class FakePort final : public engine::Port {
 public:
  /// Called for each request, one at a time; unset: no answer now (see answer()).
  using Script = std::function<std::optional<model::Answer>(const model::Command&)>;

  explicit FakePort(Script script = {}) : script_(std::move(script)) {}

  engine::SessionId attach(std::shared_ptr<engine::Session> session) override {
    const std::lock_guard lock(mutex_);
    const engine::SessionId id(++last_id_);
    last_session_ = session;
    sessions_[id] = std::move(session);
    return id;
  }

  void detach(engine::SessionId session) override {
    std::shared_ptr<engine::Session> keep;  // Dies outside of the lock.
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    keep = std::move(found->second);
    sessions_.erase(found);
  }

  void submit(engine::SessionId session, engine::RequestBatch batch) override {
    const std::lock_guard lock(mutex_);
    std::vector<engine::SessionReply> replies;
    for (const engine::Request& request : batch.requests) {
      if (const auto* release = std::get_if<model::Release>(&request.command)) {
        released_.push_back(*release);
      }
      std::optional<model::Answer> answer;
      if (script_) answer = script_(request.command);
      if (answer) {
        replies.push_back({request.sequence, std::move(*answer)});
      } else {
        waiting_.emplace_back(session, request.sequence);
      }
    }
    const auto found = sessions_.find(session);
    if (found != sessions_.end() && !replies.empty()) found->second->on_replies(std::move(replies));
  }

  const engine::Counters& counters() const override { return counters_; }

  Now now() const override {
    return {Time(Duration(1'000)), WallTime(Duration(1'700'000'001'000))};
  }

  Result<engine::BackupDone> backup(std::string directory) override {
    if (directory == "/exists") return fail(ErrorCode::arg, "/exists exists");
    return engine::BackupDone{4096, 2};
  }

  /// Answers the oldest request that the script left open; false if there is none.
  bool answer_oldest(model::Answer answer) {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return false;
    const auto [session, sequence] = waiting_.front();
    waiting_.erase(waiting_.begin());
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return true;
    std::vector<engine::SessionReply> replies;
    replies.push_back({sequence, std::move(answer)});
    found->second->on_replies(std::move(replies));
    return true;
  }

  /// The oldest open request will get no answer.
  void forget_oldest() {
    const std::lock_guard lock(mutex_);
    waiting_.erase(waiting_.begin());
  }

  /// The session that was attached last, for a test that answers it after it left.
  std::shared_ptr<engine::Session> last_session() const {
    const std::lock_guard lock(mutex_);
    return last_session_.lock();
  }

  std::vector<model::Release> released() const {
    const std::lock_guard lock(mutex_);
    return released_;
  }

  std::size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }

  std::size_t sessions() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
  }

 private:
  mutable std::mutex mutex_;
  Script script_;
  std::uint32_t last_id_ = 0;
  std::map<engine::SessionId, std::shared_ptr<engine::Session>> sessions_;
  std::weak_ptr<engine::Session> last_session_;
  std::vector<std::pair<engine::SessionId, engine::Sequence>> waiting_;
  std::vector<model::Release> released_;
  engine::Counters counters_;
};

/// A PULL's answer with one job.
inline model::Answer delivered(std::uint64_t id, std::uint64_t token, ByteView payload) {
  auto answer = std::make_unique<model::Delivered>();
  answer->bytes = "mailemail";
  answer->bytes += payload;
  const ByteView bytes = answer->bytes;
  model::Delivery job;
  job.id = model::JobId(id);
  job.token = model::LeaseToken(token);
  job.attempt = 1;
  job.deadline = Time(Duration(31'000));
  job.queue = bytes.substr(0, 4);
  job.type = bytes.substr(4, 5);
  job.payload = bytes.substr(9);
  answer->jobs.push_back(job);
  return answer;
}

}  // namespace sluice::native
