// Who uses a data directory right now: asked without becoming a user of it oneself.
#pragma once

#include <optional>
#include <string>

namespace sluice::server {

/// The pid (as text, "unknown" if it did not say) of the process that holds the directory's lock;
/// nothing if nobody does. Creates and changes nothing.
std::optional<std::string> data_user(const std::string& directory);

}  // namespace sluice::server
