// The core: the state machine of Sluice. A command goes in; facts to be made durable and replies
// that may be given afterwards come out. No I/O, no clock, no threads, no randomness: the same
// commands at the same times give the same bytes.
//
// What a caller does (engine/cycle.cc is the real one):
//   out.open(log.frame(), log.open_frame());
//   core.apply(command, ticket, now, out);          // or tick(), dispatch(), boot(), carry()
//   log.close_frame();                            // everything one call wrote is in one frame
//   … each reply of out.replies once the log is durable beyond reply.needs …
//
// What carries everything: for any history and any cut of the log at a frame boundary, restoring
// the frames before the cut gives the state the core had there (core_property_test.cc).
//
// Reading order: push.cc and apply.cc (what each command does, in the order of a job's life),
// lifecycle.cc (every change of state goes through there), dead_letters.cc, queues.cc, views.cc
// (what people see), recovery.cc (restore, boot, carry). One thread; not copyable.
#pragma once

#include "base/result.h"
#include "core/facts.h"
#include "core/job_list.h"
#include "core/job_table.h"
#include "core/output.h"
#include "core/queue.h"
#include "core/routes.h"
#include "core/timer_wheel.h"
#include "core/unique_keys.h"
#include "model/command.h"
#include "model/limits.h"
#include "model/reply.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace sluice::core {

class Core {
 public:
  Core(const model::Limits& limits, std::uint16_t partition);

  // -- Recovery, in this order. ------------------------------------------------------------------
  /// One frame of the log. Error `corrupt`: not understood.
  Result<void> restore(Position at, ByteView frame);
  /// Builds lists and timers. `wall` may be earlier than the log's last time: time never goes back.
  Result<void> finish_restore();
  /// Starts a new epoch. Leases keep what was left of them when the server went down, and at least
  /// lease_grace, so that workers can come back.
  void boot(Now now, Output& out);
  /// Removes what is transient: at most `jobs_max` jobs, and once those are gone the queues. True:
  /// there are more. After boot(), before the first command.
  bool clear_transient(Now now, std::size_t jobs_max, Output& out);
  /// What headers exchanges compare, of a message with its headers in a properties_header.
  using HeadersOf = std::function<model::HeaderList(ByteView properties)>;
  /// Publishes one dead job to its dead-letter exchange. True: there are more.
  bool forward_dead(Now now, const HeadersOf& headers_of, RecordReader& reader, Output& out);

  Time last_time() const { return time_; }  ///< The latest time in the log.

  // -- Life. -------------------------------------------------------------------------------------
  void apply(const model::Command& command, model::Ticket ticket, Now now, Output& out);
  /// Does one thing that is due: false when nothing is, or `steps` (work budget) is used up.
  bool tick(Now now, std::size_t& steps, Output& out);
  /// Gives jobs that became ready to pulls that wait, until jobs of `bytes_budget` are given away.
  /// True: pulls are left that could have one. Call after apply and tick; one frame.
  bool dispatch(Now now, std::uint64_t bytes_budget, Output& out);
  /// How long until tick() has something to do; none: nothing is pending.
  std::optional<Duration> until_next(Now now) const;

  // -- Cleaning. ---------------------------------------------------------------------------------
  /// Writes again what of this old frame is still the home of something that lives.
  Result<void> carry(Position at, ByteView frame, RecordReader& reader, Output& out);
  /// Counters that must survive when old segments go; the last frame of each cleaning.
  void put_meta(Output& out) const;

  std::uint64_t memory_bytes() const;
  std::uint64_t live_bytes() const;

  /// The whole durable state as text, the same for equal states. For tests and the simulator.
  std::string dump() const;
  /// Checks every invariant between lists, counters, timers and tables. For tests; slow.
  void check_invariants() const;

 private:
  /// Jobs by queue and list that recovery met out of order.
  using Stragglers = std::map<std::pair<QueueIndex, std::size_t>, std::vector<Slot>>;
  static constexpr std::size_t pinned_list = model::job_state_count;  ///< Queue::pinned, there.

