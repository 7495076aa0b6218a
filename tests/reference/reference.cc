// The reference queue: every command in the order of model/command.h, then what follows from them.
#include "reference/reference.h"

#include <algorithm>
#include <tuple>

namespace sluice::reference {
namespace {

using model::JobState;

template <class T>
void update(T& field, const std::optional<T>& value) {
  if (value) field = *value;
}

}  // namespace

void differ(const std::string& what, std::uint64_t which) {
  throw Mismatch(which == 0 ? what : what + " (of number " + std::to_string(which) + ")");
}

void require(bool condition, const char* what, std::uint64_t which) {
  if (!condition) differ(what, which);
}

void Reference::boot(Now now, Time last_time, Position frame) {
  const Duration down = std::max(now.time - last_time, Duration{0});
  now_ = {std::max(last_time, now.time), now.wall};
  frame_ = frame;
  ++epoch_;
  next_token_ = 1;
  time_mark_ = now_.time;
  expired_leases_ = 0;
  pulls_.clear();
  awaits_.clear();
  signalled_.clear();
  for (Queue& queue : queues_) {
    queue = Queue{queue.name, queue.index, queue.policy};
    touch(queue);
  }
  dead_letters_.clear();
  queues_.sort([](const Queue& a, const Queue& b) { return a.index < b.index; });
  for (const Queue& queue : queues_) {
    const std::string& name = queue.name;
    for (const Job* job : listed(name)) {
      const bool is_letter =
          job->state == JobState::dead && queue_of(name).policy.dead_letter_exchange.has_value();
      if (is_letter) dead_letters_.push_back(job->id);
    }
  }
  while (const Exchange* transient = find_transient_exchange())
    remove_exchange(transient->name);
  for (Job& job : jobs_) {
    job.progress_percent = 0;
    job.progress_note.clear();
    job.ready_since = Position();
    job.was_late = job.due <= last_time;
    if (job.state != JobState::leased) continue;
    if (job.due == never) {  // Of a connection.
      become_ready(job, job.id.value);
      job.ready_since = frame;
    } else {
      job.due = std::max(job.due + down, now_.time + model::lease_grace);
      job.was_late = false;
    }
  }
  clear_transient();
}

/// Jobs and queues that a restart of the server ends.
void Reference::clear_transient() {
  std::vector<model::JobId> ids;
  do {
    ids.clear();
    for (const Job& job : jobs_) {
      if (job.is_transient || !queue_of(job.queue).policy.is_durable) ids.push_back(job.id);
    }
    std::sort(ids.begin(), ids.end());
    for (const model::JobId id : ids) {
      ended_.push_back({id, find_job(id)->state == JobState::succeeded});
      remove(id);
    }
    settle();
  } while (!ids.empty());
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    const std::string name = queue->name;
    const bool is_lost = !queue->policy.is_durable;
    ++queue;
    if (is_lost) remove_queue(name);
  }
}

void Reference::begin(Now now, Position frame) {
  now_ = {std::max(now_.time, now.time), now.wall};
  frame_ = frame;
}

void Reference::apply(const model::Command& command,
                      model::Ticket ticket,
                      Now now,
                      Position frame) {
  begin(now, frame);
  ticket_ = ticket;
  std::visit([this](const auto& each) { handle(each); }, command);
  settle();
}

// -- A job's life. -------------------------------------------------------------------------------

void Reference::handle(const model::Push& push) {
  if (const std::optional<ErrorCode> why = refusal(push)) {
    bury_refused(push);
    return refuse(*why);
  }
  const model::Pushed pushed = put(push);
  reply(pushed);
  if (is_transient(pushed)) replies.back().needs = Position();
}

/// What it says need not be durable.
bool Reference::is_transient(const model::Pushed& pushed) {
  return pushed.is_new && find_job(pushed.id)->is_transient;
}

/// The job whose place a push with a held unique key takes or whose id it gets; null: none.
const Reference::HeldKey* Reference::held_key(const model::Push& push) const {
  if (push.options == nullptr || push.options->unique_key.empty()) return nullptr;
  const auto held = keys_.find({std::string(push.queue), std::string(push.options->unique_key)});
  const bool is_held = held != keys_.end() && held->second.until >= now_.time;
  return is_held ? &held->second : nullptr;
}

