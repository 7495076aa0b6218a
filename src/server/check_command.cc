// The offline check: frames are verified by the journal, the facts inside them by the core's codec.
#include "server/check_command.h"

#include "core/facts.h"
#include "io/posix.h"
#include "journal/format.h"
#include "journal/log.h"
#include "server/check_jobs.h"
#include "server/read_lock.h"
#include "server/units.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <variant>

#include <unistd.h>

namespace sluice::server {
namespace {

// A log of garbage must not fill the memory with complaints.
constexpr std::size_t bad_frames_max = 1000;
constexpr std::chrono::milliseconds shown_interval{500};

// Shows on a terminal that something is going on.
class Progress {
 public:
  void add(std::size_t bytes) {
    bytes_ += bytes;
    if (!is_terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < shown_interval) return;
    shown_ = now;
    is_shown_ = true;
    fmt::print(stderr, "\rchecked {} MiB ", bytes_ >> 20);
  }

  ~Progress() {
    if (is_shown_) fmt::print(stderr, "\r\033[K");
  }

 private:
  const bool is_terminal_ = isatty(STDERR_FILENO) == 1;
  std::uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
  bool is_shown_ = false;
};

// What the intact frames say. Which job or queue a fact is about may be unknown: the segment with
// its record may have been cleaned away before the fact that it is gone.
class Contents {
 public:
  // Problems are remembered, not returned: the scan shall go on.
  void take(Position at, ByteView payload) {
    progress_.add(payload.size());
    core::FactReader facts(payload, at);
    while (!facts.at_end()) {
      const Position position = facts.position();
      const Result<core::Fact> fact = facts.next();
      if (!fact) return complain(position, fact.error());
      if (const auto* record = std::get_if<core::JobRecord>(&*fact)) {
        const std::size_t offset = position.offset() - at.offset();
        const auto read = core::read_record(payload.substr(offset, record->record_bytes));
        if (!read) return complain(position, read.error());
        jobs_.insert(record->id.value);
      } else if (const auto* gone = std::get_if<core::JobGone>(&*fact)) {
        jobs_.erase(gone->id.value);
      } else if (const auto* queue = std::get_if<core::QueuePut>(&*fact)) {
        queues_.insert(queue->queue);
      } else if (const auto* queue_gone = std::get_if<core::QueueGone>(&*fact)) {
        queues_.erase(queue_gone->queue);
      }
    }
  }

  std::size_t jobs() const { return jobs_.size(); }

  std::size_t queues() const { return queues_.size(); }

  const std::vector<journal::Finding>& findings() const { return findings_; }

 private:
  void complain(Position at, const Error& error) {
    if (findings_.size() == bad_frames_max) return;
    findings_.push_back({journal::segment_name(at.segment()),
                         at.offset(),
                         error.message + "; this frame and what depends on it would be lost",
                         true});
  }

