// Writer: RESP values appended to a Buffer, as RESP2 or RESP3; and the pieces for callers that know
// the size of what they write and want it without a check per piece.
#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace sluice::resp {

enum class Version : std::uint8_t { resp2 = 2, resp3 = 3 };

/// Longest decimal of a 64-bit number, with its sign.
inline constexpr std::size_t digits_max = 20;
/// Most that framing adds to a bulk string: "$", length, two line ends.
inline constexpr std::size_t bulk_frame_max = 1 + digits_max + 4;

/// Writes `value` in decimal at `to` (room for digits_max) and returns the byte behind it.
char* put_decimal(char* to, std::uint64_t value);

inline char* put_text(char* to, ByteView text) {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

/// "<type><number>\r\n"
inline char* put_header(char* to, char type, std::uint64_t number) {
  *to++ = type;
  // Most lengths have one digit.
  if (number < 10) {
    *to++ = static_cast<char>('0' + number);
  } else {
    to = put_decimal(to, number);
  }
  *to++ = '\r';
  *to++ = '\n';
  return to;
}

inline char* put_bulk(char* to, ByteView bytes) {
  to = put_text(put_header(to, '$', bytes.size()), bytes);
  *to++ = '\r';
  *to++ = '\n';
  return to;
}

/// A number as a bulk string: ids and tokens.
inline char* put_bulk_decimal(char* to, std::uint64_t value) {
  char digits[digits_max];
  const char* const end = put_decimal(digits, value);
  return put_bulk(to, {digits, static_cast<std::size_t>(end - digits)});
}

class Writer {
 public:
  Writer(Buffer& out, Version version) : out_(out), version_(version) {}

  Version version() const { return version_; }

  Buffer& buffer() { return out_; }

  /// "+OK" and its like; `text` has no line end.
  void simple(ByteView text);
  /// "-CODE message". Of the message, control characters become spaces, and what is
  /// no UTF-8 question marks.
  void error(ByteView code, ByteView message);
  void integer(std::int64_t value);
  void bulk(ByteView bytes);
  void bulk_decimal(std::uint64_t value);

  void array(std::size_t count) { header('*', count); }

  /// A map of `count` pairs; in RESP2 a flat array of twice as many elements.
  void map(std::size_t count);
  /// Null; "$-1" in RESP2.
  void null();
  /// Null where an array would be; "*-1" in RESP2.
  void null_array();
  /// A boolean; 1 or 0 in RESP2.
  void boolean(bool value);
  /// Text for people; a bulk string in RESP2.
  void verbatim(ByteView text);

 private:
  void header(char type, std::size_t count);

  Buffer& out_;
  Version version_;
};

/// A client's request: an array of bulk strings.
void append_command(Buffer& out, std::initializer_list<ByteView> arguments);

/// The same in pieces: the header, then as many append_bulk() as it says.
void append_array_header(Buffer& out, std::size_t count);
void append_bulk(Buffer& out, ByteView bytes);

}  // namespace sluice::resp
