// The core's answers as RESP: which fields they have, in which order. docs/protocol.md shows them.
#pragma once

#include "base/bytes.h"
#include "base/time.h"
#include "model/reply.h"
#include "wire/resp/writer.h"

namespace sluice::native {

/// Turns journal time into unix milliseconds. One for all answers of a batch.
class Calendar {
 public:
  constexpr explicit Calendar(Now now)
      : wall_minus_time_(now.wall.time_since_epoch() - now.time.time_since_epoch()) {}

  /// Unix milliseconds; times that never come stay at the greatest number.
  std::int64_t unix_ms(Time time) const {
    if (time == never) return INT64_MAX;
    return (time.time_since_epoch() + wall_minus_time_).count();
  }

 private:
  Duration wall_minus_time_;
};

/// Appends `answer`. Stats are not rendered here but by info.h.
void render(resp::Writer& out, const model::Answer& answer, const Calendar& calendar);

/// Whether rendering needs to know what time it is.
bool has_times(const model::Answer& answer);

/// About how many bytes an answer keeps in memory while it waits for its turn.
std::size_t held_bytes(const model::Answer& answer);

}  // namespace sluice::native
