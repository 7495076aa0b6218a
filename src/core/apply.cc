// What each command of a job's life does after its push: pull, ack, fail, release, extend, cancel,
// await.
//
// Every handler first checks everything (and answers with an error that has changed nothing), then
// writes facts and changes memory in lifecycle.cc; that second part cannot fail.
#include "core/core.h"

#include <algorithm>

namespace sluice::core {
namespace {

using model::JobState;

std::uint16_t next_attempt(const Job& job) {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(job.attempt + 1u, model::attempts_max));
}

}  // namespace

void Core::apply(const model::Command& command, model::Ticket ticket, Now now, Output& out) {
  time_ = std::max(time_, now.time);
  now.time = time_;
  std::visit([&](const auto& each) { handle(each, ticket, now, out); }, command);
  if (!settled_.empty()) settle(now, out);
  if (out.has_facts()) {
    last_facts_ = out.base;
    return;
  }
  // Nothing was written (a purge of nothing): there is no frame here that could become durable.
  for (model::Reply& each : out.replies)
    each.needs = std::min(each.needs, seen());
}

void Core::reply(model::Ticket ticket, model::Answer answer, Output& out, Position needs) {
  out.replies.emplace_back(ticket, std::move(answer), needs);
}

void Core::refuse(model::Ticket ticket, Error error, Output& out) {
  reply(ticket, std::make_unique<Error>(std::move(error)), out);
}

// -- Leases. -------------------------------------------------------------------------------------

void Core::handle(const model::Pull& pull, model::Ticket ticket, Now now, Output& out) {
  if (const auto known = pulls_.find(ticket); pull.stay_bytes > 0 && known != pulls_.end()) {
    known->second.count += pull.count;
    known->second.stay_bytes = pull.stay_bytes;
    return;
  }
  std::vector<QueueIndex> queues;
  queues.reserve(pull.queues->size());
  for (const ByteView name : *pull.queues) {
    if (find_queue(name) == nullptr) {
      if (pull.duty != model::Duty::lease) return refuse(ticket, known_queue(name).error(), out);
      if (Result<void> fine = check_new_queue(name); !fine) {
        return refuse(ticket, fine.error(), out);
      }
    }
  }
  for (const ByteView name : *pull.queues) {
    Queue* queue = find_queue(name);
    if (queue == nullptr) queue = &make_queue(name, out);
    touch(*queue);
    if (std::find(queues.begin(), queues.end(), queue->index) == queues.end()) {
      queues.push_back(queue->index);
    }
  }
  // Pulls that wait come first. This one could otherwise take a job that was pushed a moment ago in
  // the same turn of the engine, and the one before it would wait on, with the client's ordered
  // replies behind it. So it joins the line, if only until the next dispatch().
  const bool must_queue = std::any_of(
      queues.begin(), queues.end(), [this](QueueIndex index) { return has_line(*queues_[index]); });
  PullWaiter waiter{std::move(queues),
                    pull.count,
                    pull.lease,
                    std::string(pull.worker),
                    pull.wait >= duration_max ? never : now.time + pull.wait,
                    pull.duty,
                    pull.rank,
                    pull.stay_bytes,
                    next_arrival_};
  if (!must_queue) {
    Position needs;
    std::unique_ptr<model::Delivered> delivered = hand_out(waiter, waiter.count, now, out, needs);
    if (delivered != nullptr) {
      const bool is_done = !goes_on(waiter, *delivered);
      reply(ticket, std::move(delivered), out, needs);
      if (is_done) return;
    } else if (pull.wait.count() <= 0) {
      return reply(ticket, model::Nothing{}, out);
    }
  }
  add_waiter(ticket, std::move(waiter));
}

/// Whether it is to wait again after this; otherwise says what is left of it.
bool Core::goes_on(PullWaiter& waiter, model::Delivered& delivered) {
  waiter.count -= static_cast<std::uint32_t>(delivered.jobs.size());
  if (waiter.stay_bytes == 0 || waiter.count == 0) return false;
  std::uint64_t bytes = 0;
  for (const model::Delivery& job : delivered.jobs)
    bytes += job.record_bytes;
  waiter.stay_bytes -= std::min(waiter.stay_bytes, bytes);
  if (waiter.stay_bytes > 0) return true;
  delivered.unused = waiter.count;
  return false;
}

/// Behind all of its rank.
void Core::add_waiter(model::Ticket ticket, PullWaiter waiter) {
  waiter.arrival = next_arrival_++;
  for (const QueueIndex index : waiter.queues) {
    queues_[index]->waiters.emplace(waiter.turn(), ticket);
    if (has_line(*queues_[index])) signal(*queues_[index]);
  }
  if (waiter.deadline != never) wait_ends_.emplace(waiter.deadline, ticket);
  pulls_.emplace(ticket, std::move(waiter));
}

