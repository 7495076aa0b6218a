// Time: what the core calls now. Milliseconds, two kinds that do not mix.
//
// Time is journal time: it starts at the wall clock when the server starts (never before the last
// time in the journal), then follows CLOCK_BOOTTIME and so never jumps (RELIABILITY T1, T2).
// WallTime is what the calendar says; only `AT` and what people read use it.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice {

using Duration = std::chrono::milliseconds;
using Time = std::chrono::time_point<struct JournalClock, Duration>;
using WallTime = std::chrono::time_point<struct WallClock, Duration>;

/// Both clocks, read once per engine cycle and passed in.
struct Now {
  Time time;
  WallTime wall;
};

/// Later than everything: no deadline.
inline constexpr Time never = Time::max();
/// The year 9999: no time or duration that a client names may reach beyond (RELIABILITY T3).
inline constexpr Duration duration_max = std::chrono::hours(24 * 365) * 1000;

}  // namespace sluice
