// Cycle: one turn of the engine, in the order in which things happen to a job.
#include "engine/cycle.h"

#include "base/check.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::engine {
namespace {

/// A batch smaller than this is written by the engine itself when nothing else waits: handing it to
/// another thread and back costs two wake-ups of about 25 µs each, more than the write saves.
constexpr std::size_t inline_batch_bytes = 32u << 10;
/// Facts that nobody waits for (leases, acks of AMQP) are durable at the latest this long after
/// they arose.
constexpr Duration lazy_write = std::chrono::milliseconds(20);
/// … or when there are so many of them.
constexpr std::size_t lazy_write_bytes = 1u << 20;
/// Commands of a batch share a frame, which costs a header and a checksum, until it has so much: a
/// byte that rots takes its frame with it, and a disk loses no less at once.
constexpr std::size_t frame_bytes = 4u << 10;
/// Timers fired and cleaning done per turn, so that no turn takes long.
constexpr std::size_t timer_steps = 10'000;
/// Dead jobs sent on per turn.
constexpr std::size_t forward_steps = 1000;
constexpr std::size_t clean_step_bytes = 128u << 10;
/// Below this part of memory_bytes_max that is left, patient pushes wait.
constexpr std::uint64_t low_memory_share = 16;
/// Nothing more is taken or pushed while so much waits for the disk.
constexpr std::size_t unsealed_bytes_max = 64u << 20;
/// Transient jobs removed in one frame after a start.
constexpr std::size_t transient_step_jobs = 1'000'000;
/// Cleaning reads so many times what was appended: more than what becomes garbage meanwhile.
constexpr std::uint64_t clean_pace = 4;
/// For want of space, also where only a small part is garbage. It has to free what acks append:
/// that holds from one part in 32 on.
constexpr std::uint64_t clean_pace_for_space = 32;
/// Nothing more is read for replies while so much of them is still under way to the clients:
/// thousands of small requests can ask for gigabytes.
constexpr std::uint64_t answer_bytes_max = 64u << 20;
/// How soon it is looked again whether the clients have taken it.
constexpr Duration answer_wait = std::chrono::milliseconds(1);
/// Cleaning waits while so much is not yet handed to the disk.
constexpr std::size_t clean_backlog_bytes = 8u << 20;
/// When nothing was written for so long, a mark says how far the log is durable.
constexpr Duration idle_mark = std::chrono::seconds(1);

/// The ticket of what is not answered: sessions are numbered from 1.
constexpr model::Ticket nobody{};

/// Whether it asks for new work, which a full disk refuses.
bool is_push(const model::Command& command) {
  return std::holds_alternative<model::Push>(command) ||
         std::holds_alternative<model::Publish>(command);
}

/// Whether its reply may be large, with what is read back from the log.
bool reads_records(const model::Command& command) {
  return std::holds_alternative<model::Pull>(command) ||
         std::holds_alternative<model::GetJob>(command) ||
         std::holds_alternative<model::ListJobs>(command) ||
         std::holds_alternative<model::Await>(command);
}

/// Whether it says that a message went to a queue.
bool is_routed(const model::Answer& answer) {
  const auto* routed = std::get_if<model::Routed>(&answer);
  return routed != nullptr && routed->first.value != 0;
}

}  // namespace

Cycle::Cycle(journal::Log& log,
             std::unique_ptr<core::Core> core,
             Committer* committer,
             const EngineOptions& options,
             Counters& counters,
             Send send)
    : log_(log),
      core_(std::move(core)),
      committer_(committer),
      options_(options),
      counters_(counters),
      send_(std::move(send)),
      answers_(log, options.on_event) {}

Result<void> Cycle::boot(Now now) {
  frame([&] { core_->boot(now, out_); });
  bool has_more = true;
  while (has_more) {
    frame([&] { has_more = core_->clear_transient(now, transient_step_jobs, out_); });
  }
  finish(write_batch(log_, log_.seal(), journal::Sync::yes));
  if (failure_) return tl::unexpected<Error>(*failure_);
  last_sync_ = now.time;
  return {};
}

// -- Applying. -----------------------------------------------------------------------------------

