// Pair: from numbers to operations, and their application to both sides.
#include "reference/pair.h"

#include "reference/text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::reference {
namespace {

using model::JobState;

constexpr Duration forever = duration_max;
/// Enough for every timer that can be due: tick() does all there is to do.
constexpr std::size_t all_steps = 1u << 20;
constexpr std::uint64_t all_bytes = ~std::uint64_t{0};
constexpr std::uint64_t operations_between_comparisons = 50;

}  // namespace

Pair::Pair(std::uint64_t features)
    : features_(features),
      limits_([&] {
        model::Limits limits;
        if (may(Feature::small_limits)) {
          limits.queues_max = 3;
          limits.queue_jobs_max = 9;
        }
        return limits;
      }()),
      core_(std::make_unique<core::Core>(limits_, std::uint16_t{0})),
      reference_(limits_) {
  require(core_->finish_restore().has_value(), "an empty log is restored");
  boot();
}

bool Pair::may(Feature feature) const {
  return (features_ >> static_cast<unsigned>(feature) & 1) != 0;
}

/// Takes its choice in any case, so that the others do not depend on the features.
bool Pair::wants(Feature feature, Choices& choices) {
  return choices.one_in(3) && may(feature);
}

Now Pair::now() const {
  return {Time(time_), WallTime(time_ + wall_skew_)};
}

void Pair::step(std::uint64_t operation) {
  Choices choices(operation);
  constexpr std::array<int, 8> sleeps{0, 0, 1, 1, 3, 17, 90, 400};
  time_ += Duration(sleeps[choices.pick(sleeps.size())]);
  if (may(Feature::long_sleeps) && choices.one_in(32)) time_ += std::chrono::seconds(70);
  act(choices);
  forward_dead();
  pass(may(Feature::few_steps) ? 1 + choices.pick(4) : all_steps);
  forward_dead();
  if (may(Feature::crowds) && choices.one_in(2)) {
    compare(on_core([&](core::Output& out) { core_->dispatch(now(), 0, out); }));
  } else {
    dispatch();
  }
  compare_counts();
  if (++operations_ % operations_between_comparisons == 0) compare_all();
  if (!is_restoring_after_each_) return;
  require(restored()->dump() == core_->dump(), "what is restored is what was there");
}

/// Every pull that can have something gets it.
void Pair::dispatch() {
  compare(on_core([&](core::Output& out) {
    core_->dispatch(now(), all_bytes, out);
    reference_.dispatch(now(), frame_);
  }));
}

/// As the engine does after whatever may kill a job.
void Pair::forward_dead() {
  bool has_more = true;
  while (has_more) {
    auto replies = on_core([&](core::Output& out) {
      has_more = core_->forward_dead(now(), {}, log_, out);
      const bool expected = reference_.forward_dead(now(), frame_);
      require(has_more == expected, "there are more dead letters");
    });
    compare(std::move(replies));
  }
}

void Pair::finish() {
  pass(all_steps);
  forward_dead();
  dispatch();
  compare_all();
  Choices none(0);
  restart(none);
  compare_all();
}

// -- Operations. ---------------------------------------------------------------------------------

void Pair::act(Choices& choices) {
  const std::string queue = "q" + std::to_string(choices.pick(4));
  switch (choices.pick(32)) {
    default:
      return push(queue, choices);
    case 8:
    case 9:
      if (may(Feature::routing)) return change_routing(choices);
      return push(queue, choices);
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
      return pull(queue, choices);
    case 17:
    case 18:
    case 19:
    case 20:
    case 21:
    case 22:
      return answer(choices);
    case 23:
      return apply(model::Cancel{any_job(choices)});
    case 24:
      if (!may(Feature::await)) return;
      return apply(model::Await{any_job(choices),
                                choices.one_in(3) ? forever : Duration(choices.pick(300))});
    case 25:
      return set_queue(queue, choices);
    case 26:
      if (!may(Feature::pause)) return;
      return apply(model::PauseQueue{queue, choices.one_in(3)});
    case 27:
      if (!may(Feature::removal)) return;
      return remove_many(queue, choices);
    case 28:
      return look(queue, choices);
    case 29: {
      const std::uint64_t first = tickets_ - std::min(tickets_, choices.pick(20));
      return apply(model::Abandon{model::Ticket(first), model::Ticket(tickets_)});
    }
    case 30:
      if (may(Feature::restart) && choices.one_in(2)) return restart(choices);
      if (!may(Feature::cleaning)) return;
      return choices.one_in(3) ? clean() : clean_oldest();
    case 31:
      if (!may(Feature::wall_steps)) return;
      wall_skew_ = Duration(static_cast<std::int64_t>(choices.pick(4000)) - 2000);
      return;
  }
}

