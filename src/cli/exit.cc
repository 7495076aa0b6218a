// Error codes of the API as exit codes of the process.
#include "cli/exit.h"

namespace sluice::cli {

ExitCode exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::busy:
      return ExitCode::busy;
    case ErrorCode::closed:
    case ErrorCode::timed_out:
      return ExitCode::unavailable;
    case ErrorCode::arg:
      return ExitCode::usage;
    case ErrorCode::cancelled:
      return ExitCode::interrupted;
    case ErrorCode::stale:
    case ErrorCode::no_job:
    case ErrorCode::no_queue:
    case ErrorCode::no_exchange:
    case ErrorCode::too_big:
    case ErrorCode::no_auth:
    case ErrorCode::no_perm:
    case ErrorCode::exists:
    case ErrorCode::unknown:
    case ErrorCode::protocol:
    case ErrorCode::io:
    case ErrorCode::corrupt:
      return ExitCode::failed;
  }
  return ExitCode::failed;
}

}  // namespace sluice::cli
