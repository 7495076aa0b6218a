// `sluice dead QUEUE`: look at dead jobs, make them ready again, or delete them.
#include "cli/command.h"
#include "cli/job_view.h"
#include "cli/output.h"
#include "cli/units.h"

#include <fmt/format.h>

#include <CLI/Option.hpp>

namespace sluice::cli {
namespace {

struct DeadSettings {
  std::string queue;
  std::vector<std::string> words;  ///< [ACTION [ID…]]
  bool is_all = false;
  bool is_sure = false;
};

/// The ids, none meaning all of them; that must have been said.
std::vector<JobId> chosen(const DeadSettings& settings) {
  std::vector<JobId> ids;
  for (std::size_t i = 1; i < settings.words.size(); ++i)
    ids.push_back(job_id(settings.words[i]));
  if (ids.empty() != settings.is_all) {
    throw Exit{ExitCode::usage,
               fmt::format("{} takes ids, or --all for every dead job of \"{}\"",
                           settings.words[0],
                           settings.queue)};
  }
  return ids;
}

void report(const Common& common,
            const DeadSettings& settings,
            const char* done,
            std::uint64_t jobs) {
  if (common.json) {
    print_json(boost::json::object{{"queue", settings.queue}, {done, jobs}});
  } else {
    fmt::print("{} {} dead jobs of \"{}\"\n", done, grouped(jobs), settings.queue);
  }
  if (jobs == 0 && !settings.is_all) {
    throw Exit{ExitCode::failed,
               "none of these jobs is dead; list them with: sluice dead " + settings.queue};
  }
}

void run(const DeadSettings& settings, const Common& common) {
  const std::string action = settings.words.empty() ? "list" : settings.words[0];
  if (action == "list") {
    const JobPage page = take(connect(common).dead_list(settings.queue));
    if (common.json) {
      print_json(jobs_json(page.jobs));
    } else {
      print_jobs(page.jobs);
    }
  } else if (action == "redrive") {
    const auto ids = chosen(settings);
    report(common, settings, "redriven", take(connect(common).dead_redrive(settings.queue, ids)));
  } else if (action == "delete") {
    const auto ids = chosen(settings);
    const Client client = connect(common);
    if (settings.is_all && !settings.is_sure &&
        !confirmed(fmt::format("delete every dead job of \"{}\"?", settings.queue))) {
      throw Exit{ExitCode::failed, "nothing was changed"};
    }
    report(common, settings, "deleted", take(client.dead_delete(settings.queue, ids)));
  } else {
    throw Exit{ExitCode::usage,
               fmt::format("\"{}\" is no action; use list, redrive or delete", action)};
  }
}

}  // namespace

void add_dead(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto settings = std::make_shared<DeadSettings>();
  CLI::App* const command = add_command(app, "dead", "List, redrive or delete dead jobs", common);
  command->add_option("QUEUE", settings->queue)->required();
  command->add_option("ACTION", settings->words, "[list | redrive ID… | delete ID…]");
  command->add_flag("--all", settings->is_all, "Every dead job of the queue instead of ids");
  command->add_flag("--yes,-y", settings->is_sure, "Do not ask before delete --all");
  on_run(command, exit_code, [common, settings] { run(*settings, *common); });
}

}  // namespace sluice::cli