  Progress progress_;
  boost::unordered_flat_set<std::uint64_t> jobs_;
  boost::unordered_flat_set<core::QueueIndex> queues_;
  std::vector<journal::Finding> findings_;
};

// One directory's verdict.
struct Verdict {
  journal::CheckReport report;
  std::size_t jobs = 0;
  std::size_t queues = 0;
  bool is_healthy = true;
};

Result<Verdict> examine(io::Directory& directory) {
  Verdict verdict;
  Contents contents;
  auto report =
      journal::check_log(directory, [&contents](Position at, ByteView payload) -> Result<void> {
        contents.take(at, payload);
        return {};
      });
  if (!report) return tl::unexpected(report.error());
  verdict.report = std::move(*report);
  const auto& bad = contents.findings();
  verdict.report.findings.insert(verdict.report.findings.end(), bad.begin(), bad.end());
  verdict.jobs = contents.jobs();
  verdict.queues = contents.queues();
  for (const journal::Finding& finding : verdict.report.findings) {
    if (finding.is_fatal) verdict.is_healthy = false;
  }
  return verdict;
}

boost::json::array findings_json(const std::vector<journal::Finding>& findings) {
  boost::json::array all;
  for (const journal::Finding& finding : findings) {
    all.push_back(boost::json::object{{"file", finding.file},
                                      {"offset", finding.offset},
                                      {"what", finding.what},
                                      {"fatal", finding.is_fatal}});
  }
  return all;
}

boost::json::object verdict_json(const std::string& directory, const Verdict& verdict) {
  return {{"directory", directory},
          {"healthy", verdict.is_healthy},
          {"segments", verdict.report.segments},
          {"bytes", verdict.report.bytes},
          {"frames", verdict.report.frames},
          {"jobs", verdict.jobs},
          {"queues", verdict.queues},
          {"findings", findings_json(verdict.report.findings)}};
}

void print_findings(std::FILE* out, const std::vector<journal::Finding>& findings) {
  for (const journal::Finding& finding : findings) {
    fmt::print(out,
               "{} {} at byte {}: {}\n",
               finding.is_fatal ? "DAMAGE" : "note  ",
               finding.file,
               finding.offset,
               finding.what);
  }
}

void print_verdict(std::FILE* out, const std::string& directory, const Verdict& verdict) {
  print_findings(out, verdict.report.findings);
  fmt::print(out,
             "{}: {}: {} jobs in {} queues, {} frames, {} bytes in {} segments\n",
             directory,
             verdict.is_healthy ? "healthy" : "damaged",
             verdict.jobs,
             verdict.queues,
             verdict.report.frames,
             verdict.report.bytes,
             verdict.report.segments);
}

ExitCode cannot(const Error& error) {
  fmt::print(stderr, "sluice check: {}\n", error.message);
  return ExitCode::disk_failure;
}

// Copies what is intact and examines the copy.
ExitCode salvage(const CheckOptions& options, io::Directory& source, boost::json::object json) {
  auto target = io::open_directory(options.salvage_target);
  if (!target) return cannot(target.error());
  const auto left_behind = journal::salvage_log(source, **target);
  if (!left_behind) return cannot(left_behind.error());
  const auto copy = examine(**target);
  if (!copy) return cannot(copy.error());
  if (options.json) {
    boost::json::object salvaged = verdict_json(options.salvage_target, *copy);
    salvaged["left_behind"] = findings_json(left_behind->findings);
    json["salvaged"] = std::move(salvaged);
    fmt::print("{}\n", boost::json::serialize(json));
  } else {
    fmt::print("left behind: {} places\n", left_behind->findings.size());
    print_findings(stdout, left_behind->findings);
    print_verdict(stdout, options.salvage_target, *copy);
    fmt::print("start the server with --data {} when you have looked at what was left behind\n",
               options.salvage_target);
  }
  return copy->is_healthy ? ExitCode::ok : ExitCode::damaged;
}

ExitCode in_use(const std::string& directory, const std::string& user) {
  fmt::print(stderr,
             "sluice check: {} is in use by process {}; stop it first, or check a copy made with "
             "sluice backup\n",
             directory,
             user);
  return ExitCode::in_use;
}

// What the server would restore. Of a damaged directory that is nothing: standard output stays
// empty, and standard error says why.
ExitCode list_jobs(const CheckOptions& options, io::Directory& directory, const Verdict& verdict) {
  if (verdict.is_healthy) {
    const Result<void> printed = print_jobs(directory);
    return printed ? ExitCode::ok : cannot(printed.error());
  }
  print_verdict(stderr, options.directory, verdict);
  return ExitCode::damaged;
}

ExitCode report(const CheckOptions& options, io::Directory& directory, const Verdict& verdict) {
  if (options.jobs) return list_jobs(options, directory, verdict);
  boost::json::object json = verdict_json(options.directory, verdict);
  if (!options.json) print_verdict(stdout, options.directory, verdict);
  if (!options.salvage_target.empty()) return salvage(options, directory, std::move(json));
  if (options.json) fmt::print("{}\n", boost::json::serialize(json));
  if (verdict.is_healthy) return ExitCode::ok;
  if (!options.json) {
    fmt::print("next: copy what is intact with  sluice check {} --salvage NEW_DIR\n",
               options.directory);
  }
  return ExitCode::damaged;
}

}  // namespace

ExitCode check(const CheckOptions& options) {
  auto directory = io::open_existing_directory(options.directory);
  if (!directory) return cannot(directory.error());
  const ReadLock lock(options.directory);
  if (const auto user = lock.user()) return in_use(options.directory, *user);
  const auto verdict = examine(**directory);
  // Asked again before anything is said: see ReadLock.
  if (const auto user = lock.user()) return in_use(options.directory, *user);
  if (!verdict) return cannot(verdict.error());
  return report(options, **directory, *verdict);
}

}  // namespace sluice::server
