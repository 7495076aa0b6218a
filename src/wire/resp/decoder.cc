// Decoder: see decoder.h. One item (a line, a string, the head of an aggregate) at a time;
// aggregates that are not complete lie on a stack of our own, so depth costs no call stack.
#include "wire/resp/decoder.h"

#include <charconv>
#include <limits>
#include <utility>

namespace sluice::resp {
namespace {

bool read_number(ByteView text, std::int64_t& number) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool read_real(ByteView text, double& real) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

Decoded Decoder::next(ByteView input, Value& into) {
  consumed_ = 0;
  for (;;) {
    item_bytes_ = 0;
    const Step step = read_item(input.substr(consumed_));
    if (step == Step::incomplete) return Decoded::incomplete;
    if (step == Step::broken) return Decoded::broken;
    consumed_ += item_bytes_;
    scanned_ = 0;
    if (!has_item_) continue;
    if (place()) {
      into = std::move(item_);
      values_ = 0;
      return Decoded::value;
    }
  }
}

Decoder::Step Decoder::read_item(ByteView input) {
  const std::size_t line_end = input.find('\n', scanned_);
  if (line_end == ByteView::npos) {
    if (input.size() > line_bytes_max) return broken("a line is longer than 64 KiB");
    scanned_ = input.size();
    needed_ = input.size() + 1;
    return Step::incomplete;
  }
  if (line_end < 2 || input[line_end - 1] != '\r') return broken("a line does not end in CR LF");
  if (line_end > line_bytes_max) return broken("a line is longer than 64 KiB");
  const char type = input[0];
  const ByteView line = input.substr(1, line_end - 2);
  const std::size_t header_bytes = line_end + 1;
  if (values_ >= limits_.values_max) return broken("a reply has too many values");
  switch (type) {
    case '$':
    case '!':
    case '=':
    case '*':
    case '~':
    case '>':
    case '%':
    case '|':
      break;
    default:
      item_bytes_ = header_bytes;
      return read_line_value(type, line);
  }
  std::int64_t length = 0;
  if (!read_number(line, length) || length < -1) return broken("a length is not a number");
  if (type == '$' || type == '!' || type == '=') {
    return read_text(type, length, input.substr(header_bytes), header_bytes);
  }
  item_bytes_ = header_bytes;
  return open(type, length);
}

Decoder::Step Decoder::read_line_value(char type, ByteView line) {
  item_ = Value();
  has_item_ = true;
  bool is_right = true;
  switch (type) {
    case '+':
    case '-':
    case '(':
      item_.kind = type == '+' ? Kind::simple : type == '-' ? Kind::error : Kind::big_number;
      item_.text = line;
      break;
    case ':':
      item_.kind = Kind::integer;
      is_right = read_number(line, item_.integer);
      break;
    case '_':
      is_right = line.empty();
      break;
    case '#':
      item_.kind = Kind::boolean;
      item_.integer = line == "t" ? 1 : 0;
      is_right = line == "t" || line == "f";
      break;
    case ',':
      item_.kind = Kind::real;
      is_right = read_real(line, item_.real);
      break;
    default:
      return broken("a value has an unknown type");
  }
  if (!is_right) return broken("a number, boolean or null is malformed");
  ++values_;
  return Step::item;
}

Decoder::Step Decoder::read_text(char type,
                                 std::int64_t length,
                                 ByteView behind,
                                 std::size_t header_bytes) {
  item_ = Value();
  has_item_ = true;
  if (length < 0) {
    if (type != '$') return broken("a length is not a number");
    item_bytes_ = header_bytes;
    ++values_;
    return Step::item;
  }
  const auto bytes = static_cast<std::uint64_t>(length);
  if (bytes > limits_.text_bytes_max) return broken("a string is longer than the limit");
  if (behind.size() < bytes + 2) {
    needed_ = header_bytes + bytes + 2;
    return Step::incomplete;
  }
  if (behind[bytes] != '\r' || behind[bytes + 1] != '\n') {
    return broken("a string is not as long as said");
  }
  ByteView text = behind.substr(0, bytes);
  item_.kind = type == '$' ? Kind::bulk : type == '!' ? Kind::error : Kind::verbatim;
  if (type == '=') {
    if (bytes < 4 || text[3] != ':') return broken("a verbatim string has no format");
    text.remove_prefix(4);
  }
  item_.text = text;
  item_bytes_ = header_bytes + bytes + 2;
  ++values_;
  return Step::item;
}

Decoder::Step Decoder::open(char type, std::int64_t count) {
  item_ = Value();
  has_item_ = true;
  ++values_;
  if (count < 0) {
    if (type != '*') return broken("a length is not a number");
    return Step::item;  // A null array.
  }
  switch (type) {
    case '*':
      item_.kind = Kind::array;
      break;
    case '~':
      item_.kind = Kind::set;
      break;
    case '>':
      item_.kind = Kind::push;
      break;
    default:
      item_.kind = Kind::map;
      break;
  }
  const bool is_paired = type == '%' || type == '|';
  const std::uint64_t left = static_cast<std::uint64_t>(count) * (is_paired ? 2 : 1);
  if (static_cast<std::uint64_t>(count) > limits_.values_max ||
      left > limits_.values_max - values_) {
    return broken("a reply has too many values");
  }
  if (left == 0 && type != '|') return Step::item;
  has_item_ = false;
  if (left == 0) return Step::item;  // An empty attribute: as if it were not there.
  if (open_.size() >= limits_.depth_max) return broken("a reply is nested too deeply");
  open_.push_back({std::move(item_), left, type == '|'});
  return Step::item;
}

bool Decoder::place() {
  while (!open_.empty()) {
    Open& parent = open_.back();
    parent.value.items.push_back(std::move(item_));
    if (--parent.left > 0) return false;
    item_ = std::move(parent.value);
    const bool is_attribute = parent.is_attribute;
    open_.pop_back();
    if (is_attribute) return false;
  }
  return true;
}

Decoder::Step Decoder::broken(ByteView problem) {
  problem_ = problem;
  return Step::broken;
}

}  // namespace sluice::resp
