// From facts to state and back: restore, the start of an epoch, and what cleaning carries forward.
//
// restore() must accept facts about objects it does not know: cleaning removes segments from the
// front, so the log may begin with changes to a job whose whole record now stands further behind
// (or which is gone). Such facts say nothing that still counts.
#include "core/core.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace sluice::core {

using model::JobState;

Core::Core(const model::Limits& limits, std::uint16_t partition)
    : limits_(limits),
      partition_bits_(std::uint64_t{partition} << 48),
      timers_(jobs_, 0),
      wall_timers_(jobs_, 0),
      routes_(limits_, queue_names_, queues_, [this] { return check_memory(); }) {}

// -- Restore. ------------------------------------------------------------------------------------

Result<void> Core::restore(Position at, ByteView frame) {
  FactReader facts(frame, at);
  while (!facts.at_end()) {
    const Position position = facts.position();
    Result<Fact> fact = facts.next();
    if (!fact) return tl::unexpected<Error>(fact.error());
    if (Result<void> restored = restore_fact(*fact, position); !restored) return restored;
  }
  last_facts_ = at;
  return {};
}

Result<void> Core::restore_fact(const Fact& fact, Position at) {
  if (const auto* record = std::get_if<JobRecord>(&fact)) return restore_record(*record, at);
  const auto saw = [this](std::uint64_t sequence) {
    constexpr std::uint64_t counter_bits = (std::uint64_t{1} << 48) - 1;
    next_sequence_ = std::max(next_sequence_, (sequence & counter_bits) + 1);
  };
  if (const auto* changed = std::get_if<JobChanged>(&fact)) {
    time_ = std::max(time_, changed->time);
    saw(changed->id.value);
    if (changed->state != JobState::leased) saw(changed->order);
    if (const Slot slot = jobs_.find(changed->id); slot != no_slot) assign(slot, *changed);
  } else if (const auto* gone = std::get_if<JobGone>(&fact)) {
    saw(gone->id.value);
    if (const Slot slot = jobs_.find(gone->id); slot != no_slot) {
      live_bytes_ -= std::min<std::uint64_t>(live_bytes_, jobs_[slot].record_bytes);
      jobs_.remove(slot);
    }
  } else if (const auto* put = std::get_if<QueuePut>(&fact)) {
    restore_queue(*put, at);
  } else if (const auto* queue_gone = std::get_if<QueueGone>(&fact)) {
    if (queue_gone->queue < queues_.size() && queues_[queue_gone->queue] != nullptr) {
      queue_names_.erase(queues_[queue_gone->queue]->name);
      queues_[queue_gone->queue].reset();
    }
    routes_.restore_queue_gone(queue_gone->queue);
  } else if (const auto* held = std::get_if<KeyHeld>(&fact)) {
    keys_.restore(*held, at);
  } else if (const auto* key_gone = std::get_if<KeyGone>(&fact)) {
    keys_.restore(*key_gone);
  } else if (const auto* meta = std::get_if<Meta>(&fact)) {
    epoch_ = std::max(epoch_, meta->epoch);
    next_sequence_ = std::max(next_sequence_, meta->next_sequence);
    time_ = std::max(time_, meta->time);
  } else if (!routes_.restore(fact, at)) {
    const auto& met = std::get<DependencyMet>(fact);
    const Slot slot = jobs_.find(met.job);
    Details* details = slot == no_slot ? nullptr : jobs_.details_if_any(slot);
    if (details != nullptr) {
      std::erase_if(details->waits_for,
                    [&met](const model::Dependency& each) { return each.id == met.dependency; });
    }
  }
  return {};
}

