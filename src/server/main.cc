// sluice: the one program. `serve`, `check` and `hash-password` are here, every other subcommand is
// a client (cli/).
#include "cli/cli.h"
#include "server/check_command.h"
#include "server/config.h"
#include "server/last_resort.h"
#include "server/serve.h"
#include "server/users.h"

#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

namespace sluice::server {
namespace {

// What the command line said of `sluice serve`.
struct ServeArguments {
  std::map<std::string, std::string> values;  // By key of the setting.
  std::string file;
  bool print_config = false;
  bool print_example = false;
  bool print_markdown = false;
};

int exit_value(ExitCode code) {
  return static_cast<int>(code);
}

std::vector<std::pair<std::string, std::string>> environment() {
  std::vector<std::pair<std::string, std::string>> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    all.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  return all;
}

int run_serve(const CLI::App& command, const ServeArguments& arguments) {
  if (arguments.print_example) return std::fputs(example_toml().c_str(), stdout) < 0 ? 1 : 0;
  if (arguments.print_markdown) return std::fputs(markdown_table().c_str(), stdout) < 0 ? 1 : 0;
  ConfigSources sources;
  sources.environment = environment();
  if (command.count("--config") > 0) sources.file = arguments.file;
  for (const Setting& setting : settings()) {
    const std::string key(setting.key);
    if (command.count(flag_name(key)) > 0)
      sources.flags.emplace_back(key, arguments.values.at(key));
  }
  Result<LoadedConfig> loaded = load_config(sources);
  if (!loaded) {
    std::fprintf(
        stderr, "sluice: the configuration has problems:\n%s\n", loaded.error().message.c_str());
    return exit_value(ExitCode::configuration);
  }
  if (arguments.print_config) return std::fputs(printed(*loaded).c_str(), stdout) < 0 ? 1 : 0;
  ServeOptions options{std::move(*loaded), SLUICE_VERSION, ""};
  for (const auto& [variable, value] : sources.environment) {
    if (variable == "NOTIFY_SOCKET") options.notify_socket = value;
  }
  return exit_value(serve(options));
}

void add_serve(CLI::App& app, ServeArguments& arguments, int& exit_code) {
  CLI::App* command = app.add_subcommand("serve", "Run the server");
  command->footer(
      "Each flag is also a key of the TOML file (--io-threads: io_threads) and a variable "
      "(SLUICE_IO_THREADS).\nA flag wins over the variable, the variable over the file. "
      "docs/configuration.md says more.");
  command
      ->add_option("--config", arguments.file, "Read settings from this TOML file (SLUICE_CONFIG)")
      ->type_name("FILE");
  for (const Setting& setting : settings()) {
    const std::string key(setting.key);
    command
        ->add_option(flag_name(key),
                     arguments.values[key],
                     std::string(setting.help) + " [" + setting.toml(Config{}) + "]")
        ->type_name(std::string(setting.value));
  }
  command->add_flag("--print-config",
                    arguments.print_config,
                    "Print every setting with its value and source, and exit");
  // For the build: the files that repeat the table of settings are made with these.
  command->add_flag("--print-example-config", arguments.print_example)->group("");
  command->add_flag("--print-settings-table", arguments.print_markdown)->group("");
  command->callback(
      [command, &arguments, &exit_code] { exit_code = run_serve(*command, arguments); });
}

void add_check(CLI::App& app, CheckOptions& options, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("check", "Verify a data directory while no server uses it");
  command->add_option("dir", options.directory, "The data directory, or a backup")->required();
  CLI::Option* salvage = command
                             ->add_option("--salvage",
                                          options.salvage_target,
                                          "Copy everything that is intact into this new directory")
                             ->type_name("DIR");
  CLI::Option* json = command->add_flag("--json", options.json, "Report as one JSON object");
  command
      ->add_flag("--jobs",
                 options.jobs,
                 "List the jobs as the server would restore them, one JSON object a line")
      ->excludes(salvage)
      ->excludes(json);
  command->footer("Exit codes: 0 healthy, 1 damaged, 74 cannot be read, 75 in use by a server.");
  command->callback([&options, &exit_code] { exit_code = exit_value(check(options)); });
}

void add_hash_password(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "hash-password", "Read a password, print the hash for a user in the configuration");
  command->footer(
      "The password is the first line of standard input; a terminal does not show it.\n"
      "docs/configuration.md says where the hash goes.");
  command->callback([&exit_code] { exit_code = print_password_hash(); });
}

int run(int argc, char** argv) {
  CLI::App app("Sluice: a durable job queue. Start with: sluice serve");
  app.name("sluice");
  app.set_version_flag("--version", "sluice " SLUICE_VERSION);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Print help of all subcommands");
  int exit_code = 0;
  ServeArguments serve_arguments;
  CheckOptions check_options;
  add_serve(app, serve_arguments, exit_code);
  add_check(app, check_options, exit_code);
  add_hash_password(app, exit_code);
  cli::add_commands(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    constexpr int usage = 2;
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty()) {
      std::fprintf(
          stderr, "sluice: there is no command \"%s\"; `sluice --help` lists them\n", argv[1]);
      return usage;
    }
    return app.exit(error) == 0 ? 0 : usage;
  }
  return exit_code;
}

}  // namespace
}  // namespace sluice::server

int main(int argc, char** argv) {
  sluice::server::end_clearly_when_refused();
  return sluice::server::run(argc, argv);
}
