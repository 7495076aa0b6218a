// Life: the engine from its start on a directory to its end, without threads of its own. The
// server's thread (engine.cc) and the simulator (sim/server.cc) drive the same object:
//
//   Result<Restored> restored = restore(directory, clock, options);
//   auto life = Life::begin(std::move(*restored), directory, clock, options, counters, …);
//   for (;;) {
//     (*life)->apply(taken);          // everything that was submitted, then timers and deliveries
//     (*life)->commit(is_idle);       // group commit; replies that may be said
//     … wait for (*life)->idle_for(), something submitted, or a batch written …
//   }
//   (*life)->end();
#pragma once

#include "core/core.h"
#include "engine/committer.h"
#include "engine/cycle.h"
#include "engine/engine.h"
#include "io/clock.h"
#include "io/directory.h"
#include "journal/log.h"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace sluice::engine {

/// The state as the log tells it, before a new epoch begins.
struct Restored {
  std::unique_ptr<journal::Log> log;
  std::unique_ptr<core::Core> core;
};

/// Errors: as journal::Log::open; `corrupt` if a frame is not understood.
Result<Restored> restore(io::Directory& directory, io::Clock& clock, const EngineOptions& options);

/// What is handed to the engine: requests of a session, its end, or a task.
struct Inbound {
  SessionId session{};
  RequestBatch batch{};
  bool is_detach = false;
  std::function<void()> task{};  ///< Runs in the engine's turn instead.
};

class Life {
 public:
  using MakeCommitter = std::function<std::unique_ptr<Committer>(journal::Log&)>;

  /// Makes a new epoch durable. All that is borrowed outlives the life. Error `io`.
  static Result<std::unique_ptr<Life>> begin(Restored restored,
                                             io::Directory& directory,
                                             io::Clock& clock,
                                             const EngineOptions& options,
                                             Counters& counters,
                                             const MakeCommitter& make_committer,
                                             Send send);

  /// Journal time and calendar time. Any thread.
  Now now() const;

  /// The first half of a turn: what was written, what was submitted, what is due.
  void apply(std::vector<Inbound>& taken);
  /// The second half. `is_idle`: nothing else is waiting to be applied.
  void commit(bool is_idle);

  /// How long nothing needs to be done unless something is submitted or written. None: no limit.
  std::optional<Duration> idle_for() const { return cycle_->idle_for(now()); }

  /// How often a turn is to look at the free space of the disk, at least.
  static constexpr Duration space_check = std::chrono::seconds(1);

  /// False: nothing more is to be taken until the disk has caught up.
  bool has_room() const { return cycle_->has_room(); }

  /// Nothing is being written, and the disk is quick: a turn with little to do would be short.
  bool is_at_rest() const { return !committer_->is_busy() && is_disk_quick(); }

  /// The journal's thread writes a batch, and the disk is quick: behind it there is a turn soon.
  bool is_writing_quickly() const { return committer_->is_busy() && is_disk_quick(); }

  std::chrono::microseconds last_sync_took() const { return cycle_->last_sync_took(); }

  /// Waits for a batch under way, syncs everything, releases its replies and ends the log cleanly.
  void end();

  journal::Log& log() { return *log_; }

  const core::Core& core() const { return cycle_->core(); }

  const Committer& committer() const { return *committer_; }

 private:
  static constexpr std::chrono::microseconds quick_sync = std::chrono::milliseconds(2);

  Life(std::unique_ptr<journal::Log> log,
       io::Directory& directory,
       io::Clock& clock,
       const EngineOptions& options,
       Counters& counters)
      : directory_(directory),
        clock_(clock),
        options_(options),
        counters_(counters),
        log_(std::move(log)) {}

  bool is_disk_quick() const { return cycle_->last_sync_took() < quick_sync; }

  void look_at_space(Now now);

  io::Directory& directory_;
  io::Clock& clock_;
  const EngineOptions& options_;
  Counters& counters_;
  Duration time_offset_{0};  ///< Journal time minus time since boot; constant after begin().
  std::unique_ptr<journal::Log> log_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<Cycle> cycle_;
  Time next_space_check_{};
  Now turn_;  ///< The clocks as this turn has read them.
};

}  // namespace sluice::engine