void Pair::push(const std::string& queue, Choices& choices) {
  static constexpr std::array<ByteView, 4> keys{"a", "b", "c", "d"};
  model::PushOptions options = push_options(choices);
  if (wants(Feature::unique, choices)) {
    options.unique_key = keys[choices.pick(keys.size())];
    options.on_conflict = static_cast<model::OnConflict>(choices.pick(3));
    if (wants(Feature::window, choices)) options.unique_window = Duration(choices.pick(300));
  }
  if (wants(Feature::after, choices)) {
    for (std::uint64_t count = 1 + choices.pick(2); count > 0; --count)
      options.after.push_back({any_job(choices), choices.one_in(2)});
  }
  const std::string payload = "payload " + std::to_string(tickets_);
  if (choices.one_in(2)) options.headers.emplace_back("trace", payload);
  if (wants(Feature::routing, choices)) return publish({queue, "type", payload, &options}, choices);
  apply(model::Push{queue, "type", payload, &options});
}

model::PushOptions Pair::push_options(Choices& choices) {
  model::PushOptions options;
  if (wants(Feature::delay, choices)) options.delay = Duration(choices.pick(200));
  if (wants(Feature::at, choices))
    options.at = now().wall + Duration(choices.pick(300)) - Duration(50);
  if (wants(Feature::priority, choices)) {
    options.priority = static_cast<std::uint8_t>(choices.pick(3));
  }
  if (wants(Feature::attempts, choices)) {
    options.max_attempts = 1 + static_cast<std::uint32_t>(choices.pick(3));
  }
  if (wants(Feature::backoff, choices)) {
    options.backoff = model::Backoff{static_cast<model::Backoff::Kind>(choices.pick(4)),
                                     static_cast<std::uint8_t>(choices.pick(2) * 30),
                                     Duration(100),
                                     Duration(350),
                                     {Duration(5), Duration(200)}};
  }
  if (wants(Feature::timeout, choices)) options.timeout = Duration(choices.pick(300));
  if (wants(Feature::ttl, choices)) options.ttl = Duration(choices.pick(200));
  if (wants(Feature::keep, choices)) options.keep = Duration(choices.pick(3) * 150);
  options.is_transient = may(Feature::transient) && choices.one_in(3);
  return options;
}

void Pair::pull(const std::string& queue, Choices& choices) {
  std::vector<ByteView> queues{queue};
  if (choices.one_in(3)) queues = {"q0", "q2", "q1"};
  const std::string worker = "worker " + std::to_string(choices.pick(3));
  model::Pull pull;
  pull.queues = &queues;
  pull.count = 1 + static_cast<std::uint32_t>(choices.pick(4));
  if (!choices.one_in(4)) pull.worker = worker;
  if (choices.one_in(3)) pull.lease = Duration(choices.pick(250));
  if (wants(Feature::wait, choices)) {
    pull.wait = choices.one_in(3) ? forever : Duration(choices.pick(300));
  }
  if (may(Feature::duty)) {
    pull.duty = static_cast<model::Duty>(choices.pick(3));
    pull.rank = static_cast<std::int32_t>(choices.pick(3)) - 1;
    if (choices.one_in(2)) pull.stay_bytes = 1u << 20;
    // Adds to the last one that went on waiting, if it still does.
    if (pull.stay_bytes > 0 && staying_.value != 0 && choices.one_in(2))
      return apply(pull, staying_);
    if (pull.stay_bytes > 0) staying_ = model::Ticket(tickets_ + 1);
  }
  apply(pull);
}

void Pair::answer(Choices& choices) {
  if (leases_.empty()) return;
  const std::size_t back = 1 + choices.pick(12);
  const auto [id, token] = leases_[leases_.size() - std::min(back, leases_.size())];
  switch (choices.pick(9)) {
    case 0:
      return apply(model::Fail{id, token, "it did not work", {}, choices.one_in(3)});
    case 1:
      return apply(model::Fail{id, token, "", Duration(choices.pick(200)), false});
    case 2:
      return apply(model::Release{id, token, Duration(0), may(Feature::duty) && choices.one_in(2)});
    case 3:
      return apply(model::Release{id, token, Duration(choices.pick(200))});
    case 4:
      return apply(model::Extend{id, token, Duration(choices.pick(300))});
    case 5:
      return apply(
          model::Progress{id, token, static_cast<std::uint8_t>(choices.pick(101)), "going on"});
    case 6:
      return apply(model::Ack{id, token, "result " + std::to_string(tickets_)});
    default:
      return apply(model::Ack{id, token, {}});
  }
}

