// `sluice check DIR`: verifies a data directory that no server uses and says exactly what is wrong;
// with --jobs lists what is in it, with --salvage copies what is intact into a new one.
#pragma once

#include "server/exit.h"

#include <string>

namespace sluice::server {

struct CheckOptions {
  std::string directory;
  std::string salvage_target;  ///< Empty: only check.
  bool json = false;
  bool jobs = false;  ///< List the jobs instead of reporting.
};

/// Prints the report to standard output, problems that prevent one to standard error. Nothing in
/// `directory` is changed. Ends with ok (healthy, or salvaged into a healthy copy), damaged,
/// disk_failure (cannot be read) or in_use.
ExitCode check(const CheckOptions& options);

}  // namespace sluice::server
