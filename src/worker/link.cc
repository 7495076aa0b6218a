// Link: pulling, heartbeats, and the way in from other threads. Outcomes: link_send.cc.
#include "worker/link.h"

#include <sluice/async/retry.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>

namespace sluice::worker {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

SystemTime wall_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

/// Errors that no waiting will mend.
bool is_refusal(ErrorCode code) {
  return code == ErrorCode::arg || code == ErrorCode::no_auth || code == ErrorCode::no_perm ||
         code == ErrorCode::unknown;
}

/// One PULL asks for at most this many (the server's limit).
constexpr std::size_t pull_max = 10'000;
/// Pulling pauses while this many outcomes more than there are slots wait for the server.
constexpr std::size_t unsent_spare = 1000;
/// How long the server may take to say that it is there.
constexpr Duration greeting_limit = 1s;
/// What a lease is taken for until the server's clock is known, when ours says nonsense.
constexpr Duration lease_guess = 30s;
constexpr Duration lease_least = 30ms;
constexpr Duration lease_most = 24h;

}  // namespace

Link::Link(const WorkerOptions& options, Monitor& monitor, Session& session, LinkEvents events)
    : options_(options),
      monitor_(monitor),
      session_(session),
      events_(std::move(events)),
      work_(io_.get_executor()),
      pulls_(io_.get_executor(), OnFailure::keep_going),
      tasks_(io_.get_executor(), OnFailure::keep_going),
      slot_bell_(io_.get_executor()),
      beat_bell_(io_.get_executor()),
      close_bell_(io_.get_executor()) {}

Link::~Link() {
  if (!thread_.joinable()) return;
  if (!is_closed_) io_.stop();
  thread_.join();
  client_->close();  // Calls under way and the client hold each other.
}

Result<void> Link::start(const MakeClient& make_client) {
  Result<AsyncClient> client = make_client(io_.get_executor());
  if (!client) return tl::unexpected<Error>(client.error());
  client_.emplace(std::move(*client));
  asio::co_spawn(io_, run(), [this](const std::exception_ptr& error) { on_run_ended(error); });
  thread_ = std::thread([this] { io_.run(); });
  return {};
}

// -- Any thread. -------------------------------------------------------------------------------

void Link::finish(const RunningPtr& job, Outcome outcome) {
  ++monitor_.unsent;
  const std::scoped_lock lock(mutex_);
  answers_.push_back({job, std::move(outcome)});
  ring_inbox();
}

void Link::forget(const RunningPtr& job) {
  const std::scoped_lock lock(mutex_);
  answers_.push_back({job, std::nullopt});
  ring_inbox();
}

void Link::report(const RunningPtr& job, unsigned percent, std::string note) {
  const std::scoped_lock lock(mutex_);
  reports_.push_back({job, percent, std::move(note)});
  ring_inbox();
}

void Link::stop_pulling() {
  asio::post(io_, [this] {
    is_stopping_ = true;
    pulls_.cancel();
  });
}

void Link::close(Duration limit) {
  asio::post(io_, [this, limit] {
    close_by_ = steady_clock::now() + limit;
    close_bell_.ring();
  });
}

void Link::ring_inbox() {
  if (std::exchange(is_inbox_posted_, true)) return;
  asio::post(io_, [this] { take_inbox(); });
}

void Link::take_inbox() {
  std::vector<Answer> answers;
  std::vector<Report> reports;
  {
    const std::scoped_lock lock(mutex_);
    answers.swap(answers_);
    reports.swap(reports_);
    is_inbox_posted_ = false;
  }
  for (Report& report : reports) {
    if (!report.job->is_leased) continue;
    report.job->progress.emplace(report.percent, std::move(report.note));
    if (!report.job->is_reporting) tasks_.spawn(report_loop(report.job));
  }
  std::vector<Answer> to_send;
  for (Answer& answer : answers) {
    unlease(*answer.job);
    --taken_;
    if (answer.outcome) to_send.push_back(std::move(answer));
  }
  if (!answers.empty()) slot_bell_.ring();
  if (to_send.empty()) return;
  unsent_ += to_send.size();
  tasks_.spawn(send_loop(std::move(to_send)));
}

// -- The thread's life. ------------------------------------------------------------------------

Awaitable<void> Link::run() {
  pulls_.spawn(pull_loop());
  tasks_.spawn(beat_loop());
  co_await pulls_.join();
  events_.on_stopped();
  while (!close_by_ || (unsent_ > 0 && steady_clock::now() < *close_by_)) {
    co_await close_bell_.wait_until(close_by_.value_or(SteadyTime::max()));
  }
  tasks_.cancel();
  co_await tasks_.join();
}

void Link::on_run_ended(const std::exception_ptr& error) {
  if (error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& failure) {
      monitor_.event(EventLevel::error, "link_failed", failure.what());
    }
    events_.on_stopped();
  }
  client_->close();
  work_.reset();
  is_closed_ = true;
  events_.on_closed();
}

void Link::note(const Error* error) {
  if (error == nullptr && is_away_) {
    monitor_.event(EventLevel::info, "server_back", "the server answers again");
  }
  if (error != nullptr && !is_away_) {
    monitor_.event(EventLevel::warning, "server_away", error->message);
  }
  is_away_ = error != nullptr;
}

// -- Pulling. ----------------------------------------------------------------------------------

std::size_t Link::free_slots() const {
  if (unsent_ > options_.concurrency() + unsent_spare) return 0;
  return std::min(options_.concurrency() - std::min(taken_, options_.concurrency()), pull_max);
}

