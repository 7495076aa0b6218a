// The reference queue: what follows from a command: becoming ready, ending, dying, timers, waiters.
#include "reference/reference.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace sluice::reference {
namespace {

using model::JobState;

bool runs_before(const Job& a, const Job& b) {
  return std::make_tuple(-int{a.priority}, a.place) < std::make_tuple(-int{b.priority}, b.place);
}

}  // namespace

bool is_pinned(const Job& job) {
  return model::is_final(job.state) && job.state != JobState::dead && job.keep.has_value();
}

// -- Looking for things. -------------------------------------------------------------------------

Job* Reference::find_job(model::JobId id) {
  for (Job& job : jobs_) {
    if (job.id == id) return &job;
  }
  return nullptr;
}

const Job* Reference::find(model::JobId id) const {
  return const_cast<Reference*>(this)->find_job(id);
}

/// The leased job of this token; null: the request has been refused.
Job* Reference::leased(model::JobId id, model::LeaseToken token) {
  Job* job = find_job(id);
  // A lease is over once the millisecond in which it ends has passed, fired or not.
  const bool is_held = job != nullptr && job->state == JobState::leased &&
                       job->place == token.value && job->due >= now_.time;
  if (is_held) return job;
  refuse(job == nullptr ? ErrorCode::no_job : ErrorCode::stale);
  return nullptr;
}

Queue* Reference::find_queue(ByteView name) {
  for (Queue& queue : queues_) {
    if (queue.name == name) return &queue;
  }
  return nullptr;
}

Queue& Reference::queue_of(ByteView name) {
  if (Queue* queue = find_queue(name)) return *queue;
  std::uint32_t index = 0;
  const auto has_it = [&index](const Queue& queue) { return queue.index == index; };
  while (std::any_of(queues_.begin(), queues_.end(), has_it))
    ++index;
  queues_.push_back({std::string(name), index, {}});
  return queues_.back();
}

/// The jobs of a queue in the order in which LIST shows them: state by state, pinned ones last.
std::vector<Job*> Reference::listed(ByteView queue) {
  std::vector<Job*> found;
  for (Job& job : jobs_) {
    if (job.queue == queue) found.push_back(&job);
  }
  std::sort(found.begin(), found.end(), [](const Job* a, const Job* b) {
    if (is_pinned(*a) || is_pinned(*b)) {
      return std::make_tuple(is_pinned(*a), a->place) < std::make_tuple(is_pinned(*b), b->place);
    }
    if (a->state != b->state) return a->state < b->state;
    return a->state == JobState::ready ? runs_before(*a, *b) : a->place < b->place;
  });
  return found;
}

/// The jobs of a queue in the order in which purge and delete remove them.
std::vector<Job*> Reference::removable(ByteView queue) {
  const std::vector<Job*> all = listed(queue);
  std::vector<Job*> found;
  const auto add = [&](auto is_wanted) {
    std::copy_if(all.begin(), all.end(), std::back_inserter(found), is_wanted);
  };
  const auto is_ready = [](const Job* job) { return job->state == JobState::ready; };
  const auto is_leased = [](const Job* job) { return job->state == JobState::leased; };
  add(is_ready);
  add([&](const Job* job) { return !is_ready(job) && !is_leased(job) && !is_pinned(*job); });
  add([](const Job* job) { return is_pinned(*job); });
  add(is_leased);
  return found;
}

/// Those of `ids` that are dead here, in their order; no ids: all that are dead here.
std::vector<Job*> Reference::dead_jobs(ByteView queue, const std::vector<model::JobId>& ids) {
  std::vector<Job*> found;
  if (ids.empty()) {
    found = listed(queue);
    std::erase_if(found, [](const Job* job) { return job->state != JobState::dead; });
    return found;
  }
  for (const model::JobId id : ids) {
    Job* job = find_job(id);
    if (job == nullptr || job->state != JobState::dead || job->queue != queue) continue;
    if (std::find(found.begin(), found.end(), job) == found.end()) found.push_back(job);
  }
  return found;
}

