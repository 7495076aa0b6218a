// Decoder: RESP2 and RESP3 replies as they arrive, into Values. Client side.
//
//   for (;;) {
//     const Decoded outcome = decoder.next(input.substr(done), value);
//     done += decoder.consumed();
//     if (outcome != Decoded::value) break;
//     use(value);
//   }
//
// Incremental: what was understood of an incomplete reply is kept in the decoder and its bytes are
// consumed; only an incomplete line or string stays with the caller. Announced lengths are compared
// with limits and never allocated for. Attributes ("|") are dropped; RESP3's streamed strings and
// aggregates ("$?") are not understood, as no Redis sends them.
#pragma once

#include "base/bytes.h"
#include "wire/resp/value.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::resp {

struct DecoderLimits {
  std::size_t text_bytes_max = 512u << 20;  ///< One string.
  std::size_t values_max = 16u << 20;       ///< Values in one reply.
  std::size_t depth_max = 32;
};

/// A line: simple strings, errors, numbers.
inline constexpr std::size_t line_bytes_max = 64u << 10;

enum class Decoded : std::uint8_t {
  value,       ///< `into` has a reply.
  incomplete,  ///< Call again when there is more.
  broken,      ///< Not RESP, or beyond a limit: problem() says which. Close the connection.
};

class Decoder {
 public:
  explicit Decoder(DecoderLimits limits = {}) : limits_(limits) {}

  /// Reads one reply into `into`, which is unspecified unless the outcome is `value`.
  Decoded next(ByteView input, Value& into);

  /// Bytes at the front of the last input that are done with, whatever the outcome.
  std::size_t consumed() const { return consumed_; }

  /// After `incomplete`: bytes that must lie behind consumed() before another call can help.
  std::size_t needed() const { return needed_; }

  ByteView problem() const { return problem_; }

 private:
  enum class Step : std::uint8_t { item, incomplete, broken };

  struct Open {
    Value value;
    std::uint64_t left;  ///< Items still to come.
    bool is_attribute;   ///< To be dropped.
  };

  Step read_item(ByteView input);
  Step read_line_value(char type, ByteView line);
  Step read_text(char type, std::int64_t length, ByteView behind, std::size_t header_bytes);
  Step open(char type, std::int64_t count);
  Step broken(ByteView problem);
  /// Puts the finished item_ where it belongs; true: it was the whole reply.
  bool place();

  DecoderLimits limits_;
  std::vector<Open> open_;  ///< From the outermost aggregate to the innermost.
  Value item_;
  bool has_item_ = false;  ///< False: an aggregate was opened.
  std::size_t values_ = 0;
  std::size_t scanned_ = 0;  ///< Bytes of the incomplete line that have no line end.
  std::size_t item_bytes_ = 0;
  std::size_t consumed_ = 0;
  std::size_t needed_ = 1;
  ByteView problem_;
};

}  // namespace sluice::resp
