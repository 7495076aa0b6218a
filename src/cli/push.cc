// `sluice push`: one job, or one per line of stdin.
#include "cli/command.h"
#include "cli/output.h"
#include "cli/units.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <iostream>

#include <CLI/Option.hpp>
#include <CLI/Validators.hpp>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

namespace json = boost::json;

/// Pushes of one round trip with --lines: enough to hide the round trip and the fsync.
constexpr std::size_t lines_per_batch = 1000;
constexpr std::size_t batch_bytes_max = 4u << 20;
/// Failures told one by one with --lines; the rest is only counted.
constexpr std::size_t failures_shown = 10;

struct PushSettings {
  std::string queue;
  std::string type;
  std::string payload;
  // As typed: the server checks them and names the field that is wrong.
  std::string delay, at, priority, attempts, backoff, timeout, ttl, unique, window, on_conflict,
      keep;
  std::vector<std::string> after, after_any, headers;
  std::string wait;
  bool is_lines = false;
  bool prints_ids = false;
};

PushOptions push_options(const PushSettings& settings) {
  PushOptions options;
  const auto set = [&](const char* word, const std::string& value) {
    if (!value.empty()) options.set(word, value);
  };
  set("DELAY", settings.delay);
  set("AT", settings.at);
  set("PRIORITY", settings.priority);
  set("ATTEMPTS", settings.attempts);
  set("BACKOFF", settings.backoff);
  set("TIMEOUT", settings.timeout);
  set("TTL", settings.ttl);
  set("KEEP", settings.keep);
  if (!settings.unique.empty()) options.unique(settings.unique);
  if (!settings.window.empty()) options.window(duration(settings.window, "--window"));
  if (settings.on_conflict == "existing") options.on_conflict(OnConflict::existing);
  if (settings.on_conflict == "replace") options.on_conflict(OnConflict::replace);
  if (settings.on_conflict == "reject") options.on_conflict(OnConflict::reject);
  for (const std::string& id : settings.after)
    options.after(job_id(id));
  for (const std::string& id : settings.after_any)
    options.after_any(job_id(id));
  for (const std::string& header : settings.headers) {
    const std::size_t equals = header.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw Exit{ExitCode::usage, fmt::format("--header \"{}\" is not KEY=VALUE", header)};
    }
    options.header(header.substr(0, equals), header.substr(equals + 1));
  }
  return options;
}

/// Prints the end of a job somebody waited for; its state decides the exit code.
void report_end(const JobInfo& job, const PushSettings& settings, const Common& common) {
  if (common.json) {
    print_json(to_json(job));
  } else if (job.state == JobState::succeeded) {
    if (job.result) print_bytes(*job.result);
  }
  if (job.state == JobState::succeeded) return;
  if (!is_final(job.state)) {
    throw Exit{ExitCode::busy,
               fmt::format("job {} is still {} after {}; wait on with: sluice job {} --wait {}",
                           job.id.text(),
                           name(job.state),
                           settings.wait,
                           job.id.text(),
                           settings.wait)};
  }
  throw Exit{ExitCode::failed,
             fmt::format("job {} is {}{}",
                         job.id.text(),
                         name(job.state),
                         job.error.empty() ? "" : ": " + escaped(job.error))};
}

std::string all_of_stdin() {
  std::string bytes;
  std::array<char, 65536> block{};
  std::size_t got = 0;
  while ((got = std::fread(block.data(), 1, block.size(), stdin)) > 0) {
    bytes.append(block.data(), got);
  }
  if (std::ferror(stdin) != 0) throw Exit{ExitCode::failed, "cannot read stdin"};
  return bytes;
}

void push_one(const PushSettings& settings, const Common& common) {
  const PushOptions options = push_options(settings);
  const auto wait =
      settings.wait.empty() ? std::optional<Duration>() : duration(settings.wait, "--wait");
  std::string payload = settings.payload;
  if (payload == "-") payload = all_of_stdin();
  const Client client = connect(common);
  const JobId id = take(client.push(settings.queue, settings.type, payload, options));
  if (wait) {
    report_end(take(client.await(id, *wait)), settings, common);
  } else if (common.json) {
    print_json(json::object{{"id", id.text()}});
  } else {
    fmt::print("{}\n", id.text());
  }
}

/// Pushes lines in batches and keeps count of what became of them.
class LinePusher {
 public:
  LinePusher(const PushSettings& settings, const Common& common)
      : settings_(settings),
        common_(common),
        options_(push_options(settings)),
        client_(connect(common)) {}

  void run() {
    ProgressBar bar("pushing", input_bytes());
    const bool is_sized = input_bytes() > 0;
    std::uint64_t read_bytes = 0;
    std::string line;
    while (std::getline(std::cin, line)) {
      read_bytes += line.size() + 1;
      batch_bytes_ += line.size();
      batch_.emplace_back(settings_.queue, Payload(settings_.type, std::move(line)), options_);
      line.clear();
      if (batch_.size() < lines_per_batch && batch_bytes_ < batch_bytes_max) continue;
      push_batch();
      bar.show(is_sized ? read_bytes : pushed_, fmt::format("{} jobs", grouped(pushed_)));
      if (must_stop_) break;
    }
    if (!must_stop_) push_batch();
    bar.clear();
    report();
  }

