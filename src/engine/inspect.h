// What is in a data directory that no server uses: its jobs, as a server would restore them.
#pragma once

#include "base/result.h"
#include "io/directory.h"
#include "model/reply.h"

#include <functional>

namespace sluice::engine {

using OnJob = std::function<void(const model::JobInfo&)>;

/// Calls `on_job` for every job in the order of their records in the log, and changes nothing. The
/// state is that of the moment at which the last server ended: a start would then give leases their
/// grace and fire timers. Payload, headers and type are set; of a result only its size is (the
/// log's own bytes are read twice, front to back, and nowhere else). Errors: as Engine::open.
Result<void> for_each_job(io::Directory& directory, const OnJob& on_job);

}  // namespace sluice::engine