/// What must be durable before the job is handed out.
Position Core::durable_with(Slot slot) const {
  const Job& job = jobs_[slot];
  if (job.is_transient) return {};
  const Details* details = jobs_.details_if_any(slot);
  return details == nullptr ? job.home : std::max(job.home, details->ready_since);
}

/// Null if no queue has a ready job. `needs`: what must be durable before the jobs are handed out.
std::unique_ptr<model::Delivered> Core::hand_out(
    const PullWaiter& pull, std::uint64_t count, Now now, Output& out, Position& needs) {
  std::unique_ptr<model::Delivered> delivered;
  const std::uint64_t bytes_max = pull.stay_bytes > 0 ? pull.stay_bytes : model::pull_bytes_max;
  std::uint64_t bytes = 0;
  for (const QueueIndex index : pull.queues) {
    Queue& queue = *queues_[index];
    if (queue.policy.paused) continue;
    while (queue.ready.size() > 0 &&
           (delivered == nullptr || (delivered->jobs.size() < count && bytes < bytes_max))) {
      const Slot slot = queue.ready.front(jobs_);
      if (delivered == nullptr) {
        delivered = std::make_unique<model::Delivered>();
        delivered->jobs.reserve(std::min<std::uint64_t>(count, queue.ready.size()));
      }
      needs = std::max({needs, durable_with(slot), queue.handed_out});
      queue.handed_out = needs;
      bytes += jobs_[slot].record_bytes;
      delivered->jobs.push_back(pull.duty == model::Duty::none ? give_away(slot, pull, now, out)
                                                               : lease_job(slot, pull, now, out));
      ++queue.pulled_total;
    }
  }
  return delivered;
}

model::Delivery Core::lease_job(Slot slot, const PullWaiter& pull, Now now, Output& out) {
  const Job& job = jobs_[slot];
  JobChanged changed = change(slot, JobState::leased, now);
  changed.attempt = next_attempt(job);
  changed.order = (epoch_ << 40) | next_token_++;
  changed.worker = pull.worker;
  if (pull.duty == model::Duty::lease) {
    Duration length = queues_[job.queue]->policy.timeout;
    if (const Details* details = jobs_.details_if_any(slot)) {
      length = details->timeout.value_or(length);
    }
    changed.due = now.time + pull.lease.value_or(length);
  }
  transition(slot, changed, out);
  return delivery(slot);
}

/// Nobody will say what became of it: it has succeeded.
model::Delivery Core::give_away(Slot slot, const PullWaiter& pull, Now now, Output& out) {
  model::Delivery given = delivery(slot);
  given.token = {};
  given.attempt = next_attempt(jobs_[slot]);
  JobChanged changed = change(slot, JobState::succeeded, now);
  changed.attempt = given.attempt;
  changed.worker = pull.worker;
  succeed(slot, changed, now, out);
  return given;
}

model::Delivery Core::delivery(Slot slot) const {
  const Job& job = jobs_[slot];
  return {.id = job.id,
          .token = model::LeaseToken(job.order),
          .attempt = job.attempt,
          .deadline = job.due,
          .queue = queues_[job.queue]->name,
          .home = job.home,
          .record_bytes = job.record_bytes,
          .type = {},
          .payload = {},
          .headers = {}};
}

Result<Slot> Core::leased(model::JobId id, model::LeaseToken token, Now now) {
  const Slot slot = jobs_.find(id);
  if (slot == no_slot) {
    return fail(
        ErrorCode::no_job,
        "there is no job " + model::id_text(id) + "; it never was, or finished and is not kept");
  }
  const Job& job = jobs_[slot];
  const bool is_current = job.state == JobState::leased && job.order == token.value;
  // A lease is over at its end, not when its timer gets its turn behind commands that came late.
  if (is_current && job.due > now.time - one_tick) return slot;
  std::string why = "job " + model::id_text(id);
  if (is_current) {
    why += " is about to be ready: this lease has ended";
  } else if (job.state == JobState::leased) {
    why += " has a newer lease: this one expired or was given up";
  } else if (job.state == JobState::cancelled) {
    why += " was cancelled";
  } else {
    why += " is " + std::string(name(job.state)) + ": this lease has ended";
  }
  return fail(ErrorCode::stale, std::move(why));
}

