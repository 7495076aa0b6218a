// Frames appended to a Buffer: methods, contents, heartbeats (AMQP 0-9-1 §4.2.3). What a delivery
// is made of:
//
//   append_method(out, channel, BasicDeliver{...});
//   append_content(out, channel, {.properties = raw, .body = body}, frame_max);
#pragma once

#include "base/bytes.h"
#include "wire/amqp/arguments.h"
#include "wire/amqp/content.h"
#include "wire/amqp/frame.h"
#include "wire/amqp/octets.h"

#include <cstddef>
#include <cstdint>

namespace sluice::amqp {

/// Writes at `to` and returns where the payload goes.
inline char* put_frame_head(char* to,
                            FrameType type,
                            std::uint16_t channel,
                            std::size_t payload_bytes) {
  to = put_big(to, static_cast<std::uint8_t>(type));
  to = put_big(to, channel);
  return put_big(to, static_cast<std::uint32_t>(payload_bytes));
}

/// No short string of `method` is longer than 255 bytes. The frame is not compared with frame_max:
/// what a server sends is below frame_max_min, its own properties included.
template <Method M>
void append_method(Buffer& out, std::uint16_t channel, const M& method) {
  const std::size_t payload_bytes = sizeof(MethodId) + argument_bytes(method);
  char* at = out.extend(frame_overhead_bytes + payload_bytes);
  at = put_frame_head(at, FrameType::method, channel, payload_bytes);
  at = put_big(at, M::id.class_id);
  at = put_big(at, M::id.method_id);
  at = put_arguments(at, method);
  *at = frame_end;
}

/// The header frame and as many body frames as `frame_max` (at least frame_max_min) asks for; none
/// for an empty body. A header cannot be cut: properties that came from a client with a larger
/// frame_max are sent whole all the same, as RabbitMQ does.
void append_content(Buffer& out,
                    std::uint16_t channel,
                    const Content& content,
                    std::uint32_t frame_max);

void append_heartbeat(Buffer& out);

}  // namespace sluice::amqp