  // apply.cc: one overload per command.
  void handle(const model::Push&, model::Ticket, Now, Output&);
  void handle(const model::Publish&, model::Ticket, Now, Output&);
  void handle(const model::Pull&, model::Ticket, Now, Output&);
  void handle(const model::Ack&, model::Ticket, Now, Output&);
  void handle(const model::Fail&, model::Ticket, Now, Output&);
  void handle(const model::Release&, model::Ticket, Now, Output&);
  void handle(const model::Extend&, model::Ticket, Now, Output&);
  void handle(const model::Progress&, model::Ticket, Now, Output&);
  void handle(const model::Cancel&, model::Ticket, Now, Output&);
  void handle(const model::Await&, model::Ticket, Now, Output&);
  void handle(const model::Abandon&, model::Ticket, Now, Output&);
  // queues.cc
  void handle(const model::SetQueue&, model::Ticket, Now, Output&);
  void handle(const model::DeclareQueue&, model::Ticket, Now, Output&);
  void handle(const model::PauseQueue&, model::Ticket, Now, Output&);
  void handle(const model::PurgeQueue&, model::Ticket, Now, Output&);
  void handle(const model::DeleteQueue&, model::Ticket, Now, Output&);
  void handle(const model::RedriveDead&, model::Ticket, Now, Output&);
  void handle(const model::DeleteDead&, model::Ticket, Now, Output&);
  void handle(const model::RoutingCommand&, model::Ticket, Now, Output&);
  // views.cc
  void handle(const model::GetJob&, model::Ticket, Now, Output&);
  void handle(const model::ListJobs&, model::Ticket, Now, Output&);
  void handle(const model::GetQueue&, model::Ticket, Now, Output&);
  void handle(const model::ListQueues&, model::Ticket, Now, Output&);
  void handle(const model::GetStats&, model::Ticket, Now, Output&);

  // apply.cc: parts of a push and of a pull.
  Result<PushPlan> plan(const model::Push& push, Queue* queue, Now now) const;
  model::JobId carry_out(const PushPlan& plan, const model::Push& push, Now now, Output& out);
  Result<void> check_push(const model::Push& push, const Queue* queue) const;
  Result<void> meet_unique(const model::Push& push, Now now, PushPlan& plan) const;
  Result<void> check_room(const Queue& queue, std::size_t bytes) const;
  Result<void> check_memory() const;
  void bury_refused(const model::Push& push, Queue* queue, Now now, Output& out);
  static Result<void> check_publish(const model::Push& job, std::size_t queues);
  bool is_full(const Queue& queue, std::size_t bytes) const;
  Slot put_new_job(const model::Push& push, Queue& queue, Now now, Output& out);
  void take_options(const model::PushOptions& options, Slot slot);
  void make_room(Queue& queue, std::size_t bytes, Now now, Output& out);
  Position durable_with(Slot slot) const;
  std::unique_ptr<model::Delivered> hand_out(
      const PullWaiter& pull, std::uint64_t count, Now now, Output& out, Position& needs);
  model::Delivery lease_job(Slot slot, const PullWaiter& pull, Now now, Output& out);
  model::Delivery give_away(Slot slot, const PullWaiter& pull, Now now, Output& out);
  model::Delivery delivery(Slot slot) const;
  /// The leased job of this token, or the error that says why not.
  Result<Slot> leased(model::JobId id, model::LeaseToken token, Now now);

  // lifecycle.cc: the only places where a job changes state.
  void transition(Slot slot, JobChanged& changed, Output& out);
  void assign(Slot slot, const JobChanged& changed);
  void link(Slot slot);
  void unlink(Slot slot);
  bool is_pinned(Slot slot) const;  ///< A final job that set KEEP itself.
  Duration keep_of(Slot slot) const;
  std::uint32_t payload_bytes(Slot slot) const;
  bool is_last_attempt(Slot slot) const;
  JobList& list_of(Slot slot);  ///< Of a job that is not ready.
  void arm(Slot slot);
  void disarm(Slot slot);
  JobChanged change(Slot slot, model::JobState state, Now now) const;
  void make_ready(Slot slot, std::uint64_t order, ByteView note, Now now, Output& out);
  void succeed(Slot slot, JobChanged& changed, Now now, Output& out);
  void finish(Slot slot, JobChanged& changed, Now now, Output& out);
  void die(Slot slot, const Cause& cause, Now now, Output& out);
  bool forward(Slot, Now, const HeadersOf&, RecordReader&, Output&);  // dead_letters.cc
  void retry_or_die(Slot, ByteView message, std::optional<Duration> after, Now, Output&);
  void settle(Now now, Output& out);
  void tell_awaiting(model::JobId id, Slot slot, Output& out);
  void settle_dependents(const Settled& settled, Now now, Output& out);
  void dependency_ended(Slot slot, const Settled& settled, Now now, Output& out);
  void start_waiting_job(Slot slot, Now now, Output& out);
  void release_key(Slot slot, Output& out);
  void remove_job(Slot slot, Output& out);
  void forget_dependencies(Slot slot);
  void keep_or_remove(Slot slot, Output& out);
  bool is_time_mark_due() const;
  void expire_timer(Slot slot, Now now, Output& out);

