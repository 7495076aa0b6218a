// What each command of a job's life does: push, pull, ack, fail, release, extend, cancel, await.
//
// Every handler first checks everything (and answers with an error that has changed nothing), then
// writes facts and changes memory in lifecycle.cc; that second part cannot fail.
#include "core/core.h"
#include "model/headers.h"

#include <algorithm>

namespace sluice::core {
namespace {

using model::JobState;

constexpr bool is_name_byte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == ':' || byte == '-';
}

Result<void> check_queue_name(ByteView name) {
  if (name.empty() || name.size() > model::queue_name_bytes_max) {
    return fail(ErrorCode::arg,
                "queue: a name has 1 to " + std::to_string(model::queue_name_bytes_max) +
                    " characters, this one has " + std::to_string(name.size()));
  }
  if (!std::all_of(name.begin(), name.end(), is_name_byte)) {
    return fail(ErrorCode::arg, "queue: a name is made of letters, digits and . _ : - only");
  }
  return {};
}

Result<void> check_size(std::string_view field, std::size_t size, std::size_t limit) {
  if (size <= limit) return {};
  return fail(ErrorCode::too_big,
              std::string(field) + ": " + std::to_string(size) + " bytes (limit " +
                  std::to_string(limit) + ")");
}

bool has_details(const model::PushOptions& options) {
  return options.max_attempts || options.backoff || options.timeout || options.keep || options.at ||
         !options.unique_key.empty() || !options.after.empty();
}

std::string id_text(model::JobId id) {
  return std::to_string(id.value);
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
  out.replies.push_back(model::Reply{ticket, std::move(answer), needs});
}

void Core::refuse(model::Ticket ticket, Error error, Output& out) {
  reply(ticket, std::make_unique<Error>(std::move(error)), out);
}

// -- Push. ---------------------------------------------------------------------------------------

void Core::handle(const model::Push& push, model::Ticket ticket, Now now, Output& out) {
  Queue* queue = find_queue(push.queue);
  if (Result<void> fine = check_push(push, queue); !fine) return refuse(ticket, fine.error(), out);
  Slot replaced = no_slot;
  if (push.options != nullptr && !push.options->unique_key.empty() && queue != nullptr) {
    std::optional<model::Answer> met = meet_unique(push, queue->index, now, replaced);
    if (met) {
      const auto* existing = std::get_if<model::Pushed>(&*met);
      const Position needs = existing == nullptr ? Position() : seen();
      return reply(ticket, std::move(*met), out, needs);
    }
  }
  if (queue == nullptr) queue = &make_queue(push.queue, out);
  if (replaced == no_slot && !make_room(*queue, now, out)) {
    return refuse(ticket,
                  {ErrorCode::busy,
                   "queue \"" + queue->name + "\" is full: " + std::to_string(queue->unfinished()) +
                       " unfinished jobs; ack some or raise max_length"},
                  out);
  }
  const Slot slot = put_new_job(push, *queue, now, out);
  const model::JobId id = jobs_[slot].id;
  if (replaced != no_slot) {
    const std::string note = "replaced by job " + id_text(id);
    JobChanged changed = change(replaced, JobState::cancelled, now);
    changed.note = note;
    finish(replaced, changed, now, out);
  }
  reply(ticket, model::Pushed{id, true}, out, out.base);
}

Result<void> Core::check_push(const model::Push& push, const Queue* queue) const {
  if (queue == nullptr) {
    if (Result<void> named = check_queue_name(push.queue); !named) return named;
    if (queue_names_.size() >= limits_.queues_max) {
      return fail(ErrorCode::busy,
                  "there are " + std::to_string(queue_names_.size()) + " queues already (limit " +
                      std::to_string(limits_.queues_max) + "); delete some or raise queues_max");
    }
  }
  if (push.type.empty()) return fail(ErrorCode::arg, "type: must not be empty");
  if (Result<void> fits = check_size("type", push.type.size(), model::type_bytes_max); !fits) {
    return fits;
  }
  if (push.payload.size() > limits_.payload_bytes_max) {
    return check_size("payload", push.payload.size(), limits_.payload_bytes_max);
  }
  if (memory_bytes() > limits_.memory_bytes_max) {
    return fail(ErrorCode::busy,
                "jobs use " + std::to_string(memory_bytes()) + " bytes of memory (limit " +
                    std::to_string(limits_.memory_bytes_max) +
                    "); ack some or raise memory_bytes_max");
  }
  if (push.options == nullptr) return {};
  const model::PushOptions& options = *push.options;
  std::size_t header_bytes = 0;
  for (const model::HeaderView& header : options.headers) {
    header_bytes += header.first.size() + header.second.size();
  }
  if (Result<void> fits = check_size("headers", header_bytes, limits_.headers_bytes_max); !fits) {
    return fits;
  }
  if (Result<void> fits = check_size("unique key", options.unique_key.size(), model::key_bytes_max);
      !fits) {
    return fits;
  }
  for (const model::Dependency& dependency : options.after) {
    if (const_cast<JobTable&>(jobs_).find(dependency.id) == no_slot) {  // Only moves its cache.
      return fail(ErrorCode::no_job,
                  "after: there is no job " + id_text(dependency.id) +
                      "; finished jobs are known for their keep");
    }
  }
  return {};
}

std::optional<model::Answer> Core::meet_unique(const model::Push& push,
                                               QueueIndex queue,
                                               Now now,
                                               Slot& replaced) const {
  const auto held = keys_.find(KeyName(queue, push.options->unique_key));
  if (held == keys_.end() || held->second.until < now.time) return std::nullopt;
  const model::JobId holder = held->second.job;
  const auto exists = [&](std::string_view why) {
    return model::Answer(std::make_unique<Error>(
        Error{ErrorCode::exists,
              "unique key \"" + std::string(push.options->unique_key) + "\" is held by job " +
                  id_text(holder) + std::string(why)}));
  };
  switch (push.options->on_conflict) {
    case model::OnConflict::existing:
      return model::Pushed{holder, false};
    case model::OnConflict::reject:
      return exists("");
    case model::OnConflict::replace:
      break;
  }
  const Slot slot = const_cast<JobTable&>(jobs_).find(holder);  // Only moves its cache.
  if (slot == no_slot || model::is_final(jobs_[slot].state)) return exists(", which is finished");
  if (jobs_[slot].state == JobState::leased || jobs_[slot].attempt > 0) {
    return exists(", which has started");
  }
  replaced = slot;
  return std::nullopt;
}

/// Applies max_length. False: the queue is full and refuses.
bool Core::make_room(Queue& queue, Now now, Output& out) {
  const std::uint64_t limit = queue.policy.max_length == 0
                                  ? limits_.queue_jobs_max
                                  : std::min(queue.policy.max_length, limits_.queue_jobs_max);
  if (queue.unfinished() < limit) return true;
  if (queue.policy.overflow == model::Overflow::reject) return false;
  const Slot oldest = queue.ready.lowest_front(jobs_);
  if (oldest == no_slot) return false;
  die(oldest, "dropped: the queue was full", false, now, out);
  return true;
}

Slot Core::put_new_job(const model::Push& push, Queue& queue, Now now, Output& out) {
  static const model::PushOptions none;
  const model::PushOptions& options = push.options == nullptr ? none : *push.options;
  const model::JobId id(draw());
  const Slot slot = jobs_.add(id);
  Job& job = jobs_[slot];
  job.queue = queue.index;
  job.order = id.value;
  job.priority = options.priority.value_or(queue.policy.priority);
  job.state = JobState::ready;
  const Duration delay = options.delay.value_or(options.at ? Duration{0} : queue.policy.delay);
  const Duration ttl = options.ttl.value_or(queue.policy.ttl);
  if (has_details(options) || ttl.count() != 0) {
    Details& details = jobs_.details(slot);
    details.ttl = ttl;
    details.delay = delay;
    take_options(options, slot);
  }
  if (job.state != JobState::waiting) {
    if (options.at && *options.at > now.wall) {
      job.state = JobState::scheduled;
      job.due = Time(options.at->time_since_epoch());
    } else if (delay.count() > 0) {
      job.state = JobState::scheduled;
      job.due = now.time + delay;
    } else if (ttl.count() != 0) {
      jobs_.details(slot).expires = now.time + ttl;
      job.due = now.time + ttl;
    }
  }
  Buffer headers;
  for (const auto& [key, value] : options.headers)
    model::put_header(headers, key, value);
  Buffer details;
  if (job.details != no_details) put_details(details, jobs_.details(slot), {});
  job.home = out.here();
  job.record_bytes = put_job(*out.facts,
                             JobRecord{.id = id,
                                       .queue = queue.index,
                                       .state = job.state,
                                       .priority = job.priority,
                                       .attempt = 0,
                                       .order = job.order,
                                       .due = job.due,
                                       .created = now.time,
                                       .type = push.type,
                                       .payload = push.payload,
                                       .headers = headers.view(),
                                       .details = details.view()});
  live_bytes_ += job.record_bytes;
  ++queue.pushed_total;
  link(slot);
  if (!options.unique_key.empty()) hold_key(options, job, now, out);
  // A dependency that is already dead takes the new job with it, in the same frame.
  for (const model::Dependency& dependency : options.after) {
    const Slot other = jobs_.find(dependency.id);
    if (other == no_slot || !model::is_final(jobs_[other].state)) continue;
    if (jobs_[slot].state != JobState::waiting) break;
    dependency_ended(slot, {dependency.id, jobs_[other].state == JobState::succeeded}, now, out);
  }
  return slot;
}

/// From now on a push with this key is this job.
void Core::hold_key(const model::PushOptions& options, const Job& job, Now now, Output& out) {
  const KeyName name(job.queue, std::string(options.unique_key));
  const Time until = options.unique_window ? now.time + *options.unique_window : never;
  if (const auto old = keys_.find(name); old != keys_.end() && old->second.until != never) {
    key_ends_.erase({old->second.until, name});
  }
  keys_[name] = HeldKey{job.id, until, out.here()};
  if (until != never) key_ends_.emplace(until, name);
  core::put_key(*out.facts, {job.queue, name.second, job.id, until});
}

/// Copies what the push set into the job's details and lets it wait for others.
void Core::take_options(const model::PushOptions& options, Slot slot) {
  Job& job = jobs_[slot];
  Details& details = jobs_.details(slot);
  details.max_attempts = options.max_attempts;
  details.backoff = options.backoff;
  details.timeout = options.timeout;
  details.keep = options.keep;
  details.at = options.at;
  details.unique_key = std::string(options.unique_key);
  for (const model::Dependency& dependency : options.after) {
    const auto same = [&dependency](const model::Dependency& other) {
      return other.id == dependency.id;
    };
    if (std::any_of(details.waits_for.begin(), details.waits_for.end(), same)) continue;
    details.waits_for.push_back(dependency);
    dependents_[dependency.id].push_back(job.id);
  }
  if (!details.waits_for.empty()) job.state = JobState::waiting;
  details_bytes_ += details.heap_bytes();
}

// -- Leases. -------------------------------------------------------------------------------------

void Core::handle(const model::Pull& pull, model::Ticket ticket, Now now, Output& out) {
  std::vector<QueueIndex> queues;
  queues.reserve(pull.queues->size());
  for (const ByteView name : *pull.queues) {
    if (find_queue(name) == nullptr) {
      if (Result<void> named = check_queue_name(name); !named) {
        return refuse(ticket, named.error(), out);
      }
      if (queue_names_.size() >= limits_.queues_max) {
        return refuse(ticket, {ErrorCode::busy, "queues: the server has as many as it may"}, out);
      }
    }
  }
  for (const ByteView name : *pull.queues) {
    Queue* queue = find_queue(name);
    if (queue == nullptr) queue = &make_queue(name, out);
    if (std::find(queues.begin(), queues.end(), queue->index) == queues.end()) {
      queues.push_back(queue->index);
    }
  }
  // Pulls that wait come first. This one could otherwise take a job that was pushed a moment ago in
  // the same turn of the engine, and the one before it would wait on, with the client's ordered
  // replies behind it. So it joins the line, if only until the next dispatch().
  const bool must_queue = std::any_of(
      queues.begin(), queues.end(), [this](QueueIndex index) { return has_line(*queues_[index]); });
  if (!must_queue) {
    Position needs;
    std::unique_ptr<model::Delivered> delivered =
        lease_jobs(queues, pull.count, pull.lease, pull.worker, now, out, needs);
    if (delivered != nullptr) return reply(ticket, std::move(delivered), out, needs);
    if (pull.wait.count() <= 0) return reply(ticket, model::Nothing{}, out);
  }
  PullWaiter waiter{std::move(queues),
                    pull.count,
                    pull.lease,
                    std::string(pull.worker),
                    pull.wait >= duration_max ? never : now.time + pull.wait,
                    next_arrival_++};
  for (const QueueIndex index : waiter.queues) {
    queues_[index]->waiters.emplace(waiter.arrival, ticket);
    if (has_line(*queues_[index])) signal(*queues_[index]);
  }
  if (waiter.deadline != never) wait_ends_.emplace(waiter.deadline, ticket);
  pulls_.emplace(ticket, std::move(waiter));
}

/// Null if no queue has a ready job. `needs`: what must be durable before the jobs are handed out.
std::unique_ptr<model::Delivered> Core::lease_jobs(const std::vector<QueueIndex>& queues,
                                                   std::uint32_t count,
                                                   std::optional<Duration> lease,
                                                   ByteView worker,
                                                   Now now,
                                                   Output& out,
                                                   Position& needs) {
  std::unique_ptr<model::Delivered> delivered;
  std::size_t bytes = 0;
  for (const QueueIndex index : queues) {
    Queue& queue = *queues_[index];
    if (queue.policy.paused) continue;
    while (queue.ready.size() > 0 && (delivered == nullptr || (delivered->jobs.size() < count &&
                                                               bytes < model::pull_bytes_max))) {
      const Slot slot = queue.ready.front(jobs_);
      if (delivered == nullptr) {
        delivered = std::make_unique<model::Delivered>();
        delivered->jobs.reserve(std::min<std::uint64_t>(count, queue.ready.size()));
      }
      needs = std::max(needs, jobs_[slot].home);
      if (const Details* details = jobs_.details_if_any(slot)) {
        needs = std::max(needs, details->ready_since);
      }
      bytes += jobs_[slot].record_bytes;
      lease_job(slot, lease, worker, now, out, *delivered);
      ++queue.pulled_total;
    }
  }
  return delivered;
}

void Core::lease_job(Slot slot,
                     std::optional<Duration> lease,
                     ByteView worker,
                     Now now,
                     Output& out,
                     model::Delivered& delivered) {
  Job& job = jobs_[slot];
  const Queue& queue = *queues_[job.queue];
  Duration length = lease.value_or(queue.policy.timeout);
  if (const Details* details = jobs_.details_if_any(slot); !lease && details != nullptr) {
    length = details->timeout.value_or(length);
  }
  JobChanged changed = change(slot, JobState::leased, now);
  changed.attempt =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(job.attempt + 1u, model::attempts_max));
  changed.order = (epoch_ << 40) | next_token_++;
  changed.due = now.time + length;
  changed.worker = worker;
  transition(slot, changed, out);
  delivered.jobs.push_back(model::Delivery{.id = job.id,
                                           .token = model::LeaseToken(job.order),
                                           .attempt = job.attempt,
                                           .deadline = job.due,
                                           .queue = queue.name,
                                           .home = job.home,
                                           .record_bytes = job.record_bytes,
                                           .type = {},
                                           .payload = {},
                                           .headers = {}});
}