/// Why the push is not taken; none: it is.
std::optional<ErrorCode> Reference::refusal(const model::Push& push) {
  const Queue* queue = find_queue(push.queue);
  if (queue == nullptr && queues_.size() >= limits_.queues_max) return ErrorCode::busy;
  if (push.options != nullptr) {
    for (const model::Dependency& dependency : push.options->after) {
      if (find_job(dependency.id) == nullptr) return ErrorCode::no_job;
    }
  }
  if (const HeldKey* held = held_key(push)) {
    if (push.options->on_conflict == model::OnConflict::existing) return std::nullopt;
    const Job* holder = find_job(held->job);
    const bool has_not_started = holder != nullptr && !model::is_final(holder->state) &&
                                 holder->state != JobState::leased && holder->attempt == 0;
    const bool is_rejected = push.options->on_conflict == model::OnConflict::reject;
    if (is_rejected || !has_not_started) return ErrorCode::exists;
    return std::nullopt;
  }
  if (queue != nullptr && !has_room(*queue, push.payload.size())) return ErrorCode::busy;
  return std::nullopt;
}

/// Requires that nothing was against it a moment ago.
model::Pushed Reference::put(const model::Push& push) {
  static const model::PushOptions none;
  const model::PushOptions& options = push.options == nullptr ? none : *push.options;
  model::JobId replaced;
  if (const HeldKey* held = held_key(push)) {
    if (options.on_conflict == model::OnConflict::existing) return {held->job, false};
    replaced = held->job;
  }
  Queue& queue = queue_of(push.queue);
  if (replaced.value == 0) make_room(queue, push.payload.size());
  const model::JobId id = add(push, queue);
  if (replaced.value != 0 && !model::is_final(find_job(replaced)->state)) {
    end(*find_job(replaced), JobState::cancelled, some_text);
  }
  return {id, true};
}

/// Whether there is room or not.
model::JobId Reference::add(const model::Push& push, Queue& queue) {
  static const model::PushOptions none;
  const model::PushOptions& options = push.options == nullptr ? none : *push.options;
  Job job = new_job(push, options, queue.policy);
  job.queue = queue.name;
  ++queue.pushed;
  ++pushed_;
  if (!job.unique_key.empty()) {
    keys_[{job.queue, job.unique_key}] = {
        job.id, options.unique_window ? now_.time + *options.unique_window : never};
  }
  jobs_.push_back(std::move(job));
  Job& added = jobs_.back();
  if (!added.waits_for.empty()) {
    added.state = JobState::waiting;
  } else if (!schedule(added)) {
    become_ready(added, added.place);
  }
  // What it waits for may have ended already.
  for (const model::Dependency& each : options.after) {
    const Job* other = find_job(each.id);
    if (!model::is_final(other->state) || added.state != JobState::waiting) continue;
    dependency_ended(added, {each.id, other->state == JobState::succeeded});
  }
  return added.id;
}

/// A job that asks for what the push says, or else its queue.
Job Reference::new_job(const model::Push& push,
                       const model::PushOptions& options,
                       const model::QueuePolicy& policy) {
  Job job;
  job.id = model::JobId(draw());
  job.queue = push.queue;
  job.type = push.type;
  job.payload = push.payload;
  for (const auto& [name, value] : options.headers)
    job.headers.emplace_back(name, value);
  job.priority = std::min(options.priority.value_or(policy.priority), policy.priority_max);
  job.is_transient = options.is_transient || !policy.is_durable;
  if (policy.max_bytes != 0) job.counted_bytes = push.payload.size();
  job.max_attempts = options.max_attempts;
  job.backoff = options.backoff;
  job.timeout = options.timeout;
  job.keep = options.keep;
  job.ttl = options.ttl.value_or(policy.ttl);
  const bool is_endless = job.ttl.count() == 0;
  if (policy.ttl_max.count() != 0 && (is_endless || job.ttl > policy.ttl_max)) {
    job.ttl = policy.ttl_max;
  }
  job.delay = options.delay.value_or(options.at ? Duration{0} : policy.delay);
  job.at = options.at;
  job.unique_key = options.unique_key;
  job.created = now_.time;
  job.place = job.id.value;
  for (const model::Dependency& each : options.after) {
    const bool is_known = std::any_of(job.waits_for.begin(), job.waits_for.end(), [&](auto& other) {
      return other.id == each.id;
    });
    if (!is_known) job.waits_for.push_back(each);
  }
  return job;
}