  // queues.cc
  Queue* find_queue(ByteView name);
  Result<void> check_new_queue(ByteView name) const;
  Queue& make_queue(ByteView name, Output& out, const model::QueuePolicy& policy = {});
  void remove_queue(const Queue& queue, Output& out);
  void touch(Queue& queue);
  void end_unused_queue(Output& out);
  void put_queue_fact(Queue& queue, Output& out);
  Result<Queue*> known_queue(ByteView name);
  void signal(Queue& queue);
  static bool has_line(const Queue& queue);
  void add_waiter(model::Ticket ticket, PullWaiter waiter);
  static bool goes_on(PullWaiter& waiter, model::Delivered& delivered);
  void drop_waiter(model::Ticket ticket);
  std::uint64_t remove_up_to(Queue& queue, std::size_t budget, bool ready_only, Output& out);
  void redrive(Slot slot, Now now, Output& out);

  // views.cc
  std::unique_ptr<model::JobInfo> info(Slot slot) const;
  model::QueueInfo info(const Queue& queue, Now now) const;
  std::size_t stage_of(Slot slot) const;
  Slot first_listed(const Queue& queue, std::size_t stage) const;
  Slot next_listed(const Queue& queue, Slot slot) const;
  Result<Slot> start_of(const model::ListJobs& list, const Queue& queue, std::size_t& stage) const;

  // recovery.cc
  Result<void> restore_fact(const Fact& fact, Position at);
  Result<void> restore_record(const JobRecord& record, Position at);
  void restore_queue(const QueuePut& put, Position at);
  Queue& queue_slot(QueueIndex index);
  void find_dead_letters();
  void file_restored(Slot slot, Stragglers& stragglers);
  Result<void> carry_job(const JobRecord& old, Slot slot, RecordReader& reader, Output& out);

  void reply(model::Ticket ticket, model::Answer answer, Output& out, Position needs = Position());
  [[gnu::cold]] void refuse(model::Ticket ticket, Error error, Output& out);

  /// Reads see what is not durable yet: their replies wait for it.
  Position seen() const { return last_facts_; }

  std::uint64_t draw() { return partition_bits_ | next_sequence_++; }

  const model::Limits limits_;
  const std::uint64_t partition_bits_;
  JobTable jobs_;
  TimerWheel timers_;       ///< Journal time.
  TimerWheel wall_timers_;  ///< Calendar time: jobs pushed with AT.
  Queues queues_;
  QueueNames queue_names_;
  Routes routes_;
  Queue* last_queue_ = nullptr;  ///< Found last; a batch of pushes names one queue.
  Buffer headers_;               ///< Of the job that is being put.
  UniqueKeys keys_;
  std::map<model::JobId, std::vector<model::JobId>> dependents_;
  std::vector<Settled> settled_;
  std::map<model::Ticket, PullWaiter> pulls_;
  std::map<model::Ticket, AwaitWaiter> awaits_;
  std::map<model::JobId, std::vector<model::Ticket>> awaited_;
  std::set<std::pair<Time, model::Ticket>> wait_ends_;
  std::set<std::pair<Time, QueueIndex>> queue_ends_;  ///< Queue::ends.
  std::deque<model::JobId> dead_letters_;             ///< To be forwarded.
  std::deque<QueueIndex> signalled_;  ///< Queues that got ready jobs while pulls waited.
  std::uint64_t next_arrival_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t next_sequence_ = 1;  ///< Job ids and places in lists: never used twice.
  std::uint64_t next_token_ = 0;
  Time time_;
  Position last_facts_;              ///< Base of the last frame with facts.
  std::uint64_t live_bytes_ = 0;     ///< Of jobs.
  std::uint64_t details_bytes_ = 0;  ///< Heap of details, roughly.
  std::uint64_t expired_leases_total_ = 0;
  std::uint64_t leased_ = 0;    ///< Jobs that are leased now.
  Time time_mark_;              ///< When the time was last written for its own sake.
  bool has_transient_ = false;  ///< Recovery met something that the start has to remove.
};

}  // namespace sluice::core
