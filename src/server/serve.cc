// The life of the server process: prepare, recover, listen, serve, drain.
#include "server/serve.h"

#include "server/log.h"
#include "server/notify.h"
#include "server/wakeups.h"
#include "server/wiring.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::server {
namespace {

constexpr Duration forever(-1);
// Recovery says how far it is this often in the log; the service manager hears it at every step.
constexpr std::chrono::seconds logged_interval{2};
// Until the next step of recovery or of the drain the service manager waits at most this long.
constexpr Duration step_max = std::chrono::seconds(60);
// Descriptors that are no client's: segments, signals, the listener.
constexpr std::uint64_t descriptors_reserved = 64;

// What the chosen `sync` means for somebody who just got a reply.
std::string durability_meaning(const engine::SyncPolicy& sync) {
  using Kind = engine::SyncPolicy::Kind;
  switch (sync.kind) {
    case Kind::always:
      return "a reply is sent after the fdatasync that covers it: what was acknowledged survives "
             "a crash of the server and a power failure";
    case Kind::interval:
      return fmt::format(
          "replies do not wait for the disk: what was acknowledged survives a crash "
          "of the server, but a power failure can lose the last {}",
          text(sync));
    case Kind::never:
      return "replies do not wait for the disk and nothing is synced: what was acknowledged "
             "survives a crash of the server, but a power failure can lose any amount of it";
  }
  return "";
}

// Batches, replies and read buffers of some hundred KiB come and go thousands of times a second. By
// default malloc maps and unmaps each, and the kernel zeroes its pages every time: 5 % of the CPU
// of a busy server went there. So large blocks stay in the heap, which is trimmed only when much is
// free.
void keep_large_blocks() {
  constexpr int map_from_bytes = 16 << 20;
  constexpr int trim_from_bytes = 64 << 20;
  mallopt(M_MMAP_THRESHOLD, map_from_bytes);
  mallopt(M_TRIM_THRESHOLD, trim_from_bytes);
}

// Every descriptor up to the hard limit, so that connections_max is the limit that counts. Returns
// how many there are, 0 if that is not known.
std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Process {
 public:
  explicit Process(const ServeOptions& options)
      : options_(options),
        config_(options.loaded.config),
        logger_(config_.log_format, config_.log_level),
        notifier_(options.notify_socket) {}

  ExitCode run();

 private:
  void announce();
  std::uint32_t connections_max() const;
  void warn_of_wide_permissions();
  void on_progress(const journal::ScanProgress& progress);
  ExitCode fail(const Ending& ending);
  ExitCode serve_until_stopped();
  ExitCode drain();
  [[noreturn]] void end_after_disk_failure();
  [[noreturn]] void end_now();
  bool has_failed();

  const ServeOptions& options_;
  const Config& config_;
  Wakeups wakeups_;  // Before the logger, whose thread must not get the signals.
  Logger logger_;
  Notifier notifier_;
  std::unique_ptr<Wiring> wiring_;
  std::uint64_t descriptors_ = 0;  // How many this process may have open; 0: not known.
  std::chrono::steady_clock::time_point progress_logged_ = std::chrono::steady_clock::now();
  std::mutex failure_mutex_;
  std::optional<Error> failure_;
};

ExitCode Process::run() {
  announce();
  const auto start = std::chrono::steady_clock::now();
  WiringEvents events;
  events.on_failure = [this](const Error& error) {
    {
      const std::scoped_lock lock(failure_mutex_);
      failure_ = error;
    }
    wakeups_.nudge();
  };
  events.on_progress = [this](const journal::ScanProgress& progress) { on_progress(progress); };
  events.on_event = [this](const std::string& text) { logger_.line(text); };
  auto opened = Wiring::open(config_, std::move(events));
  if (!opened) return fail(opened.error());
  wiring_ = std::move(*opened);
  warn_of_wide_permissions();

  const model::Stats stats = wiring_->stats();
  std::uint64_t jobs = 0;
  for (const std::uint64_t count : stats.jobs)
    jobs += count;
  logger_.event(LogLevel::info,
                "recovered",
                {{"jobs", jobs},
                 {"queues", stats.queues},
                 {"seconds", fmt::format("{:.3f}", seconds_since(start))},
                 {"journal_bytes", wiring_->counters().journal_bytes.load()},
                 {"epoch", stats.epoch}});
  logger_.event(LogLevel::info,
                "durability",
                {{"sync", text(config_.sync)}, {"meaning", durability_meaning(config_.sync)}});

  const auto listening = wiring_->listen(options_.version, connections_max());
  if (!listening) {
    wiring_->stop_gateway(Duration(0));
    wiring_->stop_engine();
    return fail(listening.error());
  }
  if (!listening->amqp.empty()) {
    logger_.always("listening", {{"protocol", "amqp"}, {"address", listening->amqp}});
  } else if (!listening->amqp_problem.empty()) {
    logger_.event(LogLevel::warn, "amqp_off", {{"reason", listening->amqp_problem}});
  }
  logger_.always("listening", {{"protocol", "resp"}, {"address", listening->resp}});
  notifier_.ready(fmt::format("Serving {} jobs on {}", jobs, listening->resp));
  return serve_until_stopped();
}

void Process::announce() {
  umask(077);  // Before the first file or socket is made.
  keep_large_blocks();
  descriptors_ = raise_descriptor_limit();
  logger_.event(LogLevel::info,
                "starting",
                {{"version", options_.version},
                 {"pid", getpid()},
                 {"data", config_.data},
                 {"descriptors_max", descriptors_}});
  for (const Setting& setting : settings()) {
    logger_.event(LogLevel::debug,
                  "setting",
                  {{"name", setting.key},
                   {"value", setting.toml(config_)},
                   {"source", options_.loaded.sources.find(setting.key)->second}});
  }
  for (const std::string& warning : options_.loaded.warnings) {
    logger_.event(LogLevel::warn, "configuration", {{"text", warning}});
  }
  if (connections_max() < config_.connections_max) {
    logger_.event(LogLevel::warn,
                  "few_descriptors",
                  {{"text",
                    fmt::format("this process may open {} files, fewer than connections_max = {} "
                                "needs: it takes {} connections; raise the limit (LimitNOFILE=, "
                                "ulimit -Hn) or lower connections_max",
                                descriptors_,
                                config_.connections_max,
                                connections_max())}});
  }
}

// Connections must not take the descriptors that the journal needs for its next segment: the server
// would end with a disk failure.
std::uint32_t Process::connections_max() const {
  if (descriptors_ == 0 || descriptors_ >= config_.connections_max + descriptors_reserved) {
    return config_.connections_max;
  }
  const std::uint64_t left = descriptors_ - std::min(descriptors_, descriptors_reserved);
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(left, 1));
}