void Pair::set_queue(const std::string& queue, Choices& choices) {
  if (may(Feature::declare) && choices.one_in(2)) return declare_queue(queue, choices);
  auto change = std::make_shared<model::PolicyChange>();
  if (wants(Feature::policy, choices)) change->delay = Duration(choices.pick(2) * 40);
  if (wants(Feature::policy, choices)) {
    change->priority = static_cast<std::uint8_t>(choices.pick(3));
    change->max_attempts = 1 + static_cast<std::uint32_t>(choices.pick(3));
  }
  if (wants(Feature::policy, choices)) {
    change->timeout = Duration(20 + choices.pick(3) * 100);
    change->backoff = model::Backoff{
        model::Backoff::Kind::fixed, 0, Duration(choices.pick(3) * 60), Duration(500), {}};
  }
  if (wants(Feature::ttl, choices)) change->ttl = Duration(choices.pick(2) * 150);
  if (wants(Feature::keep, choices)) {
    change->keep = Duration(choices.pick(3) * 200);
    change->keep_max = static_cast<std::uint32_t>(choices.pick(4));
  }
  if (wants(Feature::overflow, choices)) {
    change->max_length = choices.pick(3) * 3;
    change->overflow = static_cast<model::Overflow>(choices.pick(2));
  }
  if (wants(Feature::dead_letter, choices)) {
    change->dead_letter = choices.one_in(3) ? "" : "q" + std::to_string(choices.pick(4));
  }
  apply(model::SetQueue{queue, change});
}

void Pair::declare_queue(const std::string& queue, Choices& choices) {
  auto as = std::make_shared<model::QueuePolicy>();
  as->is_durable = !choices.one_in(4);
  as->is_auto_delete = choices.one_in(4);
  if (choices.one_in(3)) as->arguments = "other";
  if (choices.one_in(2)) as->max_attempts = model::attempts_unlimited;
  as->keep = Duration(choices.pick(2) * 150);
  as->priority_max = static_cast<std::uint8_t>(choices.pick(3));
  as->ttl_max = Duration(choices.pick(3) * 60);
  as->is_ttl_for_started = choices.one_in(2);
  as->is_length_of_ready = choices.one_in(2);
  as->max_length = choices.pick(3) * 3;
  as->max_bytes = choices.pick(2) * 25;
  as->overflow = static_cast<model::Overflow>(choices.pick(3));
  if (may(Feature::dead_exchange) && choices.one_in(2)) {
    const std::uint64_t which = choices.pick(3);
    as->dead_letter_exchange = which == 0 ? "" : "e" + std::to_string(which);
    if (choices.one_in(2)) as->dead_letter_key = "q" + std::to_string(choices.pick(4));
    as->drops_dead = choices.one_in(2);
  }
  if (may(Feature::expires) && choices.one_in(2)) as->expires = Duration(choices.pick(300));
  if (may(Feature::dead_letter) && choices.one_in(3)) as->dead_letter = "q1";
  apply(model::DeclareQueue{queue, as});
}

void Pair::remove_many(const std::string& queue, Choices& choices) {
  std::vector<model::JobId> ids;
  switch (choices.pick(8)) {
    case 0:
      return apply(model::PurgeQueue{queue, may(Feature::declare) && choices.one_in(2)});
    case 1:
      return apply(
          model::DeleteQueue{queue, choices.one_in(2), may(Feature::declare) && choices.one_in(3)});
    case 2:
      return apply(model::DeleteDead{queue, {}});
    case 3:
      for (int count = 0; count < 3; ++count)
        ids.push_back(any_job(choices));
      return apply(model::DeleteDead{queue, ids});
    case 4:
      for (int count = 0; count < 3; ++count)
        ids.push_back(any_job(choices));
      return apply(model::RedriveDead{queue, ids});
    default:
      return apply(model::RedriveDead{queue, {}});
  }
}

void Pair::look(const std::string& queue, Choices& choices) {
  switch (choices.pick(4)) {
    case 0:
      return apply(model::GetJob{any_job(choices)});
    case 1:
      return apply(model::GetQueue{queue});
    default:
      break;
  }
  model::ListJobs list;
  list.queue = queue;
  list.count = 1 + static_cast<std::uint32_t>(choices.pick(6));
  if (choices.one_in(2)) list.state = static_cast<JobState>(choices.pick(model::job_state_count));
  if (choices.one_in(2)) list.cursor = any_job(choices);
  apply(list);
}

/// One of the jobs that were pushed lately; now and then one that never was.
model::JobId Pair::any_job(Choices& choices) {
  const std::uint64_t back = choices.pick(24);
  if (back >= ids_.size()) return model::JobId(1'000'000);
  return ids_[ids_.size() - 1 - back];
}

// -- What no client asks for. --------------------------------------------------------------------