 private:
  /// The size of stdin if it is a file, 0 if it is a pipe.
  static std::uint64_t input_bytes() {
    struct stat input{};
    const bool is_file = ::fstat(STDIN_FILENO, &input) == 0 && S_ISREG(input.st_mode);
    return is_file ? static_cast<std::uint64_t>(input.st_size) : 0;
  }

  void push_batch() {
    if (batch_.empty()) return;
    for (const Result<JobId>& id : client_.push_many(batch_)) {
      ++line_number_;
      if (id) {
        ++pushed_;
        if (common_.json && settings_.prints_ids) ids_.emplace_back(id->text());
        if (!common_.json && settings_.prints_ids) fmt::print("{}\n", id->text());
      } else {
        note_failure(id.error());
      }
    }
    batch_.clear();
    batch_bytes_ = 0;
  }

  void note_failure(const Error& error) {
    ++failed_;
    if (failed_ == 1) code_ = exit_code(error.code);
    // A full queue or a lost server refuses the following lines too; a bad line only itself.
    must_stop_ = must_stop_ || error.code != ErrorCode::too_big;
    if (failed_ > failures_shown) return;
    failures_.push_back(json::object{{"line", line_number_}, {"error", error.message}});
    fmt::print(stderr, "sluice: line {}: {}\n", line_number_, error.message);
  }

  void report() {
    if (common_.json) {
      json::object document{{"pushed", pushed_}, {"failed", failed_}};
      if (settings_.prints_ids) document["ids"] = std::move(ids_);
      if (failed_ > 0) document["failures"] = std::move(failures_);
      print_json(document);
    } else if (!settings_.prints_ids) {
      fmt::print("pushed {} jobs to \"{}\"\n", grouped(pushed_), settings_.queue);
    }
    if (failed_ == 0) return;
    throw Exit{code_,
               fmt::format("{} of the first {} lines were refused{}",
                           grouped(failed_),
                           grouped(line_number_),
                           must_stop_ ? "; the lines behind them were not tried" : "")};
  }

  const PushSettings& settings_;
  const Common& common_;
  PushOptions options_;
  Client client_;
  std::vector<PushItem> batch_;
  std::size_t batch_bytes_ = 0;
  std::uint64_t line_number_ = 0;
  std::uint64_t pushed_ = 0;
  std::uint64_t failed_ = 0;
  bool must_stop_ = false;
  ExitCode code_ = ExitCode::failed;
  json::array ids_;
  json::array failures_;
};

void add_job_options(CLI::App* command, PushSettings& settings) {
  const auto option = [&](const char* flag, std::string& value, const char* help) {
    return command->add_option(flag, value, help);
  };
  CLI::Option* const delay =
      option("--delay", settings.delay, "Ready after this long: 30s, 5m, 2h");
  option("--at", settings.at, "Ready at this time, in milliseconds since 1970")->excludes(delay);
  option("--priority", settings.priority, "0 to 255, higher first");
  option("--attempts", settings.attempts, "Attempts before the job is dead");
  option("--backoff",
         settings.backoff,
         "Pause between attempts: \"exponential 1s cap 10m jitter 20%\", \"fixed 5s\", \"linear 5s "
         "cap 1m\", \"list 1s 10s 1m\"");
  option("--timeout",
         settings.timeout,
         "How long a worker may be silent before the job is taken back");
  option("--ttl", settings.ttl, "Expires if not started within this long");
  option("--keep", settings.keep, "How long the finished job and its result stay readable");
  CLI::Option* const unique = option(
      "--unique", settings.unique, "While a job holds this key, a second push is the same job");
  option("--window", settings.window, "How long the key is held, at most")->needs(unique);
  option("--on-conflict", settings.on_conflict, "If the key is held: existing, replace or reject")
      ->needs(unique)
      ->check(CLI::IsMember({"existing", "replace", "reject"}));
  command->add_option("--after", settings.after, "Waits until this job succeeded (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--after-any", settings.after_any, "Waits until this job ended (repeatable)")
      ->allow_extra_args(false);
  command
      ->add_option("--header", settings.headers, "KEY=VALUE that travels with the job (repeatable)")
      ->allow_extra_args(false);
}

}  // namespace

void add_push(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto settings = std::make_shared<PushSettings>();
  CLI::App* const command = add_command(app, "push", "Hand over a job, or one per line", common);
  command->add_option("QUEUE", settings->queue, "Created if need be")->required();
  command->add_option("TYPE", settings->type, "What kind of job it is")->required();
  CLI::Option* const payload =
      command->add_option("PAYLOAD", settings->payload, "The bytes; - reads them from stdin");
  add_job_options(command, *settings);
  CLI::Option* const wait = command->add_option(
      "--wait", settings->wait, "Wait this long for the end of the job and print its result");
  CLI::Option* const lines =
      command->add_flag("--lines", settings->is_lines, "One job per line of stdin, pipelined");
  lines->excludes(payload)->excludes(wait);
  command->add_flag("--ids", settings->prints_ids, "With --lines: print the id of each job")
      ->needs(lines);
  on_run(command, exit_code, [common, settings] {
    if (settings->is_lines) {
      LinePusher(*settings, *common).run();
    } else {
      push_one(*settings, *common);
    }
  });
}

}  // namespace sluice::cli
