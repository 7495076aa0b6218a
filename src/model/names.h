// What a queue or an exchange may be called: whatever a person can read, as AMQP has it. 1 to
// queue_name_bytes_max bytes of UTF-8 without control characters.
#pragma once

#include "base/utf8.h"
#include "model/limits.h"

namespace sluice::model {

constexpr bool is_name(ByteView name) {
  if (name.empty() || name.size() > queue_name_bytes_max) return false;
  while (!name.empty()) {
    const std::size_t size = utf8_size(name);
    if (size == 0 || is_control(name, size)) return false;
    name.remove_prefix(size);
  }
  return true;
}

}  // namespace sluice::model
