// What the fields of methods and the properties of messages are made of, besides integers and bits
// (AMQP 0-9-1 §4.2.5); and the number that a method has on the wire.
#pragma once

#include "base/bytes.h"
#include "wire/amqp/table.h"

#include <cstdint>

namespace sluice::amqp {

/// At most 255 bytes. Not necessarily UTF-8: whoever takes it as a name checks that.
struct ShortString {
  ByteView bytes;

  bool operator==(const ShortString&) const = default;
};

struct LongString {
  ByteView bytes;

  bool operator==(const LongString&) const = default;
};

struct MethodId {
  std::uint16_t class_id = 0;
  std::uint16_t method_id = 0;

  bool operator==(const MethodId&) const = default;
};

}  // namespace sluice::amqp