/// Fires everything that is due, or as much as so many steps allow.
void Pair::pass(std::size_t steps) {
  const bool is_complete = steps == all_steps;
  bool goes_on = true;
  while (goes_on) {
    fired_ = model::JobId();
    auto replies = on_core([&](core::Output& out) { goes_on = core_->tick(now(), steps, out); });
    if (goes_on || is_complete) {
      const bool did = reference_.tick(now(), fired_, frame_);
      require(did == goes_on, goes_on ? "nothing was due" : "something was due and did not happen");
    }
    compare(std::move(replies));
  }
  const std::optional<Duration> wait = core_->until_next(now());
  const Duration soonest = reference_.until_next(now());
  require(wait.value_or(Duration::max()) <= soonest, "the core would sleep too long");
  require(wait.has_value() == (soonest != Duration::max()), "the core knows whether to wake up");
}

std::unique_ptr<core::Core> Pair::restored() {
  auto copy = std::make_unique<core::Core>(limits_, std::uint16_t{0});
  for (const MemoryLog::Frame& frame : log_.frames()) {
    const Result<void> fine = copy->restore(frame.at, log_.bytes(frame));
    if (!fine) differ(fine.error().message, 0);
  }
  const Result<void> finished = copy->finish_restore();
  if (!finished) differ(finished.error().message, 0);
  return copy;
}

/// The log is cut here, the process ends, and another one starts, perhaps later.
void Pair::restart(Choices& choices) {
  if (on_line) on_line(std::to_string(time_.count()) + " restart");
  std::unique_ptr<core::Core> copy = restored();
  copy->check_invariants();
  require(copy->dump() == core_->dump(), "what is restored is what was there");
  core_ = std::move(copy);
  time_ += Duration(choices.pick(500));
  boot();
  forward_dead();
}

void Pair::boot() {
  const Time last_time = core_->last_time();
  auto replies = on_core([&](core::Output& out) {
    core_->boot(now(), out);
    bool has_more = true;
    while (has_more)
      has_more = core_->clear_transient(now(), all_steps, out);
    reference_.boot(now(), last_time, frame_);
  });
  compare(std::move(replies));
}

/// Until nothing is left of the log but what was written again.
void Pair::clean() {
  log_.roll();
  const Position end = log_.end();
  while (!log_.oldest().empty() && log_.oldest().front().at < end)
    clean_oldest();
}

void Pair::clean_oldest() {
  const std::vector<MemoryLog::Frame> old = log_.oldest();
  if (old.empty()) return;
  if (on_line) on_line(std::to_string(time_.count()) + " clean");
  for (const MemoryLog::Frame& frame : old) {
    const std::string bytes(log_.bytes(frame));
    on_core([&](core::Output& out) {
      const Result<void> carried = core_->carry(frame.at, bytes, log_, out);
      if (!carried) differ(carried.error().message, 0);
    });
  }
  const Position last_facts = last_facts_;
  on_core([&](core::Output& out) { core_->put_meta(out); });
  last_facts_ = last_facts;  // Counters are nothing that a view shows.
  log_.drop_oldest();
}

// -- Both sides. ---------------------------------------------------------------------------------

void Pair::apply(const model::Command& command) {
  apply(command, model::Ticket(++tickets_));
}

void Pair::apply(const model::Command& command, model::Ticket ticket) {
  if (on_line) on_line(std::to_string(time_.count()) + " " + text(command));
  auto replies = on_core([&](core::Output& out) {
    core_->apply(command, ticket, now(), out);
    reference_.apply(command, ticket, now(), frame_);
  });
  for (const model::Reply& reply : replies) {
    const auto* pushed = std::get_if<model::Pushed>(&reply.answer);
    if (pushed != nullptr && pushed->is_new) ids_.push_back(pushed->id);
    if (const auto* routed = std::get_if<model::Routed>(&reply.answer)) learn(*routed);
  }
  compare(std::move(replies));
}

/// Makes a frame of the log of what a call of the core wrote.
void Pair::take_facts(ByteView facts) {
  has_written_ = !facts.empty();
  if (!has_written_) return;
  last_facts_ = frame_;
  core::FactReader reader(facts, frame_);
  while (fired_.value == 0 && !reader.at_end()) {
    const Result<core::Fact> fact = reader.next();
    require(fact.has_value(), "a fact cannot be read");
    if (const auto* changed = std::get_if<core::JobChanged>(&*fact)) fired_ = changed->id;
    if (const auto* gone = std::get_if<core::JobGone>(&*fact)) fired_ = gone->id;
  }
  log_.append(facts);
}

void run(const Script& script, const RunOptions& options) {
  if (script.empty()) return;
  Pair pair(script.front());
  pair.on_line = options.on_line;
  if (options.restores_after_each) pair.restore_after_each();
  for (std::size_t index = 1; index < script.size(); ++index)
    pair.step(script[index]);
  pair.finish();
}

}  // namespace sluice::reference
