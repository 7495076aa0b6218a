// Drainer: the liveness phase. Resumes every queue, then pulls and acks until no job is unfinished.
#include "sim/clients/client.h"
#include "sim/world/world.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice::sim {
namespace {

/// The longest that it waits before it looks again.
constexpr Micros wait_max = std::chrono::hours(1);

std::uint64_t count_of(const resp::Value& queue, const char* state) {
  const resp::Value* const count = queue.find(state);
  return count == nullptr ? 0 : static_cast<std::uint64_t>(count->integer);
}

}  // namespace

void Drainer::step() {
  if (is_done_ || !reach(peer_) || peer_.outstanding() > 0) return;
  if (!is_prepared_) return prepare();
  pull();
}

/// Nothing that was configured may stand in the way.
void Drainer::prepare() {
  is_prepared_ = true;
  for (std::size_t index = 0; index < static_cast<std::size_t>(world_.options().queues); ++index) {
    peer_.prepare(Act::configure);
    peer_.ask({"QUEUE", "RESUME", world_.queue_name(index)}, [this](const resp::Value* reply) {
      if (reply == nullptr) is_prepared_ = false;
    });
  }
}

void Drainer::pull() {
  Operation& pull = peer_.prepare(Act::pull);
  std::vector<std::string> words = {"PULL"};
  for (std::size_t index = 0; index < static_cast<std::size_t>(world_.options().queues); ++index)
    words.push_back(world_.queue_name(index));
  words.emplace_back(dead_letters);
  pull.queues.insert(words.begin() + 1, words.end());
  words.insert(words.end(), {"COUNT", "50", "LEASE", "60s", "AS", "drainer"});
  peer_.ask(words, [this, &pull](const resp::Value* reply) {
    if (reply == nullptr || reply->is_error()) return;
    if (reply->is_null()) return look();
    wait_ = Micros(1000);
    pull.delivered = delivered_jobs(world_, *reply, std::chrono::seconds(60));
    for (const Delivered& job : pull.delivered) {
      Operation& ack = peer_.prepare(Act::ack);
      ack.uid = job.uid;
      ack.job = job.job;
      ack.token = job.token;
      peer_.ask({"ACK", std::to_string(job.job), std::to_string(job.token)}, nullptr);
    }
  });
}

void Drainer::look() {
  peer_.prepare(Act::configure);
  peer_.ask({"QUEUE", "LIST"}, [this](const resp::Value* reply) {
    if (reply != nullptr && !reply->is_error()) take_list(*reply);
  });
}

void Drainer::take_list(const resp::Value& queues) {
  unfinished_.clear();
  for (const resp::Value& queue : queues.items) {
    for (const char* state : {"scheduled", "waiting", "ready", "leased", "retry"}) {
      const std::uint64_t count = count_of(queue, state);
      if (count == 0) continue;
      const resp::Value* const name = queue.find("name");
      unfinished_ += name->text + " has " + std::to_string(count) + " " + state + "; ";
      // A PAUSE that was under way when everything healed may have come after our RESUME.
      if (count_of(queue, "paused") != 0) is_prepared_ = false;
    }
  }
  if (!unfinished_.empty()) {
    wait_ = std::min(wait_ * 2, wait_max);
    return;
  }
  if (is_listing_) return;
  is_listing_ = true;
  lists_left_ = 1;
  for (const resp::Value& queue : queues.items) {
    if (count_of(queue, "dead") > 0) list_dead(queue.find("name")->text);
  }
  is_done_ = --lists_left_ == 0;
}

void Drainer::list_dead(const std::string& queue) {
  ++lists_left_;
  peer_.prepare(Act::configure);
  peer_.ask({"JOBS", queue, "STATE", "dead", "COUNT", "10000"}, [this](const resp::Value* reply) {
    const resp::Value* const jobs = reply == nullptr ? nullptr : reply->find("jobs");
    if (jobs == nullptr) return;
    for (const resp::Value& job : jobs->items) {
      const std::string& id = job.find("id")->text;
      std::uint64_t number = 0;
      std::from_chars(id.data(), id.data() + id.size(), number);
      world_.history().remains().dead.insert(number);
    }
    is_done_ = --lists_left_ == 0;
  });
}

}  // namespace sluice::sim