void Reference::handle(const model::Pull& pull) {
  const auto known = std::find_if(
      pulls_.begin(), pulls_.end(), [&](const Pull& other) { return other.ticket == ticket_; });
  if (pull.stay_bytes > 0 && known != pulls_.end()) {
    known->count += pull.count;
    return;
  }
  for (const ByteView name : *pull.queues) {
    if (find_queue(name) != nullptr) continue;
    if (pull.duty != model::Duty::lease) return refuse(ErrorCode::no_queue);
    if (queues_.size() >= limits_.queues_max) return refuse(ErrorCode::busy);
  }
  Pull wanted{ticket_,
              {},
              pull.count,
              pull.lease,
              std::string(pull.worker),
              never,
              pull.duty,
              pull.rank,
              pull.stay_bytes > 0};
  for (const ByteView name : *pull.queues) {
    touch(queue_of(name));
    wanted.queues.emplace_back(name);
  }
  // Those who wait come first.
  const bool is_late = std::any_of(
      wanted.queues.begin(), wanted.queues.end(), [&](const auto& name) { return has_line(name); });
  if (pull.wait < duration_max) wanted.deadline = now_.time + pull.wait;
  const std::uint32_t got = is_late ? 0 : deliver(wanted, wanted.count);
  wanted.count -= got;
  if (got > 0 && (pull.stay_bytes == 0 || wanted.count == 0)) return;
  if (got == 0 && !is_late && pull.wait.count() <= 0) return reply(model::Nothing{});
  wait_in_line(wanted);
}

void Reference::handle(const model::Ack& ack) {
  Job* job = leased(ack.id, ack.token);
  if (job == nullptr) return;
  ++queue_of(job->queue).succeeded;
  job->has_result = job->has_result || !ack.result.empty();
  if (!ack.result.empty()) job->result = ack.result;
  end(*job, JobState::succeeded, "");
  reply(model::Done{});
}

void Reference::handle(const model::Fail& failed) {
  Job* job = leased(failed.id, failed.token);
  if (job == nullptr) return;
  ++queue_of(job->queue).failed;
  if (failed.dead) {
    die(*job, model::DeathReason::rejected, std::string(failed.message));
  } else {
    retry_or_die(*job, std::string(failed.message), failed.retry_after);
  }
  reply(model::Done{});
}

void Reference::handle(const model::Release& release) {
  Job* job = leased(release.id, release.token);
  if (job == nullptr) return;
  if (release.counts) {
    if (is_last_attempt(*job)) {
      die(*job, model::DeathReason::delivery_limit, some_text);
    } else {
      go_ready(*job, job->id.value, some_text);
    }
    return reply(model::Done{});
  }
  --job->attempt;
  if (release.delay.count() > 0) {
    job->state = JobState::scheduled;
    job->place = draw();
    job->due = now_.time + release.delay;
    set_clock(*job);
    job->progress_percent = 0;
    job->progress_note.clear();
    note_event(*job, "", some_text);
  } else {
    go_ready(*job, job->id.value, some_text);
  }
  reply(model::Done{});
}

void Reference::handle(const model::Extend& extend) {
  Job* job = leased(extend.id, extend.token);
  if (job == nullptr) return;
  job->due = now_.time + extend.lease;
  job->was_late = false;
  reply(model::Extended{job->due});
}

void Reference::handle(const model::Progress& progress) {
  Job* job = leased(progress.id, progress.token);
  if (job == nullptr) return;
  job->progress_percent = progress.percent;
  job->progress_note = progress.note;
  reply(model::Done{});
}

void Reference::handle(const model::Cancel& cancel) {
  Job* job = find_job(cancel.id);
  if (job == nullptr) return refuse(ErrorCode::no_job);
  if (model::is_final(job->state)) return refuse(ErrorCode::stale);
  end(*job, JobState::cancelled, some_text);
  reply(model::Done{});
}

void Reference::handle(const model::Await& await) {
  const Job* job = find_job(await.id);
  if (job == nullptr) return refuse(ErrorCode::no_job);
  if (model::is_final(job->state) || await.wait.count() <= 0) return reply(info(*job));
  awaits_.push_back(
      {ticket_, await.id, await.wait < duration_max ? now_.time + await.wait : never});
}

void Reference::handle(const model::Abandon& abandon) {
  const auto left = [&](const auto& waiter) {
    return waiter.ticket >= abandon.first && waiter.ticket <= abandon.last;
  };
  leave_line(left);
  std::erase_if(awaits_, left);
}

