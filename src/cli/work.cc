// `sluice work QUEUE… --exec CMD`: a worker that runs a shell command per job.
//
// One thread per job slot: pull, run the command (child.h), heartbeat, answer. SIGTERM drains:
// nothing new is taken, running commands get --drain to finish, then SIGTERM, and their jobs are
// released. A heartbeat that is refused means that the lease is over or the job was cancelled: the
// command is stopped and nothing is answered.
#include "cli/child.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/units.h"
#include "cli/work_environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include <CLI/Option.hpp>
#include <CLI/Validators.hpp>
#include <sys/eventfd.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

using Clock = Child::Clock;
using namespace std::chrono_literals;

/// How long a PULL waits at the server; also how long a drain may take to notice.
constexpr Duration pull_wait = 1s;
/// Heartbeats come at least this often, so that a cancelled job's command ends soon.
constexpr Duration heartbeat_max = 5s;
constexpr Duration lease_min = 1s;
/// For answers and heartbeats; a server that restarts has this long before the lease is at risk.
constexpr Duration call_timeout = 30s;

// What exit codes mean; docs/cli.md has the table.
constexpr int exit_data_error = 65;       // EX_DATAERR
constexpr int exit_temporary = 75;        // EX_TEMPFAIL
constexpr int exit_not_executable = 126;  // of sh
constexpr int exit_not_found = 127;       // of sh

struct WorkSettings {
  std::vector<std::string> queues;
  std::string command;
  unsigned slots = 1;
  std::string lease, timeout;
  std::string grace = "10s";
  std::string drain = "30s";
  std::string retry_later = "5s";
  std::string worker;
  std::size_t result_bytes_max = 1u << 20;
  std::uint64_t jobs_max = 0;
  bool until_empty = false;
  bool is_quiet = false;
};

/// The durations of WorkSettings, read once.
struct Times {
  std::optional<Duration> lease;
  std::optional<Duration> timeout;
  Duration grace{0}, drain{0}, retry_later{0};
};

enum class Phase { running, draining, stopping };

/// Why a command was asked to end.
enum class Stop { none, timed_out, lease_lost, shutdown };

struct Counts {
  std::atomic<std::uint64_t> acked{0}, failed{0}, dead{0}, released{0}, lost{0};
};

class Worker {
 public:
  Worker(const WorkSettings& settings, const Times& times, const Common& common)
      : settings_(settings),
        times_(times),
        url_(common.url),
        client_(connect(common,
                        ClientOptions()
                            .timeout(call_timeout)
                            .waiting_max(settings.slots + 4)
                            .name("sluice-work"))),
        stopping_(::eventfd(0, EFD_CLOEXEC)) {}

  void run();

  const Counts& counts() const { return counts_; }

 private:
  void serve_slot();
  std::optional<Job> next_job();
  void run_job(const Job& job);
  Stop attend(Child& child, const Job& job);
  bool is_lease_held(const Job& job);
  void answer(const Job& job, const Child& child, Stop stop, Clock::time_point started);
  std::pair<const char*, Result<void>> tell(const Job& job, const Child& child, Stop stop);
  void watch_signals(std::vector<std::thread>& slots);
  void set_phase(Phase phase);
  void log(const Job& job, std::string_view event, std::string_view more) const;

  Duration lease_of(const Job& job) const {
    return std::max(lease_min, times_.lease.value_or(job.deadline - now()));
  }

  const WorkSettings& settings_;
  const Times& times_;
  std::string url_;
  Client client_;
  std::atomic<Phase> phase_{Phase::running};
  Descriptor stopping_;  ///< Readable once the phase is stopping.
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<unsigned> slots_running_{0};
  Counts counts_;
};

void Worker::log(const Job& job, std::string_view event, std::string_view more) const {
  const bool is_routine = event == "acked" || event == "started";
  if (settings_.is_quiet && is_routine) return;
  fmt::print(stderr,
             "{} event={} job={} queue={} type={} attempt={}{}{}\n",
             iso_time(now()),
             event,
             job.id.text(),
             job.queue,
             escaped(job.type),
             job.attempt,
             more.empty() ? "" : " ",
             more);
}

void Worker::set_phase(Phase phase) {
  phase_ = phase;
  if (phase == Phase::stopping) ::eventfd_write(stopping_.fd(), 1);
}

void Worker::run() {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(concurrency-mt-unsafe): before any thread starts
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::vector<std::thread> slots;
  slots_running_ = settings_.slots;
  for (unsigned i = 0; i < settings_.slots; ++i) {
    slots.emplace_back([this] {
      try {
        serve_slot();
      } catch (const Exit& failure) {
        fmt::print(stderr, "sluice: {}\n", failure.message);
        set_phase(Phase::stopping);
      }
      --slots_running_;
    });
  }
  watch_signals(slots);
}

