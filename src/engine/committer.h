// Committer: the journal's own thread, which writes one batch while the engine applies the next.
#pragma once

#include "journal/log.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace sluice::engine {

/// A batch that was written, or the error that ends the engine.
struct Written {
  journal::Batch batch;
  Result<void> result;
  std::chrono::microseconds took{0};
};

/// Writes the batch and measures how long that took.
Written write_batch(journal::Log& log, journal::Batch batch, journal::Sync sync);

class Committer {
 public:
  /// `log` outlives this. `on_written` is called on the committer's thread after each batch: it
  /// wakes the engine, which then calls take().
  Committer(journal::Log& log, std::function<void()> on_written);
  /// Requires stop().
  ~Committer();

  /// Requires !is_busy().
  void start(journal::Batch batch, journal::Sync sync);

  /// A batch was started and take() has not returned it yet. Engine thread.
  bool is_busy() const { return is_busy_; }

  /// The batch that was started, once it is written. Engine thread.
  std::optional<Written> take();
  /// Waits for a batch under way (its result stays for take()) and joins the thread.
  void stop();

 private:
  void run();

  journal::Log& log_;
  std::function<void()> on_written_;
  bool is_busy_ = false;  ///< The engine's thread only.
  std::mutex mutex_;      ///< Guards what follows.
  std::condition_variable work_;
  std::optional<journal::Batch> batch_;
  journal::Sync sync_ = journal::Sync::yes;
  std::optional<Written> written_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::engine
