// The reference queue: dead-letter exchanges, and queues that go when nobody uses them.
#include "model/header_names.h"
#include "model/limits.h"
#include "reference/reference.h"

#include <algorithm>
#include <tuple>

namespace sluice::reference {

using model::JobState;

/// What a full queue refuses dies there, if it says so.
void Reference::bury_refused(const model::Push& push) {
  Queue* queue = find_queue(push.queue);
  if (queue == nullptr || queue->policy.overflow != model::Overflow::reject_dead_letter) return;
  if (!is_full(*queue, push.payload.size())) return;
  for (const model::Dependency& each : push.options->after) {
    if (find_job(each.id) == nullptr) return;
  }
  Job& job = *find_job(add(push, *queue));
  if (!model::is_final(job.state)) die(job, model::DeathReason::max_length, some_text, false);
}

bool Reference::forward_dead(Now now, Position frame) {
  begin(now, frame);
  while (!dead_letters_.empty()) {
    const model::JobId id = dead_letters_.front();
    dead_letters_.erase(dead_letters_.begin());
    const Job* job = find_job(id);
    if (job == nullptr || job->state != JobState::dead) continue;
    const model::QueuePolicy policy = queue_of(job->queue).policy;
    if (!policy.dead_letter_exchange) continue;
    if (forward(Job(*job)) || policy.drops_dead) remove(id);
    settle();
    return !dead_letters_.empty();
  }
  return false;
}

/// Publishes it once more. False: nobody took it.
bool Reference::forward(const Job& job) {
  const Queue& from = queue_of(job.queue);
  std::string exchange;
  std::vector<std::string> keys{from.name};
  std::vector<model::Death> deaths;
  std::vector<std::pair<std::string, std::string>> headers;
  for (const auto& [name, value] : job.headers) {
    if (name == model::exchange_header) {
      exchange = value;
    } else if (name == model::key_header) {
      keys = {value};
    } else if (name == model::deaths_header) {
      deaths = model::decode_deaths(value);
    } else {
      headers.emplace_back(name, value);
    }
  }
  const model::DeathReason reason = *job.death;
  model::Death death{from.name, reason, 1, now_.wall, exchange, keys};
  for (auto each = deaths.begin(); each != deaths.end(); ++each) {
    if (each->queue != death.queue || each->reason != reason) continue;
    death = *each;
    ++death.count;
    deaths.erase(each);
    break;
  }
  deaths.insert(deaths.begin(), death);

  const std::string target = *from.policy.dead_letter_exchange;
  if (from.policy.dead_letter_key) keys = {*from.policy.dead_letter_key};
  if (!target.empty()) headers.emplace_back(model::exchange_header, target);
  headers.emplace_back(model::key_header, keys.front());
  headers.emplace_back(model::deaths_header, model::encode_deaths(deaths));
  model::PushOptions options;
  for (const auto& [name, value] : headers)
    options.headers.emplace_back(name, value);
  options.priority = job.priority;
  options.max_attempts = job.max_attempts;
  options.backoff = job.backoff;
  options.timeout = job.timeout;
  options.keep = job.keep;
  options.is_transient = job.is_transient;
  model::Push push{{}, job.type, job.payload, &options};
  if (!target.empty() && find_exchange(target) == nullptr) return false;
  bool is_taken = false;
  std::vector<std::string> takers;
  for (const std::string& name : queues_for(target, keys, options.headers)) {
    // Not where it was before, if nobody has said no since.
    const auto before = std::find_if(
        deaths.begin(), deaths.end(), [&](const model::Death& each) { return each.queue == name; });
    const bool is_automatic =
        before != deaths.end() && std::all_of(deaths.begin(), before + 1, [](const auto& each) {
          return each.reason != model::DeathReason::rejected;
        });
    if (is_automatic) continue;
    if (has_room(queue_of(name), job.payload.size())) takers.push_back(name);
  }
  for (const std::string& name : takers) {
    Queue& queue = queue_of(name);
    make_room(queue, job.payload.size());
    push.queue = queue.name;
    add(push, queue);
    is_taken = true;
  }
  return is_taken;
}

void Reference::touch(Queue& queue) {
  if (queue.policy.expires.count() != 0) queue.ends = now_.time + queue.policy.expires;
}

/// Those pulls wait no longer; the queues were in use until now.
void Reference::leave_line(const std::function<bool(const Pull&)>& leaves) {
  std::erase_if(pulls_, [&](const Pull& pull) {
    if (!leaves(pull)) return false;
    for (const std::string& name : pull.queues)
      touch(queue_of(name));
    return true;
  });
}

bool Reference::end_unused_queue() {
  const auto order = [](const Queue& a, const Queue& b) {
    return std::tie(a.ends, a.index) < std::tie(b.ends, b.index);
  };
  const auto first = std::min_element(queues_.begin(), queues_.end(), order);
  if (first == queues_.end() || first->ends >= now_.time) return false;
  const std::vector<Job*> jobs = removable(first->name);
  const bool is_worked_for = std::any_of(
      jobs.begin(), jobs.end(), [](const Job* job) { return job->state == JobState::leased; });
  if (is_worked_for || first_waiting(first->name) != pulls_.end()) {
    touch(*first);
    return true;
  }
  std::vector<model::JobId> ids;
  for (const Job* job : jobs)
    ids.push_back(job->id);
  for (const model::JobId id : ids) {
    ended_.push_back({id, find_job(id)->state == JobState::succeeded});
    remove(id);
  }
  remove_queue(first->name);
  settle();
  return true;
}

}  // namespace sluice::reference
