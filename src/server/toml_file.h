// A TOML file of settings as a flat list with line numbers. The only place that knows the library.
#pragma once

#include "base/result.h"
#include "server/config.h"

#include <string>
#include <vector>

namespace sluice::server {

struct TomlEntry {
  std::string key;  ///< With the names of the tables around it: "resp.port", "users[0].name".
  RawValue value;
  unsigned line = 0;  ///< 1-based.
};

/// Reads the top level of the file in the order of its lines. Errors: `io` if it cannot be read,
/// `arg` with file and line if it is not TOML.
Result<std::vector<TomlEntry>> read_toml(const std::string& file);

/// Text as a TOML string.
std::string quoted(std::string_view text);

}  // namespace sluice::server
