// ThreadCommitter: hand-over of one batch at a time to the thread that writes and syncs.
#include "engine/committer.h"

#include "base/check.h"

#include <utility>

namespace sluice::engine {

Written write_batch(journal::Log& log, journal::Batch batch, journal::Sync sync) {
  const auto begin = std::chrono::steady_clock::now();
  Result<void> result = log.write(batch, sync);
  const auto took = std::chrono::steady_clock::now() - begin;
  return Written{std::move(batch),
                 std::move(result),
                 std::chrono::duration_cast<std::chrono::microseconds>(took)};
}

ThreadCommitter::ThreadCommitter(journal::Log& log, std::function<void()> on_written)
    : log_(log), on_written_(std::move(on_written)), thread_([this] { run(); }) {}

ThreadCommitter::~ThreadCommitter() {
  check(!thread_.joinable());
}

void ThreadCommitter::start(journal::Batch batch, journal::Sync sync) {
  check(!is_busy_);
  is_busy_ = true;
  {
    const std::lock_guard lock(mutex_);
    batch_ = std::move(batch);
    sync_ = sync;
  }
  work_.notify_one();
}

std::optional<Written> ThreadCommitter::take() {
  if (!is_busy_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (!written_) return std::nullopt;
  is_busy_ = false;
  return std::exchange(written_, std::nullopt);
}

void ThreadCommitter::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ThreadCommitter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return batch_.has_value() || is_stopping_; });
    if (!batch_) return;
    journal::Batch batch = std::move(*batch_);
    batch_.reset();
    const journal::Sync sync = sync_;
    lock.unlock();
    Written written = write_batch(log_, std::move(batch), sync);
    lock.lock();
    written_ = std::move(written);
    lock.unlock();
    on_written_();
    lock.lock();
  }
}

}  // namespace sluice::engine
