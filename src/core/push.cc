// What a push and a publish do. They first look at everything (plan) and answer with an error that
// has changed nothing; what follows cannot fail.
#include "core/core.h"
#include "model/headers.h"

#include <algorithm>

namespace sluice::core {
namespace {

using model::JobState;

bool has_details(const model::PushOptions& options) {
  return options.max_attempts || options.backoff || options.timeout || options.keep || options.at ||
         !options.unique_key.empty() || !options.after.empty();
}

/// What a record has beside the bytes that the client sent.
constexpr std::size_t record_bytes_about = 256;

bool is_transient(const model::Push& push, const Queue& queue) {
  return (push.options != nullptr && push.options->is_transient) || !queue.policy.is_durable;
}

/// The ttl of a job that asks for `wanted`; 0: none.
Duration bounded_ttl(Duration wanted, const model::QueuePolicy& policy) {
  if (policy.ttl_max.count() == 0) return wanted;
  return wanted.count() == 0 ? policy.ttl_max : std::min(wanted, policy.ttl_max);
}

void encode_headers(const model::PushOptions& options, Buffer& headers) {
  headers.clear();
  for (const auto& [key, value] : options.headers)
    model::put_header(headers, key, value);
}

}  // namespace

void Core::handle(const model::Push& push, model::Ticket ticket, Now now, Output& out) {
  Queue* queue = find_queue(push.queue);
  const Result<PushPlan> planned = plan(push, queue, now);
  if (!planned) {
    bury_refused(push, queue, now, out);
    return refuse(ticket, planned.error(), out);
  }
  if (const std::optional<model::JobId> existing = planned->existing) {
    return reply(ticket, model::Pushed{*existing, false}, out, seen());
  }
  const model::JobId id = carry_out(*planned, push, now, out);
  const bool is_transient = jobs_[jobs_.find(id)].is_transient;
  reply(ticket, model::Pushed{id, true}, out, is_transient ? Position() : out.base);
}

void Core::handle(const model::Publish& publish, model::Ticket ticket, Now now, Output& out) {
  const Result<std::span<const QueueIndex>> queues = routes_.queues_for(publish);
  if (!queues) return refuse(ticket, queues.error(), out);
  PushPlans plans;
  std::size_t new_jobs = 0;
  for (const QueueIndex index : *queues) {
    Result<PushPlan> planned = plan(publish.job, queues_[index].get(), now);
    if (!planned) {
      bury_refused(publish.job, queues_[index].get(), now, out);
      return refuse(ticket, planned.error(), out);
    }
    if (!planned->existing) ++new_jobs;
    plans.push_back(*planned);
  }
  if (new_jobs > 1) {
    if (Result<void> fits = check_publish(publish.job, new_jobs); !fits) {
      return refuse(ticket, fits.error(), out);
    }
  }
  model::Routed routed;
  bool needs_nothing = true;
  for (const PushPlan& each : plans) {
    needs_nothing = needs_nothing && !each.existing && is_transient(publish.job, *each.queue);
    const model::JobId id = each.existing ? *each.existing : carry_out(each, publish.job, now, out);
    if (routed.first.value == 0) {
      routed.first = id;
      continue;
    }
    if (routed.others == nullptr) routed.others = std::make_unique<std::vector<model::JobId>>();
    routed.others->push_back(id);
  }
  const Position needs = out.has_facts() ? out.base : seen();
  reply(ticket, std::move(routed), out, needs_nothing ? Position() : needs);
}

/// Whether one frame of the journal takes the job so many times, which are more than one.
Result<void> Core::check_publish(const model::Push& job, std::size_t queues) {
  std::size_t bytes = record_bytes_about + job.type.size() + job.payload.size();
  if (job.options != nullptr) {
    for (const auto& [key, value] : job.options->headers)
      bytes += key.size() + value.size();
    bytes += job.options->unique_key.size() + job.options->after.size() * sizeof(std::uint64_t);
  }
  if (bytes <= model::publish_bytes_max / queues) return {};
  return fail(ErrorCode::too_big,
              "the job has about " + std::to_string(bytes) + " bytes and would go to " +
                  std::to_string(queues) + " queues at once (limit for all together " +
                  std::to_string(model::publish_bytes_max) + " bytes)");
}

/// Looks at everything that could stand in the way, and changes nothing. `queue`: null if there is
/// none yet.
inline Result<PushPlan> Core::plan(const model::Push& push, Queue* queue, Now now) const {
  PushPlan plan;
  plan.queue = queue;
  if (Result<void> fine = check_push(push, queue); !fine) {
    return tl::unexpected<Error>(fine.error());
  }
  if (queue == nullptr) return plan;
  if (push.options != nullptr && !push.options->unique_key.empty()) {
    if (Result<void> met = meet_unique(push, now, plan); !met) {
      return tl::unexpected<Error>(met.error());
    }
    if (plan.existing || plan.replaced != no_slot) return plan;
  }
  if (Result<void> fits = check_room(*queue, push.payload.size()); !fits) {
    return tl::unexpected<Error>(fits.error());
  }
  return plan;
}

/// What a full queue refuses goes to its dead-letter exchange, if it says so.
void Core::bury_refused(const model::Push& push, Queue* queue, Now now, Output& out) {
  if (queue == nullptr || queue->policy.overflow != model::Overflow::reject_dead_letter) return;
  const bool is_refused_for_room = is_full(*queue, push.payload.size());
  if (!is_refused_for_room || !check_push(push, queue)) return;
  const Slot slot = put_new_job(push, *queue, now, out);
  if (model::is_final(jobs_[slot].state)) return;
  die(slot, {model::DeathReason::max_length, "refused: the queue was full", false}, now, out);
}

/// Requires a plan of a moment ago without an existing job.
model::JobId Core::carry_out(const PushPlan& plan, const model::Push& push, Now now, Output& out) {
  Queue& queue = plan.queue != nullptr ? *plan.queue : make_queue(push.queue, out);
  if (plan.replaced == no_slot) make_room(queue, push.payload.size(), now, out);
  const Slot slot = put_new_job(push, queue, now, out);
  const model::JobId id = jobs_[slot].id;
  // One that was moved to another queue of the same publish may have made room there, and is dead.
  if (plan.replaced != no_slot && !model::is_final(jobs_[plan.replaced].state)) {
    const std::string note = "replaced by job " + model::id_text(id);
    JobChanged changed = change(plan.replaced, JobState::cancelled, now);
    changed.note = note;
    finish(plan.replaced, changed, now, out);
  }
  return id;
}

inline Result<void> Core::check_push(const model::Push& push, const Queue* queue) const {
  if (queue == nullptr) {
    if (Result<void> fine = check_new_queue(push.queue); !fine) return fine;
  }
  if (push.type.empty()) return fail(ErrorCode::arg, "type: must not be empty");
  if (Result<void> fits = check_size("type", push.type.size(), model::type_bytes_max); !fits) {
    return fits;
  }
  if (push.payload.size() > limits_.payload_bytes_max) {
    return check_size("payload", push.payload.size(), limits_.payload_bytes_max);
  }
  if (Result<void> room = check_memory(); !room) return room;
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
                  "after: there is no job " + model::id_text(dependency.id) +
                      "; finished jobs are known for their keep");
    }
  }
  return {};
}