/// What the call has the core write becomes one frame of the log; what it answers is held.
template <class Call>
void Cycle::frame(Call call) {
  const Position base = log_.open_frame();
  const std::size_t start = log_.frame().size();
  out_.open(log_.frame(), base);
  call();
  const std::size_t written = log_.frame().size() - start;
  if (log_.close_frame()) appended_ += written;
  push_room_ -= std::min<std::uint64_t>(push_room_, written);
  for (model::Reply& reply : out_.replies) {
    answers_.complete(reply.answer);
    Charge charge = answers_.charge(reply.answer);
    held_.emplace_back(reply.needs, reply.ticket, std::move(reply.answer), std::move(charge));
  }
  out_.replies.clear();
}

void Cycle::apply(SessionId session, RequestBatch batch, Now now) {
  if (failure_) return;
  const std::size_t first_continuation = continuations_.size();
  if (batch.is_patient) look_at_memory();
  const std::size_t next = postponed_.has(session) ? 0 : apply_some(session, batch, 0, now);
  const bool is_done = next == batch.requests.size();
  counters_.commands_total.fetch_add(batch.requests.size(), std::memory_order_relaxed);
  if (is_done && continuations_.size() == first_continuation) return;
  // Moving the batch does not move what the views in its commands point to.
  const auto shared = std::make_shared<RequestBatch>(std::move(batch));
  keep_alive(first_continuation, shared);
  if (!is_done) postponed_.add(session, {shared, next});
}

bool Cycle::is_full() const {
  return answers_.held_bytes() > answer_bytes_max;
}

bool Cycle::has_room() const {
  return log_.unsealed_bytes() < unsealed_bytes_max;
}

/// Whether the next request has to wait: it would read more than clients take, or it brings more
/// than there is room for. One push can bring much: a fanout exchange makes a job for each queue.
bool Cycle::must_wait(const BatchRest& rest) const {
  return must_wait(*rest.batch, rest.batch->requests[rest.next].command);
}

inline bool Cycle::must_wait(const RequestBatch& batch, const model::Command& command) const {
  if (reads_records(command)) return is_full();
  if (!is_push(command)) return false;
  return !has_room() || (batch.is_patient && (!refusal_.empty() || is_low_on_memory_));
}

/// Returns where it stopped: at the end, or at one that has to wait.
std::size_t Cycle::apply_some(SessionId session,
                              const RequestBatch& batch,
                              std::size_t next,
                              Now now) {
  const auto may_go = [&] {
    return next < batch.requests.size() && !must_wait(batch, batch.requests[next].command);
  };
  while (may_go()) {
    frame([&] {
      const std::size_t enough = log_.frame().size() + frame_bytes;
      bool is_last = false;
      do {
        const Request& request = batch.requests[next];
        apply_one(session, request, now);
        ++next;
        // What is read for an answer is counted when the frame is closed.
        is_last = !out_.has_facts() || reads_records(request.command);
      } while (!is_last && log_.frame().size() < enough && may_go());
    });
  }
  return next;
}

void Cycle::apply_postponed(Now now) {
  if (!postponed_.empty()) look_at_memory();
  const auto may_go = [this](const BatchRest& rest) { return !must_wait(rest); };
  while (const std::optional<Postponed::Turn> turn = postponed_.take(may_go)) {
    const Request& request = turn->rest.batch->requests[turn->rest.next];
    const std::size_t first_continuation = continuations_.size();
    frame([&] { apply_one(turn->session, request, now); });
    keep_alive(first_continuation, turn->rest.batch);
  }
}

void Cycle::keep_alive(std::size_t first_continuation, const std::shared_ptr<RequestBatch>& batch) {
  for (std::size_t index = first_continuation; index < continuations_.size(); ++index) {
    continuations_[index].batch = batch;
  }
}

inline void Cycle::apply_one(SessionId session, const Request& request, Now now) {
  const model::Command& command = request.command;
  if (const auto* abandon = std::get_if<model::Abandon>(&command)) {
    return forget_waits(session, *abandon, now);
  }
  const model::Ticket ticket =
      request.has_reply ? engine::ticket(session, request.sequence) : nobody;
  if (!refusal_.empty() && is_push(command)) {
    out_.replies.emplace_back(
        ticket, std::make_unique<Error>(Error{ErrorCode::busy, refusal_}), Position());
    return;
  }
  run(command, ticket, 0, now);
  if (request.may_share_reply) share_reply(ticket);
}

