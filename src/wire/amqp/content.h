// ContentHeader and Properties: what the payload of a header frame says about a message (AMQP 0-9-1
// §2.3.5.2 and §4.2.6.1).
//
//   class: 2 octets, 60   weight: 2, always 0   body size: 8   property flags: 2   property list
//
// A flag tells that its property is in the list; the highest bit is the first property. Flags and
// list together are the raw properties: a server that only hands a message on keeps those bytes and
// writes them out again as they are.
#pragma once

#include "base/bytes.h"
#include "wire/amqp/fields.h"
#include "wire/amqp/reply_code.h"

#include <cstdint>
#include <optional>

namespace sluice::amqp {

/// Messages are of the class basic.
inline constexpr std::uint16_t content_class_id = 60;

/// All of a message but where it goes.
struct Content {
  ByteView properties;  ///< Raw.
  ByteView body;
};

struct ContentHeader {
  std::uint16_t class_id = 0;
  std::uint64_t body_bytes = 0;
  ByteView properties;  ///< Raw. Into the payload.
};

/// In the order of their flags. Views what they were read from.
struct Properties {
  std::optional<ShortString> content_type;
  std::optional<ShortString> content_encoding;
  std::optional<Table> headers;
  std::optional<std::uint8_t> delivery_mode;  ///< 2: durable.
  std::optional<std::uint8_t> priority;
  std::optional<ShortString> correlation_id;
  std::optional<ShortString> reply_to;
  std::optional<ShortString> expiration;  ///< Milliseconds, in decimal.
  std::optional<ShortString> message_id;
  std::optional<std::uint64_t> timestamp;  ///< Seconds since 1970.
  std::optional<ShortString> type;
  std::optional<ShortString> user_id;
  std::optional<ShortString> app_id;
  std::optional<ShortString> cluster_id;
};

/// Does not look into the properties. 502 SYNTAX_ERROR if it is too short or has a weight.
Parsed<ContentHeader> decode_content_header(ByteView payload);

/// One pass over all of `raw`, headers validated. 502 SYNTAX_ERROR if the list is cut short or too
/// long, or a flag has no property: the continuation flag (bit 0) is one of those, as no class has
/// more than 15 properties.
Parsed<Properties> decode_properties(ByteView raw);

/// Raw properties, as decode_properties() reads them.
void append_properties(Buffer& out, const Properties& properties);

}  // namespace sluice::amqp
