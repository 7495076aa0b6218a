// TableWriter: a field table appended to a Buffer, entry by entry, nested ones in place.
//
//   TableWriter table(out);
//   table.name("product").text("RabbitMQ");
//   table.name("x-death").open_array();
//   table.open_table();
//   table.name("count").integer(1);
//   table.close();
//   table.close();
//   table.finish();
//
// In a table name() stands before each value, in an array it does not. Nobody else appends to the
// buffer until finish().
#pragma once

#include "base/bytes.h"
#include "wire/amqp/table.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::amqp {

class TableWriter {
 public:
  explicit TableWriter(Buffer& out);

  /// Of the next value; at most 255 bytes.
  TableWriter& name(ByteView name);

  void boolean(bool value);
  /// As "I", what most clients send for small numbers.
  void integer32(std::int32_t value);
  /// As "l".
  void integer(std::int64_t value);
  void text(ByteView value);
  void binary(ByteView value);
  /// Seconds since 1970.
  void timestamp(std::uint64_t seconds);
  void nothing();
  /// As it was read, nested ones whole.
  void value(const Value& value);
  /// All of `table`, behind what is there.
  void entries(Table table);

  /// What follows up to the matching close() is in it. At most table_depth_max levels.
  void open_table();
  void open_array();
  void close();

  /// The size of the outermost table is written; its close().
  void finish();

 private:
  struct Level {
    std::size_t start;  ///< Of its size, in out_.
    bool is_table;
  };

  char* begin_value(ValueType type, std::size_t payload_bytes);
  void sized(ValueType type, ByteView payload);
  void open(bool is_table);

  Buffer& out_;
  std::array<Level, table_depth_max> levels_{};
  std::size_t depth_ = 0;
  bool has_name_ = false;
};

}  // namespace sluice::amqp