/// The reply made last, if it is to this request and says no more than that the message went to a
/// queue, becomes one with that of the request before.
inline void Cycle::share_reply(model::Ticket ticket) {
  if (out_.replies.empty()) return;
  model::Reply& reply = out_.replies.back();
  if (reply.ticket != ticket || !is_routed(reply.answer)) return;
  Held* before = held_.size() > fresh_from_ ? &held_.back() : nullptr;
  const bool is_next = before != nullptr && before->ticket.value + before->count == ticket.value &&
                       is_routed(before->answer);
  // What needs nothing is said at once.
  if (is_next && (before->needs == Position()) == (reply.needs == Position())) {
    before->needs = std::max(before->needs, reply.needs);
    ++before->count;
  } else {
    held_.emplace_back(reply.needs, ticket, std::move(reply.answer), Charge());
  }
  out_.replies.pop_back();
}

/// A command or, after `count_before` jobs, the rest of one. If there is more to do than in one
/// frame, it is continued in the next turn and answered at its end.
void Cycle::run(const model::Command& command,
                model::Ticket ticket,
                std::uint64_t count_before,
                Now now) {
  const auto first = static_cast<std::ptrdiff_t>(out_.replies.size());
  out_.open(log_.frame(), out_.here());
  core_->apply(command, ticket, now, out_);
  const auto own = std::find_if(out_.replies.begin() + first,
                                out_.replies.end(),
                                [&](const model::Reply& reply) { return reply.ticket == ticket; });
  if (own == out_.replies.end()) return;
  auto* counted = std::get_if<model::Counted>(&own->answer);
  if (counted != nullptr) counted->count += count_before;
  if (counted != nullptr && counted->more) {
    continuations_.emplace_back(ticket, command, counted->count);
  } else if (ticket != nobody) {
    return;
  }
  out_.replies.erase(own);
}

void Cycle::set_push_room(std::uint64_t room, std::string reason) {
  push_room_ = room;
  refusal_ = std::move(reason);
}

void Cycle::look_at_memory() {
  const std::uint64_t max = options_.limits.memory_bytes_max;
  is_low_on_memory_ = core_->memory_bytes() > max - max / low_memory_share;
  counters_.is_low_on_memory.store(is_low_on_memory_, std::memory_order_relaxed);
}

void Cycle::continue_large_commands(Now now) {
  const std::vector<Continuation> turn = std::exchange(continuations_, {});
  for (const Continuation& each : turn) {
    const std::size_t first_continuation = continuations_.size();
    frame([&] { run(each.command, each.ticket, each.count, now); });
    keep_alive(first_continuation, each.batch);
  }
}

void Cycle::abandon(SessionId session, Now now) {
  // What it asked to be done is done as the disk gets room for it, or refused if that is full:
  // nobody waits any more. What it wanted to read nobody would get.
  for (BatchRest& rest : postponed_.remove(session)) {
    std::vector<Request>& requests = rest.batch->requests;
    const auto first_left = requests.begin() + static_cast<std::ptrdiff_t>(rest.next);
    const auto is_read = [](const Request& request) { return reads_records(request.command); };
    requests.erase(std::remove_if(first_left, requests.end(), is_read), requests.end());
    rest.batch->is_patient = false;
    if (rest.next < requests.size()) postponed_.add(session, std::move(rest));
  }
  apply_postponed(now);
  frame([&] { forget_waits(session, {model::Ticket(0), model::Ticket(UINT32_MAX)}, now); });
}

/// `sequences`: as if they were tickets.
void Cycle::forget_waits(SessionId session, const model::Abandon& sequences, Now now) {
  const auto of_session = [session](model::Ticket sequence) {
    return ticket(session, static_cast<Sequence>(sequence.value));
  };
  const model::Abandon gone{of_session(sequences.first), of_session(sequences.last)};
  run(gone, nobody, 0, now);
}

