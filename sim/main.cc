// sluice_sim: runs seeds of the simulation, on several processors, or one seed for a person to
// read.
//
//   sluice_sim --seeds 2000 [--first-seed 1] [--jobs 2]     many; ends with a line for the ledger
//   sluice_sim --twice 50                                   each twice: the traces must be equal
//   sluice_sim --seed 0x5eed                                one: options, every event, the verdict
//
// Each job is a process of its own, so that a seed on which the server aborts is named, and the
// others run on.
#include "sim/world/world.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::sim {
namespace {

struct Arguments {
  std::uint64_t seeds = 0;
  std::uint64_t first_seed = 1;
  std::uint64_t twice = 0;
  std::uint64_t jobs = 1;
  std::optional<std::uint64_t> seed;
  std::string kept_seeds;  ///< A file of seeds that failed once: they run first.
};

/// What all jobs have done together.
struct Totals {
  std::map<std::string, std::uint64_t> counts;
  std::uint64_t failures = 0;
};

std::string failure_text(const Report& report) {
  std::string text;
  for (std::size_t i = 0; i < report.findings.size() && i < 5; ++i) {
    const Finding& finding = report.findings[i];
    text += fmt::format("FAILED seed {:#x}: {}: uid {}: {}\n",
                        report.seed,
                        finding.verdict,
                        finding.uid,
                        finding.what);
  }
  return text + report.story + fmt::format("  replay: ./dev sim --seed {:#x}\n", report.seed);
}

/// Runs one seed and writes what came of it, line by line: "count NAME NUMBER", "failed", text.
void run_seed(std::uint64_t seed, bool is_twice, FILE* to) {
  Report report = World(seed, false).run();
  if (is_twice && World(seed, false).run().hash != report.hash) {
    report.findings.push_back({"determinism", 0, "a second run went another way"});
  }
  for (const auto& [name, count] : report.counts)
    fmt::print(to, "count {} {}\n", count, name);
  if (report.findings.empty()) return;
  fmt::print(to, "failed\n");
  std::istringstream lines(failure_text(report));
  for (std::string line; std::getline(lines, line);)
    fmt::print(to, "text {}\n", line);
}

/// A job: its process, what it has said, and the seed that it is at.
struct Job {
  pid_t process = 0;
  int from = -1;
  std::string input;
  std::string seed;
};

Job start_job(const std::vector<std::uint64_t>& seeds,
              std::size_t from,
              std::size_t step,
              bool is_twice) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const pid_t process = fork();
  if (process < 0) std::exit(1);
  if (process > 0) {
    close(ends[1]);
    return {process, ends[0], {}, {}};
  }
  close(ends[0]);
  FILE* const to = fdopen(ends[1], "w");
  for (std::size_t at = from; at < seeds.size(); at += step) {
    fmt::print(to, "seed {:#x}\n", seeds[at]);
    std::fflush(to);
    run_seed(seeds[at], is_twice, to);
  }
  fmt::print(to, "seed\n");
  std::fclose(to);
  std::_Exit(0);
}

void take_line(Job& job, const std::string& line, Totals& totals) {
  std::istringstream words(line);
  std::string kind;
  words >> kind;
  if (kind == "seed") {
    job.seed.clear();
    words >> job.seed;
    if (!job.seed.empty()) ++totals.counts["seeds"];
  } else if (kind == "count") {
    std::uint64_t count = 0;
    std::string name;
    words >> count >> std::ws;
    std::getline(words, name);
    totals.counts[name] += count;
  } else if (kind == "failed") {
    ++totals.failures;
  } else if (kind == "text") {
    fmt::print("{}\n", line.substr(5));
  }
}

/// Reads what the job says; false at its end.
bool listen(Job& job, Totals& totals) {
  char block[4096];
  const ssize_t got = read(job.from, block, sizeof block);
  if (got <= 0) return false;
  job.input.append(block, static_cast<std::size_t>(got));
  std::size_t done = 0;
  for (std::size_t end = 0; (end = job.input.find('\n', done)) != std::string::npos; done = end + 1)
    take_line(job, job.input.substr(done, end - done), totals);
  job.input.erase(0, done);
  return true;
}

