// Writer: see writer.h.
#include "wire/resp/writer.h"

#include "base/utf8.h"

#include <algorithm>
#include <array>

namespace sluice::resp {
namespace {

constexpr std::array<char, 200> two_digits = [] {
  std::array<char, 200> table{};
  for (std::size_t i = 0; i < 100; ++i) {
    table[2 * i] = static_cast<char>('0' + i / 10);
    table[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return table;
}();

std::size_t decimal_digits(std::uint64_t value) {
  std::size_t count = 1;
  for (;;) {
    if (value < 10) return count;
    if (value < 100) return count + 1;
    if (value < 1000) return count + 2;
    if (value < 10'000) return count + 3;
    value /= 10'000;
    count += 4;
  }
}

void shrink_to(Buffer& out, const char* end) {
  out.truncate(static_cast<std::size_t>(end - out.data()));
}

}  // namespace

char* put_decimal(char* to, std::uint64_t value) {
  char* const end = to + decimal_digits(value);
  char* at = end;
  while (value >= 100) {
    const std::size_t pair = value % 100 * 2;
    value /= 100;
    at -= 2;
    std::memcpy(at, &two_digits[pair], 2);
  }
  if (value >= 10) {
    std::memcpy(at - 2, &two_digits[value * 2], 2);
  } else {
    at[-1] = static_cast<char>('0' + value);
  }
  return end;
}

void Writer::simple(ByteView text) {
  char* at = out_.extend(text.size() + 3);
  *at++ = '+';
  at = put_text(at, text);
  put_text(at, "\r\n");
}

void Writer::error(ByteView code, ByteView message) {
  char* at = out_.extend(code.size() + message.size() + 4);
  *at++ = '-';
  at = put_text(at, code);
  *at++ = ' ';
  while (!message.empty()) {
    const std::size_t size = utf8_size(message);
    if (size == 0) {
      *at++ = '?';
    } else if (is_control(message, size)) {
      at = std::fill_n(at, size, ' ');
    } else {
      at = put_text(at, message.substr(0, size));
    }
    message.remove_prefix(std::max<std::size_t>(size, 1));
  }
  put_text(at, "\r\n");
}

void Writer::integer(std::int64_t value) {
  char* at = out_.extend(digits_max + 4);
  *at++ = ':';
  auto magnitude = static_cast<std::uint64_t>(value);
  if (value < 0) {
    *at++ = '-';
    magnitude = 0 - magnitude;
  }
  at = put_text(put_decimal(at, magnitude), "\r\n");
  shrink_to(out_, at);
}

void Writer::bulk(ByteView bytes) {
  append_bulk(out_, bytes);
}

void Writer::bulk_decimal(std::uint64_t value) {
  char* const at = out_.extend(digits_max + bulk_frame_max);
  shrink_to(out_, put_bulk_decimal(at, value));
}

void Writer::map(std::size_t count) {
  if (version_ == Version::resp3) {
    header('%', count);
  } else {
    header('*', count * 2);
  }
}

void Writer::null() {
  out_.append(version_ == Version::resp3 ? "_\r\n" : "$-1\r\n");
}

void Writer::null_array() {
  out_.append(version_ == Version::resp3 ? "_\r\n" : "*-1\r\n");
}

void Writer::boolean(bool value) {
  if (version_ == Version::resp3) {
    out_.append(value ? "#t\r\n" : "#f\r\n");
  } else {
    integer(value ? 1 : 0);
  }
}

void Writer::verbatim(ByteView text) {
  if (version_ == Version::resp2) return bulk(text);
  header('=', text.size() + 4);
  out_.append("txt:");
  out_.append(text);
  out_.append("\r\n");
}

void Writer::header(char type, std::size_t count) {
  char* const at = out_.extend(digits_max + 3);
  shrink_to(out_, put_header(at, type, count));
}

void append_command(Buffer& out, std::initializer_list<ByteView> arguments) {
  append_array_header(out, arguments.size());
  for (const ByteView argument : arguments)
    append_bulk(out, argument);
}

void append_array_header(Buffer& out, std::size_t count) {
  char* const at = out.extend(digits_max + 3);
  shrink_to(out, put_header(at, '*', count));
}

void append_bulk(Buffer& out, ByteView bytes) {
  char* const at = out.extend(bytes.size() + bulk_frame_max);
  shrink_to(out, put_bulk(at, bytes));
}

}  // namespace sluice::resp