void Cycle::advance(Now now) {
  if (failure_) return;
  give_back_undelivered(now);
  apply_postponed(now);
  if (!continuations_.empty()) continue_large_commands(now);
  fire_timers(now);
  forward_dead(now);
  dispatch(now);
  clean(now);
  if (!dirty_since_ && log_.unsealed_bytes() > 0) dirty_since_ = now.time;
}

/// A queue that is resumed, or gets many jobs at once, may have something for thousands of pulls.
void Cycle::dispatch(Now now) {
  const std::uint64_t held = answers_.held_bytes();
  const std::uint64_t room = is_full() ? 0 : answer_bytes_max - held + 1;
  frame([&] { has_pulls_left_ = core_->dispatch(now, room, out_); });
}

void Cycle::fire_timers(Now now) {
  std::size_t steps = timer_steps;
  bool has_fired = true;
  while (has_fired && steps > 0) {
    frame([&] { has_fired = core_->tick(now, steps, out_); });
  }
  has_timers_left_ = steps == 0;
}

/// While the disk is full they stay where they are: each is a push.
void Cycle::forward_dead(Now now) {
  bool has_more = refusal_.empty();
  for (std::size_t step = 0; has_more && has_room() && step < forward_steps; ++step) {
    frame([&] { has_more = core_->forward_dead(now, options_.headers_of, *this, out_); });
  }
  has_dead_left_ = has_more && has_room();
}

/// Jobs that were leased for a session which was gone when its reply was ready.
void Cycle::give_back_undelivered(Now now) {
  for (const auto& [id, token] : std::exchange(undelivered_, {})) {
    frame([&] { run(model::Release{id, token, Duration{0}}, nobody, 0, now); });
  }
}

// -- Committing. ---------------------------------------------------------------------------------

/// Up to where what is said is true by the sync policy.
Position Cycle::covered() const {
  return options_.sync.kind == SyncPolicy::Kind::always ? log_.durable_end() : written_end_;
}

void Cycle::commit(Now now, bool is_idle) {
  if (failure_) return;
  say(fresh_from_);

  if (committer_ != nullptr && committer_->is_busy()) return;
  const bool is_removal_due = log_.is_removal_due();
  const bool has_work = log_.unsealed_bytes() > 0 || is_removal_due;
  if (!has_work && !has_unsynced_writes_) return mark_idle(now);
  const bool is_demanded = !held_.empty() || copies_end_ || is_removal_due;
  const bool is_large = log_.unsealed_bytes() >= lazy_write_bytes;
  if (!(is_demanded || is_large || is_due(now))) return;
  const journal::Sync sync = sync_for(now, is_demanded);
  if (sync == journal::Sync::no && !has_work) return;
  if (sync == journal::Sync::yes) {
    last_sync_ = now.time;
    is_marked_ = false;
  }
  // Other policies have their own time for a sync, or none.
  const bool is_done = sync == journal::Sync::yes || options_.sync.kind != SyncPolicy::Kind::always;
  if (is_done) dirty_since_.reset();
  journal::Batch batch = log_.seal();
  if (committer_ == nullptr || (is_idle && batch.bytes < inline_batch_bytes)) {
    finish(write_batch(log_, std::move(batch), sync));
  } else {
    under_way_bytes_ = batch.bytes;
    committer_->start(std::move(batch), sync);
  }
}

/// Whether what is written now has to reach the disk.
journal::Sync Cycle::sync_for(Now now, bool is_demanded) const {
  bool is_wanted = copies_end_.has_value();
  switch (options_.sync.kind) {
    case SyncPolicy::Kind::always:
      is_wanted = is_demanded || is_due(now);
      break;
    case SyncPolicy::Kind::interval:
      is_wanted = is_wanted || now.time - last_sync_ >= options_.sync.interval;
      break;
    case SyncPolicy::Kind::never:
      break;
  }
  return is_wanted ? journal::Sync::yes : journal::Sync::no;
}

/// Lets an idle log say that all of it is durable, so that rot in its last batch is told from a
/// torn write (journal/format.h, THE END OF THE LOG). Once per idle time; nobody waits for it.
void Cycle::mark_idle(Now now) {
  if (is_marked_ || now.time - last_sync_ < idle_mark) return;
  is_marked_ = true;
  if (log_.mark_idle()) finish(write_batch(log_, log_.seal(), journal::Sync::no));
}