Result<Slot> Core::leased(model::JobId id, model::LeaseToken token, Now now) {
  const Slot slot = jobs_.find(id);
  if (slot == no_slot) {
    return fail(ErrorCode::no_job,
                "there is no job " + id_text(id) + "; it never was, or finished and is not kept");
  }
  const Job& job = jobs_[slot];
  const bool is_current = job.state == JobState::leased && job.order == token.value;
  // A lease is over at its end, not when its timer gets its turn behind commands that came late.
  if (is_current && job.due > now.time - one_tick) return slot;
  std::string why = "job " + id_text(id);
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
    return refuse(
        ticket, check_size("result", ack.result.size(), limits_.payload_bytes_max).error(), out);
  }
  const Result<Slot> slot = leased(ack.id, ack.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  ++queues_[jobs_[*slot].queue]->succeeded_total;
  JobChanged changed = change(*slot, JobState::succeeded, now);
  changed.has_result = !ack.result.empty();
  changed.result = ack.result;
  finish(*slot, changed, now, out);
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::Fail& failed, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(failed.id, failed.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  const ByteView message = failed.message.substr(0, model::note_bytes_max);
  ++queues_[jobs_[*slot].queue]->failed_total;
  if (failed.dead) {
    die(*slot, message, true, now, out);
  } else {
    retry_or_die(*slot, message, failed.retry_after, now, out);
  }
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::Release& release, model::Ticket ticket, Now now, Output& out) {
  const Result<Slot> slot = leased(release.id, release.token, now);
  if (!slot) return refuse(ticket, slot.error(), out);
  Job& job = jobs_[*slot];
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
    return refuse(ticket, {ErrorCode::no_job, "there is no job " + id_text(cancel.id)}, out);
  }
  const Job& job = jobs_[slot];
  if (model::is_final(job.state)) {
    return refuse(ticket,
                  {ErrorCode::stale,
                   "job " + id_text(cancel.id) + " is already " + std::string(name(job.state))},
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
    return refuse(ticket, {ErrorCode::no_job, "there is no job " + id_text(await.id)}, out);
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
      if (queues_[index] != nullptr) queues_[index]->waiters.erase(pull->second.arrival);
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