Result<void> Core::check_memory() const {
  if (memory_bytes() <= limits_.memory_bytes_max) return {};
  return fail(ErrorCode::busy,
              "jobs and bindings use " + std::to_string(memory_bytes()) +
                  " bytes of memory (limit " + std::to_string(limits_.memory_bytes_max) +
                  "); ack some jobs or raise memory_bytes_max");
}

Result<void> Core::meet_unique(const model::Push& push, Now now, PushPlan& plan) const {
  const HeldKey* held = keys_.find(KeyName(plan.queue->index, push.options->unique_key));
  if (held == nullptr || held->until < now.time) return {};
  const model::JobId holder = held->job;
  const auto exists = [&](std::string_view why) {
    return fail(ErrorCode::exists,
                "unique key \"" + std::string(push.options->unique_key) + "\" is held by job " +
                    model::id_text(holder) + std::string(why));
  };
  switch (push.options->on_conflict) {
    case model::OnConflict::existing:
      plan.existing = holder;
      return {};
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
  plan.replaced = slot;
  return {};
}

/// Whether the queue takes one more job with so large a payload, or will make room for it.
Result<void> Core::check_room(const Queue& queue, std::size_t bytes) const {
  const bool drops = queue.policy.overflow == model::Overflow::drop_head;
  if (!is_full(queue, bytes) || (drops && queue.ready.size() > 0)) return {};
  std::string what = std::to_string(queue.unfinished()) + " unfinished jobs";
  std::string limit = "max_length";
  if (queue.policy.max_bytes != 0 && !is_full(queue, 0)) {
    what = std::to_string(queue.ready_bytes) + " bytes of ready jobs";
    limit = "max_bytes";
  }
  return fail(ErrorCode::busy,
              "queue \"" + queue.name + "\" is full: " + what + "; ack some or raise " + limit);
}

/// check_room() was content; a dead letter of another queue may have come in between.
inline void Core::make_room(Queue& queue, std::size_t bytes, Now now, Output& out) {
  if (queue.policy.overflow != model::Overflow::drop_head) return;
  while (is_full(queue, bytes) && queue.ready.size() > 0) {
    const Slot oldest = queue.ready.lowest_front(jobs_);
    die(oldest, {model::DeathReason::max_length, "dropped: the queue was full", false}, now, out);
  }
}

/// Whether there is no room for one more job, whose payload has so many bytes.
inline bool Core::is_full(const Queue& queue, std::size_t bytes) const {
  const model::QueuePolicy& policy = queue.policy;
  const std::uint64_t unfinished = queue.unfinished();
  if (unfinished >= limits_.queue_jobs_max) return true;
  const std::uint64_t length = policy.is_length_of_ready ? queue.ready.size() : unfinished;
  if (policy.max_length != 0 && length >= policy.max_length) return true;
  return policy.max_bytes != 0 && queue.ready_bytes + bytes > policy.max_bytes;
}

Slot Core::put_new_job(const model::Push& push, Queue& queue, Now now, Output& out) {
  static const model::PushOptions none;
  const model::PushOptions& options = push.options == nullptr ? none : *push.options;
  const model::JobId id(draw());
  const Slot slot = jobs_.add(id);
  Job& job = jobs_[slot];
  job.queue = queue.index;
  job.order = id.value;
  job.priority =
      std::min(options.priority.value_or(queue.policy.priority), queue.policy.priority_max);
  job.is_transient = is_transient(push, queue);
  job.state = JobState::ready;
  const Duration delay = options.delay.value_or(options.at ? Duration{0} : queue.policy.delay);
  const Duration ttl = bounded_ttl(options.ttl.value_or(queue.policy.ttl), queue.policy);
  if (has_details(options) || ttl.count() != 0) {
    Details& details = jobs_.details(slot);
    details.ttl = ttl;
    details.delay = delay;
    take_options(options, slot);
  }
  if (queue.policy.max_bytes != 0) {
    jobs_.details(slot).payload_bytes = static_cast<std::uint32_t>(push.payload.size());
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
  encode_headers(options, headers_);
  Buffer details;
  if (job.details != no_details) put_details(details, jobs_.details(slot), {});
  job.home = out.here();
  job.record_bytes = put_job(*out.facts,
                             JobRecord{.id = id,
                                       .queue = queue.index,
                                       .state = job.state,
                                       .priority = job.priority,
                                       .attempt = 0,
                                       .is_transient = job.is_transient,
                                       .order = job.order,
                                       .due = job.due,
                                       .created = now.time,
                                       .type = push.type,
                                       .payload = push.payload,
                                       .headers = headers_.view(),
                                       .details = details.view()});
  live_bytes_ += job.record_bytes;
  ++queue.pushed_total;
  link(slot);
  if (!options.unique_key.empty()) {
    const Time until = options.unique_window ? now.time + *options.unique_window : never;
    keys_.hold(KeyName(job.queue, options.unique_key), id, until, out);
  }
  // A dependency that is already dead takes the new job with it, in the same frame.
  for (const model::Dependency& dependency : options.after) {
    const Slot other = jobs_.find(dependency.id);
    if (other == no_slot || !model::is_final(jobs_[other].state)) continue;
    if (jobs_[slot].state != JobState::waiting) break;
    dependency_ended(slot, {dependency.id, jobs_[other].state == JobState::succeeded}, now, out);
  }
  return slot;
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
    const Slot other = jobs_.find(dependency.id);
    const bool has_ended = other != no_slot && model::is_final(jobs_[other].state);
    // One that has ended says so now, once the job is there, and not when it ends a second time.
    if (!has_ended) dependents_[dependency.id].push_back(job.id);
  }
  if (!details.waits_for.empty()) job.state = JobState::waiting;
  details.count_heap();
  details_bytes_ += details.heap_bytes;
}

}  // namespace sluice::core
