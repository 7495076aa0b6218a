// Content: what a simulated job carries. All of it follows from its uid and two sizes, so that a
// delivery can be compared byte for byte without keeping what was pushed.
#pragma once

#include "sim/history/history.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::sim {

struct Content {
  std::string type;
  std::string payload;  ///< Starts with the uid, in decimal, and a colon.
  std::vector<std::pair<std::string, std::string>> headers;

  friend bool operator==(const Content&, const Content&) = default;
};

Content content_of(Uid uid, std::size_t payload_bytes, std::size_t headers);

/// The uid that a payload names; 0: none.
Uid uid_of(std::string_view payload);

}  // namespace sluice::sim