Totals run_seeds(const std::vector<std::uint64_t>& seeds, std::size_t jobs, bool is_twice) {
  Totals totals;
  std::vector<Job> running;
  for (std::size_t i = 0; i < jobs; ++i)
    running.push_back(start_job(seeds, i, jobs, is_twice));
  while (!running.empty()) {
    std::vector<pollfd> ends;
    for (const Job& job : running)
      ends.push_back({job.from, POLLIN, 0});
    poll(ends.data(), ends.size(), -1);
    for (std::size_t i = running.size(); i-- > 0;) {
      Job& job = running[i];
      if (ends[i].revents == 0 || listen(job, totals)) continue;
      int status = 0;
      waitpid(job.process, &status, 0);
      close(job.from);
      if (!job.seed.empty()) {
        ++totals.failures;
        fmt::print(
            "FAILED seed {}: the process ended with status {}\n  replay: ./dev sim --seed {}\n",
            job.seed,
            status,
            job.seed);
      }
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return totals;
}

/// Seeds, one a line; what follows "#" says what they found.
std::vector<std::uint64_t> read_seeds(const std::string& file) {
  std::vector<std::uint64_t> seeds;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    seeds.push_back(std::stoull(line, nullptr, 0));  // Ends at what is no digit.
  }
  return seeds;
}

int run_many(const Arguments& arguments) {
  std::vector<std::uint64_t> seeds = read_seeds(arguments.kept_seeds);
  const std::uint64_t count = arguments.twice > 0 ? arguments.twice : arguments.seeds;
  for (std::uint64_t i = 0; i < count; ++i)
    seeds.push_back(arguments.first_seed + i);
  const auto begin = std::chrono::steady_clock::now();
  const Totals totals = run_seeds(seeds, arguments.jobs, arguments.twice > 0);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::string counts;
  for (const auto& [name, number] : totals.counts) {
    counts += fmt::format("{}\"{}\": {}", counts.empty() ? "" : ", ", name, number);
  }
  const auto operations = totals.counts.contains("operations") ? totals.counts.at("operations") : 0;
  fmt::print("{} seeds in {:.1f} s on {} processors, {:.0f} operations a second\n",
             seeds.size(),
             seconds,
             arguments.jobs,
             static_cast<double>(operations) / seconds);
  fmt::print("ledger: {{\"tool\": \"sim\", \"counts\": {{{}}}, \"failures\": {}}}\n",
             counts,
             totals.failures);
  return totals.failures == 0 ? 0 : 1;
}

int run_one(std::uint64_t seed) {
  World world(seed, true);
  fmt::print("{}", world.options().describe());
  const Report report = world.run();
  for (const auto& [name, count] : report.counts)
    fmt::print("{:>10} {}\n", count, name);
  fmt::print("trace {:#x}\n", report.hash);
  if (report.findings.empty()) return 0;
  fmt::print("{}", failure_text(report));
  return 1;
}

int usage() {
  fmt::print(
      stderr,
      "sluice_sim --seeds N [--first-seed S] [--jobs J] [--kept FILE] | --twice N | --seed S\n");
  return 2;
}

int run(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string option = words[i];
    const std::string value = words[i + 1];
    if (option == "--kept") {
      arguments.kept_seeds = value;
      continue;
    }
    const std::uint64_t number = std::stoull(value, nullptr, 0);
    if (option == "--seeds") {
      arguments.seeds = number;
    } else if (option == "--first-seed") {
      arguments.first_seed = number;
    } else if (option == "--twice") {
      arguments.twice = number;
    } else if (option == "--jobs") {
      arguments.jobs = number;
    } else if (option == "--seed") {
      arguments.seed = number;
    } else {
      return usage();
    }
  }
  if (count % 2 == 0 || arguments.jobs == 0) return usage();
  if (arguments.seed) return run_one(*arguments.seed);
  if (arguments.seeds + arguments.twice == 0 && arguments.kept_seeds.empty()) return usage();
  return run_many(arguments);
}

}  // namespace
}  // namespace sluice::sim

int main(int count, char** words) {
  return sluice::sim::run(count, words);
}
