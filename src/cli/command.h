// What the subcommands share: registration, --url, --json, and the way errors end a command.
//
//   void add_queues(CLI::App& app, int& exit_code) {
//     auto common = std::make_shared<Common>();
//     CLI::App* command = add_command(app, "queues", "List the queues", common);
//     on_run(command, exit_code, [common] { … });
//   }
#pragma once

#include "cli/exit.h"

#include <sluice/client.h>

#include <functional>
#include <memory>
#include <string>

#include <CLI/App.hpp>

namespace sluice::cli {

/// Options of every subcommand that talks to a server.
struct Common {
  std::string url = "sluice://127.0.0.1:7770";
  bool json = false;
};

/// Adds a subcommand with --url and --json, which are bound to `common`.
CLI::App* add_command(CLI::App& app,
                      const std::string& name,
                      const std::string& description,
                      const std::shared_ptr<Common>& common);

/// Runs `body` when the subcommand was given. An Exit it throws is printed and becomes `exit_code`.
void on_run(CLI::App* command, int& exit_code, std::function<void()> body);

/// Connects or ends the command with ExitCode::unavailable.
Client connect(const Common& common, const ClientOptions& options = {});

/// Asks on the terminal before something irreversible; true without a terminal (scripts mean it).
bool confirmed(const std::string& question);

/// An id as a user typed it, or the end of the command.
JobId job_id(const std::string& text);
/// A duration as a user typed it, or the end of the command; `option` names where.
Duration duration(const std::string& text, std::string_view option);

void add_push(CLI::App& app, int& exit_code);
void add_work(CLI::App& app, int& exit_code);
void add_queues(CLI::App& app, int& exit_code);  ///< `queues` and `queue`.
void add_jobs(CLI::App& app, int& exit_code);    ///< `jobs` and `job`.
void add_dead(CLI::App& app, int& exit_code);
void add_top(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_backup(CLI::App& app, int& exit_code);
void add_version(CLI::App& app, int& exit_code);

}  // namespace sluice::cli
