// Producer: pushes with everything that a push may say.
#include "sim/clients/client.h"
#include "sim/clients/content.h"
#include "sim/world/world.h"

#include <algorithm>
#include <charconv>

namespace sluice::sim {
namespace {

void say(std::vector<std::string>& words, const char* option, std::string value) {
  words.emplace_back(option);
  words.push_back(std::move(value));
}

}  // namespace

void Client::start() {
  world_.schedule().in(Micros(random_.between(0, pace().count())), [this] { go_on(); });
}

void Client::go_on() {
  if (is_stopped_) return;
  step();
  if (is_stopped_) return;
  world_.schedule().in(Micros(random_.between(1, 2 * pace().count())), [this] { go_on(); });
}

/// All producers together push a quarter of the run's operations: each job is also pulled and
/// answered, and there are operators.
Micros Producer::pace() const {
  const Options& options = world_.options();
  const auto pushes = static_cast<std::int64_t>(options.operations / 4);
  return std::max(options.duration * options.producers / pushes, Micros(10));
}

void Producer::step() {
  if (!reach(peer_)) return;
  const auto pipeline = static_cast<std::size_t>(random_.between(1, world_.options().pipeline));
  for (std::size_t i = 0; i < pipeline && peer_.outstanding() < pipeline; ++i) {
    if (world_.pushes() * 4 >= world_.options().operations) return;
    push();
  }
}

void Producer::push() {
  const Options& options = world_.options();
  const std::size_t queue = random_.below(static_cast<std::size_t>(options.queues));
  Operation& push = peer_.prepare(Act::push);
  push.uid = world_.next_uid();
  PushTerms& terms = push.push.emplace();
  terms.queue = world_.queue_name(queue);
  terms.payload_bytes = random_.below(options.payload_bytes_max + 1);
  if (options.on.headers) terms.headers = random_.below(4);
  terms.attempts = options.on.policy ? 1 : 25;
  terms.lease = options.on.policy ? std::optional<Micros>() : std::chrono::seconds(30);
  const Content content = content_of(push.uid, terms.payload_bytes, terms.headers);
  std::vector<std::string> words = {"PUSH", terms.queue, content.type, content.payload};
  choose_limits(push, words);
  choose_key(push, words);
  choose_dependencies(push, words);
  choose_time(push, words);
  for (const auto& [key, value] : content.headers) {
    words.insert(words.end(), {"HEADER", key, value});
  }
  world_.history().remember_push(push);
  const bool is_certain = terms.unique_key.empty();
  const Uid uid = push.uid;
  peer_.ask(words, [this, &push, uid, is_certain, queue](const resp::Value* reply) {
    if (reply == nullptr || reply->is_error()) return;
    std::from_chars(reply->text.data(), reply->text.data() + reply->text.size(), push.job);
    world_.known().push_back({push.job, is_certain ? uid : 0, queue});
  });
}

void Producer::choose_time(Operation& push, std::vector<std::string>& words) {
  const Options& options = world_.options();
  if (push.push->waits) return;  // Chains would last for ever.
  if (options.on.delay && random_.chance(0.3)) {
    const Micros delay =
        whole_milliseconds(Micros(random_.log_between(1000, options.delay_max.count())));
    say(words, "DELAY", milliseconds(delay));
    push.push->delay = delay;
  } else if (options.on.at && random_.chance(0.3)) {
    const Micros delay =
        whole_milliseconds(Micros(random_.log_between(1000, options.delay_max.count())));
    const WallTime at = world_.clock().wall() + std::chrono::duration_cast<Duration>(delay);
    say(words, "AT", std::to_string(at.time_since_epoch().count()));
    push.push->is_scheduled = true;
    const bool is_honest = !options.every.clock_step && options.drift_ppm == 0;
    if (is_honest) push.push->delay = delay - Duration(1);
  }
}

void Producer::choose_limits(Operation& push, std::vector<std::string>& words) {
  const Options& options = world_.options();
  PushTerms& terms = *push.push;
  terms.priority = 0;
  if (options.on.priority && random_.chance(0.5)) {
    terms.priority = static_cast<int>(random_.below(3)) * 100;
    say(words, "PRIORITY", std::to_string(*terms.priority));
  }
  if (options.on.attempts && random_.chance(0.4)) {
    terms.attempts = static_cast<int>(random_.log_between(1, 10));
    say(words, "ATTEMPTS", std::to_string(terms.attempts));
  }
  if (options.on.backoff && random_.chance(0.4)) {
    const std::string base = milliseconds(Micros(random_.log_between(1000, 10'000'000)));
    const std::vector<std::string> kinds = {"fixed " + base,
                                            "linear " + base + " cap 1m",
                                            "exponential " + base + " cap 1m jitter 10%",
                                            "list " + base + " 1s 10s"};
    say(words, "BACKOFF", random_.pick(kinds));
  }
  if (options.on.timeout && random_.chance(0.4)) {
    terms.lease = whole_milliseconds(Micros(random_.log_between(1000, options.lease_max.count())));
    say(words, "TIMEOUT", milliseconds(*terms.lease));
  }
  if (options.on.ttl && random_.chance(0.2)) {
    terms.has_ttl = true;
    say(words, "TTL", milliseconds(Micros(random_.log_between(1000, options.duration.count()))));
  }
  if (options.on.keep && random_.chance(0.4)) {
    say(words,
        "KEEP",
        random_.chance(0.3)
            ? "0"
            : milliseconds(Micros(random_.log_between(1000, options.duration.count()))));
  }
}

void Producer::choose_key(Operation& push, std::vector<std::string>& words) {
  const Options& options = world_.options();
  if (!options.on.unique || !random_.chance(0.3)) return;
  PushTerms& terms = *push.push;
  terms.unique_key = "key-" + std::to_string(random_.below(1 + options.operations / 100));
  say(words, "UNIQUE", terms.unique_key);
  if (options.on.window && random_.chance(0.4)) {
    terms.has_window = true;
    say(words, "WINDOW", milliseconds(Micros(random_.log_between(1000, options.duration.count()))));
  }
  const std::uint64_t conflict = random_.below(4);
  if (conflict == 0) say(words, "ONCONFLICT", "reject");
  if (conflict == 1) {
    terms.may_replace = true;
    say(words, "ONCONFLICT", "replace");
  }
}

void Producer::choose_dependencies(Operation& push, std::vector<std::string>& words) {
  if (!world_.options().on.after || !random_.chance(0.2) || world_.known().empty()) return;
  const bool is_any = random_.chance(0.3);
  const std::size_t count = 1 + random_.below(3);
  for (std::size_t i = 0; i < count; ++i) {
    // Mostly recent ones: the others are finished.
    const std::vector<KnownJob>& known = world_.known();
    const std::size_t back = random_.below(std::min<std::size_t>(known.size(), 20));
    const KnownJob& other = known[known.size() - 1 - back];
    say(words, is_any ? "AFTER_ANY" : "AFTER", std::to_string(other.job));
    push.push->waits = true;
    if (!is_any && other.uid != 0) push.push->after.push_back(other.uid);
  }
}

}  // namespace sluice::sim
