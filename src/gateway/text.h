// What people write and read in place of numbers: durations, backoff specifications, policies. The
// same words in every gateway.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "model/job.h"
#include "model/queue_policy.h"

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::gateway {

/// A decimal without sign, spaces or leading "+". Unset: anything else, or beyond 64 bits.
std::optional<std::uint64_t> parse_number(ByteView text);

/// "1500" (milliseconds), "1500ms", "30s", "5m", "2h", "7d"; at most duration_max.
std::optional<Duration> parse_duration(ByteView text);

/// The shortest spelling that parse_duration() reads back: "1500ms", "30s", "0".
std::string format_duration(Duration duration);

/// "exponential 1s cap 10m jitter 20%", "fixed 5s", "linear 5s cap 1m", "list 1s 10s 1m". `cap` and
/// `jitter` may be left out: an exponential backoff then has 10m and 20%, the others no jitter and
/// linear 10m. Error: ARG with the part that is wrong and what is allowed.
Result<model::Backoff> parse_backoff(ByteView text);

/// The spelling that parse_backoff() reads back.
std::string format_backoff(const model::Backoff& backoff);

/// Sets the field of that name (upper or lower case; ATTEMPTS is max_attempts) of `change`. Errors:
/// ARG for an unknown name or a value out of range, with what is allowed.
Result<void> set_policy_field(model::PolicyChange& change, ByteView field, ByteView value);

/// Error ARG or TOOBIG that says what is wrong with `name`, which is none (model/names.h).
Error bad_queue_name(ByteView name);

/// `text` in double quotes for an error message: cut when long, control characters and what is no
/// UTF-8 as \xNN.
std::string shown(ByteView text);

/// Compares with upper-case letters, digits and '_', whatever the case of `text`.
bool is_word(ByteView text, ByteView upper_case);

}  // namespace sluice::gateway