Awaitable<void> Link::pull_loop() {
  // A reply that comes together with the cancellation brings jobs, which must be given back.
  co_await asio::this_coro::throw_if_cancelled(false);
  Retry pause = Retry().delay(20ms).cap(1s);
  std::uint32_t failures = 0;
  bool is_known = false;
  while (!is_stopping_) {
    if (free_slots() == 0) {
      co_await slot_bell_.wait_until();
      continue;
    }
    // A PULL that finds no server waits for one as long as for a job: so ask first, briefly.
    is_known = is_known || co_await greet();
    const bool has_pulled = is_known && !is_stopping_ && co_await pull();
    is_known = has_pulled;
    failures = has_pulled ? 0 : failures + 1;
    if (failures == 0 || is_stopping_) continue;
    co_await slot_bell_.wait_until(steady_clock::now() + pause.delay_after(failures));
  }
}

Awaitable<bool> Link::greet() {
  const AsyncClient impatient = client_->with_timeout(greeting_limit);
  const Result<void> answered = co_await impatient.ping();
  co_return check_answer(answered.has_value() ? nullptr : &answered.error());
}

// Whether the server has answered, and is to be asked again if not.
bool Link::check_answer(const Error* error) {
  if (is_stopping_ && error != nullptr) return true;
  if (error != nullptr && is_refusal(error->code)) {
    is_stopping_ = true;
    events_.on_refused(*error);
    return true;
  }
  note(error);
  return error == nullptr;
}

Awaitable<bool> Link::pull() {
  PullOptions options;
  options.count(static_cast<unsigned>(free_slots())).wait(options_.pull_wait()).as(options_.name());
  if (options_.lease()) options.lease(*options_.lease());
  Result<std::vector<Job>> jobs = co_await client_->pull_any(options_.queues(), options);
  if (jobs) deliver(std::move(*jobs));
  co_return check_answer(jobs.has_value() ? nullptr : &jobs.error());
}

void Link::deliver(std::vector<Job> jobs) {
  if (jobs.empty()) return;
  monitor_.pulled += jobs.size();
  std::vector<RunningPtr> delivered;
  const SystemTime received = wall_now();
  const bool is_clock_unknown = !options_.lease() && !clock_offset_;
  for (Job& job : jobs) {
    auto running = std::make_shared<Running>(std::move(job), session_);
    running->received = received;
    running->lease = lease_of(*running);
    // The first heartbeat of all goes out at once: its answer tells the server's clock.
    const bool is_probe = is_clock_unknown && delivered.empty();
    schedule(running, steady_clock::now() + (is_probe ? Duration{0} : running->lease / 3));
    delivered.push_back(std::move(running));
  }
  taken_ += delivered.size();
  beat_bell_.ring();
  if (!is_stopping_) {
    events_.on_jobs(std::move(delivered));
    return;
  }
  for (const RunningPtr& job : delivered)
    finish(job, Outcome::release());
}

// -- Heartbeats. -------------------------------------------------------------------------------

// The deadline is a time of the server's clock; until one EXTEND has told how far that is from
// ours, ours is believed if it gives something sensible.
Duration Link::lease_of(const Running& job) const {
  if (options_.lease()) return *options_.lease();
  const Duration left = job.job.deadline - (job.received + clock_offset_.value_or(Duration{0}));
  const bool is_sensible = left >= lease_least && left <= lease_most;
  return is_sensible ? left : lease_guess;
}

void Link::learn_clock(SystemTime extended_to, Duration by) {
  if (clock_offset_ || options_.lease()) return;
  clock_offset_ = extended_to - by - wall_now();
  std::vector<RunningPtr> held;
  for (const auto& [at, job] : beats_)
    held.push_back(job);
  for (const RunningPtr& job : held) {
    job->lease = lease_of(*job);
    schedule(job, steady_clock::now() + job->lease / 3);
  }
  beat_bell_.ring();
}

void Link::schedule(const RunningPtr& job, SteadyTime at) {
  if (job->is_leased) beats_.erase(job->beat);
  job->beat = beats_.emplace(at, job);
  job->is_leased = true;
}

void Link::unlease(Running& job) {
  if (!std::exchange(job.is_leased, false)) return;
  beats_.erase(job.beat);
}

void Link::lose(const RunningPtr& job, const std::string& reason) {
  if (!job->is_leased) return;
  unlease(*job);
  events_.on_lost(job, reason);
}

Awaitable<void> Link::beat_loop() {
  while (true) {
    const SteadyTime next = beats_.empty() ? SteadyTime::max() : beats_.begin()->first;
    if (next > steady_clock::now()) co_await beat_bell_.wait_until(next);
    const SteadyTime now = steady_clock::now();
    std::vector<RunningPtr> due;
    for (auto at = beats_.begin(); at != beats_.end() && at->first <= now; ++at) {
      due.push_back(at->second);
    }
    for (const RunningPtr& job : due) {
      schedule(job, now + job->lease / 3);
      if (!job->is_beating) tasks_.spawn(beat(job));
    }
  }
}

Awaitable<void> Link::beat(RunningPtr job) {
  job->is_beating = true;
  const Duration by = job->lease;
  const Result<SystemTime> extended = co_await client_->extend(Lease(job->job), by);
  job->is_beating = false;
  ++monitor_.heartbeats;
  if (extended) {
    note(nullptr);
    learn_clock(*extended, by);
  } else if (extended.error().code == ErrorCode::stale ||
             extended.error().code == ErrorCode::no_job) {
    lose(job, extended.error().message);
  } else {
    note(&extended.error());
  }
}

}  // namespace sluice::worker
