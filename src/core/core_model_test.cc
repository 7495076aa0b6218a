// The core against a queue so simple that it is obviously right: a list of jobs, searched from
// front to back for everything, without indexes, timers or a journal. RapidCheck shrinks what
// differs.
#include "core/core.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace sluice::core {
namespace {

using model::JobState;

constexpr Duration lease_length{200};
constexpr Duration backoff_length{100};

// -- The simple queue. ---------------------------------------------------------------------------

struct SimpleJob {
  std::uint64_t id = 0;
  int queue = 0;
  int priority = 0;
  std::uint64_t order = 0;
  JobState state = JobState::ready;
  std::int64_t due = -1;  ///< Of the state's timer; -1: none.
  std::uint64_t token = 0;
  std::uint32_t attempt = 0;
  std::uint32_t max_attempts = 25;
  std::int64_t ttl = 0;
  std::int64_t expires = -1;  ///< Absolute, from when it was ready for the first time.
  std::vector<std::uint64_t> after;
};

class SimpleQueue {
 public:
  std::vector<SimpleJob> jobs;
  std::uint64_t last_order = 0;
  bool is_ambiguous = false;

  SimpleJob* find(std::uint64_t id) {
    for (SimpleJob& job : jobs) {
      if (job.id == id) return &job;
    }
    return nullptr;
  }

  void become_ready(SimpleJob& job, std::uint64_t order, std::int64_t now) {
    job.state = JobState::ready;
    job.order = order;
    job.due = -1;
    if (job.ttl == 0 || job.attempt != 0) return;
    if (job.expires < 0) job.expires = now + job.ttl;
    job.due = job.expires;
  }

  void end(SimpleJob& job, JobState state, std::int64_t now) {
    job.state = state;
    job.due = -1;
    const std::uint64_t id = job.id;
    for (std::size_t index = 0; index < jobs.size(); ++index) {
      SimpleJob& other = jobs[index];
      if (other.state != JobState::waiting) continue;
      const auto waits = std::find(other.after.begin(), other.after.end(), id);
      if (waits == other.after.end()) continue;
      if (state != JobState::succeeded) {
        end(other, JobState::dead, now);
        continue;
      }
      other.after.erase(waits);
      if (other.after.empty()) become_ready(other, ++last_order, now);
    }
  }

  SimpleJob* pull(int queue, std::int64_t now, std::uint64_t token) {
    SimpleJob* best = nullptr;
    for (SimpleJob& job : jobs) {
      if (job.state != JobState::ready || job.queue != queue) continue;
      const bool is_better = best == nullptr || job.priority > best->priority ||
                             (job.priority == best->priority && job.order < best->order);
      if (is_better) best = &job;
    }
    if (best == nullptr) return nullptr;
    best->state = JobState::leased;
    best->due = now + lease_length.count();
    best->token = token;
    ++best->attempt;
    return best;
  }

  SimpleJob* leased(std::uint64_t id, std::uint64_t token) {
    SimpleJob* job = find(id);
    return job != nullptr && job->state == JobState::leased && job->token == token ? job : nullptr;
  }

  /// Fires what is due, one at a time in order of time. Jobs due at the same moment may fire in any
  /// order: such a history says nothing about what follows and ends there.
  void pass(std::int64_t now) {
    for (;;) {
      SimpleJob* first = nullptr;
      for (SimpleJob& job : jobs) {
        if (job.due < 0 || job.due >= now) continue;  // Its millisecond must be over.
        if (first != nullptr && job.due == first->due) is_ambiguous = true;
        if (first == nullptr || job.due < first->due) first = &job;
      }
      if (first == nullptr) return;
      fire(*first, now);
    }
  }

