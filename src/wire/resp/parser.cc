// CommandParser: see parser.h. The states:
//
//   start ──'*'──► bulks ──all arguments──► start          bulks ──too long──► skipping ──► start
//     └──other──► line ──'\n'──► start
#include "wire/resp/parser.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::resp {
namespace {

/// The longest "$<number>" that can still be in range.
constexpr std::size_t header_bytes_max = 20;

enum class Line : std::uint8_t { whole, cut, bad };

struct Header {
  Line line;
  std::size_t bytes;  ///< With the \r\n, if whole.
  std::int64_t number;
};

/// Reads "<type><number>\r\n"; the type byte has been looked at.
inline Header read_header(const char* from, const char* end) {
  const char* at = from + 1;
  const bool is_negative = at != end && *at == '-';
  if (is_negative) ++at;
  const char* const digits = at;
  std::int64_t number = 0;
  const char* const digits_end =
      end - digits > std::ptrdiff_t{15} ? digits + 15 : end;  // 10^15 cannot overflow
  while (at != digits_end) {
    const unsigned digit = static_cast<unsigned char>(*at) - unsigned{'0'};
    if (digit > 9) break;
    number = number * 10 + static_cast<std::int64_t>(digit);
    ++at;
  }
  if (at == end) return {Line::cut, 0, 0};
  if (*at != '\r' || at == digits) return {Line::bad, 0, 0};
  if (at + 1 == end) return {Line::cut, 0, 0};
  if (at[1] != '\n') return {Line::bad, 0, 0};
  return {Line::whole, static_cast<std::size_t>(at + 2 - from), is_negative ? -number : number};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

/// Unquotes one argument in place, from the byte behind its opening quote or its first byte.
/// Returns where the argument's text ends and moves `read` behind it; null: unbalanced quotes.
class Unquoter {
 public:
  Unquoter(char* from, const char* end) : read_(from), write_(from), end_(end) {}

  bool run() {
    while (read_ != end_ && !is_space(*read_)) {
      const char c = *read_;
      if (c == '"' || c == '\'') {
        ++read_;
        // A closing quote ends the argument: what follows must be a space.
        return (c == '"' ? double_quoted() : single_quoted()) &&
               (read_ == end_ || is_space(*read_));
      }
      *write_++ = *read_++;
    }
    return true;
  }

  char* read() const { return read_; }

  const char* write() const { return write_; }

 private:
  bool double_quoted() {
    while (read_ != end_) {
      if (*read_ == '"') return ++read_, true;
      if (*read_ == '\\' && read_ + 1 != end_) {
        ++read_;
        escape();
      } else {
        *write_++ = *read_++;
      }
    }
    return false;
  }

  bool single_quoted() {
    while (read_ != end_) {
      if (*read_ == '\'') return ++read_, true;
      if (*read_ == '\\' && read_ + 1 != end_ && read_[1] == '\'') ++read_;
      *write_++ = *read_++;
    }
    return false;
  }

  void escape() {
    if (*read_ == 'x' && end_ - read_ > 2 && hex_digit(read_[1]) >= 0 && hex_digit(read_[2]) >= 0) {
      *write_++ = static_cast<char>(hex_digit(read_[1]) * 16 + hex_digit(read_[2]));
      read_ += 3;
      return;
    }
    const char c = *read_++;
    switch (c) {
      case 'n':
        *write_++ = '\n';
        break;
      case 'r':
        *write_++ = '\r';
        break;
      case 't':
        *write_++ = '\t';
        break;
      case 'b':
        *write_++ = '\b';
        break;
      case 'a':
        *write_++ = '\a';
        break;
      default:
        *write_++ = c;
        break;
    }
  }

  char* read_;
  char* write_;
  const char* end_;
};

}  // namespace

CommandParser::CommandParser(ParserLimits limits) : limits_(limits) {
  check(limits.command_bytes_max < UINT32_MAX);
}

Outcome CommandParser::next(char* input, std::size_t size) {
  std::size_t passed = 0;  // Empty lines and empty arrays in front: a loop, as they cost nothing.
  for (;;) {
    consumed_ = 0;
    is_nothing_ = false;
    const Outcome outcome = step(input + passed, size - passed);
    passed += consumed_;
    if (is_nothing_) continue;
    consumed_ = passed;
    return outcome;
  }
}

Outcome CommandParser::step(char* input, std::size_t size) {
  base_ = input;
  if (state_ == State::bulks) return parse_bulks(input, size);
  if (state_ == State::line) return parse_inline(input, size);
  if (state_ == State::skipping) return skip(input, size);
  if (size == 0) return incomplete(1);
  if (input[0] == '\r' || input[0] == '\n') return nothing(1);
  spans_.clear();
  at_ = 0;
  if (input[0] == '*') return start_array(input, size);
  state_ = State::line;
  return parse_inline(input, size);
}

Outcome CommandParser::start_array(const char* input, std::size_t size) {
  const Header header = read_header(input, input + size);
  if (header.line == Line::cut && size <= header_bytes_max) return incomplete(size + 1);
  if (header.line != Line::whole || header.number > skip_arguments_max || header.number < -1) {
    return broken("invalid multibulk length");
  }
  if (header.number <= 0) return nothing(header.bytes);  // Empty or null: as in Redis.
  state_ = State::bulks;
  at_ = header.bytes;
  left_ = header.number;
  if (static_cast<std::uint64_t>(header.number) <= limits_.arguments_max) {
    return parse_bulks(input, size);
  }
  Refusal refusal;
  refusal.kind = Refusal::Kind::arguments;
  refusal.value = static_cast<std::uint64_t>(header.number);
  refusal.limit = limits_.arguments_max;
  refuse(input, refusal);
  return skip(input, size);
}

Outcome CommandParser::parse_bulks(const char* input, std::size_t size) {
  const char* const end = input + size;
  while (left_ > 0) {
    const char* const from = input + at_;
    if (from == end) return incomplete(size + 4);
    if (*from != '$') return broken("expected '$' before an argument");
    const Header header = read_header(from, end);
    if (header.line != Line::whole) {
      if (header.line == Line::bad || size - at_ > header_bytes_max) {
        return broken("invalid bulk length");
      }
      return incomplete(size + 1);
    }
    if (header.number < 0) return broken("invalid bulk length");
    const auto bytes = static_cast<std::uint64_t>(header.number);
    const std::size_t content = at_ + header.bytes;
    if (bytes > limits_.bulk_bytes_max || content + bytes > limits_.command_bytes_max) {
      if (bytes > skip_bytes_max) return broken("invalid bulk length");
      return refuse_argument(input, size, content, bytes);
    }
    if (size - content < bytes + 2) return incomplete(content + bytes + 2);
    const char* const behind = input + content + bytes;
    if (behind[0] != '\r' || behind[1] != '\n') return broken("an argument is not as long as said");
    spans_.push_back({static_cast<std::uint32_t>(content), static_cast<std::uint32_t>(bytes)});
    at_ = content + bytes + 2;
    --left_;
  }
  return finished(Outcome::command, at_);
}

Outcome CommandParser::refuse_argument(const char* input,
                                       std::size_t size,
                                       std::size_t content,
                                       std::uint64_t bytes) {
  Refusal refusal;
  refusal.argument = spans_.size();
  if (bytes > limits_.bulk_bytes_max) {
    refusal.kind = Refusal::Kind::argument_bytes;
    refusal.value = bytes;
    refusal.limit = limits_.bulk_bytes_max;
  } else {
    refusal.kind = Refusal::Kind::command_bytes;
    refusal.value = content + bytes;
    refusal.limit = limits_.command_bytes_max;
  }
  at_ = content;
  skip_ = bytes + 2;
  --left_;
  refuse(input, refusal);
  return skip(input, size);
}

Outcome CommandParser::parse_inline(char* input, std::size_t size) {
  check(at_ <= size);
  const void* found = std::memchr(input + at_, '\n', size - at_);
  if (found == nullptr) {
    if (size > inline_bytes_max) return broken("too big inline request");
    at_ = size;
    return incomplete(size + 1);
  }
  const char* const end = static_cast<const char*>(found);
  const auto line_bytes = static_cast<std::size_t>(end - input) + 1;
  if (line_bytes > inline_bytes_max) return broken("too big inline request");
  char* at = input;
  for (;;) {
    while (at != end && is_space(*at))
      ++at;
    if (at == end) break;
    char* const from = at;
    Unquoter unquoter(from, end);
    if (!unquoter.run()) {
      refusal_ = {};
      refusal_.kind = Refusal::Kind::quotes;
      return finished(Outcome::refused, line_bytes);
    }
    spans_.push_back({static_cast<std::uint32_t>(from - input),
                      static_cast<std::uint32_t>(unquoter.write() - from)});
    at = unquoter.read();
  }
  if (spans_.empty()) return nothing(line_bytes);
  return finished(Outcome::command, line_bytes);
}

/// Drops the bytes of a refused command as they arrive, argument by argument.
Outcome CommandParser::skip(const char* input, std::size_t size) {
  for (;;) {
    const std::size_t dropped = std::min<std::uint64_t>(skip_, size - at_);
    skip_ -= dropped;
    at_ += dropped;
    if (skip_ == 0 && left_ == 0) return finished(Outcome::refused, at_);
    if (at_ == size) break;
    if (input[at_] != '$') return broken("expected '$' before an argument");
    const Header header = read_header(input + at_, input + size);
    if (header.line == Line::cut) {
      if (size - at_ > header_bytes_max) return broken("invalid bulk length");
      break;
    }
    if (header.line == Line::bad || header.number < 0 ||
        static_cast<std::uint64_t>(header.number) > skip_bytes_max) {
      return broken("invalid bulk length");
    }
    at_ += header.bytes;
    skip_ = static_cast<std::uint64_t>(header.number) + 2;
    --left_;
  }
  consumed_ = std::exchange(at_, 0);
  needed_ = size - consumed_ + 1;
  return Outcome::incomplete;
}

void CommandParser::refuse(const char* input, Refusal refusal) {
  refusal_ = refusal;
  if (!spans_.empty()) {
    const std::size_t bytes = std::min<std::size_t>(spans_[0].size, sizeof refusal_.command - 1);
    std::memcpy(refusal_.command, input + spans_[0].offset, bytes);
  }
  spans_.clear();
  state_ = State::skipping;
}

Outcome CommandParser::nothing(std::size_t bytes) {
  is_nothing_ = true;
  return finished(Outcome::incomplete, bytes);
}

Outcome CommandParser::incomplete(std::size_t needed) {
  needed_ = needed;
  return Outcome::incomplete;
}

Outcome CommandParser::broken(ByteView problem) {
  problem_ = problem;
  return Outcome::broken;
}

Outcome CommandParser::finished(Outcome outcome, std::size_t bytes) {
  state_ = State::start;
  consumed_ = bytes;
  at_ = 0;
  return outcome;
}

}  // namespace sluice::resp