std::uint64_t Reference::count(ByteView queue,
                               const std::function<bool(const Job&)>& is_counted) const {
  return static_cast<std::uint64_t>(std::count_if(jobs_.begin(), jobs_.end(), [&](const Job& job) {
    return job.queue == queue && is_counted(job);
  }));
}

bool Reference::is_last_attempt(const Job& job) {
  return job.attempt >= job.max_attempts.value_or(queue_of(job.queue).policy.max_attempts);
}

Job* Reference::next_to_run(ByteView queue) {
  Job* next = nullptr;
  for (Job& job : jobs_) {
    if (job.queue != queue || job.state != JobState::ready) continue;
    if (next == nullptr || runs_before(job, *next)) next = &job;
  }
  return next;
}

// -- Changes of state. ---------------------------------------------------------------------------

/// The job that a full queue gives up for a new one: the oldest ready one of the lowest priority.
Job* Reference::oldest_ready(const Queue& queue) {
  Job* oldest = nullptr;
  for (Job& job : jobs_) {
    if (job.queue != queue.name || job.state != JobState::ready) continue;
    const auto rank = [](const Job& each) { return std::make_tuple(each.priority, each.place); };
    if (oldest == nullptr || rank(job) < rank(*oldest)) oldest = &job;
  }
  return oldest;
}

/// Whether there is no room for one more job, whose payload has so many bytes.
bool Reference::is_full(const Queue& queue, std::size_t bytes) const {
  const auto is_ready = [](const Job& job) { return job.state == JobState::ready; };
  const auto is_unfinished = [](const Job& job) { return !model::is_final(job.state); };
  const model::QueuePolicy& policy = queue.policy;
  const std::uint64_t unfinished = count(queue.name, is_unfinished);
  const std::uint64_t length = policy.is_length_of_ready ? count(queue.name, is_ready) : unfinished;
  std::uint64_t ready_bytes = 0;
  for (const Job& job : jobs_) {
    if (job.queue == queue.name && is_ready(job)) ready_bytes += job.counted_bytes;
  }
  return unfinished >= limits_.queue_jobs_max ||
         (policy.max_length != 0 && length >= policy.max_length) ||
         (policy.max_bytes != 0 && ready_bytes + bytes > policy.max_bytes);
}

/// Whether the queue takes one more job, or makes room for it.
bool Reference::has_room(const Queue& queue, std::size_t bytes) {
  const bool drops = queue.policy.overflow == model::Overflow::drop_head;
  return !is_full(queue, bytes) || (drops && oldest_ready(queue) != nullptr);
}

void Reference::make_room(const Queue& queue, std::size_t bytes) {
  if (queue.policy.overflow != model::Overflow::drop_head) return;
  while (is_full(queue, bytes)) {
    Job* oldest = oldest_ready(queue);
    if (oldest == nullptr) return;
    die(*oldest, model::DeathReason::max_length, some_text, false);
  }
}

/// Gives a job its time, if it asked for one that has not come yet.
bool Reference::schedule(Job& job) {
  if (job.at && *job.at > now_.wall) {
    job.due = Time(job.at->time_since_epoch());
  } else if (job.delay.count() > 0) {
    job.due = now_.time + job.delay;
  } else {
    return false;
  }
  job.state = JobState::scheduled;
  set_clock(job);
  return true;
}

/// The calendar times a job that is due at its AT; also one whose delay happens to end then.
void Reference::set_clock(Job& job) const {
  job.is_wall_timed = job.at && job.at->time_since_epoch() == job.due.time_since_epoch();
  job.was_late = false;
}