 private:
  void fire(SimpleJob& job, std::int64_t now) {
    if (job.state == JobState::ready) return end(job, JobState::expired, now);
    if (job.state == JobState::leased) {
      if (job.attempt >= job.max_attempts) return end(job, JobState::dead, now);
      return become_ready(job, job.id, now);
    }
    become_ready(job, ++last_order, now);
  }
};

// -- Both side by side. --------------------------------------------------------------------------

struct Operation {
  int kind = 0;
  std::uint32_t first = 0;   ///< Which job, lease or queue, modulo how many there are.
  std::uint32_t second = 0;  ///< Priority, delay, attempts, ….
};

std::ostream& operator<<(std::ostream& out, const Operation& operation) {
  static const char* const names[] = {"push", "push", "pull", "answer", "cancel", "sleep"};
  return out << names[operation.kind] << '(' << operation.first << ", " << operation.second << ')';
}

class Both {
 public:
  Both() : core_(model::Limits{}, 0) {
    check(core_.finish_restore().has_value());
    call([&](Output& out) { core_.boot(now(), out); });
    auto change = std::make_shared<model::PolicyChange>();
    change->backoff = model::Backoff{model::Backoff::Kind::fixed, 0, backoff_length, {}, {}};
    change->timeout = lease_length;
    change->keep = std::chrono::hours(1000);
    for (const char* name : {"q0", "q1"})
      apply(model::SetQueue{name, change});
  }

  void run(const Operation& operation) {
    time_ += 1;
    pass();
    if (simple_.is_ambiguous) return;
    switch (operation.kind) {
      case 0:
      case 1:
        push(operation);
        break;
      case 2:
        pull(operation);
        break;
      case 3:
        answer(operation);
        break;
      case 4:
        cancel(operation);
        break;
      default:
        sleep(operation);
        break;
    }
    compare();
  }

 private:
  struct Lease {
    std::uint64_t id;
    std::uint64_t token;
  };

  Now now() const { return {Time(Duration(time_)), WallTime(Duration(time_))}; }

  template <class Call>
  std::vector<model::Reply> call(Call run) {
    Buffer buffer;
    Output out;
    out.open(buffer, Position(1, 64));
    run(out);
    return std::move(out.replies);
  }

  model::Answer apply(const model::Command& command) {
    auto replies = call([&](Output& out) { core_.apply(command, model::Ticket(1), now(), out); });
    check(replies.size() == 1);
    return std::move(replies[0].answer);
  }

  void push(const Operation& operation) {
    model::PushOptions options;
    SimpleJob job;
    job.queue = static_cast<int>(operation.first % 2);
    job.priority = static_cast<int>(operation.second % 3);
    job.max_attempts = 1 + operation.second % 4;
    const Duration delay((operation.second / 4 % 4) * 64);
    job.ttl = operation.second / 16 % 3 == 0 ? 190 : 0;
    options.priority = static_cast<std::uint8_t>(job.priority);
    options.max_attempts = job.max_attempts;
    options.delay = delay;
    if (job.ttl != 0) options.ttl = Duration(job.ttl);
    if (operation.second / 64 % 4 == 0 && !simple_.jobs.empty()) {
      const SimpleJob& other = simple_.jobs[operation.first % simple_.jobs.size()];
      options.after.push_back({model::JobId(other.id), false});
      options.delay = Duration(0);
      job.after.push_back(other.id);
    }
    const std::string queue = "q" + std::to_string(job.queue);
    const model::Answer answer = apply(model::Push{queue, "type", "payload", &options});
    const auto* pushed = std::get_if<model::Pushed>(&answer);
    RC_ASSERT(pushed != nullptr);
    // Places in lists are drawn from the counter that also gives ids.
    job.id = pushed->id.value;
    simple_.last_order = std::max(simple_.last_order, job.id);
    job.order = job.id;
    add(job, delay);
  }

  void add(SimpleJob job, Duration delay) {
    if (!job.after.empty()) {
      const JobState other = simple_.find(job.after[0])->state;
      if (!model::is_final(other)) {
        job.state = JobState::waiting;
        simple_.jobs.push_back(job);
        return;
      }
      simple_.jobs.push_back(job);
      SimpleJob& added = simple_.jobs.back();
      if (other == JobState::succeeded) {
        added.after.clear();
        simple_.become_ready(added, job.id, time_);
      } else {
        simple_.end(added, JobState::dead, time_);
      }
      return;
    }
    simple_.jobs.push_back(job);
    SimpleJob& added = simple_.jobs.back();
    if (delay.count() > 0) {
      added.state = JobState::scheduled;
      added.due = time_ + delay.count();
    } else {
      simple_.become_ready(added, job.id, time_);
    }
  }