void Worker::watch_signals(std::vector<std::thread>& slots) {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  Clock::time_point drain_end = Clock::time_point::max();
  while (slots_running_ > 0) {
    const timespec tick{0, 50'000'000};
    const int number = ::sigtimedwait(&ends, nullptr, &tick);
    if (number > 0 && phase_ == Phase::running) {
      fmt::print(stderr,
                 "{} event=draining reason=signal signal={} grace={}\n",
                 iso_time(now()),
                 number,
                 settings_.drain);
      set_phase(Phase::draining);
      drain_end = Clock::now() + times_.drain;
    } else if (number > 0) {
      drain_end = Clock::now();  // Twice means now.
    }
    if (phase_ == Phase::draining && Clock::now() >= drain_end) set_phase(Phase::stopping);
  }
  for (std::thread& slot : slots)
    slot.join();
}

void Worker::serve_slot() {
  while (phase_ == Phase::running) {
    // The number is taken before the job, so that N slots do not run more than --max-jobs.
    if (settings_.jobs_max > 0 && taken_.fetch_add(1) >= settings_.jobs_max) return;
    const std::optional<Job> job = next_job();
    if (!job) return;
    run_job(*job);
  }
}

/// The next job; none when the worker is to end.
std::optional<Job> Worker::next_job() {
  PullOptions options;
  options.wait(settings_.until_empty ? Duration{0} : pull_wait).as(settings_.worker);
  if (times_.lease) options.lease(*times_.lease);
  bool is_told = false;
  while (phase_ == Phase::running) {
    Result<std::vector<Job>> jobs = client_.pull_any(settings_.queues, options);
    if (!jobs) {
      if (jobs.error().code == ErrorCode::arg) throw Exit{ExitCode::usage, jobs.error().message};
      if (!is_told) fmt::print(stderr, "sluice: {}; trying again\n", jobs.error().message);
      is_told = true;
      std::this_thread::sleep_for(1s);
      continue;
    }
    if (jobs->empty()) {
      if (settings_.until_empty) return std::nullopt;
      continue;
    }
    if (phase_ == Phase::running) return std::move(jobs->front());
    // Drained while the PULL was waiting.
    (void)client_.release(jobs->front());
  }
  return std::nullopt;
}

void Worker::run_job(const Job& job) {
  log(job, "started", "");
  const Clock::time_point started = Clock::now();
  ChildOptions options;
  options.command = settings_.command;
  options.environment = job_environment(job, url_);
  options.input = job.payload;
  options.output_bytes_max = settings_.result_bytes_max;
  Child child(std::move(options));
  const Stop stop = attend(child, job);
  answer(job, child, stop, started);
}

bool Worker::is_lease_held(const Job& job) {
  const auto extended = client_.extend(job, lease_of(job));
  if (extended || extended.error().code != ErrorCode::stale) return true;  // Or unknown: go on.
  log(job, "lease_lost", "reason=\"" + escaped(extended.error().message) + "\"");
  return false;
}

/// Runs the child to its end, with heartbeats; tells why it had to be stopped.
Stop Worker::attend(Child& child, const Job& job) {
  const Duration beat = std::min(heartbeat_max, lease_of(job) / 3);
  const Clock::time_point timeout_at =
      times_.timeout ? Clock::now() + *times_.timeout : Clock::time_point::max();
  Clock::time_point beat_at = Clock::now() + beat;
  Clock::time_point kill_at = Clock::time_point::max();
  Stop stop = Stop::none;
  const auto stop_child = [&](Stop reason) {
    stop = reason;
    child.signal(SIGTERM);
    kill_at = Clock::now() + times_.grace;
  };
  while (true) {
    const bool is_stopped = stop != Stop::none;
    const Clock::time_point until =
        std::min(beat_at, is_stopped ? kill_at : std::min(kill_at, timeout_at));
    if (child.run_until(until, is_stopped ? -1 : stopping_.fd())) return stop;
    const Clock::time_point time = Clock::now();
    if (!is_stopped && phase_ == Phase::stopping) stop_child(Stop::shutdown);
    if (stop == Stop::none && time >= timeout_at) stop_child(Stop::timed_out);
    if (time >= kill_at) {
      child.signal(SIGKILL);
      kill_at = Clock::time_point::max();
    }
    if (time >= beat_at) {
      if (stop != Stop::lease_lost && !is_lease_held(job)) stop_child(Stop::lease_lost);
      beat_at = Clock::now() + beat;
    }
  }
}

/// Answers as the exit code says: the name of what was done, and whether the server took it.
std::pair<const char*, Result<void>> Worker::tell(const Job& job, const Child& child, Stop stop) {
  const std::string tail = child.error_tail();
  if (stop == Stop::shutdown) return {"released", client_.release(job)};
  if (stop == Stop::timed_out) {
    const std::string message =
        fmt::format("timed out after {}{}{}", settings_.timeout, tail.empty() ? "" : ": ", tail);
    return {"failed", client_.fail(job, message)};
  }
  if (child.has_exited() && child.exit_status() == 0)
    return {"acked", client_.ack(job, child.output())};
  const std::string message =
      fmt::format("{}{}{}", child.exit_text(), tail.empty() ? "" : ": ", tail);
  if (child.has_exited()) {
    switch (child.exit_status()) {
      case exit_temporary:
      case exit_not_executable:
      case exit_not_found:
        return {"released", client_.release(job, times_.retry_later)};
      case exit_data_error:
        return {"dead", client_.fail(job, message, FailOptions().dead())};
      default:
        break;
    }
  }
  return {"failed", client_.fail(job, message)};
}

