// Exit: how a subcommand ends early, and the exit codes that scripts may rely on.
//
// The command line is start-up from end to end, so exceptions are its error path (STYLE rule 15):
// whoever finds that the command cannot go on throws Exit; command.cc prints it and sets the code.
#pragma once

#include <sluice/error.h>

#include <string>
#include <utility>

namespace sluice::cli {

/// Stable; docs/cli.md lists them. 64 and above are sysexits.h, which service managers know.
enum class ExitCode : int {
  ok = 0,
  failed = 1,        ///< Refused, not found, or (job --wait) the job did not succeed.
  usage = 2,         ///< Wrong arguments.
  unavailable = 69,  ///< EX_UNAVAILABLE: the server cannot be reached.
  busy = 75,         ///< EX_TEMPFAIL: a limit refuses for now; the same command may work later.
  interrupted = 130  ///< SIGINT, as shells report it.
};

struct Exit {
  ExitCode code = ExitCode::failed;
  std::string message;  ///< What happened and the next step; empty: it has been said already.
};

/// Which code a script gets for an error of the client or server.
ExitCode exit_code(ErrorCode code);

/// The value, or the end of the command with the error's sentence.
template <class T>
T take(Result<T> result) {
  if (!result) throw Exit{exit_code(result.error().code), std::move(result.error().message)};
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace sluice::cli
