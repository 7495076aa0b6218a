// Server: the real core, journal and engine in one process with simulated time around them. What a
// server's threads do is an event here: a turn of the engine, a batch that is written, replies that
// reach their connections.
#pragma once

#include "engine/life.h"
#include "engine/port.h"
#include "gateway/native/facts.h"
#include "io/memory.h"
#include "sim/history/history.h"
#include "sim/world/clock.h"
#include "sim/world/options.h"
#include "sim/world/trace.h"
#include "sim/world/visit.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sluice::sim {

class Server final : public engine::Port {
 public:
  using Ending = Restart::Kind;

  struct Surroundings {
    const Options& options;
    Schedule& schedule;
    SimulatedClock& clock;
    io::MemoryDirectory& disk;
    History& history;
    Trace& trace;
    /// A promise that the server itself broke: verdict and what it was.
    std::function<void(const char*, std::string)> find;
    /// The process has ended by itself or by an accident within a call.
    std::function<void()> on_end;
  };

  Server(Surroundings surroundings, Random random);
  ~Server() override;

  // -- Its process. ------------------------------------------------------------------------------

  enum class Start : std::uint8_t { up, again, refused };
  /// `again`: an I/O error or an accident came in between. `refused`: the log is damaged.
  Start start();

  bool is_up() const { return life_ != nullptr; }

  /// Ends the process. Requires is_up().
  void end(Ending how);
  /// The end comes within the nth I/O call from now that changes something.
  void end_within_call(Ending how, std::uint64_t nth);

  /// SIGSTOP: nothing happens until then.
  void freeze(Moment until);

  /// Syncs take this much longer until the moment.
  void slow_down(Micros by, Moment until);

  /// What was durable a few syncs ago, and said so by frames that are durable too: damage before
  /// this position must be found.
  Position settled_end() const { return settled_.front(); }

  std::size_t segments() const { return life_->log().segment_count(); }

  // -- Its connections. --------------------------------------------------------------------------

  void accept(std::shared_ptr<Connection> connection);
  void said(engine::SessionId session, std::vector<engine::SessionReply> replies);
  void release(const std::vector<model::Release>& leases);

  engine::SessionId attach(std::shared_ptr<engine::Session> session) override;
  void detach(engine::SessionId session) override;
  void submit(engine::SessionId session, engine::RequestBatch batch) override;

  const engine::Counters& counters() const override { return *counters_; }

  Now now() const override { return life_->now(); }

  Result<engine::BackupDone> backup(std::string directory) override;

  std::uint64_t turns() const { return turns_; }

 private:
  class Scribe;

  struct Said {
    engine::SessionId session;
    std::vector<engine::SessionReply> replies;
  };

  Result<engine::Restored> restore();
  void compare(const std::string& expected, const core::Core& core, const char* when);
  Start not_started(const Error& error);
  Result<void> begin(engine::Restored restored);
  void turn();
  void turn_at(Moment when);
  void hand_over(std::vector<Said> said);
  void note_syncs(std::uint64_t syncs);
  bool ends_by_itself();
  std::optional<Moment> forgets_from(Ending how) const;
  Micros sync_time();
  bool is_all_on_disk(Ending how) const;
  void on_event(const std::string& line);

  const Surroundings at_;
  Random random_;
  engine::EngineOptions engine_options_;
  native::Facts facts_;
  std::unique_ptr<engine::Counters> counters_;
  std::unique_ptr<engine::Life> life_;
  std::map<std::uint32_t, std::shared_ptr<Visit>> visits_;  ///< Shared with events under way.
  std::uint32_t next_session_ = 1;
  std::vector<engine::Inbound> inbox_;
  std::vector<Said> said_;
  std::uint64_t life_number_ = 0;
  std::uint64_t turn_number_ = 0;  ///< Of the turn that is scheduled; others are stale.
  std::optional<Moment> next_turn_;
  Moment busy_until_{0};
  Moment frozen_from_{0};
  Moment frozen_until_{0};
  Moment slow_until_{0};
  Micros slower_by_{0};
  Ending armed_ = Ending::kill;  ///< What end_within_call() asked for.
  std::optional<Error> failure_;
  std::vector<Position> settled_;  ///< durable_end() after each of the last syncs, oldest first.
  std::uint64_t turns_ = 0;
  std::uint64_t turns_of_life_ = 0;
  std::uint64_t lies_ = 0;  ///< Of the disk, as far as noticed.
  std::uint64_t syncs_since_lie_ = 0;
  std::optional<Moment> last_lie_;
  std::optional<Time> ended_time_;  ///< Journal time when the last life ended,
  Moment ended_{0};                 ///< and true time.
  std::string expected_;            ///< The dump that a restart has to restore; empty: not known.
};

}  // namespace sluice::sim
