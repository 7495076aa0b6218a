// Every change of a job's state, and what follows from it: lists, timers, counters, dependants,
// unique keys, those who await.
//
// transition() is the one door: it writes the fact and does to memory exactly what recovery does
// with that fact (assign), so the two cannot drift apart.
#include "core/core.h"

#include <algorithm>

namespace sluice::core {
namespace {

using model::JobState;

/// Whether the job's timer runs on calendar time: scheduled by AT and not released since.
bool is_wall_timed(const Job& job, const Details* details) {
  return job.state == JobState::scheduled && details != nullptr && details->at &&
         details->at->time_since_epoch() == job.due.time_since_epoch();
}

std::size_t index_of(JobState state) {
  return static_cast<std::size_t>(state);
}

}  // namespace

std::uint64_t Queue::unfinished() const {
  return counts[index_of(JobState::scheduled)] + counts[index_of(JobState::waiting)] +
         counts[index_of(JobState::ready)] + counts[index_of(JobState::leased)] +
         counts[index_of(JobState::retry)];
}

// -- The door. -----------------------------------------------------------------------------------

/// What a change to `state` says by default: nothing but the state and the time is new.
JobChanged Core::change(Slot slot, JobState state, Now now) const {
  const Job& job = jobs_[slot];
  JobChanged changed;
  changed.id = job.id;
  changed.state = state;
  changed.attempt = job.attempt;
  changed.time = now.time;
  return changed;
}

void Core::transition(Slot slot, JobChanged& changed, Output& out) {
  unlink(slot);
  const std::size_t result_offset = core::put_changed(*out.facts, changed);
  if (changed.has_result) changed.result_at = out.base.plus(result_offset - out.start);
  assign(slot, changed);
  link(slot);
}

void Core::assign(Slot slot, const JobChanged& changed) {
  Job& job = jobs_[slot];
  job.state = changed.state;
  job.attempt = changed.attempt;
  job.order = changed.order;
  job.due = changed.due;
  if (changed.queue) job.queue = *changed.queue;
  const bool has_news = changed.is_event || !changed.worker.empty() || !changed.note.empty() ||
                        changed.has_result || changed.expires;
  if (!has_news) return;
  Details& details = jobs_.details(slot);
  // A lease taken without a name has no worker, whoever had the one before.
  if (changed.state == JobState::leased) details.worker.assign(changed.worker);
  if (changed.is_error) details.error.assign(changed.note);
  if (changed.has_result) {
    details.has_result = true;
    details.result_at = changed.result_at;
    details.result_bytes = static_cast<std::uint32_t>(changed.result.size());
  }
  if (changed.expires) details.expires = *changed.expires;
  if (changed.death) details.death = changed.death;
  if (changed.queue) {
    // A dead letter's ttl is over: it would expire again where somebody should look at it.
    details.ttl = Duration{0};
    details.expires = never;
  }
  if (changed.state != JobState::leased) {
    details.progress_percent = 0;
    details.progress_note.clear();
  }
  if (changed.is_event) {
    constexpr std::size_t note_bytes = 512;  // The whole text is in `error`; history is bounded.
    add_event(details,
              model::JobEvent{changed.time,
                              changed.state,
                              changed.attempt,
                              std::string(changed.worker),
                              std::string(changed.note.substr(0, note_bytes))});
  }
  details_bytes_ -= details.heap_bytes;
  details.count_heap();
  details_bytes_ += details.heap_bytes;
}

// -- Lists, counters and timers. -----------------------------------------------------------------

void Core::link(Slot slot) {
  const Job& job = jobs_[slot];
  Queue& queue = *queues_[job.queue];
  ++queue.counts[index_of(job.state)];
  if (job.state == JobState::leased) ++leased_;
  if (job.state == JobState::ready) {
    queue.ready.add(jobs_, slot);
    queue.ready_bytes += payload_bytes(slot);
    if (has_line(queue)) signal(queue);
  } else {
    list_of(slot).push_back(jobs_, slot);
  }
  arm(slot);
}

void Core::unlink(Slot slot) {
  const Job& job = jobs_[slot];
  Queue& queue = *queues_[job.queue];
  disarm(slot);
  --queue.counts[index_of(job.state)];
  if (job.state == JobState::leased) --leased_;
  if (job.state == JobState::ready) {
    queue.ready.remove(jobs_, slot);
    queue.ready_bytes -= payload_bytes(slot);
  } else {
    list_of(slot).remove(jobs_, slot);
  }
}

std::uint32_t Core::payload_bytes(Slot slot) const {
  const Details* details = jobs_.details_if_any(slot);
  return details == nullptr ? 0 : details->payload_bytes;
}

bool Core::is_pinned(Slot slot) const {
  const Job& job = jobs_[slot];
  if (job.state == JobState::dead || !model::is_final(job.state)) return false;
  const Details* details = jobs_.details_if_any(slot);
  return details != nullptr && details->keep;
}

JobList& Core::list_of(Slot slot) {
  const Job& job = jobs_[slot];
  Queue& queue = *queues_[job.queue];
  return is_pinned(slot) ? queue.pinned : queue.lists[index_of(job.state)];
}

void Core::arm(Slot slot) {
  const Job& job = jobs_[slot];
  if (job.due == never) return;
  (is_wall_timed(job, jobs_.details_if_any(slot)) ? wall_timers_ : timers_).add(slot);
}

void Core::disarm(Slot slot) {
  const Job& job = jobs_[slot];
  if (!TimerWheel::is_armed(job)) return;
  (is_wall_timed(job, jobs_.details_if_any(slot)) ? wall_timers_ : timers_).remove(slot);
}

void Core::signal(Queue& queue) {
  if (queue.is_signalled) return;
  queue.is_signalled = true;
  signalled_.push_back(queue.index);
}

// -- Ready, retry, final. ------------------------------------------------------------------------

/// `note` goes into the history; without one the change is too ordinary to be kept there.
void Core::make_ready(Slot slot, std::uint64_t order, ByteView note, Now now, Output& out) {
  JobChanged changed = change(slot, JobState::ready, now);
  changed.order = order;
  changed.note = note;
  changed.is_event = !note.empty();
  if (Details* details = jobs_.details_if_any(slot)) {
    details->ready_since = out.base;
    const bool is_timed =
        jobs_[slot].attempt == 0 || queues_[jobs_[slot].queue]->policy.is_ttl_for_started;
    if (details->ttl.count() != 0 && is_timed) {
      if (details->expires == never) changed.expires = now.time + details->ttl;
      changed.due = changed.expires.value_or(details->expires);
    }
  }
  transition(slot, changed, out);
}

/// By the leased job's own limit, or its queue's.
bool Core::is_last_attempt(Slot slot) const {
  const Job& job = jobs_[slot];
  const std::uint32_t policy = queues_[job.queue]->policy.max_attempts;
  return job.attempt >= jobs_.details_if_any(slot)->max_attempts.value_or(policy);
}

void Core::retry_or_die(
    Slot slot, ByteView message, std::optional<Duration> after, Now now, Output& out) {
  const Job& job = jobs_[slot];
  const Queue& queue = *queues_[job.queue];
  if (is_last_attempt(slot)) {
    return die(slot, {model::DeathReason::delivery_limit, message}, now, out);
  }
  const Details& details = jobs_.details(slot);
  const model::Backoff& backoff = details.backoff ? *details.backoff : queue.policy.backoff;
  JobChanged changed = change(slot, JobState::retry, now);
  changed.order = draw();
  changed.due = now.time + after.value_or(model::backoff_delay(backoff, job.attempt, job.id.value));
  changed.note = message;
  changed.is_error = true;
  transition(slot, changed, out);
}

/// The job will not run again by itself: dead here, or ready in the dead-letter queue.
void Core::die(Slot slot, const Cause& cause, Now now, Output& out) {
  const Job& job = jobs_[slot];
  Queue& queue = *queues_[job.queue];
  ++queue.dead_total;
  const std::string& target_name = queue.policy.dead_letter;
  if (target_name.empty() || target_name == queue.name) {
    JobChanged changed = change(slot, JobState::dead, now);
    changed.note = cause.note;
    changed.is_error = cause.is_error;
    if (queue.policy.dead_letter_exchange) {
      changed.death = cause.reason;
      dead_letters_.push_back(job.id);
    }
    return finish(slot, changed, now, out);
  }
  Queue* known = find_queue(target_name);
  const Queue& target = known != nullptr ? *known : make_queue(target_name, out);
  const std::string note = "dead-lettered from \"" + queue.name + "\" after attempt " +
                           std::to_string(job.attempt) + ": " + std::string(cause.note);
  release_key(slot, out);
  JobChanged changed = change(slot, JobState::ready, now);
  changed.attempt = 0;
  changed.order = draw();
  changed.queue = target.index;
  changed.note = ByteView(note).substr(0, model::note_bytes_max);
  changed.is_error = cause.is_error;
  forget_dependencies(slot);
  transition(slot, changed, out);
  jobs_.details(slot).ready_since = out.base;
  settled_.push_back({job.id, false});
}

Duration Core::keep_of(Slot slot) const {
  const Details* details = jobs_.details_if_any(slot);
  return details != nullptr && details->keep ? *details->keep
                                             : queues_[jobs_[slot].queue]->policy.keep;
}

void Core::succeed(Slot slot, JobChanged& changed, Now now, Output& out) {
  ++queues_[jobs_[slot].queue]->succeeded_total;
  const bool is_asked_for = keep_of(slot).count() > 0 || awaited_.count(changed.id) > 0 ||
                            dependents_.count(changed.id) > 0;
  if (is_asked_for) return finish(slot, changed, now, out);
  // Nobody will see how it ended: it is gone, and that is the one fact.
  release_key(slot, out);
  remove_job(slot, out);
}

void Core::finish(Slot slot, JobChanged& changed, Now now, Output& out) {
  changed.order = draw();
  // Dead jobs stay until somebody decides; the others for their keep.
  if (changed.state != JobState::dead) changed.due = now.time + keep_of(slot);
  forget_dependencies(slot);
  transition(slot, changed, out);
  release_key(slot, out);
  settled_.push_back({changed.id, changed.state == JobState::succeeded});
}

// -- Those who waited for it. --------------------------------------------------------------------

/// Works off settled_: dependants first (who may end in turn), then those who await, then keep.
/// A list instead of recursion: a chain of a million jobs may die at once.
void Core::settle(Now now, Output& out) {
  for (std::size_t next = 0; next < settled_.size(); ++next) {
    const Settled settled = settled_[next];
    settle_dependents(settled, now, out);
    const Slot slot = jobs_.find(settled.id);
    if (slot != no_slot && !model::is_final(jobs_[slot].state)) continue;
    tell_awaiting(settled.id, slot, out);
    if (slot != no_slot) keep_or_remove(slot, out);
  }
  settled_.clear();
}

/// `slot`: no_slot if the job was removed, by a purge for example.
void Core::tell_awaiting(model::JobId id, Slot slot, Output& out) {
  const auto waiting = awaited_.find(id);
  if (waiting == awaited_.end()) return;
  const std::vector<model::Ticket> tickets = waiting->second;
  for (const model::Ticket ticket : tickets) {
    if (slot != no_slot) {
      reply(ticket, info(slot), out, out.base);
    } else {
      reply(ticket,
            std::make_unique<Error>(
                Error{ErrorCode::no_job, "job " + model::id_text(id) + " was removed"}),
            out,
            out.base);
    }
    drop_waiter(ticket);
  }
}

void Core::settle_dependents(const Settled& settled, Now now, Output& out) {
  const auto found = dependents_.find(settled.id);
  if (found == dependents_.end()) return;
  const std::vector<model::JobId> waiting = std::move(found->second);
  dependents_.erase(found);
  for (const model::JobId id : waiting) {
    const Slot slot = jobs_.find(id);
    if (slot != no_slot && jobs_[slot].state == JobState::waiting) {
      dependency_ended(slot, settled, now, out);
    }
  }
}

/// One of the jobs that `slot` waits for has ended.
void Core::dependency_ended(Slot slot, const Settled& settled, Now now, Output& out) {
  Details& details = jobs_.details(slot);
  const auto waits_for =
      std::find_if(details.waits_for.begin(),
                   details.waits_for.end(),
                   [&settled](const model::Dependency& each) { return each.id == settled.id; });
  if (waits_for == details.waits_for.end()) return;
  if (!settled.has_succeeded && !waits_for->any_outcome) {
    const Slot other = jobs_.find(settled.id);
    const std::string how = other == no_slot || !model::is_final(jobs_[other].state)
                                ? "died"
                                : "is " + std::string(name(jobs_[other].state));
    const std::string reason =
        "job " + model::id_text(settled.id) + ", which this job waited for, " + how;
    return die(slot, {model::DeathReason::rejected, reason}, now, out);
  }
  core::put_dependency_met(*out.facts, {jobs_[slot].id, settled.id});
  details.waits_for.erase(waits_for);
  if (details.waits_for.empty()) start_waiting_job(slot, now, out);
}

void Core::start_waiting_job(Slot slot, Now now, Output& out) {
  const Details& details = jobs_.details(slot);
  JobChanged changed = change(slot, JobState::scheduled, now);
  changed.order = draw();
  changed.is_event = false;
  if (details.at && *details.at > now.wall) {
    changed.due = Time(details.at->time_since_epoch());
  } else if (details.delay.count() > 0) {
    changed.due = now.time + details.delay;
  } else {
    return make_ready(slot, changed.order, "the jobs it waited for are done", now, out);
  }
  transition(slot, changed, out);
}

/// A job that ends while it still waits: those it waited for need not tell it any more.
void Core::forget_dependencies(Slot slot) {
  Details* details = jobs_.details_if_any(slot);
  if (details == nullptr || jobs_[slot].state != JobState::waiting) return;
  for (const model::Dependency& dependency : details->waits_for) {
    const auto others = dependents_.find(dependency.id);
    if (others == dependents_.end()) continue;
    std::erase(others->second, jobs_[slot].id);
    if (others->second.empty()) dependents_.erase(others);
  }
}

void Core::release_key(Slot slot, Output& out) {
  const Details* details = jobs_.details_if_any(slot);
  if (details == nullptr || details->unique_key.empty()) return;
  keys_.release(KeyName(jobs_[slot].queue, details->unique_key), jobs_[slot].id, out);
}

/// A finished job whose keep is zero goes at once; otherwise the oldest beyond keep_max go.
void Core::keep_or_remove(Slot slot, Output& out) {
  const Job& job = jobs_[slot];
  const Queue& queue = *queues_[job.queue];
  if (job.state == JobState::dead) {
    const bool is_kept = !queue.policy.drops_dead || queue.policy.dead_letter_exchange;
    return is_kept ? void() : remove_job(slot, out);
  }
  if (keep_of(slot).count() == 0) return remove_job(slot, out);
  if (is_pinned(slot)) return;
  const JobList& kept = queue.lists[index_of(job.state)];
  while (kept.size() > queue.policy.keep_max)
    remove_job(kept.head(), out);
}

void Core::remove_job(Slot slot, Output& out) {
  const Job& job = jobs_[slot];
  core::put_gone(*out.facts, job.id);
  unlink(slot);
  live_bytes_ -= std::min<std::uint64_t>(live_bytes_, job.record_bytes);
  if (const Details* details = jobs_.details_if_any(slot)) details_bytes_ -= details->heap_bytes;
  jobs_.remove(slot);
}

// -- Time. ---------------------------------------------------------------------------------------

bool Core::tick(Now now, std::size_t& steps, Output& out) {
  time_ = std::max(time_, now.time);
  now.time = time_;
  const Time passed = now.time - one_tick;
  const std::int64_t wall = now.wall.time_since_epoch().count();
  if (wall < wall_timers_.elapsed()) wall_timers_.rewind(wall);
  if (!wait_ends_.empty() && wait_ends_.begin()->first <= passed && steps > 0) {
    --steps;
    const model::Ticket ticket = wait_ends_.begin()->second;
    const auto await = awaits_.find(ticket);
    if (await == awaits_.end()) {
      reply(ticket, model::Nothing{}, out);
    } else if (const Slot slot = jobs_.find(await->second.id); slot != no_slot) {
      reply(ticket, info(slot), out, seen());
    } else {
      refuse(
          ticket, {ErrorCode::no_job, "job " + model::id_text(await->second.id) + " is gone"}, out);
    }
    drop_waiter(ticket);
    return true;
  }
  if (steps > 0 && keys_.expire_one(passed, out)) {
    --steps;
    last_facts_ = out.base;
    return true;
  }
  if (!queue_ends_.empty() && queue_ends_.begin()->first <= passed && steps > 0) {
    --steps;
    end_unused_queue(out);
    settle(now, out);
    if (out.has_facts()) last_facts_ = out.base;
    return true;
  }
  if (is_time_mark_due() && steps > 0) {
    --steps;
    time_mark_ = time_;
    put_meta(out);
    last_facts_ = out.base;
    return true;
  }
  Slot slot = timers_.pop(passed.time_since_epoch().count(), steps);
  if (slot == no_slot) slot = wall_timers_.pop(wall, steps);
  if (slot == no_slot) return false;
  expire_timer(slot, now, out);
  if (!settled_.empty()) settle(now, out);
  last_facts_ = out.base;
  return true;
}

bool Core::is_time_mark_due() const {
  return leased_ > 0 && time_ >= time_mark_ + model::time_mark_period;
}

void Core::expire_timer(Slot slot, Now now, Output& out) {
  Job& job = jobs_[slot];
  switch (job.state) {
    case JobState::scheduled:
    case JobState::retry:
      make_ready(slot, draw(), {}, now, out);
      break;
    case JobState::ready: {
      constexpr ByteView note = "its ttl ran out before it was started";
      if (queues_[job.queue]->policy.dead_letter_exchange) {
        die(slot, {model::DeathReason::expired, note, false}, now, out);
        break;
      }
      JobChanged changed = change(slot, JobState::expired, now);
      changed.note = note;
      finish(slot, changed, now, out);
      break;
    }
    case JobState::leased: {
      ++expired_leases_total_;
      const std::string reason =
          "the lease expired: no word from worker \"" + jobs_.details(slot).worker + "\"";
      if (is_last_attempt(slot)) {
        die(slot, {model::DeathReason::delivery_limit, reason}, now, out);
      } else {
        make_ready(slot, job.id.value, reason, now, out);
      }
      break;
    }
    case JobState::succeeded:
    case JobState::cancelled:
    case JobState::expired:
      remove_job(slot, out);
      break;
    case JobState::waiting:
    case JobState::dead:
      check(false);
  }
}

std::optional<Duration> Core::until_next(Now now) const {
  std::optional<std::int64_t> soonest;
  const auto consider = [&soonest](std::int64_t wait) {
    if (!soonest || wait < *soonest) soonest = wait;
  };
  const std::int64_t time = (std::max(time_, now.time) - one_tick).time_since_epoch().count();
  if (leased_ > 0) {
    const Time mark = time_mark_ + model::time_mark_period - one_tick;
    consider(mark.time_since_epoch().count() - time);
  }
  if (const auto next = timers_.next()) consider(*next - time);
  if (const auto next = wall_timers_.next()) consider(*next - now.wall.time_since_epoch().count());
  if (!wait_ends_.empty()) consider(wait_ends_.begin()->first.time_since_epoch().count() - time);
  if (const auto end = keys_.next_end()) consider(end->time_since_epoch().count() - time);
  if (!queue_ends_.empty()) consider(queue_ends_.begin()->first.time_since_epoch().count() - time);
  if (!soonest) return std::nullopt;
  return Duration(std::max<std::int64_t>(*soonest, 0));
}

/// Whether pulls wait here that will have a job at the next dispatch().
bool Core::has_line(const Queue& queue) {
  return !queue.waiters.empty() && queue.ready.size() > 0 && !queue.policy.paused;
}

/// Serves the pulls that wait on queues which got ready jobs, in the order in which they came.
bool Core::dispatch(Now now, std::uint64_t bytes_budget, Output& out) {
  time_ = std::max(time_, now.time);
  now.time = time_;
  std::uint64_t bytes = 0;
  while (!signalled_.empty() && bytes < bytes_budget) {
    Queue* queue = queues_[signalled_.front()].get();
    if (queue == nullptr || !has_line(*queue)) {
      if (queue != nullptr) queue->is_signalled = false;
      signalled_.pop_front();
      continue;
    }
    const model::Ticket ticket = queue->waiters.begin()->second;
    PullWaiter waiter = pulls_.at(ticket);
    // The first of many does not take what is enough for all.
    const std::uint64_t share =
        std::max<std::uint64_t>(queue->ready.size() / queue->waiters.size(), 1);
    drop_waiter(ticket);
    Position needs;
    std::unique_ptr<model::Delivered> delivered =
        hand_out(waiter, std::min<std::uint64_t>(waiter.count, share), now, out, needs);
    check(delivered != nullptr);
    for (const model::Delivery& each : delivered->jobs)
      bytes += each.record_bytes;
    const bool waits_again = goes_on(waiter, *delivered);
    reply(ticket, std::move(delivered), out, needs);
    if (waits_again) add_waiter(ticket, std::move(waiter));
    if (!settled_.empty()) settle(now, out);
  }
  if (out.has_facts()) last_facts_ = out.base;
  return !signalled_.empty();
}

}  // namespace sluice::core
