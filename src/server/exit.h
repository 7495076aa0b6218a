// ExitCode: how `sluice serve` and `sluice check` end, as scripts and service managers see it.
#pragma once

#include "base/result.h"

#include <string>

namespace sluice::server {

/// The names and numbers of sysexits.h; docs/operations.md says what to do about each.
enum class ExitCode : int {
  ok = 0,
  damaged = 1,         ///< `sluice check` found something wrong.
  corrupt = 65,        ///< EX_DATAERR: the journal is damaged; the server does not start.
  unavailable = 69,    ///< EX_UNAVAILABLE: cannot listen, usually because the port is taken.
  refused = 71,        ///< EX_OSERR: the system gave no memory, no thread or no descriptor.
  disk_failure = 74,   ///< EX_IOERR: a write or fsync failed, or the data cannot be read.
  in_use = 75,         ///< EX_TEMPFAIL: another process uses the data directory.
  configuration = 78,  ///< EX_CONFIG.
};

/// Why it ended.
struct Ending {
  ExitCode code = ExitCode::ok;
  std::string message;
};

}  // namespace sluice::server
