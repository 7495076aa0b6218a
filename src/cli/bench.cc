// `sluice bench`: options and report of the load generator (bench_load.h does the work).
#include "cli/bench_load.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include <CLI/Option.hpp>
#include <CLI/Validators.hpp>
#include <sys/resource.h>

namespace sluice::cli {
namespace {

using bench::Load;
using bench::Outcome;

enum class Mode { push, cycle, ping_push, latency, fill, drain, delayed };

struct ModeName {
  Mode mode;
  const char* name;
  const char* help;
};

constexpr std::array<ModeName, 7> modes{{
    {Mode::push, "push", "Pipelined pushes, --window of them unacknowledged"},
    {Mode::cycle, "cycle", "Push, pull and ack to the end, all at once, with a bounded backlog"},
    {Mode::ping_push, "ping-push", "One push at a time: its round trip"},
    {Mode::latency,
     "latency",
     "A fixed --rate: from when a push was due until a worker has the job"},
    {Mode::fill, "fill", "Push COUNT jobs and leave them there"},
    {Mode::drain, "drain", "Pull and ack until nothing is ready"},
    {Mode::delayed, "delayed", "Push COUNT jobs with random delays up to --over, leave them there"},
}};

struct BenchSettings {
  Load load;
  double seconds = 3;
  double warm_up = 0.5;
  std::string over = "1h";
  std::string keep = "0";
  int server_pid = 0;
  bool leaves_jobs = false;
};

bool leaves_jobs(Mode mode, const BenchSettings& settings) {
  return settings.leaves_jobs || mode == Mode::fill || mode == Mode::delayed;
}

bench::Endpoint endpoint(const std::string& url) {
  constexpr std::string_view scheme = "sluice://";
  if (!url.starts_with(scheme)) {
    throw Exit{
        ExitCode::usage,
        fmt::format("--url \"{}\" does not start with sluice://; bench needs a server", url)};
  }
  std::string rest = url.substr(scheme.size());
  rest = rest.substr(0, rest.find('/'));
  rest = rest.substr(rest.find('@') == std::string::npos ? 0 : rest.find('@') + 1);
  bench::Endpoint server;
  const std::size_t bracket = rest.find(']');
  const std::size_t colon = rest.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) server.port = rest.substr(colon + 1);
  server.host = rest.substr(0, colon);
  if (bracket != std::string::npos) server.host = rest.substr(1, bracket - 1);
  return server;
}

/// The benchmark's jobs must not meet a worker, nor its purge a user's jobs.
void prepare_queue(Mode mode, const BenchSettings& settings, const Client& client) {
  const std::string& queue = settings.load.queue;
  const auto info = client.queue_get(queue);
  if (mode == Mode::drain || mode == Mode::fill || mode == Mode::delayed) return;
  if (info) {
    for (const std::uint64_t jobs : info->jobs) {
      if (jobs == 0) continue;
      throw Exit{
          ExitCode::failed,
          fmt::format("queue \"{0}\" is not empty; give bench a --queue of its own, or empty "
                      "it first: sluice queue {0} purge",
                      queue)};
    }
  }
}

/// The process id that a server on this machine tells; other machines' processes cannot be looked
/// at.
std::optional<pid_t> local_server_pid(const bench::Endpoint& server, const Client& client) {
  const bool is_local =
      server.host == "localhost" || server.host == "::1" || server.host.starts_with("127.");
  if (!is_local) return std::nullopt;
  const auto info = take(client.info());
  const auto found = info.find("process_id");
  if (found == info.end()) return std::nullopt;
  pid_t pid = 0;
  const std::string& text = found->second;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  // In a container the server's number may mean nothing here.
  return pid > 0 && process_use(pid) ? std::optional(pid) : std::nullopt;
}

/// Finished jobs are gone at once, as they are in the queues that bench/compare.py compares with.
void set_policy(const BenchSettings& settings, const Client& client) {
  take(client.queue_set(settings.load.queue, QueueChange().set("keep", settings.keep)));
}

Outcome run_mode(Mode mode, const Load& load, const bench::OnProgress& on_progress) {
  switch (mode) {
    case Mode::push:
    case Mode::fill:
      return bench::push(load, on_progress);
    case Mode::cycle:
      return bench::cycle(load, on_progress);
    case Mode::ping_push:
      return bench::ping_push(load, on_progress);
    case Mode::latency:
      return bench::latency(load, on_progress);
    case Mode::drain:
      return bench::drain(load, on_progress);
    case Mode::delayed:
      return bench::delayed(load, on_progress);
  }
  return {};
}

double own_cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

boost::json::object report(const ModeName& mode,
                           const BenchSettings& settings,
                           const Outcome& outcome,
                           double own_cpu) {
  const auto jobs = static_cast<double>(outcome.jobs);
  boost::json::object object{{"mode", mode.name},
                             {"size", settings.load.payload_bytes},
                             {"connections", settings.load.connections},
                             {"window", settings.load.window},
                             {"batch", settings.load.batch},
                             {"jobs", outcome.jobs},
                             {"seconds", outcome.seconds},
                             {"jobs_per_second", outcome.seconds > 0 ? jobs / outcome.seconds : 0}};
  if (mode.mode == Mode::latency) object["rate"] = settings.load.rate;
  if (!outcome.latencies_ns.empty()) {
    object["p50_us"] = outcome.latency_us(0.5);
    object["p90_us"] = outcome.latency_us(0.9);
    object["p99_us"] = outcome.latency_us(0.99);
    object["p999_us"] = outcome.latency_us(0.999);
    object["max_us"] = outcome.latency_us(1);
  }
  if (mode.mode == Mode::cycle || mode.mode == Mode::latency) object["left"] = outcome.left;
  object["client_cpu_seconds"] = own_cpu;
  if (outcome.server_cpu_seconds && outcome.jobs > 0) {
    object["server_cpu_us_per_job"] = *outcome.server_cpu_seconds * 1e6 / jobs;
    object["server_memory_bytes"] = outcome.server_end->memory_bytes;
  }
  return object;
}

void print_report(const boost::json::object& report, const BenchSettings& settings) {
  const auto number = [&](const char* key) { return report.at(key).to_number<double>(); };
  fmt::print("{}: {} jobs of {} in {:.2f} s = {} jobs/s\n",
             report.at("mode").as_string().c_str(),
             grouped(report.at("jobs").to_number<std::uint64_t>()),
             short_bytes(settings.load.payload_bytes),
             number("seconds"),
             grouped(static_cast<std::uint64_t>(number("jobs_per_second"))));
  if (report.contains("p50_us")) {
    fmt::print(
        "latency: p50 {:.1f} µs, p90 {:.1f} µs, p99 {:.1f} µs, p99.9 {:.1f} µs, max {:.1f} µs\n",
        number("p50_us"),
        number("p90_us"),
        number("p99_us"),
        number("p999_us"),
        number("max_us"));
  }
  if (report.contains("left") && number("left") > 0) {
    fmt::print("left: {} jobs were pushed and not taken\n", number("left"));
  }
  if (report.contains("server_cpu_us_per_job")) {
    fmt::print("server: {:.2f} µs CPU a job, {} resident\n",
               number("server_cpu_us_per_job"),
               short_bytes(report.at("server_memory_bytes").to_number<std::uint64_t>()));
  }
}

void run(const ModeName& mode, BenchSettings& settings, const Common& common) {
  Load& load = settings.load;
  load.server = endpoint(common.url);
  load.time = std::chrono::duration<double>(settings.seconds);
  load.warm_up = std::chrono::duration<double>(settings.warm_up);
  load.delay_max = duration(settings.over, "--over");
  if (settings.server_pid > 0) load.server_pid = settings.server_pid;
  const Client client = connect(common, ClientOptions().timeout(std::chrono::minutes(5)));
  if (!load.server_pid) load.server_pid = local_server_pid(load.server, client);
  prepare_queue(mode.mode, settings, client);
  set_policy(settings, client);
  ProgressBar bar(mode.name, load.count);
  const double own_before = own_cpu_seconds();
  const Outcome outcome = run_mode(mode.mode, load, [&bar](std::uint64_t jobs) { bar.show(jobs); });
  const double own = own_cpu_seconds() - own_before;
  bar.clear();
  if (!leaves_jobs(mode.mode, settings)) take(client.queue_purge(load.queue));
  const boost::json::object result = report(mode, settings, outcome, own);
  if (common.json) {
    print_json(result);
  } else {
    print_report(result, settings);
  }
}

void add_options(CLI::App* command, const ModeName& mode, BenchSettings& settings) {
  Load& load = settings.load;
  const bool has_count = mode.mode == Mode::fill || mode.mode == Mode::delayed;
  command->add_option("--queue", load.queue, "The queue")->capture_default_str();
  command->add_option("--size", load.payload_bytes, "Bytes of a payload (at least 16)")
      ->check(CLI::Range(std::size_t{16}, std::size_t{16} << 20))
      ->capture_default_str();
  command->add_option("--connections,-c", load.connections, "Connections")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--window", load.window, "Pushes unacknowledged per connection")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--batch", load.batch, "Jobs of one PULL")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command->add_option("--keep", settings.keep, "How long finished jobs stay readable")
      ->capture_default_str();
  command->add_option("--server-pid",
                      settings.server_pid,
                      "Report CPU and memory of this process [what INFO says, if on this machine]");
  CLI::Option* count = command->add_option(
      has_count ? "COUNT" : "--count", load.count, "Jobs; without it the run ends after --secs");
  if (has_count) count->required()->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  if (mode.mode == Mode::delayed) {
    command->add_option("--over", settings.over, "The longest delay")->capture_default_str();
  }
  if (has_count || mode.mode == Mode::drain) return;
  command->add_option("--secs", settings.seconds, "How long to measure")->capture_default_str();
  command->add_option("--warm-up", settings.warm_up, "Seconds before that (cycle, latency)")
      ->capture_default_str();
  command->add_option("--rate", load.rate, "Jobs a second (latency)")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  command->add_option("--backlog", load.backlog, "Pause pushing while so many jobs wait (cycle)")
      ->capture_default_str();
  command->add_flag("--leave", settings.leaves_jobs, "Do not purge the queue at the end");
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  CLI::App* const command = app.add_subcommand("bench", "Measure a running server");
  command->require_subcommand(1);
  for (const ModeName& mode : modes) {
    auto common = std::make_shared<Common>();
    auto settings = std::make_shared<BenchSettings>();
    CLI::App* const one = add_command(*command, mode.name, mode.help, common);
    add_options(one, mode, *settings);
    on_run(one, exit_code, [&mode, common, settings] { run(mode, *settings, *common); });
  }
}

}  // namespace sluice::cli