void Core::handle(const model::Ack& ack, model::Ticket ticket, Now now, Output& out) {
  if (ack.result.size() > limits_.payload_bytes_max) {
    return refuse(ticket, too_big("result", ack.result.size(), limits_.payload_bytes_max), out);
  }
  const Result<Slot> slot = leased(ack.id, ack.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  JobChanged changed = change(*slot, JobState::succeeded, now);
  changed.has_result = !ack.result.empty();
  changed.result = ack.result;
  succeed(*slot, changed, now, out);
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::Fail& failed, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(failed.id, failed.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  const ByteView message = failed.message.substr(0, model::note_bytes_max);
  ++queues_[jobs_[*slot].queue]->failed_total;
  if (failed.dead) {
    die(*slot, {model::DeathReason::rejected, message}, now, out);
  } else {
    retry_or_die(*slot, message, failed.retry_after, now, out);
  }
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::Release& release, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(release.id, release.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  Job& job = jobs_[*slot];
  if (release.counts) {
    if (is_last_attempt(*slot)) {
      const ByteView reason = "given back after its last attempt";
      die(*slot, {model::DeathReason::delivery_limit, reason}, now, out);
    } else {
      make_ready(*slot, job.id.value, "given back", now, out);
    }
    return reply(ticket, model::Done{}, out, out.base);
  }
  // The attempt is given back: releasing is not failing.
  const auto attempt = static_cast<std::uint16_t>(job.attempt - 1);
  if (release.delay.count() > 0) {
    JobChanged changed = change(*slot, JobState::scheduled, now);
    changed.attempt = attempt;
    changed.order = draw();
    changed.due = now.time + release.delay;
    changed.note = "released";
    transition(*slot, changed, out);
  } else {
    job.attempt = attempt;
    make_ready(*slot, job.id.value, "released", now, out);
  }
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::Extend& extend, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(extend.id, extend.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  Job& job = jobs_[*slot];
  JobChanged changed = change(*slot, JobState::leased, now);
  changed.order = job.order;
  changed.due = now.time + extend.lease;
  changed.is_event = false;
  // Not a transition: the job keeps its place among the leased, only its timer moves.
  disarm(*slot);
  core::put_changed(*out.facts, changed);
  job.due = changed.due;
  arm(*slot);
  reply(ticket, model::Extended{job.due}, out);
}

void Core::handle(const model::Progress& progress, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(progress.id, progress.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  Details& details = jobs_.details(*slot);
  details.progress_percent = progress.percent;
  details.progress_note = std::string(progress.note.substr(0, model::note_bytes_max));
  reply(ticket, model::Done{}, out);
}

void Core::handle(const model::Cancel& cancel, model::Ticket ticket, Now now, Output& out) {
  const Slot slot = jobs_.find(cancel.id);
  if (slot == no_slot) {
    return refuse(ticket, {ErrorCode::no_job, "there is no job " + model::id_text(cancel.id)}, out);
  }
  const Job& job = jobs_[slot];
  if (model::is_final(job.state)) {
    return refuse(
        ticket,
        {ErrorCode::stale,
         "job " + model::id_text(cancel.id) + " is already " + std::string(name(job.state))},
        out);
  }
  JobChanged changed = change(slot, JobState::cancelled, now);
  changed.note = job.state == JobState::leased ? "cancelled while it was running" : "cancelled";
  finish(slot, changed, now, out);
  reply(ticket, model::Done{}, out, out.base);
}

// -- Waiting for the end of a job. ---------------------------------------------------------------

void Core::handle(const model::Await& await, model::Ticket ticket, Now now, Output& out) {
  const Slot slot = jobs_.find(await.id);
  if (slot == no_slot) {
    return refuse(ticket, {ErrorCode::no_job, "there is no job " + model::id_text(await.id)}, out);
  }
  if (model::is_final(jobs_[slot].state) || await.wait.count() <= 0) {
    return reply(ticket, info(slot), out, seen());
  }
  const Time deadline = await.wait >= duration_max ? never : now.time + await.wait;
  awaits_.emplace(ticket, AwaitWaiter{await.id, deadline});
  awaited_[await.id].push_back(ticket);
  if (deadline != never) wait_ends_.emplace(deadline, ticket);
}

void Core::handle(const model::Abandon& abandon, model::Ticket, Now, Output&) {
  for (auto pull = pulls_.lower_bound(abandon.first);
       pull != pulls_.end() && pull->first <= abandon.last;
       pull = pulls_.lower_bound(abandon.first)) {
    drop_waiter(pull->first);
  }
  for (auto await = awaits_.lower_bound(abandon.first);
       await != awaits_.end() && await->first <= abandon.last;
       await = awaits_.lower_bound(abandon.first)) {
    drop_waiter(await->first);
  }
}

void Core::drop_waiter(model::Ticket ticket) {
  if (const auto pull = pulls_.find(ticket); pull != pulls_.end()) {
    for (const QueueIndex index : pull->second.queues) {
      if (queues_[index] == nullptr) continue;
      queues_[index]->waiters.erase(pull->second.turn());
      touch(*queues_[index]);
    }
    if (pull->second.deadline != never) wait_ends_.erase({pull->second.deadline, ticket});
    pulls_.erase(pull);
  }
  if (const auto await = awaits_.find(ticket); await != awaits_.end()) {
    if (const auto all = awaited_.find(await->second.id); all != awaited_.end()) {
      std::erase(all->second, ticket);
      if (all->second.empty()) awaited_.erase(all);
    }
    if (await->second.deadline != never) wait_ends_.erase({await->second.deadline, ticket});
    awaits_.erase(await);
  }
}

}  // namespace sluice::core
