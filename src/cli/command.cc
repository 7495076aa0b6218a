// Registration of the subcommands and their common behaviour; see command.h and cli.h.
#include "cli/command.h"

#include "cli/cli.h"
#include "cli/units.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <unistd.h>

namespace sluice::cli {

void add_commands(CLI::App& app, int& exit_code) {
  add_push(app, exit_code);
  add_work(app, exit_code);
  add_queues(app, exit_code);
  add_jobs(app, exit_code);
  add_dead(app, exit_code);
  add_top(app, exit_code);
  add_bench(app, exit_code);
  add_backup(app, exit_code);
  add_version(app, exit_code);
}

CLI::App* add_command(CLI::App& app,
                      const std::string& name,
                      const std::string& description,
                      const std::shared_ptr<Common>& common) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--url", common->url, "The server, sluice://HOST:PORT")
      ->envname("SLUICE_URL")
      ->capture_default_str();
  command->add_flag("--json", common->json, "One JSON document on stdout instead of text");
  return command;
}

void on_run(CLI::App* command, int& exit_code, std::function<void()> body) {
  command->callback([&exit_code, body = std::move(body)] {
    ExitCode code = ExitCode::ok;
    try {
      body();
      std::fflush(stdout);
      if (std::ferror(stdout) != 0) {
        throw Exit{ExitCode::failed, "cannot write the output; is the disk full?"};
      }
    } catch (const Exit& end) {
      code = end.code;
      std::fflush(stdout);
      if (!end.message.empty()) fmt::print(stderr, "sluice: {}\n", end.message);
    } catch (const std::exception& unexpected) {
      code = ExitCode::failed;
      fmt::print(stderr, "sluice: {}\n", unexpected.what());
    }
    exit_code = static_cast<int>(code);
  });
}

Client connect(const Common& common, const ClientOptions& options) {
  return take(Client::connect(common.url, options));
}

bool confirmed(const std::string& question) {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return true;
  fmt::print(stderr, "{} [y/N] ", question);
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

JobId job_id(const std::string& text) {
  auto id = JobId::parse(text);
  if (!id) throw Exit{ExitCode::usage, id.error().message};
  return *id;
}

Duration duration(const std::string& text, std::string_view option) {
  const auto parsed = parse_duration(text);
  if (!parsed) {
    throw Exit{ExitCode::usage,
               fmt::format("{}: \"{}\" is no duration; write 1500 (milliseconds), 1500ms, 30s, 5m, "
                           "2h or 7d",
                           option,
                           text)};
  }
  return *parsed;
}

}  // namespace sluice::cli
