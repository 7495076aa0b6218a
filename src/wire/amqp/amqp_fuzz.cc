// Fuzz target of AMQP: no input crashes, any cut of a stream means the same, and what was decoded
// is the same bytes when it is encoded again. The first byte says what the others are.
#include "wire/amqp/content.h"
#include "wire/amqp/events.h"
#include "wire/amqp/table.h"
#include "wire/amqp/table_writer.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace {

using namespace sluice::amqp;
using sluice::Buffer;
using sluice::ByteView;

void require(bool holds) {
  if (!holds) std::abort();
}

/// `again` is `bytes` but for bits of bit octets that mean nothing.
void require_same(ByteView bytes, ByteView again) {
  require(bytes.size() == again.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    require((bytes[i] & again[i]) == again[i]);
}

/// Reads each value as everything, and writes the table again entry by entry.
void walk_value(const Value& value, TableWriter& again, std::size_t& values) {
  ++values;
  int readings = 0;
  readings += value.integer().has_value() ? 1 : 0;
  readings += value.boolean().has_value() ? 1 : 0;
  readings += value.text().has_value() ? 1 : 0;
  readings += value.real().has_value() ? 1 : 0;
  readings += value.timestamp().has_value() ? 1 : 0;
  require(readings <= 1);
  require(is_equivalent(value, value));
  if (const std::optional<Table> table = value.table()) {
    again.open_table();
    for (const Entry& entry : *table)
      walk_value(entry.value, again.name(entry.name), values);
    again.close();
  } else if (const std::optional<Array> array = value.array()) {
    again.open_array();
    for (const Value& each : *array)
      walk_value(each, again, values);
    again.close();
  } else {
    again.value(value);
  }
}

void fuzz_table(ByteView entries) {
  if (validate_table(entries)) {
    for (const Entry& entry : Table{entries})
      (void)entry.value.integer();
    return;
  }
  Buffer out;
  TableWriter again(out);
  std::size_t values = 0;
  for (const Entry& entry : Table{entries}) {
    require(Table{entries}.find(entry.name).has_value());
    walk_value(entry.value, again.name(entry.name), values);
  }
  again.finish();
  require(values <= table_values_max);
  require(out.view().substr(4) == entries);
}

void fuzz_method(ByteView payload) {
  const Parsed<ClientMethod> method = decode_method(payload);
  if (!method) {
    require(closes_connection(method.error().code));
    require(reply_text(method.error()).size() <= reply_text_bytes_max);
    return;
  }
  std::visit(
      [&](const auto& each) {
        const std::string frame = encoded(1, each);
        require_same(payload,
                     ByteView(frame).substr(frame_head_bytes, frame.size() - frame_overhead_bytes));
      },
      *method);
}

void fuzz_properties(ByteView raw) {
  const Parsed<Properties> properties = decode_properties(raw);
  if (!properties) return;
  if (properties->headers) fuzz_table(properties->headers->entries);
  Buffer out;
  append_properties(out, *properties);
  require_same(raw, out.view());
  require(out.view() == raw);
}

/// Three bytes are sizes of pieces.
void fuzz_stream(ByteView input) {
  if (input.size() < 3) return;
  const auto piece = [&](std::size_t i) {
    return std::size_t{static_cast<std::uint8_t>(input[i])};
  };
  const std::vector<std::size_t> pieces{piece(0), piece(1), piece(2)};
  // Without the protocol header in each input; with small limits, so that short inputs reach them.
  const std::string stream = std::string(protocol_header) + std::string(input.substr(3));
  constexpr std::uint32_t frame_max = 512;
  constexpr std::uint64_t body_bytes_max = 64;
  const std::vector<std::string> events =
      stream_events(stream, {stream.size()}, frame_max, body_bytes_max);
  require(events == stream_events(stream, pieces, frame_max, body_bytes_max));
  std::size_t bytes = 0;
  for (const std::string& event : events)
    bytes += event.size();
  require(bytes <= 32 * stream.size() + 1024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 5) {
    case 0:
      fuzz_stream(input);
      break;
    case 1:
      fuzz_method(input);
      break;
    case 2:
      fuzz_table(input);
      break;
    case 3:
      fuzz_properties(input);
      break;
    default:
      (void)stream_events(input, {1}, frame_max_min, 1024);
      break;
  }
  return 0;
}