void Reference::become_ready(Job& job, std::uint64_t place) {
  job.state = JobState::ready;
  job.place = place;
  job.due = never;
  job.is_wall_timed = false;
  const bool is_timed = job.attempt == 0 || queue_of(job.queue).policy.is_ttl_for_started;
  if (job.ttl.count() != 0 && is_timed) {
    if (job.expires == never) job.expires = now_.time + job.ttl;
    job.due = job.expires;
    job.was_late = job.due < now_.time;
  }
  const bool is_waited_for = first_waiting(job.queue) != pulls_.end();
  if (is_waited_for && !queue_of(job.queue).policy.paused) signal(job.queue);
}

/// Ready again, for a reason that its history tells.
void Reference::go_ready(Job& job, std::uint64_t place, const std::string& note) {
  become_ready(job, place);
  job.progress_percent = 0;
  job.progress_note.clear();
  job.ready_since = frame_;
  note_event(job, "", note);
}

void Reference::note_event(Job& job, const std::string& worker, const std::string& note) {
  constexpr std::size_t note_bytes = 512;
  if (job.history.size() == model::history_max) job.history.erase(job.history.begin() + 1);
  job.history.push_back({now_.time, job.state, job.attempt, worker, note.substr(0, note_bytes)});
}

/// Whether somebody awaits the job's end, or another job waits for it.
bool Reference::is_asked_for(model::JobId id) const {
  const auto awaits = [id](const Await& await) { return await.id == id; };
  const auto waits = [id](const Job& job) {
    const auto is_it = [id](const model::Dependency& each) { return each.id == id; };
    return std::any_of(job.waits_for.begin(), job.waits_for.end(), is_it);
  };
  return std::any_of(awaits_.begin(), awaits_.end(), awaits) ||
         std::any_of(jobs_.begin(), jobs_.end(), waits);
}

void Reference::end(Job& job, JobState state, const std::string& note, const std::string& worker) {
  const Duration keep = job.keep.value_or(queue_of(job.queue).policy.keep);
  job.state = state;
  // One that nobody will see any more is in no list.
  if (state != JobState::succeeded || keep.count() > 0 || is_asked_for(job.id)) job.place = draw();
  job.due = state == JobState::dead ? never : now_.time + keep;
  job.is_wall_timed = false;
  job.was_late = false;
  job.waits_for.clear();
  job.progress_percent = 0;
  job.progress_note.clear();
  note_event(job, worker, note);
  release_key(job);
  ended_.push_back({job.id, state == JobState::succeeded});
}

/// `is_error`: the reason is its last error from now on.
void Reference::die(Job& job, model::DeathReason death, const std::string& reason, bool is_error) {
  Queue& queue = queue_of(job.queue);
  ++queue.dead;
  const std::string target = queue.policy.dead_letter;
  const bool stays = target.empty() || target == queue.name;
  if (is_error) job.error = stays ? reason : some_text;
  if (stays && queue.policy.dead_letter_exchange) {
    job.death = death;
    dead_letters_.push_back(job.id);
  }
  if (stays) return end(job, JobState::dead, reason);
  queue_of(target);
  release_key(job);
  job.queue = target;
  job.attempt = 0;
  job.waits_for.clear();
  job.ttl = Duration{0};  // No ttl ends a dead letter.
  job.expires = never;
  go_ready(job, draw(), some_text);
  ended_.push_back({job.id, false});
}

void Reference::retry_or_die(Job& job, const std::string& error, std::optional<Duration> after) {
  const model::QueuePolicy& policy = queue_of(job.queue).policy;
  if (is_last_attempt(job)) return die(job, model::DeathReason::delivery_limit, error);
  const model::Backoff& backoff = job.backoff ? *job.backoff : policy.backoff;
  job.due = now_.time + after.value_or(model::backoff_delay(backoff, job.attempt, job.id.value));
  job.state = JobState::retry;
  job.place = draw();
  job.was_late = false;
  job.error = error;
  job.progress_percent = 0;
  job.progress_note.clear();
  note_event(job, "", error);
}

