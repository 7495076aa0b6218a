// `sluice serve`: the life of the server process, from the configuration to its exit code.
#pragma once

#include "server/config.h"
#include "server/exit.h"

#include <string>

namespace sluice::server {

struct ServeOptions {
  LoadedConfig loaded;
  std::string version;
  std::string notify_socket;  ///< $NOTIFY_SOCKET; empty if no service manager listens.
};

/// Runs until a signal or a failure of the disk ends it. Blocks; call it before the process has
/// other threads. Does not return in two cases, in which it ends the process itself: the disk
/// failed (74), or a second signal asked for haste (0).
ExitCode serve(const ServeOptions& options);

}  // namespace sluice::server
