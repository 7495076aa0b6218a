// What becomes of dead jobs in queues with a dead-letter exchange: they are published to it as if
// anew, with where and why they died, in the frame that removes them. As RabbitMQ does it
// (rabbitmq.com/docs/dlx; rabbit_dead_letter.erl).
#include "core/core.h"
#include "model/death.h"
#include "model/header_names.h"
#include "model/headers.h"

#include <algorithm>
#include <utility>

namespace sluice::core {
namespace {

using model::JobState;

/// A dead job as it is published again. Views the record.
struct Letter {
  std::vector<ByteView> keys;
  ByteView exchange;  ///< That it was published to before.
  std::vector<model::Death> deaths;
  model::HeaderList others;
  ByteView properties;
};

Letter read_letter(const JobRecord& record, ByteView queue) {
  Letter letter;
  model::for_each_header(record.headers, [&letter](ByteView name, ByteView value) {
    if (name == model::exchange_header) {
      letter.exchange = value;
    } else if (name == model::key_header) {
      letter.keys.insert(letter.keys.begin(), value);
    } else if (name == model::more_key_header) {
      letter.keys.push_back(value);
    } else if (name == model::deaths_header) {
      letter.deaths = model::decode_deaths(value);
    } else {
      if (name == model::properties_header) letter.properties = value;
      letter.others.emplace_back(name, value);
    }
  });
  if (letter.keys.empty()) letter.keys.push_back(queue);
  return letter;
}

/// The newest stands first; one more of a kind that is known only counts.
void add_death(Letter& letter, ByteView queue, model::DeathReason reason, WallTime time) {
  std::vector<model::Death>& deaths = letter.deaths;
  const auto known = std::find_if(deaths.begin(), deaths.end(), [&](const model::Death& death) {
    return death.queue == queue && death.reason == reason;
  });
  if (known != deaths.end()) {
    ++known->count;
    std::rotate(deaths.begin(), known, known + 1);
    return;
  }
  model::Death death{std::string(queue), reason, 1, time, std::string(letter.exchange), {}};
  for (const ByteView key : letter.keys)
    death.keys.emplace_back(key);
  deaths.insert(deaths.begin(), std::move(death));
  if (deaths.size() > model::deaths_max) deaths.resize(model::deaths_max);
}

/// Whether it has been in the queue before, and nobody has rejected it since: it would go round for
/// ever without anybody's doing.
bool is_cycle(const std::vector<model::Death>& deaths, ByteView queue) {
  for (const model::Death& death : deaths) {
    if (death.reason == model::DeathReason::rejected) return false;
    if (death.queue == queue) return true;
  }
  return false;
}

}  // namespace

bool Core::forward_dead(Now now, const HeadersOf& headers_of, RecordReader& reader, Output& out) {
  time_ = std::max(time_, now.time);
  now.time = time_;
  while (!dead_letters_.empty()) {
    const Slot slot = jobs_.find(dead_letters_.front());
    const bool is_dead = slot != no_slot && jobs_[slot].state == JobState::dead &&
                         queues_[jobs_[slot].queue]->policy.dead_letter_exchange.has_value();
    // One dead letter replaces another: memory stands in the way only where it has many queues.
    if (is_dead && !check_memory()) return false;
    dead_letters_.pop_front();
    if (!is_dead) continue;
    if (!forward(slot, now, headers_of, reader, out) &&
        queues_[jobs_[slot].queue]->policy.drops_dead) {
      remove_job(slot, out);
    }
    if (!settled_.empty()) settle(now, out);
    if (out.has_facts()) last_facts_ = out.base;
    return !dead_letters_.empty();
  }
  return false;
}

/// False: no queue takes it, or there is no such exchange. One that cannot be read stays dead
/// here, whatever becomes of others.
bool Core::forward(
    Slot slot, Now now, const HeadersOf& headers_of, RecordReader& reader, Output& out) {
  const Job& job = jobs_[slot];
  const Queue& queue = *queues_[job.queue];
  const Result<ByteView> read = reader.read(job.home, job.record_bytes);
  if (!read) return true;
  const std::string bytes(*read);  // What is written now may move what was read.
  const Result<JobRecord> record = read_record(bytes);
  if (!record) return true;
  const Details& details = jobs_.details(slot);
  Letter letter = read_letter(*record, queue.name);
  const model::DeathReason reason = details.death.value_or(model::DeathReason::rejected);
  add_death(letter, queue.name, reason, now.wall);

  const std::string exchange = queue.policy.dead_letter_exchange.value_or("");
  const std::optional<std::string> key = queue.policy.dead_letter_key;
  const std::string deaths = model::encode_deaths(letter.deaths);
  if (key) letter.keys = {*key};
  model::PushOptions options;
  options.priority = job.priority;
  options.max_attempts = details.max_attempts;
  options.backoff = details.backoff;
  options.timeout = details.timeout;
  options.keep = details.keep;
  options.is_transient = job.is_transient;
  options.headers = letter.others;
  if (!exchange.empty()) options.headers.emplace_back(model::exchange_header, exchange);
  options.headers.emplace_back(model::key_header, letter.keys.front());
  for (std::size_t index = 1; index < letter.keys.size(); ++index)
    options.headers.emplace_back(model::more_key_header, letter.keys[index]);
  options.headers.emplace_back(model::deaths_header, deaths);

  const std::vector<ByteView> more_keys(letter.keys.begin() + 1, letter.keys.end());
  model::HeaderList matched;
  if (headers_of && !letter.properties.empty()) matched = headers_of(letter.properties);
  model::Publish publish{exchange, letter.keys.front(), {}, &more_keys, nullptr};
  publish.job = model::Push{{}, record->type, record->payload, &options};
  if (!matched.empty()) publish.headers = &matched;
  const auto queues = routes_.queues_for(publish, Routes::From::server);
  if (!queues) return false;
  PushPlans plans;
  for (const QueueIndex index : *queues) {
    Queue& target = *queues_[index];
    const bool goes_round =
        reason != model::DeathReason::rejected && is_cycle(letter.deaths, target.name);
    if (!goes_round && check_room(target, record->payload.size()))
      plans.push_back({&target, no_slot, {}});
  }
  if (plans.empty() || !check_publish(publish.job, plans.size())) return false;
  for (const PushPlan& each : plans)
    carry_out(each, publish.job, now, out);
  remove_job(slot, out);
  return true;
}

}  // namespace sluice::core