// -- Whole queues. -------------------------------------------------------------------------------

void Reference::handle(const model::SetQueue& set) {
  if (find_queue(set.queue) == nullptr && queues_.size() >= limits_.queues_max) {
    return refuse(ErrorCode::busy);
  }
  model::QueuePolicy& policy = queue_of(set.queue).policy;
  const model::PolicyChange& change = *set.change;
  update(policy.priority, change.priority);
  update(policy.delay, change.delay);
  update(policy.max_attempts, change.max_attempts);
  update(policy.backoff, change.backoff);
  update(policy.timeout, change.timeout);
  update(policy.ttl, change.ttl);
  update(policy.keep, change.keep);
  update(policy.keep_max, change.keep_max);
  update(policy.max_length, change.max_length);
  update(policy.overflow, change.overflow);
  update(policy.dead_letter, change.dead_letter);
  reply(model::Done{});
}

void Reference::handle(const model::DeclareQueue& declare) {
  const model::QueuePolicy& as = *declare.as;
  if (find_queue(declare.queue) == nullptr) {
    if (queues_.size() >= limits_.queues_max) return refuse(ErrorCode::busy);
    queue_of(declare.queue).policy = as;
  }
  Queue& queue = queue_of(declare.queue);
  const auto identity = [](const model::QueuePolicy& policy) {
    return std::tie(policy.is_durable, policy.is_auto_delete, policy.arguments);
  };
  if (identity(queue.policy) != identity(as)) return refuse(ErrorCode::exists);
  touch(queue);
  reply(std::make_unique<model::QueueInfo>(info(queue)));
}

void Reference::handle(const model::PauseQueue& pause) {
  Queue* queue = find_queue(pause.queue);
  if (queue == nullptr) return refuse(ErrorCode::no_queue);
  queue->policy.paused = pause.paused;
  if (!pause.paused) signal(queue->name);
  reply(model::Done{});
}

void Reference::handle(const model::PurgeQueue& purge) {
  if (find_queue(purge.queue) == nullptr) return refuse(ErrorCode::no_queue);
  std::vector<model::JobId> ids;
  for (const Job* job : removable(purge.queue)) {
    const bool is_wanted =
        purge.ready_only ? job->state == JobState::ready : job->state != JobState::leased;
    if (is_wanted) ids.push_back(job->id);
  }
  for (const model::JobId id : ids) {
    ended_.push_back({id, find_job(id)->state == JobState::succeeded});
    remove(id);
  }
  reply(model::Counted{ids.size(), false});
}

void Reference::handle(const model::DeleteQueue& gone) {
  if (find_queue(gone.queue) == nullptr) return refuse(ErrorCode::no_queue);
  const std::string name(gone.queue);
  std::vector<model::JobId> ids;
  for (const Job* job : removable(name)) {
    if (job->state == JobState::leased && !gone.force) return refuse(ErrorCode::busy);
    if (job->state == JobState::ready && gone.if_empty) return refuse(ErrorCode::busy);
    ids.push_back(job->id);
  }
  leave_line([&](const Pull& pull) {
    const bool waits_here = std::count(pull.queues.begin(), pull.queues.end(), name) > 0;
    if (waits_here) refuse(pull.ticket, ErrorCode::no_queue);
    return waits_here;
  });
  for (const model::JobId id : ids) {
    ended_.push_back({id, find_job(id)->state == JobState::succeeded});
    remove(id);
  }
  remove_queue(name);
  reply(model::Counted{ids.size(), false});
}

void Reference::remove_queue(std::string name) {
  std::erase_if(keys_, [&](const auto& key) { return key.first.first == name; });
  std::erase_if(queues_, [&](const Queue& queue) { return queue.name == name; });
  std::erase(signalled_, name);
  forget_routes(
      [&](const Route& route) { return !route.is_to_exchange && route.destination == name; });
}

void Reference::handle(const model::RedriveDead& drive) {
  if (find_queue(drive.queue) == nullptr) return refuse(ErrorCode::no_queue);
  const std::vector<Job*> dead = dead_jobs(drive.queue, drive.ids);
  for (Job* job : dead) {
    job->attempt = 0;
    job->expires = never;
    go_ready(*job, draw(), some_text);
  }
  reply(model::Counted{dead.size(), false});
}