void Worker::answer(const Job& job, const Child& child, Stop stop, Clock::time_point started) {
  const auto taken = std::chrono::duration_cast<Duration>(Clock::now() - started);
  if (stop == Stop::lease_lost) {
    ++counts_.lost;
    return;
  }
  const auto [event, told] = tell(job, child, stop);
  if (!told) {
    ++counts_.lost;
    log(job,
        "answer_refused",
        fmt::format("answer={} reason=\"{}\"", event, escaped(told.error().message)));
    return;
  }
  const std::string_view name = event;
  if (name == "acked") ++counts_.acked;
  if (name == "failed") ++counts_.failed;
  if (name == "dead") ++counts_.dead;
  if (name == "released") ++counts_.released;
  std::string more = fmt::format("seconds={:.3f}", static_cast<double>(taken.count()) / 1000);
  if (name != "acked") {
    more += fmt::format(" ended=\"{}\" stderr=\"{}\"",
                        child.exit_text(),
                        clipped(escaped(child.error_tail()), 200));
  } else if (child.is_output_cut()) {
    more += fmt::format(" result=cut bytes={}", settings_.result_bytes_max);
  }
  log(job, event, more);
}

std::string default_worker_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return fmt::format("{}:{}", host.data(), ::getpid());
}

void run(WorkSettings& settings, const Common& common) {
  Times times;
  if (!settings.lease.empty()) times.lease = duration(settings.lease, "--lease");
  if (!settings.timeout.empty()) times.timeout = duration(settings.timeout, "--timeout");
  times.grace = duration(settings.grace, "--grace");
  times.drain = duration(settings.drain, "--drain");
  times.retry_later = duration(settings.retry_later, "--retry-later");
  if (times.lease && *times.lease < lease_min) {
    throw Exit{ExitCode::usage, "--lease is less than 1s; a heartbeat must fit in three times"};
  }
  if (settings.worker.empty()) settings.worker = default_worker_name();
  Worker worker(settings, times, common);
  worker.run();
  const Counts& counts = worker.counts();
  if (common.json) {
    print_json(boost::json::object{{"acked", counts.acked.load()},
                                   {"failed", counts.failed.load()},
                                   {"dead", counts.dead.load()},
                                   {"released", counts.released.load()},
                                   {"lost", counts.lost.load()}});
  }
}

}  // namespace

void add_work(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto settings = std::make_shared<WorkSettings>();
  CLI::App* const command = add_command(app, "work", "Run a shell command for each job", common);
  command->add_option("QUEUE", settings->queues, "The first that has jobs is served first")
      ->required();
  command
      ->add_option("--exec",
                   settings->command,
                   "For sh -c; the payload is its stdin, SLUICE_JOB_ID, SLUICE_QUEUE, SLUICE_TYPE, "
                   "SLUICE_ATTEMPT, SLUICE_TOKEN and SLUICE_HEADER_… its environment")
      ->required();
  command->add_option("-n", settings->slots, "Commands at once")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
  command->add_option(
      "--lease",
      settings->lease,
      "How long the worker may be silent before its job is taken back [the job's timeout]");
  command->add_option(
      "--timeout", settings->timeout, "Stop a command that runs longer, and fail its job");
  command->add_option("--grace", settings->grace, "Between SIGTERM and SIGKILL for a command")
      ->capture_default_str();
  command
      ->add_option("--drain", settings->drain, "After SIGTERM: how long running commands may go on")
      ->capture_default_str();
  command->add_option("--retry-later", settings->retry_later, "Delay after exit code 75")
      ->capture_default_str();
  command->add_option("--as", settings->worker, "Name in the jobs' history [host:pid]");
  command
      ->add_option("--result-max", settings->result_bytes_max, "Bytes of stdout kept as the result")
      ->check(CLI::Range(std::size_t{0}, std::size_t{16} << 20))
      ->capture_default_str();
  command->add_option("--max-jobs", settings->jobs_max, "End after so many jobs");
  command->add_flag("--until-empty", settings->until_empty, "End when no job is ready");
  command->add_flag("--quiet,-q", settings->is_quiet, "Log only what went wrong");
  command->footer(
      "Exit codes of the command: 0 done, stdout is the result; 65 dead, no further attempt; 75 "
      "not "
      "now,\ntried again after --retry-later without counting the attempt; 126, 127 (cannot be "
      "run) "
      "as 75;\nany other: failed, the job is retried after its backoff.");
  on_run(command, exit_code, [common, settings] { run(*settings, *common); });
}

}  // namespace sluice::cli
