// `sluice check DIR --jobs`: every job of a data directory, one JSON object a line.
#pragma once

#include "base/result.h"
#include "io/directory.h"

namespace sluice::server {

/// Prints the jobs as the server would restore them, in the order of the log, with the field names
/// of JOB (docs/protocol.md). Changes nothing. Errors: as engine::for_each_job().
Result<void> print_jobs(io::Directory& directory);

}  // namespace sluice::server