/// Works off the jobs that ended: those that waited for it, those who await it, its keep.
void Reference::settle() {
  for (std::size_t next = 0; next < ended_.size(); ++next) {
    const Ended ended = ended_[next];
    for (Job& job : jobs_) {
      if (job.state == JobState::waiting) dependency_ended(job, ended);
    }
    const Job* job = find_job(ended.id);
    if (job != nullptr && !model::is_final(job->state)) continue;  // It lives on as a dead letter.
    std::erase_if(awaits_, [&](const Await& await) {
      if (await.id != ended.id) return false;
      if (job != nullptr) {
        reply(await.ticket, info(*job));
      } else {
        refuse(await.ticket, ErrorCode::no_job);
      }
      return true;
    });
    if (job != nullptr) keep_or_remove(*job);
  }
  ended_.clear();
}

void Reference::dependency_ended(Job& job, const Ended& ended) {
  const auto found = std::find_if(
      job.waits_for.begin(), job.waits_for.end(), [&](auto& each) { return each.id == ended.id; });
  if (found == job.waits_for.end()) return;
  if (!ended.has_succeeded && !found->any_outcome)
    return die(job, model::DeathReason::rejected, some_text);
  job.waits_for.erase(found);
  if (!job.waits_for.empty()) return;
  job.place = draw();
  if (!schedule(job)) go_ready(job, job.place, some_text);
}

void Reference::keep_or_remove(const Job& job) {
  const model::QueuePolicy& policy = queue_of(job.queue).policy;
  if (job.state == JobState::dead) {
    if (policy.drops_dead && !policy.dead_letter_exchange) remove(job.id);
    return;
  }
  if (job.keep.value_or(policy.keep).count() == 0) return remove(job.id);
  if (job.keep) return;
  std::vector<const Job*> kept;
  for (const Job* each : listed(job.queue)) {
    if (each->state == job.state && !each->keep) kept.push_back(each);
  }
  std::vector<model::JobId> ids;
  for (std::size_t index = 0; index + policy.keep_max < kept.size(); ++index)
    ids.push_back(kept[index]->id);
  for (const model::JobId id : ids)
    remove(id);
}

/// A key with a window outlives its job; one that another job has taken is not this job's.
void Reference::release_key(const Job& job) {
  const auto held = keys_.find({job.queue, job.unique_key});
  if (held == keys_.end() || held->second.job != job.id || held->second.until != never) return;
  keys_.erase(held);
}

void Reference::remove(model::JobId id) {
  release_key(*find_job(id));
  std::erase_if(jobs_, [id](const Job& job) { return job.id == id; });
  ++removed_;
}

// -- Deliveries. ---------------------------------------------------------------------------------

/// Hands out what there is, at most `count` jobs, and answers the pull; says how many.
std::uint32_t Reference::deliver(const Pull& pull, std::uint64_t count) {
  auto delivered = std::make_unique<model::Delivered>();
  for (const std::string& name : pull.queues) {
    Queue& queue = queue_of(name);
    while (!queue.policy.paused && delivered->jobs.size() < count) {
      Job* job = next_to_run(name);
      if (job == nullptr) break;
      ++queue.pulled;
      delivered->jobs.push_back(hand_out(*job, pull));
    }
  }
  const auto got = static_cast<std::uint32_t>(delivered->jobs.size());
  if (got > 0) reply(pull.ticket, std::move(delivered));
  return got;
}

/// Behind all of its rank.
void Reference::wait_in_line(const Pull& pull) {
  const auto behind = std::find_if(
      pulls_.begin(), pulls_.end(), [&](const Pull& other) { return other.rank < pull.rank; });
  pulls_.insert(behind, pull);
  for (const std::string& name : pull.queues) {
    if (has_line(name)) signal(name);
  }
}

