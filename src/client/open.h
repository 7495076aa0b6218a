// How a Core comes to be: connected to a server, or with the engine in this process.
#pragma once

#include "client/core.h"

#include <sluice/options.h>

#include <memory>
#include <string>
#include <string_view>

namespace sluice::client {

/// Connects with its first call. Error: `arg` (not an address).
Result<std::shared_ptr<Core>> remote_core(const boost::asio::any_io_executor& executor,
                                          std::string_view url,
                                          const ClientOptions& options);

/// Recovers the journal in `directory` before it returns. Errors: `io`, `corrupt`.
Result<std::shared_ptr<Core>> embedded_core(const boost::asio::any_io_executor& executor,
                                            const std::string& directory,
                                            const EmbeddedOptions& options);

}  // namespace sluice::client