Result<void> Core::restore_record(const JobRecord& record, Position at) {
  Slot slot = jobs_.find(record.id);
  if (slot == no_slot) {
    slot = jobs_.add(record.id);
  } else {
    live_bytes_ -= std::min<std::uint64_t>(live_bytes_, jobs_[slot].record_bytes);
    if (Details* old = jobs_.details_if_any(slot)) old->reset();
  }
  Job& job = jobs_[slot];
  job.home = at;
  job.due = record.due;
  job.order = record.order;
  job.queue = record.queue;
  job.record_bytes = record.record_bytes;
  job.attempt = record.attempt;
  job.is_transient = record.is_transient;
  has_transient_ = has_transient_ || record.is_transient;
  job.state = record.state;
  job.priority = record.priority;
  live_bytes_ += record.record_bytes;
  time_ = std::max(time_, record.created);
  constexpr std::uint64_t counter_bits = (std::uint64_t{1} << 48) - 1;
  next_sequence_ = std::max(next_sequence_, (record.id.value & counter_bits) + 1);
  if (record.state != JobState::leased) {
    next_sequence_ = std::max(next_sequence_, (record.order & counter_bits) + 1);
  }
  queue_slot(record.queue);
  if (record.details.empty()) return {};
  // The details stand at the end of the record.
  const Position details_at = at.plus(record.record_bytes - record.details.size());
  return read_details(record.details, details_at, jobs_.details(slot));
}

void Core::restore_queue(const QueuePut& put, Position at) {
  Queue& queue = queue_slot(put.queue);
  if (queue.name != put.name) {
    if (!queue.name.empty()) queue_names_.erase(queue.name);
    queue.name = std::string(put.name);
    queue_names_.emplace(queue.name, put.queue);
  }
  queue.policy = put.policy;
  has_transient_ = has_transient_ || !put.policy.is_durable;
  queue.home = at;
}

/// The queue of this index, made (without a name) if there is none: a job's record may come before
/// its queue's, which cleaning has moved to the end of the log.
Queue& Core::queue_slot(QueueIndex index) {
  if (index >= queues_.size()) queues_.resize(index + 1);
  if (queues_[index] == nullptr) {
    queues_[index] = std::make_unique<Queue>();
    queues_[index]->index = index;
  }
  return *queues_[index];
}

Result<void> Core::finish_restore() {
  details_bytes_ = 0;
  Stragglers stragglers;
  std::optional<Error> broken;
  jobs_.for_each([&](Slot slot) {
    const QueueIndex index = jobs_[slot].queue;
    const Queue* queue = index < queues_.size() ? queues_[index].get() : nullptr;
    if (queue == nullptr || queue->name.empty()) {
      broken = {ErrorCode::corrupt,
                "job " + model::id_text(jobs_[slot].id) + " is in queue number " +
                    std::to_string(index) + ", of which the log has no record"};
    } else {
      file_restored(slot, stragglers);
    }
  });
  if (broken) return tl::unexpected<Error>(*broken);
  if (Result<void> routed = routes_.finish_restore(); !routed) return routed;
  for (auto& [where, slots] : stragglers) {
    Queue& queue = *queues_[where.first];
    if (where.second == static_cast<std::size_t>(JobState::ready)) {
      queue.ready.merge(jobs_, slots);
    } else {
      (where.second == pinned_list ? queue.pinned : queue.lists[where.second]).merge(jobs_, slots);
    }
  }
  for (std::unique_ptr<Queue>& queue : queues_) {
    if (queue != nullptr && queue->name.empty()) queue.reset();
  }
  // The wheel goes by what is over, as tick() does; with time_ itself all that is overdue would
  // wait for another millisecond.
  timers_.rewind((time_ - one_tick).time_since_epoch().count());
  jobs_.for_each([this](Slot slot) { arm(slot); });
  find_dead_letters();
  return {};
}

/// Those that died and were not forwarded before the end, in the order of their deaths.
void Core::find_dead_letters() {
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue == nullptr || !queue->policy.dead_letter_exchange) continue;
    const JobList& dead = queue->lists[static_cast<std::size_t>(JobState::dead)];
    for (Slot slot = dead.head(); slot != no_slot; slot = jobs_[slot].next)
      dead_letters_.push_back(jobs_[slot].id);
  }
}

/// Counts a restored job and puts it into its list, or among the stragglers if it comes out of
/// order (cleaning has moved records).
void Core::file_restored(Slot slot, Stragglers& stragglers) {
  const Job& job = jobs_[slot];
  Queue& queue = *queues_[job.queue];
  Details* details = jobs_.details_if_any(slot);
  if (details != nullptr) {
    details->count_heap();
    details_bytes_ += details->heap_bytes;
    if (job.state == JobState::waiting) {
      for (const model::Dependency& each : details->waits_for) {
        dependents_[each.id].push_back(job.id);
      }
    }
  }
  const auto state = static_cast<std::size_t>(job.state);
  ++queue.counts[state];
  if (job.state == JobState::leased) ++leased_;
  if (job.state == JobState::ready) {
    queue.ready_bytes += payload_bytes(slot);
    if (queue.ready.accepts(jobs_, slot)) return queue.ready.add(jobs_, slot);
    stragglers[{job.queue, state}].push_back(slot);
    return;
  }
  JobList& list = list_of(slot);
  if (list.accepts(jobs_, slot)) return list.push_back(jobs_, slot);
  stragglers[{job.queue, &list == &queue.pinned ? pinned_list : state}].push_back(slot);
}