void Reference::handle(const model::DeleteDead& gone) {
  if (find_queue(gone.queue) == nullptr) return refuse(ErrorCode::no_queue);
  std::vector<model::JobId> ids;
  for (const Job* job : dead_jobs(gone.queue, gone.ids))
    ids.push_back(job->id);
  for (const model::JobId id : ids)
    remove(id);
  reply(model::Counted{ids.size(), false});
}

// -- Views. --------------------------------------------------------------------------------------

void Reference::handle(const model::GetJob& get) {
  const Job* job = find_job(get.id);
  if (job == nullptr) return refuse(ErrorCode::no_job);
  reply(info(*job));
}

void Reference::handle(const model::ListJobs& list) {
  if (find_queue(list.queue) == nullptr) return refuse(ErrorCode::no_queue);
  auto jobs = std::make_unique<model::JobList>();
  bool is_behind_cursor = list.cursor.value == 0;
  for (const Job* job : listed(list.queue)) {
    const bool is_wanted = !list.state || job->state == *list.state;
    // Pinned jobs share a list, so one of another final state is a place to go on from.
    const bool is_in_walk = is_wanted || (is_pinned(*job) && model::is_final(*list.state));
    if (!is_in_walk) continue;
    const bool has_room = jobs->jobs.size() < list.count;
    if (is_behind_cursor && is_wanted && has_room) jobs->jobs.push_back(*info(*job));
    is_behind_cursor = is_behind_cursor || job->id == list.cursor;
  }
  if (!is_behind_cursor) return refuse(ErrorCode::no_job);
  if (jobs->jobs.size() == list.count) jobs->cursor = jobs->jobs.back().id;
  reply(std::move(jobs));
}

void Reference::handle(const model::GetQueue& get) {
  const Queue* queue = find_queue(get.queue);
  if (queue == nullptr) return refuse(ErrorCode::no_queue);
  reply(std::make_unique<model::QueueInfo>(info(*queue)));
}

void Reference::handle(const model::ListQueues&) {
  auto list = std::make_unique<model::QueueList>();
  for (const Queue& queue : queues_)
    list->queues.push_back(info(queue));
  std::sort(list->queues.begin(), list->queues.end(), [](const auto& a, const auto& b) {
    return a.name < b.name;
  });
  reply(std::move(list));
}

void Reference::handle(const model::GetStats&) {
  auto stats = std::make_unique<model::Stats>();
  stats->epoch = epoch_;
  stats->queues = queues_.size();
  stats->expired_leases_total = expired_leases_;
  for (const Job& job : jobs_)
    ++stats->jobs[static_cast<std::size_t>(job.state)];
  for (const Queue& queue : queues_) {
    stats->pushed_total += queue.pushed;
    stats->pulled_total += queue.pulled;
    stats->succeeded_total += queue.succeeded;
    stats->failed_total += queue.failed;
    stats->dead_total += queue.dead;
  }
  reply(std::move(stats));
}

std::unique_ptr<model::JobInfo> Reference::info(const Job& job) {
  auto info = std::make_unique<model::JobInfo>();
  info->id = job.id;
  info->queue = job.queue;
  info->type = job.type;
  info->payload = job.payload;
  info->created = job.created;
  info->state = job.state;
  info->priority = job.priority;
  info->attempt = job.attempt;
  info->max_attempts = job.max_attempts.value_or(queue_of(job.queue).policy.max_attempts);
  if (job.due != never) info->due = job.due;
  info->at = job.at;
  info->worker = job.worker;
  info->error = job.error;
  info->has_result = job.has_result;
  info->result = job.result;
  info->progress_percent = job.progress_percent;
  info->progress_note = job.progress_note;
  info->unique_key = job.unique_key;
  if (job.state == JobState::waiting) info->after = job.waits_for;
  info->history = job.history;
  return info;
}

model::QueueInfo Reference::info(const Queue& queue) const {
  model::QueueInfo info;
  info.name = queue.name;
  info.policy = queue.policy;
  for (const Job& job : jobs_) {
    if (job.queue == queue.name) ++info.jobs[static_cast<std::size_t>(job.state)];
  }
  info.pushed_total = queue.pushed;
  info.pulled_total = queue.pulled;
  info.succeeded_total = queue.succeeded;
  info.failed_total = queue.failed;
  info.dead_total = queue.dead;
  for (const Pull& pull : pulls_) {
    if (std::count(pull.queues.begin(), pull.queues.end(), queue.name) > 0) ++info.waiting_pulls;
  }
  return info;
}

}  // namespace sluice::reference
