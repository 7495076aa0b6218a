// Committer: writes one batch while the engine applies the next. ThreadCommitter, the journal's own
// thread, is what a server has; the simulator decides itself when a batch is written.
#pragma once

#include "io/parker.h"
#include "journal/log.h"

#include <atomic>
#include <functional>
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

/// Called by whoever takes the engine's turn (engine.cc), one thread at a time.
class Committer {
 public:
  virtual ~Committer() = default;
  /// Requires !is_busy().
  virtual void start(journal::Batch batch, journal::Sync sync) = 0;
  /// A batch was started and take() has not returned it yet.
  virtual bool is_busy() const = 0;
  /// The batch that was started, once it is written.
  virtual std::optional<Written> take() = 0;
  /// Waits for a batch under way (its result stays for take()). Nothing is started afterwards.
  virtual void stop() = 0;
};

class ThreadCommitter final : public Committer {
 public:
  /// `log` outlives this. `on_written` is called on the committer's thread after each batch: there
  /// or elsewhere, but one thread at a time, take() and start() are called then.
  ThreadCommitter(journal::Log& log, std::function<void()> on_written);
  /// Requires stop().
  ~ThreadCommitter() override;

  void start(journal::Batch batch, journal::Sync sync) override;

  bool is_busy() const override {
    return turn_.load(std::memory_order_acquire) == Turn::journal || written_.has_value();
  }

  std::optional<Written> take() override;
  void stop() override;

 private:
  /// Whose batch_, sync_ and written_ are.
  enum class Turn : std::uint8_t { engine, journal };

  void run();

  journal::Log& log_;
  std::function<void()> on_written_;
  std::atomic<Turn> turn_{Turn::engine};
  journal::Batch batch_;
  journal::Sync sync_ = journal::Sync::yes;
  std::optional<Written> written_;
  std::atomic<bool> is_stopping_{false};
  Parker parker_;  ///< The journal's thread parks between its turns.
  std::thread thread_;
};

}  // namespace sluice::engine