void Core::boot(Now now, Output& out) {
  const Duration down = std::max(now.time - time_, Duration{0});
  time_ = std::max(time_, now.time);
  now.time = time_;
  ++epoch_;
  next_token_ = 1;
  put_meta(out);
  time_mark_ = time_;
  routes_.boot(out);
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue == nullptr) continue;
    touch(*queue);
    const JobList& leased_jobs = queue->lists[static_cast<std::size_t>(JobState::leased)];
    Slot next = leased_jobs.head();
    while (next != no_slot) {
      const Slot slot = std::exchange(next, jobs_[next].next);
      Job& job = jobs_[slot];
      if (job.due == never) {  // Duty::connection: that is gone.
        make_ready(slot, job.id.value, {}, now, out);
        continue;
      }
      JobChanged changed = change(slot, JobState::leased, now);
      changed.order = job.order;
      changed.due = std::max(job.due + down, now.time + model::lease_grace);
      changed.is_event = false;
      disarm(slot);
      core::put_changed(*out.facts, changed);
      job.due = changed.due;
      arm(slot);
    }
  }
  last_facts_ = out.base;
}

bool Core::clear_transient(Now now, std::size_t jobs_max, Output& out) {
  if (!has_transient_) return false;
  std::vector<Slot> doomed;
  jobs_.for_each([&](Slot slot) {
    const Job& job = jobs_[slot];
    const bool is_lost = job.is_transient || !queues_[job.queue]->policy.is_durable;
    if (is_lost && doomed.size() < jobs_max) doomed.push_back(slot);
  });
  const auto is_older = [this](Slot a, Slot b) { return jobs_[a].id < jobs_[b].id; };
  std::sort(doomed.begin(), doomed.end(), is_older);
  const bool is_over = doomed.empty();  // Those that wait for one of them may have come instead.
  for (const Slot slot : doomed) {
    settled_.push_back({jobs_[slot].id, jobs_[slot].state == JobState::succeeded});
    release_key(slot, out);
    forget_dependencies(slot);
    remove_job(slot, out);
  }
  settle(now, out);
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (is_over && queue != nullptr && !queue->policy.is_durable) remove_queue(*queue, out);
  }
  if (out.has_facts()) last_facts_ = out.base;
  has_transient_ = !is_over;
  return has_transient_;
}

void Core::put_meta(Output& out) const {
  core::put_meta(*out.facts, Meta{epoch_, next_sequence_, time_});
}

// -- Cleaning. -----------------------------------------------------------------------------------

Result<void> Core::carry(Position at, ByteView frame, RecordReader& reader, Output& out) {
  FactReader facts(frame, at);
  while (!facts.at_end()) {
    const Position position = facts.position();
    Result<Fact> fact = facts.next();
    if (!fact) return tl::unexpected<Error>(fact.error());
    if (const auto* record = std::get_if<JobRecord>(&*fact)) {
      const Slot slot = jobs_.find(record->id);
      if (slot == no_slot || jobs_[slot].home != position) continue;
      if (Result<void> carried = carry_job(*record, slot, reader, out); !carried) return carried;
    } else if (const auto* put = std::get_if<QueuePut>(&*fact)) {
      const bool lives = put->queue < queues_.size() && queues_[put->queue] != nullptr &&
                         queues_[put->queue]->home == position;
      if (lives) put_queue_fact(*queues_[put->queue], out);
    } else if (const auto* held = std::get_if<KeyHeld>(&*fact)) {
      keys_.carry(*held, position, out);
    } else if (const auto* exchange = std::get_if<ExchangePut>(&*fact)) {
      routes_.carry(*exchange, position, out);
    } else if (const auto* binding = std::get_if<BindingPut>(&*fact)) {
      routes_.carry(*binding, position, out);
    }
  }
  if (out.has_facts()) last_facts_ = out.base;
  return {};
}

