// Fuzz target of both directions of RESP: no input crashes, and any cut of it means the same.
#include "wire/resp/events.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::resp;
  if (size < 4) return 0;
  const std::vector<std::size_t> pieces{data[0], data[1], data[2]};
  const sluice::ByteView stream(reinterpret_cast<const char*>(data + 3), size - 3);
  // Small limits, so that short inputs reach beyond them.
  const ParserLimits parser{.arguments_max = 6, .bulk_bytes_max = 24, .command_bytes_max = 64};
  if (parser_events(stream, {stream.size()}, parser) != parser_events(stream, pieces, parser)) {
    std::abort();
  }
  const DecoderLimits decoder{.text_bytes_max = 64, .values_max = 64, .depth_max = 6};
  if (decoder_events(stream, {stream.size()}, decoder) != decoder_events(stream, pieces, decoder)) {
    std::abort();
  }
  return 0;
}