/// Facts that nobody waits for have waited long enough.
bool Cycle::is_due(Now now) const {
  if (options_.sync.kind == SyncPolicy::Kind::interval && has_unsynced_writes_ &&
      now.time - last_sync_ >= options_.sync.interval) {
    return true;
  }
  return dirty_since_ && now.time - *dirty_since_ >= lazy_write;
}

void Cycle::collect() {
  if (committer_ == nullptr) return;
  std::optional<Written> written = committer_->take();
  if (written) finish(std::move(*written));
}

void Cycle::finish(Written written) {
  under_way_bytes_ = 0;
  if (!written.result) return fail(written.result.error());
  if (written.batch.is_synced) {
    has_unsynced_writes_ = false;
    last_sync_took_ = written.took;
    counters_.syncs_total.fetch_add(1, std::memory_order_relaxed);
    counters_.sync_microseconds_total.fetch_add(static_cast<std::uint64_t>(written.took.count()),
                                                std::memory_order_relaxed);
  } else {
    has_unsynced_writes_ = true;
  }
  counters_.written_bytes_total.fetch_add(written.batch.bytes, std::memory_order_relaxed);
  written_end_ = written.batch.end;
  log_.retire(std::move(written.batch));
  counters_.journal_bytes.store(log_.bytes(), std::memory_order_relaxed);
  counters_.journal_segments.store(log_.segment_count(), std::memory_order_relaxed);
  say(0);  // All of it, before what is said at once from now on and needs as little.
}

/// Hands those of the replies from index `from` on that may be said to their sessions, one call for
/// each run of the same session, and leaves the others there in their order.
void Cycle::say(std::size_t from) {
  const auto may_say = [covered_now = covered()](const Held& each) {
    return each.needs == Position() || each.needs < covered_now;
  };
  const auto first = held_.begin() + static_cast<std::ptrdiff_t>(from);
  auto next = std::find_if(first, held_.end(), may_say);
  auto kept = next;
  while (next != held_.end()) {
    const SessionId session = session_of(next->ticket);
    const auto end = std::find_if(next, held_.end(), [&](const Held& each) {
      return session_of(each.ticket) != session && may_say(each);
    });
    std::vector<SessionReply> run;
    run.reserve(static_cast<std::size_t>(std::count_if(next, end, may_say)));
    for (; next != end; ++next) {
      if (may_say(*next)) {
        run.emplace_back(sequence_of(next->ticket),
                         std::move(next->answer),
                         std::move(next->charge),
                         next->count);
      } else {
        *kept = std::move(*next);
        ++kept;
      }
    }
    hand_over(session, run);
  }
  held_.erase(kept, held_.end());
  fresh_from_ = held_.size();
}

void Cycle::hand_over(SessionId session, std::vector<SessionReply>& replies) {
  if (send_(session, replies)) return;
  for (const SessionReply& reply : replies) {
    const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&reply.answer);
    if (delivered == nullptr) continue;
    for (const model::Delivery& job : (*delivered)->jobs) {
      undelivered_.emplace_back(job.id, job.token);
    }
  }
}

void Cycle::fail(const Error& error) {
  failure_ = error;
  held_.clear();
  fresh_from_ = 0;
  if (options_.on_failure) options_.on_failure(error);
}

// -- Cleaning. -----------------------------------------------------------------------------------

Cycle::Cleaning Cycle::wanted_cleaning() const {
  const std::uint64_t live = core_->live_bytes();
  const std::uint64_t segment = options_.log.segment_bytes;
  if (log_.segment_count() < 2) return Cleaning::none;
  if (log_.bytes() > 2 * live + 3 * segment) return Cleaning::due;
  const bool is_space_wanted = !refusal_.empty() && log_.bytes() > live + segment;
  return is_space_wanted ? Cleaning::for_space : Cleaning::none;
}

/// How much of the oldest segment to read now. Without much garbage there is no end to what could
/// be read, so cleaning for space does nothing of its own: it goes with what acks append.
std::size_t Cycle::clean_budget() {
  const std::uint64_t appended = std::exchange(appended_, 0);
  if (cleaning_ == Cleaning::for_space) return clean_pace_for_space * appended;
  return std::max<std::uint64_t>(clean_step_bytes, clean_pace * appended);
}

