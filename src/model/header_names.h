// Names of headers that Sluice itself writes into the record of a job. They begin with a colon, so
// a client's header is never taken for one of them: gateways refuse those (is_reserved_header).
#pragma once

#include "base/bytes.h"

namespace sluice::model {

/// The exchange that the job was published to, and the keys: the first, then each further one.
inline constexpr ByteView exchange_header = ":exchange";
inline constexpr ByteView key_header = ":key";
inline constexpr ByteView more_key_header = ":also";
/// model/death.h.
inline constexpr ByteView deaths_header = ":deaths";
/// The properties of an AMQP message, raw: flags and list.
inline constexpr ByteView properties_header = ":properties";

constexpr bool is_reserved_header(ByteView name) {
  return !name.empty() && name.front() == ':';
}

}  // namespace sluice::model
