// The command line of Sluice: every subcommand but `serve` and `check`.
//
//   CLI::App app("…");
//   int exit_code = 0;
//   sluice::cli::add_commands(app, exit_code);
//   app.parse(argc, argv);  // 2 is the exit code for a CLI::ParseError
//
// Each subcommand is one .cc, registers itself with an add_…() below and does its work in the
// callback that CLI11 runs while parsing. The layer uses include/sluice and base only: the command
// line is a client like any other. Exit codes: exit.h. Reference: docs/cli.md.
#pragma once

namespace CLI {
class App;
}

namespace sluice::cli {

/// Adds all subcommands to `app`. A subcommand that ran leaves its exit code in `exit_code`, which
/// must outlive the parsing, and has said on stderr what went wrong.
void add_commands(CLI::App& app, int& exit_code);

}  // namespace sluice::cli
