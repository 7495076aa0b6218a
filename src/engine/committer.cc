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
  check(!is_busy());
  batch_ = std::move(batch);
  sync_ = sync;
  turn_.store(Turn::journal, std::memory_order_release);
  parker_.unpark();
}

std::optional<Written> ThreadCommitter::take() {
  if (turn_.load(std::memory_order_acquire) == Turn::journal) return std::nullopt;
  return std::exchange(written_, std::nullopt);
}

void ThreadCommitter::stop() {
  is_stopping_.store(true, std::memory_order_release);
  parker_.unpark();
  if (thread_.joinable()) thread_.join();
}

void ThreadCommitter::run() {
  for (;;) {
    // Read first: a batch that was started before the stop is still written.
    const bool is_stopping = is_stopping_.load(std::memory_order_acquire);
    if (turn_.load(std::memory_order_acquire) == Turn::journal) {
      written_ = write_batch(log_, std::move(batch_), sync_);
      turn_.store(Turn::engine, std::memory_order_release);
      on_written_();
    } else if (is_stopping) {
      return;
    } else {
      parker_.park();
    }
  }
}

}  // namespace sluice::engine
