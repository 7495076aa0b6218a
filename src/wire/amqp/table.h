// Table, Array, Value: field tables as views into the bytes they came in (AMQP 0-9-1 §4.2.5.5, with
// the types that RabbitMQ gives the letters: rabbitmq.com/amqp-0-9-1-errata, section 3).
//
//   table  =  (short string: name, value)*          value  =  type: 1 octet, payload
//   array  =  value*
//
//   t  boolean     b  int8    B  uint8      f  float     S  long string   F  table
//   V  nothing     s  int16   u  uint16     d  double    x  binary        A  array
//   T  time, s     I  int32   i  uint32     D  decimal: scale (1 octet), value (4)
//                  l  int64   L  int64
//
// S, x, F and A have a length of four octets in front of their payload. What came from a peer
// passes validate_table() first (methods and properties do that where they are read). Walking is
// safe for any bytes: it ends where they stop making sense.
//
//   for (const auto& [name, value] : table) use(name, value.integer());
#pragma once

#include "base/bytes.h"
#include "wire/amqp/octets.h"
#include "wire/amqp/reply_code.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

namespace sluice::amqp {

/// Tables within tables; the outermost counts.
inline constexpr std::size_t table_depth_max = 8;
/// Entries and elements in all tables and arrays together.
inline constexpr std::size_t table_values_max = 1000;

enum class ValueType : char {
  boolean = 't',
  int8 = 'b',
  uint8 = 'B',
  int16 = 's',
  uint16 = 'u',
  int32 = 'I',
  uint32 = 'i',
  int64 = 'l',
  int64_too = 'L',  ///< RabbitMQ reads both as signed.
  float32 = 'f',
  float64 = 'd',
  decimal = 'D',
  long_string = 'S',
  binary = 'x',
  timestamp = 'T',
  array = 'A',
  table = 'F',
  nothing = 'V',
};

struct Table;
struct Array;

struct Value {
  ValueType type = ValueType::nothing;
  ByteView payload;  ///< Without the length in front.

  /// Of every integer type; nothing for others.
  std::optional<std::int64_t> integer() const;
  std::optional<bool> boolean() const;
  /// Of long strings and binary.
  std::optional<ByteView> text() const;
  std::optional<double> real() const;
  /// Seconds since 1970.
  std::optional<std::uint64_t> timestamp() const;
  std::optional<Table> table() const;
  std::optional<Array> array() const;
};

/// Whether RabbitMQ takes them for the same argument: integers by their value, all else by type and
/// payload.
bool is_equivalent(const Value& a, const Value& b);

struct Entry {
  ByteView name;
  Value value;
};

/// Walks entries (of tables) or values (of arrays), for range-based loops. Equal to the end when
/// there is nothing left that can be read.
template <class Item>
class ItemIterator {
 public:
  explicit ItemIterator(ByteView items) : items_(items) { advance(); }

  const Item& operator*() const { return item_; }

  const Item* operator->() const { return &item_; }

  ItemIterator& operator++() {
    advance();
    return *this;
  }

  bool operator==(std::default_sentinel_t) const { return is_end_; }

 private:
  void advance();

  OctetReader items_;
  Item item_;
  bool is_end_ = false;
};

struct Array {
  ByteView items;

  ItemIterator<Value> begin() const { return ItemIterator<Value>(items); }

  std::default_sentinel_t end() const { return {}; }
};

struct Table {
  ByteView entries;  ///< Without the length in front.

  ItemIterator<Entry> begin() const { return ItemIterator<Entry>(entries); }

  std::default_sentinel_t end() const { return {}; }

  /// The value of the first entry of this name.
  std::optional<Value> find(ByteView name) const;

  /// Byte for byte.
  bool operator==(const Table&) const = default;
};

/// Nothing if every length, type and name is right and the limits above hold. Needs no memory and
/// no call stack.
std::optional<Problem> validate_table(ByteView entries);

}  // namespace sluice::amqp