  void pull(const Operation& operation) {
    const int queue = static_cast<int>(operation.first % 2);
    const std::string name = "q" + std::to_string(queue);
    const std::vector<ByteView> queues{name};
    model::Pull command;
    command.queues = &queues;
    command.count = 1 + operation.second % 3;
    const model::Answer answer = apply(command);
    const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer);
    const std::size_t count = delivered == nullptr ? 0 : (*delivered)->jobs.size();
    for (std::size_t index = 0; index < count; ++index) {
      const model::Delivery& job = (*delivered)->jobs[index];
      const SimpleJob* expected = simple_.pull(queue, time_, job.token.value);
      RC_ASSERT(expected != nullptr);
      RC_ASSERT(job.id.value == expected->id);
      RC_ASSERT(job.attempt == expected->attempt);
      leases_.push_back({job.id.value, job.token.value});
    }
    if (count < command.count) RC_ASSERT(simple_.pull(queue, time_, 0) == nullptr);
  }

  void answer(const Operation& operation) {
    if (leases_.empty()) return;
    const Lease lease = leases_[operation.first % leases_.size()];
    SimpleJob* job = simple_.leased(lease.id, lease.token);
    const model::JobId id(lease.id);
    const model::LeaseToken token(lease.token);
    model::Command command = model::Ack{id, token, {}};
    if (operation.second % 4 == 1) command = model::Fail{id, token, "no", {}, false};
    if (operation.second % 4 == 2) command = model::Release{id, token, Duration(0)};
    const model::Answer got = apply(command);
    RC_ASSERT(std::holds_alternative<model::Done>(got) == (job != nullptr));
    if (job == nullptr) return;
    if (operation.second % 4 == 1) {
      if (job->attempt >= job->max_attempts) return simple_.end(*job, JobState::dead, time_);
      job->state = JobState::retry;
      job->due = time_ + backoff_length.count();
    } else if (operation.second % 4 == 2) {
      --job->attempt;
      simple_.become_ready(*job, job->id, time_);
    } else {
      simple_.end(*job, JobState::succeeded, time_);
    }
  }

  void cancel(const Operation& operation) {
    if (simple_.jobs.empty()) return;
    SimpleJob& job = simple_.jobs[operation.first % simple_.jobs.size()];
    const bool could = !model::is_final(job.state);
    const model::Answer answer = apply(model::Cancel{model::JobId(job.id)});
    RC_ASSERT(std::holds_alternative<model::Done>(answer) == could);
    if (could) simple_.end(job, JobState::cancelled, time_);
  }

  void sleep(const Operation& operation) {
    for (std::uint32_t step = 0; step < operation.second % 120; ++step) {
      time_ += 1;
      pass();
    }
  }

  void pass() {
    std::size_t steps = 1000;
    bool more = true;
    while (more) {
      call([&](Output& out) { more = core_.tick(now(), steps, out); });
    }
    simple_.pass(time_);
  }

  void compare() {
    core_.check_invariants();
    for (const SimpleJob& job : simple_.jobs) {
      const model::Answer answer = apply(model::GetJob{model::JobId(job.id)});
      const auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&answer);
      RC_ASSERT(info != nullptr);
      RC_ASSERT(std::string((*info)->state == job.state ? "" : model::name((*info)->state)) == "");
      RC_ASSERT((*info)->attempt == job.attempt);
    }
  }

  Core core_;
  SimpleQueue simple_;
  std::int64_t time_ = 1'000'001;
  std::vector<Lease> leases_;
};

}  // namespace
}  // namespace sluice::core

namespace rc {

template <>
struct Arbitrary<sluice::core::Operation> {
  static Gen<sluice::core::Operation> arbitrary() {
    return gen::build<sluice::core::Operation>(
        gen::set(&sluice::core::Operation::kind, gen::inRange(0, 6)),
        gen::set(&sluice::core::Operation::first, gen::inRange(0u, 64u)),
        gen::set(&sluice::core::Operation::second, gen::inRange(0u, 256u)));
  }
};

}  // namespace rc

namespace sluice::core {
namespace {

RC_GTEST_PROP(CoreModel, BehavesAsTheSimpleQueue, (const std::vector<Operation>& operations)) {
  Both both;
  for (const Operation& operation : operations)
    both.run(operation);
}

}  // namespace
}  // namespace sluice::core
