// Table, Array, Value: see table.h.
#include "wire/amqp/table.h"

#include <array>
#include <bit>

namespace sluice::amqp {
namespace {

constexpr std::uint8_t unknown_type = 0xFF;
constexpr std::uint8_t sized_type = 0xFE;

/// By type letter: octets of the payload, or one of the two above.
constexpr std::array<std::uint8_t, 256> bytes_of_type = [] {
  std::array<std::uint8_t, 256> bytes{};
  bytes.fill(unknown_type);
  const auto set = [&](ByteView letters, std::uint8_t count) {
    for (const char letter : letters)
      bytes[static_cast<unsigned char>(letter)] = count;
  };
  set("V", 0);
  set("tbB", 1);
  set("su", 2);
  set("Iif", 4);
  set("D", 5);
  set("lLdT", 8);
  set("SxFA", sized_type);
  return bytes;
}();

/// Reads one value. False: it is cut short, or of an unknown type (then `in` is still ok()).
bool read_value(OctetReader& in, Value& value) {
  const auto type = in.number<std::uint8_t>();
  const std::uint8_t bytes = bytes_of_type[type];
  if (bytes == unknown_type) return false;
  value.type = static_cast<ValueType>(type);
  value.payload = bytes == sized_type ? in.long_string() : in.octets(bytes);
  return in.ok();
}

bool read_item(OctetReader& in, Value& value) {
  return read_value(in, value);
}

bool read_item(OctetReader& in, Entry& entry) {
  entry.name = in.short_string();
  return read_value(in, entry.value);
}

Problem malformed(ByteView sentence) {
  return {.code = ReplyCode::syntax_error, .sentence = sentence};
}

Problem beyond(ByteView sentence, std::size_t value, std::size_t limit) {
  return {.code = ReplyCode::syntax_error, .sentence = sentence, .value = value, .limit = limit};
}

}  // namespace

std::optional<std::int64_t> Value::integer() const {
  OctetReader in(payload);
  switch (type) {
    case ValueType::int8:
      return in.number<std::int8_t>();
    case ValueType::uint8:
      return in.number<std::uint8_t>();
    case ValueType::int16:
      return in.number<std::int16_t>();
    case ValueType::uint16:
      return in.number<std::uint16_t>();
    case ValueType::int32:
      return in.number<std::int32_t>();
    case ValueType::uint32:
      return in.number<std::uint32_t>();
    case ValueType::int64:
    case ValueType::int64_too:
      return in.number<std::int64_t>();
    case ValueType::boolean:
    case ValueType::float32:
    case ValueType::float64:
    case ValueType::decimal:
    case ValueType::long_string:
    case ValueType::binary:
    case ValueType::timestamp:
    case ValueType::array:
    case ValueType::table:
    case ValueType::nothing:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<bool> Value::boolean() const {
  if (type != ValueType::boolean) return std::nullopt;
  return OctetReader(payload).number<std::uint8_t>() != 0;
}

std::optional<ByteView> Value::text() const {
  if (type != ValueType::long_string && type != ValueType::binary) return std::nullopt;
  return payload;
}

std::optional<double> Value::real() const {
  OctetReader in(payload);
  if (type == ValueType::float32) return std::bit_cast<float>(in.number<std::uint32_t>());
  if (type == ValueType::float64) return std::bit_cast<double>(in.number<std::uint64_t>());
  return std::nullopt;
}

std::optional<std::uint64_t> Value::timestamp() const {
  if (type != ValueType::timestamp) return std::nullopt;
  return OctetReader(payload).number<std::uint64_t>();
}

std::optional<Table> Value::table() const {
  if (type != ValueType::table) return std::nullopt;
  return Table{payload};
}

std::optional<Array> Value::array() const {
  if (type != ValueType::array) return std::nullopt;
  return Array{payload};
}

bool is_equivalent(const Value& a, const Value& b) {
  const std::optional<std::int64_t> number = a.integer();
  if (number) return number == b.integer();
  if (a.type == ValueType::boolean) return a.boolean() == b.boolean();
  return a.type == b.type && a.payload == b.payload;
}

template <class Item>
void ItemIterator<Item>::advance() {
  is_end_ = items_.at_end() || !read_item(items_, item_);
}

template class ItemIterator<Entry>;
template class ItemIterator<Value>;

std::optional<Value> Table::find(ByteView name) const {
  for (const Entry& entry : *this) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

std::optional<Problem> validate_table(ByteView entries) {
  struct Level {
    const char* end;
    bool is_table;
  };

  // A nested table lies within its parent: one reader over a level's bytes, and the ends of those
  // around it on a stack of our own.
  std::array<Level, table_depth_max> levels{};
  std::size_t depth = 1;
  levels[0] = {entries.data() + entries.size(), true};
  const char* at = entries.data();
  std::size_t values = 0;
  for (;;) {
    while (at == levels[depth - 1].end) {
      if (--depth == 0) return std::nullopt;
    }
    const Level& level = levels[depth - 1];
    OctetReader in({at, static_cast<std::size_t>(level.end - at)});
    Entry entry;
    const bool is_read = level.is_table ? read_item(in, entry) : read_item(in, entry.value);
    if (!is_read) {
      return malformed(in.ok() ? "a table has a value of an unknown type" : "a table is cut short");
    }
    if (++values > table_values_max) {
      return beyond("a table has too many values", values, table_values_max);
    }
    const bool is_table = entry.value.type == ValueType::table;
    if (!is_table && entry.value.type != ValueType::array) {
      at = in.at();
      continue;
    }
    if (depth == table_depth_max) {
      return beyond("a table is nested too deeply", depth + 1, table_depth_max);
    }
    // Into it; when its end is reached, the parent goes on there.
    at = entry.value.payload.data();
    levels[depth++] = {at + entry.value.payload.size(), is_table};
  }
}

}  // namespace sluice::amqp
