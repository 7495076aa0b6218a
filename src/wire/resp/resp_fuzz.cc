// Fuzz target of both directions of RESP: no input crashes, any cut of it means the same, and what
// comes out is not much more than what went in.
#include "wire/resp/events.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

/// Events are text; a byte that means a value of its own becomes a line.
void check_bounded(const std::vector<std::string>& events, std::size_t stream_bytes) {
  std::size_t bytes = 0;
  for (const std::string& event : events)
    bytes += event.size();
  if (bytes > 64 * stream_bytes + 1024) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::resp;
  if (size < 4) return 0;
  const std::vector<std::size_t> pieces{data[0], data[1], data[2]};
  const sluice::ByteView stream(reinterpret_cast<const char*>(data + 3), size - 3);
  // Small limits, so that short inputs reach beyond them.
  const ParserLimits parser{.arguments_max = 6, .bulk_bytes_max = 24, .command_bytes_max = 64};
  const std::vector<std::string> commands = parser_events(stream, {stream.size()}, parser);
  if (commands != parser_events(stream, pieces, parser)) std::abort();
  check_bounded(commands, stream.size());
  const DecoderLimits decoder{.text_bytes_max = 64, .values_max = 64, .depth_max = 6};
  const std::vector<std::string> values = decoder_events(stream, {stream.size()}, decoder);
  if (values != decoder_events(stream, pieces, decoder)) std::abort();
  check_bounded(values, stream.size());
  return 0;
}
