// UTF-8 (RFC 3629), one character at a time.
#pragma once

#include "base/bytes.h"

namespace sluice {

/// Bytes of the character at the front; 0 if there is none. Overlong forms, surrogates and code
/// points beyond U+10FFFF are none. Requires that `text` is not empty.
constexpr std::size_t utf8_size(ByteView text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return size;
}

/// Whether the character at the front, of `size` bytes, steers a terminal: C0, DEL and C1
/// (U+0080–U+009F), which some take for escape sequences.
constexpr bool is_control(ByteView text, std::size_t size) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (size == 1) return first < 0x20 || first == 0x7f;
  return size == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
}

}  // namespace sluice