Result<void> Core::carry_job(const JobRecord& old, Slot slot, RecordReader& reader, Output& out) {
  Job& job = jobs_[slot];
  Details* details = jobs_.details_if_any(slot);
  Buffer encoded;
  if (details != nullptr) {
    ByteView result;
    if (details->has_result) {
      Result<ByteView> bytes = reader.read(details->result_at, details->result_bytes);
      if (!bytes) return tl::unexpected<Error>(bytes.error());
      result = *bytes;
    }
    put_details(encoded, *details, result);
  }
  JobRecord record = old;
  record.queue = job.queue;
  record.state = job.state;
  record.attempt = job.attempt;
  record.order = job.order;
  record.due = job.due;
  record.details = encoded.view();
  live_bytes_ -= std::min<std::uint64_t>(live_bytes_, job.record_bytes);
  job.home = out.here();
  job.record_bytes = core::put_job(*out.facts, record);
  live_bytes_ += job.record_bytes;
  if (details != nullptr && details->has_result) {
    // The result is the last of the details, and those are the last of the record.
    details->result_at = job.home.plus(job.record_bytes - details->result_bytes);
  }
  return {};
}

// -- For tests. ----------------------------------------------------------------------------------

std::string Core::dump() const {
  std::ostringstream text;
  const auto ms = [](Time time) {
    return time == never ? std::string("-") : std::to_string(time.time_since_epoch().count());
  };
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue == nullptr) continue;
    Buffer policy;
    put_policy(policy, queue->policy);
    text << "queue " << queue->index << ' ' << queue->name << ' '
         << std::hash<std::string_view>{}(policy.view()) << '\n';
  }
  text << routes_.dump();
  jobs_.for_each([&](Slot slot) {
    const Job& job = jobs_[slot];
    text << "job " << job.id.value << " queue=" << job.queue << ' ' << name(job.state)
         << " attempt=" << job.attempt << " priority=" << int{job.priority}
         << " order=" << job.order << " due=" << ms(job.due);
    if (const Details* details = jobs_.details_if_any(slot)) {
      Buffer encoded;
      put_details(encoded, *details, std::string(details->result_bytes, 'r'));
      if (!encoded.empty()) text << " details=" << std::hash<std::string_view>{}(encoded.view());
    }
    text << '\n';
  });
  keys_.dump(text);
  return text.str();
}

void Core::check_invariants() const {
  std::size_t jobs = 0;
  std::size_t timers = 0;
  std::uint64_t leased = 0;
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue == nullptr) continue;
    check(queue_names_.at(queue->name) == queue->index);
    std::uint64_t final_listed = queue->pinned.size();
    std::uint64_t final_counted = 0;
    for (std::size_t index = 0; index < model::job_state_count; ++index) {
      const auto state = static_cast<JobState>(index);
      jobs += queue->counts[index];
      if (state == JobState::leased) leased += queue->counts[index];
      if (state == JobState::ready) {
        check(queue->ready.size() == queue->counts[index]);
      } else if (model::is_final(state)) {
        final_listed += queue->lists[index].size();
        final_counted += queue->counts[index];
      } else {
        check(queue->lists[index].size() == queue->counts[index]);
      }
    }
    check(final_listed == final_counted);
  }
  keys_.check_invariants();
  check(jobs == jobs_.size());
  check(leased == leased_);
  std::vector<std::uint64_t> ready_bytes(queues_.size());
  jobs_.for_each([&](Slot slot) {
    const Job& job = jobs_[slot];
    if (job.state == JobState::ready) ready_bytes[job.queue] += payload_bytes(slot);
    check(TimerWheel::is_armed(job) == (job.due != never));
    if (job.due != never) ++timers;
    if (job.state != JobState::waiting) return;
    for (const model::Dependency& each : jobs_.details_if_any(slot)->waits_for) {
      const auto& waiting = dependents_.at(each.id);
      check(std::find(waiting.begin(), waiting.end(), job.id) != waiting.end());
    }
  });
  check(timers == timers_.size() + wall_timers_.size());
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (queue != nullptr) check(queue->ready_bytes == ready_bytes[queue->index]);
  }
}

}  // namespace sluice::core