model::Delivery Reference::hand_out(Job& job, const Pull& pull) {
  Queue& queue = queue_of(job.queue);
  ++job.attempt;
  model::Delivery delivery;
  delivery.id = job.id;
  delivery.attempt = job.attempt;
  if (pull.duty == model::Duty::none) {
    ++queue.succeeded;
    delivery.deadline = job.due;
    end(job, JobState::succeeded, "", pull.worker);
    return delivery;
  }
  job.state = JobState::leased;
  job.place = (epoch_ << 40) | next_token_++;
  job.due = never;
  if (pull.duty == model::Duty::lease) {
    job.due = now_.time + pull.lease.value_or(job.timeout.value_or(queue.policy.timeout));
  }
  job.is_wall_timed = false;
  job.was_late = false;
  job.worker = pull.worker;
  note_event(job, pull.worker, "");
  delivery.token = model::LeaseToken(job.place);
  delivery.deadline = job.due;
  return delivery;
}

/// Queue by queue, in the order in which they got something; in each the pulls of the highest rank
/// first, then as they came. The first of many does not take what is enough for all.
void Reference::dispatch(Now now, Position frame) {
  begin(now, frame);
  serve_waiting();
}

void Reference::serve_waiting() {
  while (!signalled_.empty()) {
    const std::string name = signalled_.front();
    while (has_line(name)) {
      const auto first = first_waiting(name);
      Pull pull = *first;
      const std::uint64_t ready =
          count(name, [](const Job& job) { return job.state == JobState::ready; });
      const std::uint64_t share = ready / info(queue_of(name)).waiting_pulls;
      leave_line([&](const Pull& other) { return other.ticket == pull.ticket; });
      pull.count -= deliver(pull, std::clamp<std::uint64_t>(share, 1, pull.count));
      if (pull.stays && pull.count > 0) wait_in_line(pull);
      settle();
    }
    std::erase(signalled_, name);
  }
}

std::vector<Reference::Pull>::iterator Reference::first_waiting(const std::string& queue) {
  return std::find_if(pulls_.begin(), pulls_.end(), [&](const Pull& pull) {
    return std::count(pull.queues.begin(), pull.queues.end(), queue) > 0;
  });
}

/// Whether somebody waits here who will have a job at the next dispatch.
bool Reference::has_line(const std::string& queue) {
  return !queue_of(queue).policy.paused && first_waiting(queue) != pulls_.end() &&
         next_to_run(queue) != nullptr;
}

void Reference::signal(const std::string& queue) {
  if (std::count(signalled_.begin(), signalled_.end(), queue) == 0) signalled_.push_back(queue);
}

// -- Time. ---------------------------------------------------------------------------------------

bool Reference::tick(Now now, model::JobId fired, Position frame) {
  begin(now, frame);
  if (answer_overdue_wait() || forget_overdue_key() || end_unused_queue() || mark_time()) {
    return true;
  }
  for (const bool is_wall : {false, true}) {
    const std::vector<Job*> due = next_due(is_wall);
    if (due.empty()) continue;
    const auto job =
        std::find_if(due.begin(), due.end(), [&](const Job* each) { return each->id == fired; });
    require(job != due.end(), "its timer fired, but it was the turn of another", fired.value);
    fire(**job);
    settle();
    return true;
  }
  return false;
}

/// A time is over when its millisecond is: what is due at 7 fires from 8 on. Calendar times are
/// points.
std::vector<Job*> Reference::next_due(bool is_wall) {
  const Time limit = is_wall ? Time(now_.wall.time_since_epoch()) : now_.time - Duration{1};
  std::vector<Job*> due;
  Time first = never;
  for (Job& job : jobs_) {
    if (job.is_wall_timed != is_wall || job.due == never || job.due > limit) continue;
    if (!job.was_late) first = std::min(first, job.due);
    due.push_back(&job);
  }
  std::erase_if(due, [first](const Job* job) { return !job->was_late && job->due > first; });
  return due;
}

