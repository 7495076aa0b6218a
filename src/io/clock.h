// The clocks as a parameter, so that tests and the simulator own time.
#pragma once

#include "base/time.h"

namespace sluice::io {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds of CLOCK_BOOTTIME: never jumps, counts suspended time. Any thread.
  virtual Duration since_boot() = 0;
  /// CLOCK_REALTIME: what the calendar says; may jump. Any thread.
  virtual WallTime wall() = 0;
};

}  // namespace sluice::io
