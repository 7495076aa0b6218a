// Deaths: where a job that was dead-lettered has died, and why. The newest is the first. Kept in a
// header of the job's record (header_names.h), so that whoever gets the job next can see them.
#pragma once

#include "base/bytes.h"
#include "base/time.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::model {

/// Stored in the journal: numbers are final.
enum class DeathReason : std::uint8_t {
  rejected = 0,        ///< A worker said that it is not to run again.
  expired = 1,         ///< Its ttl ran out before it was started.
  max_length = 2,      ///< Its queue was full.
  delivery_limit = 3,  ///< Its attempts are used up.
};
inline constexpr std::size_t death_reason_count = 4;

/// As RabbitMQ writes it: rejected, expired, maxlen, delivery_limit.
ByteView name(DeathReason reason);

struct Death {
  std::string queue;
  DeathReason reason{};
  std::uint64_t count = 1;        ///< How often it died there for this reason.
  WallTime time;                  ///< Of the first time.
  std::string exchange;           ///< That it was published to then …
  std::vector<std::string> keys;  ///< … and with.

  friend bool operator==(const Death&, const Death&) = default;
};

/// One after the other: sized8 queue, u8 reason, u64 count, i64 time, sized8 exchange, u8 number of
/// keys, sized8 each.
std::string encode_deaths(const std::vector<Death>& deaths);
/// Ends where the bytes stop making sense.
std::vector<Death> decode_deaths(ByteView bytes);

}  // namespace sluice::model
