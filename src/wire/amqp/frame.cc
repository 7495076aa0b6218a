// FrameParser: see frame.h.
#include "wire/amqp/frame.h"

#include "wire/amqp/octets.h"

#include <algorithm>

namespace sluice::amqp {

Outcome FrameParser::next(ByteView input) {
  consumed_ = 0;
  if (!has_protocol_) [[unlikely]]
    return read_protocol(input);
  if (input.size() < needed_) return Outcome::incomplete;
  if (!has_head_) {
    if (!read_head(input.data())) return Outcome::broken;
    if (input.size() < needed_) return Outcome::incomplete;
  }
  if (input[needed_ - 1] != frame_end) {
    return broken({.code = ReplyCode::frame_error,
                   .sentence = "the frame does not end in 0xCE where its size says"});
  }
  frame_.payload = input.substr(frame_head_bytes, needed_ - frame_overhead_bytes);
  consumed_ = needed_;
  needed_ = frame_head_bytes;
  has_head_ = false;
  return Outcome::frame;
}

/// What differs from the header is told at once: a client of another protocol may wait for us.
Outcome FrameParser::read_protocol(ByteView input) {
  const std::size_t size = std::min(input.size(), protocol_header.size());
  if (input.substr(0, size) != protocol_header.substr(0, size)) return Outcome::wrong_protocol;
  if (size < protocol_header.size()) {
    needed_ = size + 1;
    return Outcome::incomplete;
  }
  has_protocol_ = true;
  consumed_ = size;
  needed_ = frame_head_bytes;
  return Outcome::opened;
}

/// Everything that can be refused before the payload is there.
inline bool FrameParser::read_head(const char* head) {
  const auto type = load_big<std::uint8_t>(head);
  const auto channel = load_big<std::uint16_t>(head + 1);
  const std::size_t payload_bytes = load_big<std::uint32_t>(head + 3);
  const bool is_heartbeat = type == static_cast<std::uint8_t>(FrameType::heartbeat);
  if (!is_heartbeat && (type < 1 || type > 3)) {
    broken({.code = ReplyCode::frame_error, .sentence = "the frame has an unknown type"});
    return false;
  }
  if (payload_bytes + frame_overhead_bytes > frame_max_) {
    broken({.code = ReplyCode::frame_error,
            .sentence = "the frame is larger than frame_max, in octets",
            .value = payload_bytes + frame_overhead_bytes,
            .limit = frame_max_});
    return false;
  }
  if (is_heartbeat && channel != 0) {
    broken({.code = ReplyCode::frame_error, .sentence = "a heartbeat is on a channel"});
    return false;
  }
  if (is_heartbeat && payload_bytes != 0) {
    broken({.code = ReplyCode::frame_error, .sentence = "a heartbeat has a payload"});
    return false;
  }
  frame_.type = FrameType{type};
  frame_.channel = channel;
  has_head_ = true;
  needed_ = payload_bytes + frame_overhead_bytes;
  return true;
}

Outcome FrameParser::broken(Problem problem) {
  problem_ = problem;
  return Outcome::broken;
}

}  // namespace sluice::amqp
