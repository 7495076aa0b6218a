// Cycle: what the engine's thread does, over and over, without knowing that it is a thread.
//
//   cycle.apply(session, batch, now);   // for each batch that was submitted
//   cycle.advance(now);                 // timers, waiting pulls, cleaning
//   cycle.commit(now, is_idle);         // seal, write, sync; or hand over to the committer
//   cycle.collect();                    // take what the committer has written; release replies
//
// Around it: life.h.
#pragma once

#include "core/core.h"
#include "engine/answers.h"
#include "engine/committer.h"
#include "engine/engine.h"
#include "engine/port.h"
#include "engine/postponed.h"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace sluice::engine {

/// Ticket of a request: session above, sequence below.
constexpr model::Ticket ticket(SessionId session, Sequence sequence) {
  return model::Ticket((std::uint64_t{session.value} << 32) | sequence);
}

constexpr SessionId session_of(model::Ticket ticket) {
  return SessionId(static_cast<std::uint32_t>(ticket.value >> 32));
}

constexpr Sequence sequence_of(model::Ticket ticket) {
  return static_cast<Sequence>(ticket.value);
}

/// Delivers replies to a session. False: it is gone; jobs among the replies are given back.
using Send = std::function<bool(SessionId, std::vector<SessionReply>&)>;

class Cycle final : private core::RecordReader {
 public:
  /// `log`, `committer` (null: every batch is written by commit() itself) and `counters` outlive
  /// this. The core has been restored.
  Cycle(journal::Log& log,
        std::unique_ptr<core::Core> core,
        Committer* committer,
        const EngineOptions& options,
        Counters& counters,
        Send send);

  /// Starts the new epoch and makes it durable. Error `io`.
  Result<void> boot(Now now);

  void apply(SessionId session, RequestBatch batch, Now now);
  /// The session left: what it asked to be done is done, what it waits for is forgotten.
  void abandon(SessionId session, Now now);
  void advance(Now now);
  /// `is_idle`: nothing else is waiting to be applied.
  void commit(Now now, bool is_idle);
  void collect();

  /// So much may be appended before the disk is looked at again. None: pushes are refused for
  /// this reason, and cleaning looks for space.
  void set_push_room(std::uint64_t room, std::string reason);

  bool is_push_room_used_up() const { return refusal_.empty() && push_room_ == 0; }

  /// False: nothing more is to be taken until the disk has caught up.
  bool has_room() const;

  /// Appended, and not in a file yet: it does not show in what the disk has free.
  std::uint64_t unwritten_bytes() const { return log_.unsealed_bytes() + under_way_bytes_; }

  std::chrono::microseconds last_sync_took() const { return last_sync_took_; }

  /// How long nothing needs to be done unless something is submitted or written. None: no limit.
  std::optional<Duration> idle_for(Now now) const;
  /// Syncs everything and releases every reply that depends on it.
  void drain(Now now);

  /// For the simulator: what the log has to be able to restore.
  const core::Core& core() const { return *core_; }

  /// Set once the disk has failed; nothing is acknowledged after that.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  /// Replies of one frame or several, held back until the log is durable beyond `needs`.
  struct Held {
    Position needs;
    model::Ticket ticket;
    model::Answer answer;
    Charge charge;
    std::uint32_t count = 1;  ///< Of the requests that share it.
  };

  /// A purge or redrive that goes on in the next cycle; `batch` keeps its views alive.
  struct Continuation {
    model::Ticket ticket;
    model::Command command;
    std::uint64_t count = 0;
    std::shared_ptr<RequestBatch> batch{};
  };

  /// Why the oldest segment is read; the greater reason counts.
  enum class Cleaning : std::uint8_t {
    none,
    for_space,  ///< The disk is full: as little garbage as this is worth the work, when acks come.
    due,        ///< Much of the log is garbage.
  };

  Result<ByteView> read(Position at, std::size_t size) override { return log_.read(at, size); }

  template <class Call>
  void frame(Call call);
  bool is_full() const;
  void look_at_memory();
  bool must_wait(const BatchRest& rest) const;
  bool must_wait(const RequestBatch& batch, const model::Command& command) const;
  std::size_t apply_some(SessionId session, const RequestBatch& batch, std::size_t next, Now now);
  void forget_waits(SessionId session, const model::Abandon& sequences, Now now);
  void apply_postponed(Now now);
  void keep_alive(std::size_t first_continuation, const std::shared_ptr<RequestBatch>& batch);
  void apply_one(SessionId session, const Request& request, Now now);
  void run(const model::Command& command,
           model::Ticket ticket,
           std::uint64_t count_before,
           Now now);
  void share_reply(model::Ticket ticket);
  void continue_large_commands(Now now);
  void dispatch(Now now);
  void fire_timers(Now now);
  void forward_dead(Now now);
  void give_back_undelivered(Now now);
  void clean(Now now);
  Cleaning wanted_cleaning() const;
  std::size_t clean_budget();
  journal::Sync sync_for(Now now, bool is_demanded) const;
  bool is_due(Now now) const;
  void mark_idle(Now now);
  void finish(Written written);
  void say(std::size_t from);
  void hand_over(SessionId session, std::vector<SessionReply>& replies);
  Position covered() const;
  void fail(const Error& error);

  journal::Log& log_;
  std::unique_ptr<core::Core> core_;
  Committer* committer_;
  const EngineOptions& options_;
  Counters& counters_;
  Send send_;
  Answers answers_;
  core::Output out_;
  std::vector<Held> held_;      ///< Replies that wait for the disk, and behind them …
  std::size_t fresh_from_ = 0;  ///< … those of this cycle, not yet sorted into now and later.
  Postponed postponed_;
  std::vector<Continuation> continuations_;
  std::vector<std::pair<model::JobId, model::LeaseToken>> undelivered_;
  std::string refusal_;  ///< Why pushes are refused.
  bool is_low_on_memory_ = false;
  std::uint64_t push_room_ = ~std::uint64_t{0};
  std::size_t under_way_bytes_ = 0;  ///< Of the batch that the committer has.
  Position written_end_;             ///< Behind the last batch that write() returned for.
  std::optional<Time> dirty_since_;  ///< Since when something is appended and not synced.
  bool has_unsynced_writes_ = false;
  Time last_sync_{};
  std::chrono::microseconds last_sync_took_{0};
  bool is_marked_ = true;               ///< Nothing was synced since the last mark of an idle log.
  std::uint64_t appended_ = 0;          ///< Bytes since the last cleaning step: what paces it.
  std::optional<Position> copies_end_;  ///< The oldest segment is scanned; waits for its copies.
  Cleaning cleaning_ = Cleaning::none;  ///< The oldest segment is being read.
  bool has_timers_left_ = false;
  bool has_dead_left_ = false;
  bool has_pulls_left_ = false;  ///< There are jobs for them, but no room for more answers.
  std::optional<Error> failure_;
};

}  // namespace sluice::engine
