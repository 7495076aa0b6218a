// The arguments of methods between bytes and aggregates, written once for all of them: Boost.PFR
// walks an aggregate's fields, and the field's type says how it looks on the wire (AMQP 0-9-1
// §4.2.4 and §4.2.5). Consecutive bools share an octet, the first in its lowest bit.
#pragma once

#include "base/bytes.h"
#include "base/check.h"
#include "wire/amqp/fields.h"
#include "wire/amqp/octets.h"
#include "wire/amqp/reply_code.h"

#include <boost/pfr/core.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace sluice::amqp {

template <class M>
concept Method = requires {
  { M::id } -> std::convertible_to<MethodId>;
  { M::name } -> std::convertible_to<ByteView>;
};

template <class T>
concept Number = std::unsigned_integral<T> && !std::same_as<T, bool>;

/// How many octets the fields need.
class ArgumentSizes {
 public:
  std::size_t total() const { return total_; }

  void add(bool) {
    if (bits_ == 0) ++total_;
    bits_ = (bits_ + 1) % 8;
  }

  template <Number T>
  void add(T) {
    sized(sizeof(T));
  }

  void add(const ShortString& field) { sized(1 + field.bytes.size()); }

  void add(const LongString& field) { sized(4 + field.bytes.size()); }

  void add(const Table& field) { sized(4 + field.entries.size()); }

 private:
  void sized(std::size_t octets) {
    total_ += octets;
    bits_ = 0;
  }

  std::size_t total_ = 0;
  unsigned bits_ = 0;  ///< Used of the last octet, if that is of bits and not full.
};

/// Writes fields where ArgumentSizes said there is room for them.
class ArgumentWriter {
 public:
  explicit ArgumentWriter(char* to) : at_(to) {}

  char* end() const { return at_; }

  void put(bool field) {
    if (bits_ == 0) *at_++ = 0;
    at_[-1] = static_cast<char>(at_[-1] | (field ? 1 << bits_ : 0));
    bits_ = (bits_ + 1) % 8;
  }

  template <Number T>
  void put(T field) {
    bits_ = 0;
    at_ = put_big(at_, field);
  }

  void put(const ShortString& field) {
    check(field.bytes.size() <= std::numeric_limits<std::uint8_t>::max());
    put(static_cast<std::uint8_t>(field.bytes.size()));
    at_ = put_octets(at_, field.bytes);
  }

  void put(const LongString& field) { put_long(field.bytes); }

  void put(const Table& field) { put_long(field.entries); }

 private:
  void put_long(ByteView octets) {
    put(static_cast<std::uint32_t>(octets.size()));
    at_ = put_octets(at_, octets);
  }

  char* at_;
  unsigned bits_ = 0;
};

/// Reads fields; tables are validated on the way.
class ArgumentReader {
 public:
  explicit ArgumentReader(ByteView arguments) : in_(arguments) {}

  void read(bool& field) {
    if (bits_ == 0) octet_ = in_.number<std::uint8_t>();
    field = (octet_ >> bits_ & 1) != 0;
    bits_ = (bits_ + 1) % 8;
  }

  template <Number T>
  void read(T& field) {
    bits_ = 0;
    field = in_.number<T>();
  }

  void read(ShortString& field) {
    bits_ = 0;
    field.bytes = in_.short_string();
  }

  void read(LongString& field) {
    bits_ = 0;
    field.bytes = in_.long_string();
  }

  void read(Table& field) {
    bits_ = 0;
    field.entries = in_.long_string();
    if (!problem_) problem_ = validate_table(field.entries);
  }

  /// After the last field: why they cannot be taken.
  std::optional<Problem> problem() const {
    if (problem_) return problem_;
    if (!in_.ok()) {
      return Problem{.code = ReplyCode::syntax_error, .sentence = "arguments are cut short"};
    }
    if (!in_.at_end()) {
      return Problem{.code = ReplyCode::syntax_error, .sentence = "octets follow the arguments"};
    }
    return std::nullopt;
  }

 private:
  OctetReader in_;
  unsigned octet_ = 0;
  unsigned bits_ = 0;
  std::optional<Problem> problem_;
};

template <Method M>
std::size_t argument_bytes(const M& method) {
  ArgumentSizes sizes;
  boost::pfr::for_each_field(method, [&](const auto& field) { sizes.add(field); });
  return sizes.total();
}

/// Returns the byte behind the last argument.
template <Method M>
char* put_arguments(char* to, const M& method) {
  ArgumentWriter writer(to);
  boost::pfr::for_each_field(method, [&](const auto& field) { writer.put(field); });
  return writer.end();
}

/// Why `method` cannot be taken. All of `arguments` is read: RabbitMQ takes no octets behind the
/// last one either. Bits without a meaning are ignored.
template <Method M>
std::optional<Problem> read_arguments(ByteView arguments, M& method) {
  ArgumentReader reader(arguments);
  boost::pfr::for_each_field(method, [&](auto& field) { reader.read(field); });
  return reader.problem();
}

}  // namespace sluice::amqp
