// Sizes and durations as people write them in a configuration: 512MiB, 10s. Both directions.
#pragma once

#include "base/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::server {

/// `1024`, `1024B`, `64KiB`, `512MiB`, `8GiB`, `1TiB` and the decimal `KB MB GB TB`; letters in any
/// case, one optional space before the unit. A bare K or M is refused: half of the world means
/// 1000.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// The shortest exact spelling with a binary unit: 536870912 is 512MiB, 1000 is 1000B.
std::string bytes_text(std::uint64_t bytes);

/// `1500` (milliseconds), `1500ms`, `30s`, `5m`, `2h`, `7d`; at most duration_max.
std::optional<Duration> parse_duration(std::string_view text);

/// The shortest exact spelling: 90000 ms is 90s, 120000 ms is 2m.
std::string duration_text(Duration duration);

/// A decimal number without sign or spaces.
std::optional<std::uint64_t> parse_count(std::string_view text);

/// For a line that people read: not too long, and nothing in it that a terminal would obey.
std::string printable(std::string_view raw);

}  // namespace sluice::server
