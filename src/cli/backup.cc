// `sluice backup DIR` and `sluice version`.
#include "cli/command.h"
#include "cli/output.h"
#include "cli/units.h"

#include <fmt/format.h>

#include <filesystem>

#include <CLI/Option.hpp>

namespace sluice::cli {
namespace {

/// Copying is as long as the disk is slow; the call itself has no better bound.
constexpr std::chrono::hours backup_time_max{24};

void backup(const std::string& directory, const Common& common) {
  const std::string path = std::filesystem::absolute(directory).lexically_normal().string();
  const Client client = connect(common, ClientOptions().timeout(backup_time_max));
  const BackupInfo done = take(client.backup(path));
  if (common.json) {
    print_json(boost::json::object{
        {"directory", path}, {"bytes", done.bytes}, {"segments", done.segments}});
  } else {
    fmt::print("copied {} in {} segments to {}; check it with: sluice check {}\n",
               short_bytes(done.bytes),
               done.segments,
               path,
               path);
  }
}

}  // namespace

void add_backup(CLI::App& app, int& exit_code) {
  auto common = std::make_shared<Common>();
  auto directory = std::make_shared<std::string>();
  CLI::App* const command =
      add_command(app, "backup", "Copy a running server's data, consistently", common);
  command
      ->add_option("DIR", *directory, "A directory on the server's machine that does not exist yet")
      ->required();
  on_run(command, exit_code, [common, directory] { backup(*directory, *common); });
}

void add_version(CLI::App& app, int& exit_code) {
  auto is_json = std::make_shared<bool>(false);
  CLI::App* const command = app.add_subcommand("version", "Print the version");
  command->add_flag("--json", *is_json, "One JSON document on stdout instead of text");
  on_run(command, exit_code, [&app, is_json] {
    // The one place that knows is the server's main(), which gave it to --version.
    const std::string version = app.version();
    if (*is_json) {
      print_json(boost::json::object{{"version", version.substr(version.rfind(' ') + 1)}});
    } else {
      fmt::print("{}\n", version);
    }
  });
}

}  // namespace sluice::cli