void Reference::fire(Job& job) {
  switch (job.state) {
    case JobState::scheduled:
    case JobState::retry:
      return become_ready(job, draw());
    case JobState::ready:
      if (queue_of(job.queue).policy.dead_letter_exchange) {
        return die(job, model::DeathReason::expired, some_text, false);
      }
      return end(job, JobState::expired, some_text);
    case JobState::leased: {
      ++expired_leases_;
      if (is_last_attempt(job)) return die(job, model::DeathReason::delivery_limit, some_text);
      return go_ready(job, job.id.value, some_text);
    }
    case JobState::succeeded:
    case JobState::cancelled:
    case JobState::expired:
      return remove(job.id);
    case JobState::waiting:
    case JobState::dead:
      throw Mismatch("a job without a timer fired");
  }
}

bool Reference::answer_overdue_wait() {
  const auto is_sooner = [](const auto& a, const auto& b) {
    return std::tie(a.deadline, a.ticket) < std::tie(b.deadline, b.ticket);
  };
  const auto pull = std::min_element(pulls_.begin(), pulls_.end(), is_sooner);
  const auto await = std::min_element(awaits_.begin(), awaits_.end(), is_sooner);
  const bool has_pull = pull != pulls_.end() && pull->deadline < now_.time;
  const bool has_await = await != awaits_.end() && await->deadline < now_.time;
  if (has_pull && (!has_await || std::tie(pull->deadline, pull->ticket) <
                                     std::tie(await->deadline, await->ticket))) {
    const model::Ticket ticket = pull->ticket;
    reply(ticket, model::Nothing{});
    leave_line([ticket](const Pull& other) { return other.ticket == ticket; });
    return true;
  }
  if (!has_await) return false;
  const Job* job = find_job(await->id);
  if (job != nullptr) {
    reply(await->ticket, info(*job));
  } else {
    refuse(await->ticket, ErrorCode::no_job);
  }
  awaits_.erase(await);
  return true;
}

bool Reference::forget_overdue_key() {
  const auto order = [this](const auto& key) {
    const std::uint32_t queue = queue_of(key.first.first).index;
    return std::tuple(key.second.until, queue, key.first.second);
  };
  const auto first =
      std::min_element(keys_.begin(), keys_.end(), [&order](const auto& a, const auto& b) {
        return order(a) < order(b);
      });
  if (first == keys_.end() || first->second.until >= now_.time) return false;
  keys_.erase(first);
  return true;
}

bool Reference::has_leases() const {
  return std::any_of(
      jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state == JobState::leased; });
}

/// While somebody has a lease, the log is told the time now and then.
bool Reference::mark_time() {
  if (!has_leases() || now_.time < time_mark_ + model::time_mark_period) return false;
  time_mark_ = now_.time;
  return true;
}

Duration Reference::until_next(Now now) const {
  constexpr Duration one_tick{1};
  Duration soonest = Duration::max();
  const auto consider = [&](Time due, Time from) {
    if (due != never) soonest = std::min(soonest, std::max(due - from, Duration{0}));
  };
  const Time time = std::max(now_.time, now.time) - one_tick;
  for (const Job& job : jobs_)
    consider(job.due, job.is_wall_timed ? Time(now.wall.time_since_epoch()) : time);
  for (const Pull& pull : pulls_)
    consider(pull.deadline, time);
  for (const Await& await : awaits_)
    consider(await.deadline, time);
  for (const auto& [name, held] : keys_)
    consider(held.until, time);
  for (const Queue& queue : queues_)
    consider(queue.ends, time);
  if (has_leases()) consider(time_mark_ + model::time_mark_period, time + one_tick);
  return soonest;
}

void Reference::reply(model::Ticket ticket, model::Answer answer) {
  replies.push_back({ticket, std::move(answer), frame_});
}

void Reference::refuse(model::Ticket ticket, ErrorCode code) {
  reply(ticket, std::make_unique<Error>(Error{code, ""}));
}

}  // namespace sluice::reference
