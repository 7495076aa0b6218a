// `sluice jobs QUEUE` and `sluice job ID`: list jobs, look at one, wait for it, cancel it.
#include "cli/command.h"
#include "cli/job_view.h"
#include "cli/output.h"
#include "cli/units.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>

#include <CLI/Option.hpp>

namespace sluice::cli {
namespace {

namespace json = boost::json;

constexpr unsigned page_jobs = 1000;

struct ListSettings {
  std::string queue, state, type, older, newer;
  std::uint64_t limit = 100;
};

struct JobSettings {
  std::string id;
  std::string action;
  std::string wait;
  bool is_payload_only = false;
  bool is_result_only = false;
};

JobFilter filter(const ListSettings& settings) {
  JobFilter filter;
  if (!settings.state.empty()) {
    const auto state = job_state(settings.state);
    if (!state) {
      throw Exit{ExitCode::usage,
                 fmt::format("--state \"{}\" is none of scheduled waiting ready leased retry "
                             "succeeded dead cancelled expired",
                             settings.state)};
    }
    filter.state(*state);
  }
  if (!settings.type.empty()) filter.type(settings.type);
  if (!settings.older.empty()) filter.older(duration(settings.older, "--older"));
  if (!settings.newer.empty()) filter.newer(duration(settings.newer, "--newer"));
  return filter;
}

void list(const ListSettings& settings, const Common& common) {
  const JobFilter base = filter(settings);
  const Client client = connect(common);
  const std::uint64_t limit = settings.limit == 0 ? UINT64_MAX : settings.limit;
  std::vector<JobInfo> jobs;
  JobId cursor;
  do {
    const auto count =
        static_cast<unsigned>(std::min<std::uint64_t>(page_jobs, limit - jobs.size()));
    JobFilter page_filter = base;
    page_filter.count(count);
    if (cursor.value != 0) page_filter.cursor(cursor);
    JobPage page = take(client.jobs(settings.queue, page_filter));
    std::move(page.jobs.begin(), page.jobs.end(), std::back_inserter(jobs));
    cursor = page.cursor;
  } while (cursor.value != 0 && jobs.size() < limit);
  if (common.json) {
    print_json(jobs_json(jobs));
    return;
  }
  print_jobs(jobs);
  if (cursor.value != 0) {
    fmt::print(stderr, "these are the first {}; --limit 0 lists all\n", jobs.size());
  }
}

void print_job(const JobInfo& job) {
  const SystemTime time = now();
  Table table({{"job"}, {job.id.text()}});
  const auto add = [&](const char* label, const std::string& value) {
    if (!value.empty()) table.add({label, value});
  };
  add("queue", job.queue);
  add("type", escaped(job.type));
  add("state", std::string(name(job.state)));
  add("attempt", fmt::format("{} of {}", job.attempt, attempts_text(job.max_attempts)));
  if (job.priority > 0) add("priority", std::to_string(job.priority));
  add("created", fmt::format("{} ({})", iso_time(job.created), relative_time(job.created, time)));
  if (job.due) {
    add(due_label(job.state),
        fmt::format("{} ({})", iso_time(*job.due), relative_time(*job.due, time)));
  }
  add("worker", escaped(job.worker));
  if (job.progress > 0) add("progress", fmt::format("{}%", job.progress));
  add("note", escaped(job.note));
  add("unique", escaped(job.unique));
  for (const JobId id : job.after)
    add("after", id.text());
  for (const auto& [key, value] : job.headers) {
    add("header", fmt::format("{}: {}", escaped(key), escaped(value)));
  }
  add("error", escaped(job.error));
  if (job.result) add("result", clipped(escaped(*job.result), 1000));
  add("payload", clipped(escaped(job.payload), 1000));
  table.print();
  if (job.history.empty()) return;
  fmt::print("\n");
  Table history({{"TIME"}, {"STATE"}, {"ATTEMPT"}, {"WORKER"}, {"NOTE"}});
  for (const JobEvent& event : job.history) {
    history.add({iso_time(event.time),
                 std::string(name(event.state)),
                 event.attempt > 0 ? std::to_string(event.attempt) : "",
                 escaped(event.worker),
                 clipped(escaped(event.note), 200)});
  }
  history.print();
}

void show(const JobInfo& job, const JobSettings& settings, const Common& common) {
  if (settings.is_payload_only) {
    print_bytes(job.payload);
  } else if (settings.is_result_only) {
    if (!job.result) {
      throw Exit{ExitCode::failed,
                 fmt::format("job {} is {} and has no result", job.id.text(), name(job.state))};
    }
    print_bytes(*job.result);
  } else if (common.json) {
    print_json(to_json(job));
  } else {
    print_job(job);
  }
}

void run(const JobSettings& settings, const Common& common) {
  const JobId id = job_id(settings.id);
  if (!settings.action.empty() && settings.action != "cancel") {
    throw Exit{ExitCode::usage,
               fmt::format("\"{}\" is no action; the only one is cancel", settings.action)};
  }
  const auto wait =
      settings.wait.empty() ? std::optional<Duration>() : duration(settings.wait, "--wait");
  const Client client = connect(common);
  if (!settings.action.empty()) take(client.cancel(id));
  if (!wait) {
    show(take(client.job(id)), settings, common);
    return;
  }
  const JobInfo job = take(client.await(id, *wait));
  show(job, settings, common);
  if (job.state == JobState::succeeded) return;
  if (!is_final(job.state)) {
    throw Exit{
        ExitCode::busy,
        fmt::format("job {} is still {} after {}", id.text(), name(job.state), settings.wait)};
  }
  throw Exit{ExitCode::failed, fmt::format("job {} is {}", id.text(), name(job.state))};
}

}  // namespace

const char* due_label(JobState state) {
  switch (state) {
    case JobState::scheduled:
    case JobState::retry:
      return "ready";
    case JobState::leased:
      return "lease ends";
    case JobState::ready:
    case JobState::waiting:
      return "expires";
    case JobState::succeeded:
    case JobState::dead:
    case JobState::cancelled:
    case JobState::expired:
      return "kept until";
  }
  return "due";
}

void print_jobs(const std::vector<JobInfo>& jobs) {
  if (jobs.empty()) {
    fmt::print("no such jobs\n");
    return;
  }
  const SystemTime time = now();
  Table table({{"ID"},
               {"STATE"},
               {"TYPE"},
               {"ATTEMPT", Table::Align::right},
               {"AGE", Table::Align::right},
               {"DUE"},
               {"WORKER"},
               {"ERROR"}});
  for (const JobInfo& job : jobs) {
    table.add({job.id.text(),
               std::string(name(job.state)),
               clipped(escaped(job.type), 30),
               job.max_attempts == 0 ? std::to_string(job.attempt)
                                     : fmt::format("{}/{}", job.attempt, job.max_attempts),
               short_duration(std::max(Duration{0}, time - job.created)),
               job.due ? relative_time(*job.due, time) : "",
               clipped(escaped(job.worker), 24),
               clipped(escaped(job.error), 60)});
  }
  table.print();
}

json::object jobs_json(const std::vector<JobInfo>& jobs) {
  json::array all;
  for (const JobInfo& job : jobs)
    all.emplace_back(to_json(job));
  return json::object{{"jobs", std::move(all)}};
}

void add_jobs(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto settings = std::make_shared<ListSettings>();
  CLI::App* const many = add_command(app, "jobs", "List the jobs of a queue", common);
  many->add_option("QUEUE", settings->queue)->required();
  many->add_option("--state",
                   settings->state,
                   "scheduled waiting ready leased retry succeeded dead cancelled expired");
  many->add_option("--type", settings->type, "Only jobs of this type");
  many->add_option("--older", settings->older, "Created at least this long ago");
  many->add_option("--newer", settings->newer, "Created at most this long ago");
  many->add_option("--limit", settings->limit, "At most so many; 0: all")->capture_default_str();
  on_run(many, exit_code, [common, settings] { list(*settings, *common); });

  auto one_common = std::make_shared<Common>();
  auto one_settings = std::make_shared<JobSettings>();
  CLI::App* const one = add_command(app, "job", "Show, await or cancel a job", one_common);
  one->add_option("ID", one_settings->id)->required();
  one->add_option("ACTION", one_settings->action, "cancel");
  one->add_option("--wait", one_settings->wait, "Wait this long for the end of the job");
  CLI::Option* const payload =
      one->add_flag("--payload", one_settings->is_payload_only, "Print only the payload, as it is");
  one->add_flag("--result", one_settings->is_result_only, "Print only the result, as it is")
      ->excludes(payload);
  on_run(one, exit_code, [one_common, one_settings] { run(*one_settings, *one_common); });
}

}  // namespace sluice::cli
