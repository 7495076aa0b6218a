// `sluice queues` and `sluice queue NAME …`: look at queues, set their policy, pause, empty,
// delete.
#include "cli/command.h"
#include "cli/output.h"
#include "cli/units.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <CLI/Option.hpp>

namespace sluice::cli {
namespace {

namespace json = boost::json;

struct QueueSettings {
  std::vector<std::string> words;  ///< NAME [ACTION [ARGUMENT…]]
  bool is_sure = false;
};

void list(const Common& common) {
  const std::vector<QueueInfo> queues = take(connect(common).queue_list());
  if (common.json) {
    json::array all;
    for (const QueueInfo& queue : queues)
      all.emplace_back(to_json(queue));
    print_json(all);
    return;
  }
  using Align = Table::Align;
  Table table({{"QUEUE"},
               {"READY", Align::right},
               {"SCHEDULED", Align::right},
               {"WAITING", Align::right},
               {"LEASED", Align::right},
               {"RETRY", Align::right},
               {"DEAD", Align::right},
               {"WORKERS", Align::right},
               {"OLDEST", Align::right},
               {"", Align::left}});
  for (const QueueInfo& queue : queues) {
    table.add({queue.name,
               grouped_or_dash(queue.count(JobState::ready)),
               grouped_or_dash(queue.count(JobState::scheduled)),
               grouped_or_dash(queue.count(JobState::waiting)),
               grouped_or_dash(queue.count(JobState::leased)),
               grouped_or_dash(queue.count(JobState::retry)),
               grouped_or_dash(queue.count(JobState::dead)),
               grouped_or_dash(queue.waiting_pulls),
               queue.count(JobState::ready) > 0 ? short_duration(queue.oldest_ready) : "-",
               queue.paused ? "paused" : ""});
  }
  if (table.empty()) {
    fmt::print("no queues yet; the first push makes one: sluice push mail welcome '{{}}'\n");
  } else {
    table.print();
  }
}

void print_queue(const QueueInfo& queue) {
  fmt::print("queue {}{}\n\n", queue.name, queue.paused ? " (paused)" : "");
  Table states({{"STATE"}, {"JOBS", Table::Align::right}});
  for (std::size_t i = 0; i < queue.jobs.size(); ++i) {
    states.add({std::string(name(static_cast<JobState>(i))), grouped(queue.jobs.at(i))});
  }
  states.print();
  const auto limit = [](std::uint64_t value, const char* none) {
    return value == 0 ? std::string(none) : grouped(value);
  };
  fmt::print("\n");
  Table policy({{"POLICY"}, {"VALUE"}});
  policy.add({"priority", std::to_string(queue.priority)});
  policy.add({"delay", short_duration(queue.delay)});
  policy.add({"max_attempts", attempts_text(queue.max_attempts)});
  policy.add({"backoff", queue.backoff});
  policy.add({"timeout", short_duration(queue.timeout)});
  policy.add({"ttl", queue.ttl.count() == 0 ? "never expires" : short_duration(queue.ttl)});
  policy.add({"keep", short_duration(queue.keep)});
  policy.add({"keep_max", grouped(queue.keep_max)});
  policy.add({"max_length", limit(queue.max_length, "the server's limit")});
  policy.add({"overflow", queue.overflow});
  policy.add({"dead_letter", queue.dead_letter.empty() ? "stay here, dead" : queue.dead_letter});
  policy.print();
  fmt::print("\n");
  Table totals({{"SINCE THE SERVER STARTED"}, {"", Table::Align::right}});
  totals.add({"pushed", grouped(queue.pushed_total)});
  totals.add({"pulled", grouped(queue.pulled_total)});
  totals.add({"succeeded", grouped(queue.succeeded_total)});
  totals.add({"failed", grouped(queue.failed_total)});
  totals.add({"dead", grouped(queue.dead_total)});
  totals.print();
}

void show(const Client& client, const std::string& queue, const Common& common) {
  const QueueInfo info = take(client.queue_get(queue));
  if (common.json) {
    print_json(to_json(info));
  } else {
    print_queue(info);
  }
}

void set(const Client& client, const QueueSettings& settings, const Common& common) {
  const auto& words = settings.words;
  if (words.size() < 4 || words.size() % 2 != 0) {
    throw Exit{ExitCode::usage,
               "set takes fields with values: sluice queue NAME set max_attempts 5 backoff \"fixed "
               "5s\"; the fields are priority delay max_attempts backoff timeout ttl keep keep_max "
               "max_length overflow dead_letter"};
  }
  QueueChange change;
  for (std::size_t i = 2; i < words.size(); i += 2)
    change.set(words[i], words[i + 1]);
  take(client.queue_set(words[0], change));
  show(client, words[0], common);
}

void report_removed(std::uint64_t jobs, const std::string& queue, const Common& common) {
  if (common.json) {
    print_json(json::object{{"queue", queue}, {"removed", jobs}});
  } else {
    fmt::print("removed {} jobs of \"{}\"\n", grouped(jobs), queue);
  }
}

/// Asks first on a terminal; `what` ends the question.
void ask(const Client& client, const QueueSettings& settings, const char* what) {
  const QueueInfo info = take(client.queue_get(settings.words[0]));
  std::uint64_t jobs = 0;
  for (const std::uint64_t some : info.jobs)
    jobs += some;
  const std::string question =
      fmt::format("\"{}\" holds {} jobs; {}?", info.name, grouped(jobs), what);
  if (jobs > 0 && !settings.is_sure && !confirmed(question)) {
    throw Exit{ExitCode::failed, "nothing was changed"};
  }
}

void run(const QueueSettings& settings, const Common& common) {
  const std::string& queue = settings.words[0];
  const std::string action = settings.words.size() > 1 ? settings.words[1] : "show";
  if (action != "set" && settings.words.size() > 2) {
    throw Exit{ExitCode::usage, fmt::format("{} takes no further arguments", action)};
  }
  const Client client = connect(common);
  if (action == "show") {
    show(client, queue, common);
  } else if (action == "set") {
    set(client, settings, common);
  } else if (action == "pause") {
    take(client.queue_pause(queue));
    show(client, queue, common);
  } else if (action == "resume") {
    take(client.queue_resume(queue));
    show(client, queue, common);
  } else if (action == "purge") {
    ask(client, settings, "remove all that are not being worked on");
    report_removed(take(client.queue_purge(queue)), queue, common);
  } else if (action == "delete") {
    ask(client, settings, "delete the queue with them");
    take(client.queue_delete(queue));
    if (common.json) {
      print_json(json::object{{"queue", queue}, {"deleted", true}});
    } else {
      fmt::print("deleted \"{}\"\n", queue);
    }
  } else {
    throw Exit{
        ExitCode::usage,
        fmt::format("\"{}\" is no action; use show, set, pause, resume, purge or delete", action)};
  }
}

}  // namespace

void add_queues(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  CLI::App* const all = add_command(app, "queues", "List the queues", common);
  on_run(all, exit_code, [common] { list(*common); });

  auto one_common = std::make_shared<Common>();
  auto settings = std::make_shared<QueueSettings>();
  CLI::App* const one =
      add_command(app, "queue", "Show, set, pause, resume, purge or delete a queue", one_common);
  one->add_option("NAME",
                  settings->words,
                  "NAME [show | set FIELD VALUE … | pause | resume | purge | delete]")
      ->required();
  one->add_flag("--yes,-y", settings->is_sure, "Do not ask before purge and delete");
  on_run(one, exit_code, [one_common, settings] { run(*settings, *one_common); });
}

}  // namespace sluice::cli
