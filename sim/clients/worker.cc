// Worker: pulls, works for a while, and answers in every way that a worker may, also too late.
#include "sim/clients/client.h"
#include "sim/clients/content.h"
#include "sim/world/world.h"

#include <algorithm>
#include <charconv>

namespace sluice::sim {
namespace {

std::uint64_t number(const resp::Value* value) {
  std::uint64_t parsed = 0;
  if (value != nullptr) {
    std::from_chars(value->text.data(), value->text.data() + value->text.size(), parsed);
  }
  return parsed;
}

std::string text(const resp::Value* value) {
  return value == nullptr ? std::string() : value->text;
}

/// Whether a delivery carries what its push did, byte for byte (RELIABILITY L3).
bool is_intact(const PushTerms& terms, Uid uid, const resp::Value& job) {
  Content found;
  found.type = text(job.find("type"));
  found.payload = text(job.find("payload"));
  const resp::Value* const headers = job.find("headers");
  for (std::size_t i = 0; headers != nullptr && i + 1 < headers->items.size(); i += 2) {
    found.headers.emplace_back(headers->items[i].text, headers->items[i + 1].text);
  }
  return found == content_of(uid, terms.payload_bytes, terms.headers);
}

}  // namespace

std::vector<Delivered> delivered_jobs(World& world,
                                      const resp::Value& reply,
                                      std::optional<Micros> lease) {
  std::vector<Delivered> jobs;
  for (const resp::Value& each : reply.items) {
    Delivered job;
    const std::string payload = text(each.find("payload"));
    job.uid = uid_of(payload);
    job.job = number(each.find("id"));
    job.token = number(each.find("token"));
    const resp::Value* const attempt = each.find("attempt");
    job.attempt = attempt == nullptr ? 0 : static_cast<int>(attempt->integer);
    job.queue = text(each.find("queue"));
    job.lease = lease;
    if (const Operation* push = world.history().push_of(job.uid)) {
      job.is_intact = is_intact(*push->push, job.uid, each);
      if (!lease) job.lease = push->push->lease;
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

Micros Worker::pace() const {
  const Options& options = world_.options();
  const auto pulls = static_cast<std::int64_t>(options.operations / 4);
  return std::max(options.duration * options.workers / pulls, Micros(10));
}

void Worker::step() {
  if (reach(peer_) && peer_.outstanding() == 0) pull();
}

void Worker::pull() {
  const Options& options = world_.options();
  Operation& pull = peer_.prepare(Act::pull);
  std::vector<std::string> words = {"PULL"};
  const std::size_t count = 1 + random_.below(3);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t queue = random_.below(static_cast<std::size_t>(options.queues));
    words.push_back(world_.queue_name(queue));
  }
  if (options.on.dead_letter && random_.chance(0.2)) words.emplace_back(dead_letters);
  pull.queues.insert(words.begin() + 1, words.end());
  if (options.on.count && random_.chance(0.5)) {
    words.insert(words.end(), {"COUNT", std::to_string(random_.log_between(1, 20))});
  }
  if (options.on.wait && random_.chance(0.7)) {
    const Micros wait(random_.log_between(1000, options.duration.count() / 4));
    words.insert(words.end(), {"WAIT", milliseconds(wait)});
  }
  std::optional<Micros> lease;
  if (random_.chance(0.7)) {
    lease = whole_milliseconds(Micros(random_.log_between(1000, options.lease_max.count())));
    words.insert(words.end(), {"LEASE", milliseconds(*lease)});
  }
  words.insert(words.end(), {"AS", "worker-" + std::to_string(number_)});
  peer_.ask(words, [this, &pull, lease](const resp::Value* reply) {
    if (reply == nullptr || reply->is_error() || reply->is_null()) return;
    pull.delivered = delivered_jobs(world_, *reply, lease);
    for (const Delivered& job : pull.delivered)
      work(job);
  });
}

/// Decides what becomes of the job, and schedules it.
void Worker::work(const Delivered& job) {
  const Options& options = world_.options();
  if (options.on.vanish && random_.chance(0.1)) return;  // The worker crashed: the lease runs out.
  const Micros lease = job.lease.value_or(std::chrono::seconds(1));
  Micros takes(random_.log_between(100, std::max<std::int64_t>(lease.count(), 200)));
  if (options.on.late && random_.chance(0.1)) takes = lease + takes;
  if (options.on.extend && random_.chance(0.2)) {
    const Micros by =
        whole_milliseconds(Micros(random_.log_between(1000, options.lease_max.count())));
    const Micros at(random_.between(1, takes.count()));
    world_.schedule().in(at, [this, job, by] { answer(Act::extend, job, {milliseconds(by)}, by); });
    takes = std::max(takes, at + by / 2);
  }
  if (options.on.progress && random_.chance(0.2)) {
    world_.schedule().in(takes / 2, [this, job] {
      answer(Act::progress, job, {std::to_string(random_.below(101)), "half"}, std::nullopt);
    });
  }
  world_.schedule().in(takes, [this, job] { finish(job); });
}

void Worker::finish(const Delivered& job) {
  const Options& options = world_.options();
  const std::uint64_t fate = random_.below(20);
  const Micros delay =
      whole_milliseconds(Micros(random_.log_between(1000, options.delay_max.count())));
  if (options.on.fail && fate < 3) {
    std::vector<std::string> words = {"it failed"};
    std::optional<Micros> retry;
    if (fate == 0) {
      retry = delay;
      words.insert(words.end(), {"RETRY", milliseconds(delay)});
    } else if (fate == 1 && random_.chance(0.3)) {
      words.emplace_back("DEAD");
    }
    return answer(Act::fail, job, std::move(words), retry);
  }
  if (options.on.release && fate < 5) {
    if (fate == 3) return answer(Act::release, job, {}, std::nullopt);
    return answer(Act::release, job, {"DELAY", milliseconds(delay)}, delay);
  }
  std::vector<std::string> words;
  if (options.on.results && random_.chance(0.5)) {
    words = {"RESULT", std::string(random_.below(options.payload_bytes_max + 1), 'r')};
  }
  answer(Act::ack, job, words, std::nullopt);
  if (random_.chance(0.05)) answer(Act::ack, job, words, std::nullopt);  // One answer too many.
}

void Worker::answer(Act act,
                    const Delivered& job,
                    std::vector<std::string> words,
                    std::optional<Micros> duration,
                    int tries) {
  if (is_stopped()) return;
  if (!reach(answers_)) {
    if (tries == 0) return;
    const Micros pause(random_.log_between(1000, 2'000'000));
    world_.schedule().in(pause, [this, act, job, words = std::move(words), duration, tries] {
      answer(act, job, words, duration, tries - 1);
    });
    return;
  }
  Operation& operation = answers_.prepare(act);
  operation.uid = job.uid;
  operation.job = job.job;
  operation.token = job.token;
  operation.duration = duration;
  words.insert(words.begin(), {name(act), std::to_string(job.job), std::to_string(job.token)});
  answers_.ask(words, nullptr);
}

}  // namespace sluice::sim
