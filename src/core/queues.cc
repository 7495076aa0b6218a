// What the commands on whole queues do: settings, pause, purge, delete, redrive; and on exchanges.
#include "core/core.h"
#include "model/names.h"

#include <algorithm>

namespace sluice::core {
namespace {

using model::JobState;

/// How many jobs one step of a purge or redrive touches; the engine goes on with the next step in
/// its next cycle, so that nobody waits longer than that for their turn.
constexpr std::size_t step_jobs = 10'000;

template <class T>
void update(T& field, const std::optional<T>& value) {
  if (value) field = *value;
}

}  // namespace

Result<void> check_name(std::string_view field, ByteView name) {
  if (name.empty() || name.size() > model::queue_name_bytes_max) {
    return fail(ErrorCode::arg,
                std::string(field) + ": a name has 1 to " +
                    std::to_string(model::queue_name_bytes_max) + " bytes, this one has " +
                    std::to_string(name.size()));
  }
  if (!model::is_name(name)) {
    return fail(ErrorCode::arg,
                std::string(field) + ": a name is UTF-8 text without control characters");
  }
  return {};
}

Error too_big(std::string_view field, std::size_t size, std::size_t limit) {
  return {ErrorCode::too_big,
          std::string(field) + ": " + std::to_string(size) + " bytes (limit " +
              std::to_string(limit) + ")"};
}

Queue* Core::find_queue(ByteView name) {
  if (last_queue_ != nullptr && last_queue_->name == name) return last_queue_;
  const auto found = queue_names_.find(name);
  if (found == queue_names_.end()) return nullptr;
  last_queue_ = queues_[found->second].get();
  return last_queue_;
}

/// Whether there may be another queue, of this name.
Result<void> Core::check_new_queue(ByteView name) const {
  if (Result<void> named = check_name("queue", name); !named) return named;
  if (queue_names_.size() >= limits_.queues_max) {
    return fail(ErrorCode::busy,
                "there are " + std::to_string(queue_names_.size()) + " queues already (limit " +
                    std::to_string(limits_.queues_max) + "); delete some or raise queues_max");
  }
  return check_memory();
}

/// Requires a valid name that is not in use.
Queue& Core::make_queue(ByteView name, Output& out, const model::QueuePolicy& policy) {
  const auto free_index = std::find(queues_.begin(), queues_.end(), nullptr);
  const auto index = static_cast<QueueIndex>(free_index - queues_.begin());
  Queue& queue = queue_slot(index);
  queue.name = std::string(name);
  queue.policy = policy;
  queue_names_.emplace(queue.name, index);
  put_queue_fact(queue, out);
  return queue;
}

void Core::put_queue_fact(Queue& queue, Output& out) {
  queue.home = out.here();
  core::put_queue(*out.facts, queue.index, queue.name, queue.policy);
}

Result<Queue*> Core::known_queue(ByteView name) {
  Queue* queue = find_queue(name);
  if (queue != nullptr) return queue;
  return fail(ErrorCode::no_queue, "there is no queue \"" + std::string(name) + "\"");
}

void Core::handle(const model::RoutingCommand& command, model::Ticket ticket, Now, Output& out) {
  model::Answer answer = routes_.apply(command, out);
  reply(ticket, std::move(answer), out, out.has_facts() ? out.base : seen());
}

void Core::handle(const model::SetQueue& set, model::Ticket ticket, Now, Output& out) {
  Queue* queue = find_queue(set.queue);
  if (queue == nullptr) {
    if (Result<void> fine = check_new_queue(set.queue); !fine) {
      return refuse(ticket, fine.error(), out);
    }
    queue = &make_queue(set.queue, out);
  }
  const model::PolicyChange& change = *set.change;
  model::QueuePolicy& policy = queue->policy;
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
  put_queue_fact(*queue, out);
  reply(ticket, model::Done{}, out, out.base);
}

void Core::handle(const model::DeclareQueue& declare, model::Ticket ticket, Now now, Output& out) {
  const model::QueuePolicy& as = *declare.as;
  Queue* queue = find_queue(declare.queue);
  if (queue == nullptr) {
    if (Result<void> fine = check_new_queue(declare.queue); !fine) {
      return refuse(ticket, fine.error(), out);
    }
    if (Result<void> fits =
            check_size("arguments", as.arguments.size(), model::queue_arguments_bytes_max);
        !fits) {
      return refuse(ticket, fits.error(), out);
    }
    queue = &make_queue(declare.queue, out, as);
    touch(*queue);
    return reply(ticket, std::make_unique<model::QueueInfo>(info(*queue, now)), out, out.base);
  }
  const model::QueuePolicy& is = queue->policy;
  if (is.is_durable != as.is_durable || is.is_auto_delete != as.is_auto_delete ||
      is.arguments != as.arguments) {
    return refuse(ticket,
                  {ErrorCode::exists,
                   "queue \"" + queue->name +
                       "\" exists and is different: durable, auto-delete or its arguments"},
                  out);
  }
  touch(*queue);
  reply(ticket, std::make_unique<model::QueueInfo>(info(*queue, now)), out, seen());
}

void Core::handle(const model::PauseQueue& pause, model::Ticket ticket, Now, Output& out) {
  const Result<Queue*> queue = known_queue(pause.queue);
  if (!queue) return refuse(ticket, queue.error(), out);
  (*queue)->policy.paused = pause.paused;
  put_queue_fact(**queue, out);
  if (!pause.paused) signal(**queue);
  reply(ticket, model::Done{}, out, out.base);
}

/// Removes jobs that are not leased until `budget` is used up; returns how many.
std::uint64_t Core::remove_up_to(Queue& queue, std::size_t budget, bool ready_only, Output& out) {
  std::uint64_t removed = 0;
  const auto take = [&](auto next) {
    for (Slot slot = next(); slot != no_slot && removed < budget; slot = next()) {
      release_key(slot, out);
      forget_dependencies(slot);
      settled_.push_back({jobs_[slot].id, jobs_[slot].state == JobState::succeeded});
      remove_job(slot, out);
      ++removed;
    }
  };
  take([&] { return queue.ready.front(jobs_); });
  if (ready_only) return removed;
  for (std::size_t state = 0; state < model::job_state_count; ++state) {
    if (state == static_cast<std::size_t>(JobState::leased)) continue;
    take([&] { return queue.lists[state].head(); });
  }
  take([&] { return queue.pinned.head(); });
  return removed;
}

void Core::handle(const model::PurgeQueue& purge, model::Ticket ticket, Now, Output& out) {
  const Result<Queue*> queue = known_queue(purge.queue);
  if (!queue) return refuse(ticket, queue.error(), out);
  const std::uint64_t removed = remove_up_to(**queue, step_jobs, purge.ready_only, out);
  reply(ticket, model::Counted{removed, removed == step_jobs}, out, out.base);
}

void Core::handle(const model::DeleteQueue& remove, model::Ticket ticket, Now, Output& out) {
  const Result<Queue*> known = known_queue(remove.queue);
  if (!known) return refuse(ticket, known.error(), out);
  Queue& queue = **known;
  JobList& leased_jobs = queue.lists[static_cast<std::size_t>(JobState::leased)];
  if (!leased_jobs.empty() && !remove.force) {
    return refuse(ticket,
                  {ErrorCode::busy,
                   "queue \"" + queue.name + "\" has " + std::to_string(leased_jobs.size()) +
                       " leased jobs; wait for them or delete with FORCE"},
                  out);
  }
  if (remove.if_empty && queue.ready.size() > 0) {
    return refuse(ticket,
                  {ErrorCode::busy,
                   "queue \"" + queue.name + "\" is not empty: it has " +
                       std::to_string(queue.ready.size()) + " ready jobs"},
                  out);
  }
  if (!queue.waiters.empty()) {
    // Pulls that wait only here would wait for ever.
    const auto waiters = queue.waiters;
    for (const auto& [arrival, waiting] : waiters) {
      drop_waiter(waiting);
      refuse(waiting, {ErrorCode::no_queue, "queue \"" + queue.name + "\" was deleted"}, out);
    }
  }
  std::uint64_t removed = remove_up_to(queue, step_jobs, false, out);
  while (removed < step_jobs && !leased_jobs.empty()) {
    const Slot slot = leased_jobs.head();
    release_key(slot, out);
    settled_.push_back({jobs_[slot].id, false});
    remove_job(slot, out);
    ++removed;
  }
  const bool more = removed == step_jobs;
  if (!more) remove_queue(queue, out);
  reply(ticket, model::Counted{removed, more}, out, out.base);
}

/// It is in use now.
void Core::touch(Queue& queue) {
  if (queue.policy.expires.count() == 0) return;
  if (queue.ends != never) queue_ends_.erase({queue.ends, queue.index});
  queue.ends = time_ + queue.policy.expires;
  queue_ends_.emplace(queue.ends, queue.index);
}

/// The one whose time is over first goes, at most step_jobs of its jobs at a time; but not while
/// somebody waits on it or works for it.
void Core::end_unused_queue(Output& out) {
  Queue& queue = *queues_[queue_ends_.begin()->second];
  const JobList& leased_jobs = queue.lists[static_cast<std::size_t>(JobState::leased)];
  if (!queue.waiters.empty() || !leased_jobs.empty()) return touch(queue);
  if (remove_up_to(queue, step_jobs, false, out) < step_jobs) remove_queue(queue, out);
}

/// Requires that it has no jobs and nobody waits on it.
void Core::remove_queue(const Queue& queue, Output& out) {
  const QueueIndex index = queue.index;
  if (queue.ends != never) queue_ends_.erase({queue.ends, index});
  keys_.remove_queue(index, out);
  core::put_queue_gone(*out.facts, index);
  routes_.remove_queue(index, out);
  last_queue_ = nullptr;
  queue_names_.erase(queue.name);
  std::erase(signalled_, index);
  queues_[index].reset();
}

/// A dead job becomes ready with a fresh attempt count, as if it had been pushed now.
void Core::redrive(Slot slot, Now now, Output& out) {
  jobs_[slot].attempt = 0;
  jobs_.details(slot).expires = never;
  make_ready(slot, draw(), "redriven", now, out);
}

void Core::handle(const model::RedriveDead& drive, model::Ticket ticket, Now now, Output& out) {
  const Result<Queue*> queue = known_queue(drive.queue);
  if (!queue) return refuse(ticket, queue.error(), out);
  std::uint64_t count = 0;
  for (const model::JobId id : drive.ids) {
    const Slot slot = jobs_.find(id);
    if (slot == no_slot || jobs_[slot].state != JobState::dead ||
        jobs_[slot].queue != (*queue)->index) {
      continue;
    }
    redrive(slot, now, out);
    ++count;
  }
  if (!drive.ids.empty()) return reply(ticket, model::Counted{count}, out, out.base);
  const JobList& dead = (*queue)->lists[static_cast<std::size_t>(JobState::dead)];
  for (; count < step_jobs && !dead.empty(); ++count)
    redrive(dead.head(), now, out);
  reply(ticket, model::Counted{count, count == step_jobs}, out, out.base);
}

void Core::handle(const model::DeleteDead& remove, model::Ticket ticket, Now, Output& out) {
  const Result<Queue*> queue = known_queue(remove.queue);
  if (!queue) return refuse(ticket, queue.error(), out);
  std::uint64_t count = 0;
  for (const model::JobId id : remove.ids) {
    const Slot slot = jobs_.find(id);
    if (slot == no_slot || jobs_[slot].state != JobState::dead ||
        jobs_[slot].queue != (*queue)->index) {
      continue;
    }
    remove_job(slot, out);
    ++count;
  }
  if (!remove.ids.empty()) return reply(ticket, model::Counted{count}, out, out.base);
  const JobList& dead = (*queue)->lists[static_cast<std::size_t>(JobState::dead)];
  for (; count < step_jobs && !dead.empty(); ++count)
    remove_job(dead.head(), out);
  reply(ticket, model::Counted{count, count == step_jobs}, out, out.base);
}

}  // namespace sluice::core
