// Frames: see writer.h.
#include "wire/amqp/writer.h"

#include "base/check.h"

#include <algorithm>

namespace sluice::amqp {
namespace {

/// Class, weight and body size: what stands in front of the properties.
constexpr std::size_t fixed_header_bytes = 12;

char* put_header_frame(char* to, std::uint16_t channel, const Content& content) {
  const std::size_t payload_bytes = fixed_header_bytes + content.properties.size();
  to = put_frame_head(to, FrameType::header, channel, payload_bytes);
  to = put_big(to, content_class_id);
  to = put_big(to, std::uint16_t{0});
  to = put_big(to, std::uint64_t{content.body.size()});
  to = put_octets(to, content.properties);
  *to++ = frame_end;
  return to;
}

char* put_body_frame(char* to, std::uint16_t channel, ByteView part) {
  to = put_frame_head(to, FrameType::body, channel, part.size());
  to = put_octets(to, part);
  *to++ = frame_end;
  return to;
}

}  // namespace

void append_content(Buffer& out,
                    std::uint16_t channel,
                    const Content& content,
                    std::uint32_t frame_max) {
  check(frame_max >= frame_max_min);
  const std::size_t part_bytes_max = frame_max - frame_overhead_bytes;
  ByteView body = content.body;
  const std::size_t frames = 1 + (body.size() + part_bytes_max - 1) / part_bytes_max;
  const std::size_t bytes =
      frames * frame_overhead_bytes + fixed_header_bytes + content.properties.size() + body.size();
  char* at = out.extend(bytes);
  at = put_header_frame(at, channel, content);
  while (!body.empty()) {
    const std::size_t part = std::min(body.size(), part_bytes_max);
    at = put_body_frame(at, channel, body.substr(0, part));
    body.remove_prefix(part);
  }
  check(at == out.data() + out.size());
}

void append_heartbeat(Buffer& out) {
  char* const at = put_frame_head(out.extend(frame_overhead_bytes), FrameType::heartbeat, 0, 0);
  *at = frame_end;
}

}  // namespace sluice::amqp