/// One step: scan a piece of the oldest segment and write again what still lives; at its end wait
/// until the copies are durable, then drop the segment. Paced by what was appended, so that
/// cleaning keeps up with any rate and costs nothing when nothing happens.
void Cycle::clean(Now) {
  if (copies_end_) {
    if (log_.durable_end() < *copies_end_) return;
    if (Result<void> dropped = log_.drop_oldest(*copies_end_); !dropped) {
      return fail(dropped.error());
    }
    copies_end_.reset();
  }
  const Cleaning wanted = wanted_cleaning();
  if (cleaning_ == Cleaning::none) {
    // A full disk may have room for the copies of one segment only: the one before has to be gone.
    if (!refusal_.empty() && log_.has_dropped_files()) return;
    if (wanted == Cleaning::for_space) appended_ = 0;
  }
  cleaning_ = std::max(cleaning_, wanted);
  if (cleaning_ == Cleaning::none || log_.unsealed_bytes() > clean_backlog_bytes) return;
  const std::size_t budget = clean_budget();
  if (budget == 0) return;
  std::uint64_t scanned = 0;
  const auto carry = [&](Position at, ByteView bytes) -> Result<void> {
    Result<void> carried;
    scanned += bytes.size();
    frame([&] { carried = core_->carry(at, bytes, *this, out_); });
    return carried;
  };
  const Result<bool> at_end = log_.scan_oldest(budget, carry);
  if (!at_end) return fail(at_end.error());
  counters_.cleaned_bytes_total.fetch_add(scanned, std::memory_order_relaxed);
  // Copies must not be the reason for more copies.
  if (cleaning_ == Cleaning::for_space) appended_ = 0;
  if (!*at_end) return;
  frame([&] { core_->put_meta(out_); });
  copies_end_ = log_.end();
  cleaning_ = Cleaning::none;
}

// -- Rest. ---------------------------------------------------------------------------------------

std::optional<Duration> Cycle::idle_for(Now now) const {
  if (failure_) return std::nullopt;
  const bool has_some_left = has_timers_left_ || has_dead_left_ || !continuations_.empty();
  bool is_ready_to_go_on = false;
  bool waits_for_clients = has_pulls_left_;
  postponed_.for_each_next([&](const BatchRest& rest) {
    is_ready_to_go_on = is_ready_to_go_on || !must_wait(rest);
    waits_for_clients = waits_for_clients || reads_records(rest.batch->requests[rest.next].command);
  });
  if (has_some_left || !undelivered_.empty() || is_ready_to_go_on) return Duration{0};
  std::optional<Duration> wait = core_->until_next(now);
  const auto at_most = [&wait](Duration limit) {
    if (!wait || *wait > limit) wait = std::max(limit, Duration{0});
  };
  if (waits_for_clients) at_most(answer_wait);  // For room it waits until that is looked at.
  if (std::max(cleaning_, wanted_cleaning()) == Cleaning::due) at_most(Duration{1});
  const bool is_writing = committer_ != nullptr && committer_->is_busy();
  if (is_writing) return wait;
  if (copies_end_ || log_.is_removal_due()) at_most(Duration{0});
  if (dirty_since_) at_most(lazy_write - (now.time - *dirty_since_));
  const bool is_clean = log_.unsealed_bytes() == 0 && !has_unsynced_writes_;
  if (!is_marked_ && is_clean) at_most(idle_mark - (now.time - last_sync_));
  if (options_.sync.kind == SyncPolicy::Kind::interval && has_unsynced_writes_) {
    at_most(options_.sync.interval - (now.time - last_sync_));
  }
  return wait;
}

void Cycle::drain(Now now) {
  committer_ = nullptr;  // It has been stopped: what it is given now would never be written.
  postponed_.clear();    // Nobody is left to take replies; what had none may be undone.
  advance(now);
  commit(now, true);
  if (failure_) return;
  finish(write_batch(log_, log_.seal(), journal::Sync::yes));
}

}  // namespace sluice::engine
