// Operator: looks at jobs and queues, changes policies, takes jobs away.
#include "sim/clients/client.h"
#include "sim/world/world.h"

#include <functional>

namespace sluice::sim {

Micros Operator::pace() const {
  const Options& options = world_.options();
  return std::max(options.duration * 10 / static_cast<std::int64_t>(options.operations),
                  Micros(10));
}

void Operator::step() {
  if (!reach(peer_) || peer_.outstanding() > 0) return;
  switch (random_.below(4)) {
    case 0:
      return look();
    case 1:
      return configure();
    case 2:
      return remove();
    default:
      return meet_job();
  }
}

void Operator::look() {
  if (!world_.options().on.list) return;
  const std::size_t index = random_.below(static_cast<std::size_t>(world_.options().queues));
  const std::string queue = world_.queue_name(index);
  const std::vector<std::vector<std::string>> looks = {
      {"QUEUE", "LIST"},
      {"QUEUE", "GET", queue},
      {"JOBS", queue, "COUNT", "20"},
      {"JOBS", queue, "STATE", "ready", "COUNT", "5"},
      {"DEAD", "LIST", queue, "COUNT", "5"}};
  peer_.prepare(Act::configure);
  peer_.ask(random_.pick(looks), nullptr);
}

void Operator::configure() {
  const Options& options = world_.options();
  const std::string queue =
      world_.queue_name(random_.below(static_cast<std::size_t>(options.queues)));
  std::vector<std::vector<std::string>> changes;
  if (options.on.policy) {
    changes.push_back({"QUEUE",
                       "SET",
                       queue,
                       "max_attempts",
                       std::to_string(random_.log_between(1, 30)),
                       "backoff",
                       "fixed 100"});
    changes.push_back({"QUEUE",
                       "SET",
                       queue,
                       "timeout",
                       std::to_string(random_.log_between(1, options.lease_max.count() / 1000))});
    changes.push_back({"QUEUE",
                       "SET",
                       queue,
                       "keep",
                       std::to_string(random_.below(2) * 60'000),
                       "keep_max",
                       std::to_string(random_.below(50))});
  }
  if (options.on.overflow) {
    changes.push_back({"QUEUE",
                       "SET",
                       queue,
                       "max_length",
                       std::to_string(random_.log_between(1, 100)),
                       "overflow",
                       random_.chance(0.5) ? "reject" : "drop_head"});
  }
  if (options.on.dead_letter)
    changes.push_back({"QUEUE", "SET", queue, "dead_letter", dead_letters});
  if (options.on.pause) {
    changes.push_back({"QUEUE", "PAUSE", queue});
    changes.push_back({"QUEUE", "RESUME", queue});
    changes.push_back({"QUEUE", "RESUME", queue});
  }
  if (changes.empty()) return;
  if (options.on.overflow) world_.history().remains().may_drop_head = true;
  peer_.prepare(Act::configure);
  peer_.ask(random_.pick(changes), nullptr);
}

void Operator::remove() {
  const Options& options = world_.options();
  if (!random_.chance(0.1)) return;
  const std::string queue =
      options.on.dead_letter && random_.chance(0.2)
          ? std::string(dead_letters)
          : world_.queue_name(random_.below(static_cast<std::size_t>(options.queues)));
  std::vector<std::vector<std::string>> removals;
  if (options.on.purge) removals.push_back({"QUEUE", "PURGE", queue});
  if (options.on.delete_queue) {
    removals.push_back({"QUEUE", "DELETE", queue});
    removals.push_back({"QUEUE", "DELETE", queue, "FORCE"});
  }
  if (options.on.delete_dead) removals.push_back({"DEAD", "DELETE", queue});
  if (options.on.redrive) removals.push_back({"DEAD", "REDRIVE", queue});
  if (removals.empty()) return;
  const std::vector<std::string>& words = random_.pick(removals);
  Operation& operation = peer_.prepare(words[1] == "REDRIVE" ? Act::redrive : Act::remove);
  operation.queues.insert(queue);
  peer_.ask(words, nullptr);
}

void Operator::meet_job() {
  const Options& options = world_.options();
  if (world_.known().empty()) return;
  const KnownJob& known = random_.pick(world_.known());
  const std::string id = std::to_string(known.job);
  if (options.on.cancel && random_.chance(0.2)) {
    peer_.prepare(Act::cancel).job = known.job;
    peer_.ask({"CANCEL", id}, nullptr);
  } else if (options.on.await && random_.chance(0.5)) {
    const Micros wait(random_.log_between(1000, options.duration.count() / 10));
    peer_.prepare(Act::await).job = known.job;
    peer_.ask({"AWAIT", id, std::to_string(wait.count() / 1000)}, nullptr);
  } else if (options.on.read) {
    peer_.prepare(Act::read).job = known.job;
    peer_.ask({"JOB", id}, nullptr);
  }
}

}  // namespace sluice::sim
