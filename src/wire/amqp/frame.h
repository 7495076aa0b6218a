// FrameParser: what a client sends in AMQP 0-9-1, cut into frames without copying. Server side.
//
// AMQP 0-9-1 §4.2.2 and §4.2.3. First the protocol header, once, then frames:
//
//   "AMQP" 0 0 9 1
//   type: 1 octet   channel: 2   size: 4   payload: size octets   frame-end: 1 octet, 0xCE
//
// Incremental, without a byte read twice: of an incomplete frame the parser remembers its size, as
// a number, so the bytes may move in memory between two calls. A size is compared with frame_max as
// soon as the first seven octets are there, before its payload is waited for, and nothing is
// allocated for it (RELIABILITY A6, A7).
//
//   for (;;) {
//     const Outcome outcome = parser.next(input.substr(done));
//     done += parser.consumed();
//     if (outcome == Outcome::incomplete) break;      // see Outcome for the others
//     use(parser.frame());                            // views into the input
//   }
#pragma once

#include "base/bytes.h"
#include "wire/amqp/reply_code.h"

#include <cstddef>
#include <cstdint>

namespace sluice::amqp {

enum class FrameType : std::uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };

struct Frame {
  FrameType type{};
  std::uint16_t channel = 0;
  ByteView payload;  ///< Into the parser's input: valid until that moves.
};

inline constexpr ByteView protocol_header{"AMQP\0\0\x09\x01", 8};
inline constexpr char frame_end = '\xCE';
/// Type, channel, size.
inline constexpr std::size_t frame_head_bytes = 7;
/// All octets of a frame but its payload.
inline constexpr std::size_t frame_overhead_bytes = frame_head_bytes + 1;
/// No peer may ask for a smaller frame_max (AMQP 0-9-1 §4.2.3, "frame-min-size").
inline constexpr std::uint32_t frame_max_min = 4096;
/// Until a frame_max is agreed on. Connection.StartOk of the wordiest client is below 2 KiB.
inline constexpr std::uint32_t frame_max_before_tune = 8192;

enum class Outcome : std::uint8_t {
  opened,          ///< The protocol header: answer with Connection.Start. Once, before all frames.
  frame,           ///< frame() has one.
  incomplete,      ///< Call again when there is more input.
  wrong_protocol,  ///< Answer with `protocol_header` and close (§4.2.2).
  broken,          ///< The framing is lost: answer problem() and close.
};

class FrameParser {
 public:
  /// Looks for one frame at the start of `input`. After `wrong_protocol` or `broken` it is not
  /// called again.
  Outcome next(ByteView input);

  /// From now on a frame may have `frame_max` octets, its overhead included.
  void limit_frames(std::uint32_t frame_max) { frame_max_ = frame_max; }

  /// How many bytes at the start of the last input are done with; the next input starts behind.
  std::size_t consumed() const { return consumed_; }

  /// After `incomplete`: calling again with fewer bytes than this is in vain.
  std::size_t needed() const { return needed_; }

  const Frame& frame() const { return frame_; }

  /// After `broken`.
  const Problem& problem() const { return problem_; }

 private:
  Outcome read_protocol(ByteView input);
  bool read_head(const char* head);
  Outcome broken(Problem problem);

  bool has_protocol_ = false;
  bool has_head_ = false;  ///< frame_'s type and channel are known, and needed_ is its size.
  std::uint32_t frame_max_ = frame_max_before_tune;
  std::size_t needed_ = 1;
  std::size_t consumed_ = 0;
  Frame frame_;
  Problem problem_;
};

}  // namespace sluice::amqp