void Process::warn_of_wide_permissions() {
  struct stat status{};
  if (stat(config_.data.c_str(), &status) != 0 || (status.st_mode & 077u) == 0) return;
  logger_.event(LogLevel::warn,
                "data_readable_by_others",
                {{"text",
                  fmt::format("other users may enter {} (mode {:o}), which holds the "
                              "payloads of all jobs; chmod 700 it",
                              config_.data,
                              status.st_mode & 07777u)}});
}

void Process::on_progress(const journal::ScanProgress& progress) {
  // Nothing was promised to anybody yet, so ending here is as good as a crash, and quicker.
  if (wakeups_.wait(Duration(0)) == Wakeup::stop) end_now();
  const double total = static_cast<double>(std::max<std::uint64_t>(progress.bytes_total, 1));
  const auto percent = static_cast<int>(100.0 * static_cast<double>(progress.bytes_done) / total);
  notifier_.extend_timeout(step_max, fmt::format("Recovering: {} %", percent));
  const auto now = std::chrono::steady_clock::now();
  if (now - progress_logged_ < logged_interval) return;
  progress_logged_ = now;
  logger_.event(LogLevel::info,
                "recovering",
                {{"percent", percent},
                 {"bytes_done", progress.bytes_done},
                 {"bytes_total", progress.bytes_total},
                 {"frames", progress.frames}});
}

ExitCode Process::fail(const Ending& ending) {
  logger_.event(LogLevel::error,
                "failed",
                {{"exit_code", static_cast<int>(ending.code)}, {"text", ending.message}});
  notifier_.stopping(ending.message);
  return ending.code;
}

ExitCode Process::serve_until_stopped() {
  while (true) {
    const Wakeup wakeup = wakeups_.wait(forever);
    if (has_failed()) end_after_disk_failure();
    switch (wakeup) {
      case Wakeup::stop:
        return drain();
      case Wakeup::hangup:
        logger_.event(LogLevel::info,
                      "hangup",
                      {{"text", "nothing to reload; settings are read at the start only"}});
        break;
      case Wakeup::nudged:
      case Wakeup::timed_out:
        break;
    }
  }
}

ExitCode Process::drain() {
  logger_.event(LogLevel::info,
                "stopping",
                {{"drain", fmt::format("{} ms", config_.drain.count())},
                 {"text", "a second signal ends it at once"}});
  notifier_.stopping("Draining");
  notifier_.extend_timeout(config_.drain + step_max, "Draining");
  std::atomic<bool> is_drained = false;
  std::thread gateway_stop([this, &is_drained] {
    wiring_->stop_gateway(config_.drain);
    is_drained = true;
    wakeups_.nudge();
  });
  while (!is_drained) {
    const Wakeup wakeup = wakeups_.wait(forever);
    if (has_failed()) end_after_disk_failure();
    if (wakeup == Wakeup::stop) {
      wiring_->stop_engine();
      if (has_failed()) end_after_disk_failure();
      end_now();
    }
  }
  gateway_stop.join();
  wiring_->stop_engine();
  if (has_failed()) end_after_disk_failure();
  logger_.event(LogLevel::info, "stopped", {});
  return ExitCode::ok;
}

bool Process::has_failed() {
  const std::scoped_lock lock(failure_mutex_);
  return failure_.has_value();
}

void Process::end_after_disk_failure() {
  // At once, and by no way that could write: what the disk holds is for the next start to find out
  // (RELIABILITY S2). Clients see closed connections, and no reply for what is not durable.
  {
    const std::scoped_lock lock(failure_mutex_);
    logger_.event(LogLevel::error,
                  "disk_failure",
                  {{"exit_code", static_cast<int>(ExitCode::disk_failure)},
                   {"text", failure_->message},
                   {"next", "check the disk, then start again: the journal is verified first"}});
    notifier_.stopping(failure_->message);
  }
  logger_.close();
  std::_Exit(static_cast<int>(ExitCode::disk_failure));
}

void Process::end_now() {
  logger_.event(LogLevel::info, "stopped", {{"text", "at once, as asked"}});
  logger_.close();
  std::_Exit(static_cast<int>(ExitCode::ok));
}

}  // namespace

ExitCode serve(const ServeOptions& options) {
  return Process(options).run();
}

}  // namespace sluice::server
