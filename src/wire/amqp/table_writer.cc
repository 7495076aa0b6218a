// TableWriter: see table_writer.h.
#include "wire/amqp/table_writer.h"

#include "base/check.h"

#include <limits>

namespace sluice::amqp {
namespace {

constexpr std::size_t size_bytes = sizeof(std::uint32_t);

}  // namespace

TableWriter::TableWriter(Buffer& out) : out_(out) {
  open(true);
}

TableWriter& TableWriter::name(ByteView name) {
  check(depth_ > 0 && levels_[depth_ - 1].is_table);
  check(!has_name_);
  check(name.size() <= std::numeric_limits<std::uint8_t>::max());
  char* const at = out_.extend(1 + name.size());
  put_octets(put_big(at, static_cast<std::uint8_t>(name.size())), name);
  has_name_ = true;
  return *this;
}

void TableWriter::boolean(bool value) {
  put_big(begin_value(ValueType::boolean, 1), static_cast<std::uint8_t>(value ? 1 : 0));
}

void TableWriter::integer32(std::int32_t value) {
  put_big(begin_value(ValueType::int32, sizeof value), value);
}

void TableWriter::integer(std::int64_t value) {
  put_big(begin_value(ValueType::int64, sizeof value), value);
}

void TableWriter::text(ByteView value) {
  sized(ValueType::long_string, value);
}

void TableWriter::binary(ByteView value) {
  sized(ValueType::binary, value);
}

void TableWriter::timestamp(std::uint64_t seconds) {
  put_big(begin_value(ValueType::timestamp, sizeof seconds), seconds);
}

void TableWriter::nothing() {
  begin_value(ValueType::nothing, 0);
}

void TableWriter::value(const Value& value) {
  switch (value.type) {
    case ValueType::long_string:
    case ValueType::binary:
    case ValueType::array:
    case ValueType::table:
      return sized(value.type, value.payload);
    case ValueType::boolean:
    case ValueType::int8:
    case ValueType::uint8:
    case ValueType::int16:
    case ValueType::uint16:
    case ValueType::int32:
    case ValueType::uint32:
    case ValueType::int64:
    case ValueType::int64_too:
    case ValueType::float32:
    case ValueType::float64:
    case ValueType::decimal:
    case ValueType::timestamp:
    case ValueType::nothing:
      put_octets(begin_value(value.type, value.payload.size()), value.payload);
      return;
  }
}

void TableWriter::entries(Table table) {
  check(levels_[depth_ - 1].is_table && !has_name_);
  out_.append(table.entries);
}

void TableWriter::open_table() {
  begin_value(ValueType::table, 0);
  open(true);
}

void TableWriter::open_array() {
  begin_value(ValueType::array, 0);
  open(false);
}

void TableWriter::close() {
  check(depth_ > 0 && !has_name_);
  const std::size_t start = levels_[--depth_].start;
  put_big(out_.data() + start, static_cast<std::uint32_t>(out_.size() - start - size_bytes));
}

void TableWriter::finish() {
  check(depth_ == 1);
  close();
}

/// Writes the type and returns where the payload goes.
char* TableWriter::begin_value(ValueType type, std::size_t payload_bytes) {
  check(depth_ > 0);
  check(levels_[depth_ - 1].is_table == has_name_);
  has_name_ = false;
  return put_big(out_.extend(1 + payload_bytes), static_cast<std::uint8_t>(type));
}

void TableWriter::sized(ValueType type, ByteView payload) {
  char* const at = begin_value(type, size_bytes + payload.size());
  put_octets(put_big(at, static_cast<std::uint32_t>(payload.size())), payload);
}

void TableWriter::open(bool is_table) {
  check(depth_ < table_depth_max);
  levels_[depth_++] = {out_.size(), is_table};
  out_.extend(size_bytes);
}

}  // namespace sluice::amqp
