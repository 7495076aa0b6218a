// Durations, times, sizes and counts as people write and read them, and bytes made printable.
#pragma once

#include "base/bytes.h"
#include "base/time.h"

#include <sluice/job.h>

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::cli {

/// "1500" (milliseconds), "1500ms", "30s", "5m", "2h", "7d"; at most duration_max (base/time.h).
std::optional<Duration> parse_duration(std::string_view text);

/// Two units at most: "250ms", "1.5s", "3m20s", "2h5m", "7d3h".
std::string short_duration(Duration duration);
/// "2026-10-03 14:05:09.123Z".
std::string iso_time(SystemTime time);
/// "3m20s ago", "in 5s", "now".
std::string relative_time(SystemTime time, SystemTime now);
/// 1234567 → "1,234,567".
std::string grouped(std::uint64_t number);
/// The same, and a dash for 0.
std::string grouped_or_dash(std::uint64_t number);
/// Of max_attempts: "25"; 0 is "no limit".
std::string attempts_text(unsigned max);
/// Three digits: "0", "12.3", "1.23k", "45.6M".
std::string short_rate(double per_second);
/// "512 B", "1.5 KiB", "3.2 GiB".
std::string short_bytes(std::uint64_t bytes);

bool is_utf8(ByteView bytes);
/// The bytes with control characters, backslashes and what is no UTF-8 as \n, \t, \\ or \xNN: safe
/// to print on a terminal, whatever a payload contains.
std::string escaped(ByteView bytes);
/// At most `columns` characters of escaped text; the rest becomes "…".
std::string clipped(ByteView escaped_text, std::size_t columns);
/// Characters (code points) of UTF-8 text.
std::size_t width(ByteView text);

}  // namespace sluice::cli
