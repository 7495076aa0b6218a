// Pair: the core on a log in memory beside the reference, both given the same operations.
//
// An operation is a number: what is done, to which job, with which options, is drawn from it by
// division (Choices). So a script of numbers is a whole history; any number means something; the
// fuzzer mutates them and shrinking leaves them out. The first number of a script says which
// features its history may use at all, so that each history goes deep into a few.
//
// After every operation all replies and all counts are compared, from time to time and at the end
// every job, and the laws are checked: what is restored from the log is what was there when it was
// cut, cleaning changes nothing, what was pushed is somewhere or was removed.
#pragma once

#include "core/core.h"
#include "reference/memory_log.h"
#include "reference/reference.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::reference {

using Script = std::vector<std::uint64_t>;

/// Draws small numbers from a large one until it is used up; then all are 0.
class Choices {
 public:
  explicit Choices(std::uint64_t number) : left_(number) {}

  std::uint64_t pick(std::uint64_t below) {
    const std::uint64_t picked = left_ % below;
    left_ /= below;
    return picked;
  }

  /// True once in `count`; never when nothing is left.
  bool one_in(std::uint64_t count) { return pick(count) == count - 1; }

 private:
  std::uint64_t left_;
};

class Pair {
 public:
  /// `features`: the first number of a script.
  explicit Pair(std::uint64_t features);

  /// Throws Mismatch.
  void step(std::uint64_t operation);
  /// Compares everything, restores the log and compares again.
  void finish();

  /// Checks the law of restoring after every operation; slow.
  void restore_after_each() { is_restoring_after_each_ = true; }

  /// Called with one line about each command, to understand a failure.
  std::function<void(const std::string&)> on_line;

 private:
  enum class Feature : std::uint8_t;  // At the end of this file.

  bool may(Feature feature) const;
  bool wants(Feature feature, Choices& choices);
  Now now() const;

  void act(Choices& choices);
  void push(const std::string& queue, Choices& choices);
  model::PushOptions push_options(Choices& choices);
  // pair_routing.cc
  void publish(const model::Push& job, Choices& choices);
  void change_routing(Choices& choices);
  void put_exchange(Choices& choices);
  std::shared_ptr<model::Binding> binding(Choices& choices);
  void learn(const model::Routed& routed);

  void pull(const std::string& queue, Choices& choices);
  void answer(Choices& choices);
  void set_queue(const std::string& queue, Choices& choices);
  void declare_queue(const std::string& queue, Choices& choices);
  void remove_many(const std::string& queue, Choices& choices);
  void look(const std::string& queue, Choices& choices);
  void restart(Choices& choices);
  void clean();
  void clean_oldest();
  void pass(std::size_t steps);
  void dispatch();
  void forward_dead();

  void apply(const model::Command& command);
  void apply(const model::Command& command, model::Ticket ticket);

  /// Runs one call of the core.
  template <class Call>
  std::vector<model::Reply> on_core(Call call) {
    facts_.clear();
    core::Output out;
    frame_ = log_.end();
    out.open(facts_, frame_);
    call(out);
    take_facts(facts_.view());
    return std::move(out.replies);
  }

  void take_facts(ByteView facts);
  void compare(std::vector<model::Reply> replies);
  void compare_one(const model::Reply& core, const model::Reply& reference);
  void compare(const model::Delivered& core, const model::Delivered& reference);
  void compare(const model::JobInfo& core, const model::JobInfo& reference);
  void compare_counts();
  void compare_all();
  void boot();
  std::unique_ptr<core::Core> restored();

  model::JobId any_job(Choices& choices);

  const std::uint64_t features_;
  model::Limits limits_;
  MemoryLog log_;
  Buffer facts_;
  std::unique_ptr<core::Core> core_;
  Reference reference_;
  Duration time_{1'000'000};
  Duration wall_skew_{0};
  Position frame_;            ///< Of the last call of the core.
  Position last_facts_;       ///< Of the last frame in which it wrote something.
  bool has_written_ = false;  ///< Whether the last call did.
  model::JobId fired_;        ///< The first job whose change was written since this was 0.
  std::uint64_t tickets_ = 0;
  model::Ticket staying_;  ///< Of the last pull that goes on waiting.
  std::uint64_t last_token_ = 0;
  std::vector<model::JobId> ids_;
  std::vector<std::pair<model::JobId, model::LeaseToken>> leases_;
  std::uint64_t operations_ = 0;
  bool is_restoring_after_each_ = false;
};

struct RunOptions {
  bool restores_after_each = false;
  std::function<void(const std::string&)> on_line;
};

/// Runs a whole script; throws Mismatch.
void run(const Script& script, const RunOptions& options);

/// What a history may use; a bit each in the first number of its script.
enum class Pair::Feature : std::uint8_t {
  delay,
  at,
  priority,
  attempts,
  backoff,
  timeout,
  ttl,
  keep,
  unique,
  window,
  after,
  policy,
  overflow,
  dead_letter,
  pause,
  removal,
  wait,
  await,
  wall_steps,
  restart,
  cleaning,
  few_steps,
  small_limits,
  long_sleeps,
  crowds,  ///< Pulls wait though there are jobs, because there is no room for more answers.
  routing,
  duty,     ///< Jobs are lent to connections, or given away; pulls have ranks.
  declare,  ///< Queues as the protocols with exchanges want them.
  transient,
  dead_exchange,
  expires,
};

}  // namespace sluice::reference
