// Points in time as people and other programs write them: ISO 8601 (RFC 3339 and what Python's
// isoformat() makes).
#pragma once

#include "base/bytes.h"
#include "base/time.h"

#include <optional>

namespace sluice::amqp {

/// "2026-11-27T10:00:00.123456+01:00", "2026-11-27 10:00:00Z"; without a zone: UTC. Nothing for
/// anything else, or years before 1970 or after 9999.
std::optional<WallTime> parse_instant(ByteView text);

}  // namespace sluice::amqp
