// What people see: one job, lists of jobs, queues, statistics. Nothing here changes anything.
#include "core/core.h"

#include <algorithm>

namespace sluice::core {

using model::JobState;

std::unique_ptr<model::JobInfo> Core::info(Slot slot) const {
  const Job& job = jobs_[slot];
  const Queue& queue = *queues_[job.queue];
  auto info = std::make_unique<model::JobInfo>();
  info->id = job.id;
  info->queue = queue.name;
  info->state = job.state;
  info->priority = job.priority;
  info->attempt = job.attempt;
  info->max_attempts = queue.policy.max_attempts;
  info->home = job.home;
  info->record_bytes = job.record_bytes;
  if (job.due != never) info->due = job.due;
  const Details* details = jobs_.details_if_any(slot);
  if (details == nullptr) return info;
  info->max_attempts = details->max_attempts.value_or(queue.policy.max_attempts);
  info->at = details->at;
  info->worker = details->worker;
  info->error = details->error;
  info->has_result = details->has_result;
  info->result_at = details->result_at;
  info->result_bytes = details->result_bytes;
  info->progress_percent = details->progress_percent;
  info->progress_note = details->progress_note;
  info->unique_key = details->unique_key;
  if (job.state == JobState::waiting) info->after = details->waits_for;
  info->history = details->history;
  return info;
}

void Core::handle(const model::GetJob& get, model::Ticket ticket, Now, Output& out) {
  const Slot slot = jobs_.find(get.id);
  if (slot == no_slot) {
    return refuse(ticket,
                  {ErrorCode::no_job,
                   "there is no job " + model::id_text(get.id) +
                       "; it never was, or finished and is not kept"},
                  out);
  }
  reply(ticket, info(slot), out, seen());
}

// A walk over a queue goes through its lists, one stage each: those of the states in their order,
// from head to tail, then the pinned jobs. A walk of one final state is its list and the pinned
// jobs, of which it shows those in that state. A cursor says by itself in which list it is.

std::size_t Core::stage_of(Slot slot) const {
  return is_pinned(slot) ? pinned_list : static_cast<std::size_t>(jobs_[slot].state);
}

Slot Core::first_listed(const Queue& queue, std::size_t stage) const {
  if (stage == pinned_list) return queue.pinned.head();
  if (stage == static_cast<std::size_t>(JobState::ready)) return queue.ready.front(jobs_);
  return queue.lists[stage].head();
}

Slot Core::next_listed(const Queue& queue, Slot slot) const {
  const Job& job = jobs_[slot];
  return job.state == JobState::ready ? queue.ready.after(jobs_, slot) : job.next;
}

/// Where the walk begins; no_slot: the cursor's job is no longer where it was.
Result<Slot> Core::start_of(const model::ListJobs& list,
                            const Queue& queue,
                            std::size_t& stage) const {
  if (list.cursor.value == 0) {
    stage = list.state ? static_cast<std::size_t>(*list.state) : 0;
    return first_listed(queue, stage);
  }
  const Slot slot = const_cast<JobTable&>(jobs_).find(list.cursor);  // Only moves its cache.
  bool is_in_walk = slot != no_slot && jobs_[slot].queue == queue.index;
  if (is_in_walk) {
    stage = stage_of(slot);
    is_in_walk = !list.state || stage == static_cast<std::size_t>(*list.state) ||
                 (stage == pinned_list && model::is_final(*list.state));
  }
  if (!is_in_walk) {
    return fail(ErrorCode::no_job,
                "cursor: job " + model::id_text(list.cursor) +
                    " has changed since; start the listing again");
  }
  return next_listed(queue, slot);
}

void Core::handle(const model::ListJobs& list, model::Ticket ticket, Now now, Output& out) {
  const Result<Queue*> known = known_queue(list.queue);
  if (!known) return refuse(ticket, known.error(), out);
  const Queue& queue = **known;
  auto jobs = std::make_unique<model::JobList>();
  jobs->type = std::string(list.type);
  jobs->created_to = now.time - list.older_than;
  jobs->created_from = list.newer_than >= duration_max ? Time::min() : now.time - list.newer_than;

  std::size_t stage = 0;
  const Result<Slot> start = start_of(list, queue, stage);
  if (!start) return refuse(ticket, start.error(), out);
  Slot slot = *start;
  std::size_t examined = 0;
  model::JobId last;
  while (jobs->jobs.size() < list.count && examined < model::list_examined_max) {
    if (slot == no_slot) {
      const bool is_over = stage == pinned_list || (list.state && !model::is_final(*list.state));
      if (is_over) break;
      stage = list.state ? pinned_list : stage + 1;
      slot = first_listed(queue, stage);
      continue;
    }
    ++examined;
    if (!list.state || jobs_[slot].state == *list.state) {
      jobs->jobs.push_back(std::move(*info(slot)));
    }
    last = jobs_[slot].id;
    slot = next_listed(queue, slot);
  }
  const bool is_cut = jobs->jobs.size() == list.count || examined == model::list_examined_max;
  if (is_cut) jobs->cursor = last;
  reply(ticket, std::move(jobs), out, seen());
}

model::QueueInfo Core::info(const Queue& queue, Now now) const {
  model::QueueInfo info;
  info.name = queue.name;
  info.policy = queue.policy;
  info.jobs = queue.counts;
  info.pushed_total = queue.pushed_total;
  info.pulled_total = queue.pulled_total;
  info.succeeded_total = queue.succeeded_total;
  info.failed_total = queue.failed_total;
  info.dead_total = queue.dead_total;
  info.waiting_pulls = queue.waiters.size();
  info.oldest_ready_at =
      queue.ready.size() == 0 ? Position() : jobs_[queue.ready.front(jobs_)].home;
  if (queue.ready.size() > 0) {
    info.oldest_ready_bytes = jobs_[queue.ready.front(jobs_)].record_bytes;
  }
  info.now = now.time;
  return info;
}

void Core::handle(const model::GetQueue& get, model::Ticket ticket, Now now, Output& out) {
  const Result<Queue*> queue = known_queue(get.queue);
  if (!queue) return refuse(ticket, queue.error(), out);
  if (get.is_use) touch(**queue);
  reply(ticket, std::make_unique<model::QueueInfo>(info(**queue, now)), out, seen());
}

void Core::handle(const model::ListQueues&, model::Ticket ticket, Now now, Output& out) {
  auto list = std::make_unique<model::QueueList>();
  for (const auto& [name, index] : queue_names_) {
    list->queues.push_back(info(*queues_[index], now));
  }
  reply(ticket, std::move(list), out, seen());
}

void Core::handle(const model::GetStats&, model::Ticket ticket, Now, Output& out) {
  auto stats = std::make_unique<model::Stats>();
  stats->epoch = epoch_;
  stats->queues = queue_names_.size();
  stats->memory_bytes = memory_bytes();
  stats->live_bytes = live_bytes();
  stats->expired_leases_total = expired_leases_total_;
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue == nullptr) continue;
    for (std::size_t state = 0; state < model::job_state_count; ++state) {
      stats->jobs[state] += queue->counts[state];
    }
    stats->pushed_total += queue->pushed_total;
    stats->pulled_total += queue->pulled_total;
    stats->succeeded_total += queue->succeeded_total;
    stats->failed_total += queue->failed_total;
    stats->dead_total += queue->dead_total;
  }
  reply(ticket, std::move(stats), out, seen());
}

std::uint64_t Core::memory_bytes() const {
  return jobs_.memory_bytes() + details_bytes_ + keys_.memory_bytes() + routes_.memory_bytes();
}

std::uint64_t Core::live_bytes() const {
  return live_bytes_ + keys_.live_bytes() + routes_.live_bytes();
}

}  // namespace sluice::core
