// ReplyCode and Problem: what a server says when it closes a channel or a connection, or returns a
// message (the constants of amqp0-9-1.xml, and RabbitMQ's no-route).
#pragma once

#include "base/bytes.h"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

namespace sluice::amqp {

enum class ReplyCode : std::uint16_t {
  success = 200,
  content_too_large = 311,
  no_route = 312,      ///< Of a returned message; closes nothing.
  no_consumers = 313,  ///< As no_route.
  connection_forced = 320,
  invalid_path = 402,
  access_refused = 403,
  not_found = 404,
  resource_locked = 405,
  precondition_failed = 406,
  frame_error = 501,
  syntax_error = 502,
  command_invalid = 503,
  channel_error = 504,
  unexpected_frame = 505,
  resource_error = 506,
  not_allowed = 530,
  not_implemented = 540,
  internal_error = 541,
};

/// "NOT_FOUND": as it begins a reply text.
ByteView name(ReplyCode code);

/// What an error ends: its channel (a "soft error") or the whole connection (a "hard error").
bool closes_connection(ReplyCode code);

/// Longest reply text: it travels as a short string.
inline constexpr std::size_t reply_text_bytes_max = 255;

/// "NOT_FOUND - no queue 'mail' in vhost '/'", cut to reply_text_bytes_max at the start of a UTF-8
/// character.
std::string reply_text(ReplyCode code, ByteView sentence);

/// Why bytes were not taken. Nothing is allocated until somebody wants it as text.
struct Problem {
  ReplyCode code{};
  ByteView sentence;        ///< Of static storage.
  std::uint64_t value = 0;  ///< What was sent, if `limit` is not 0.
  std::uint64_t limit = 0;  ///< What is allowed.
};

/// "FRAME_ERROR - the frame is larger than frame_max, in octets: 200008 (limit 131072)".
std::string reply_text(const Problem& problem);

template <class T>
using Parsed = tl::expected<T, Problem>;

[[gnu::cold]] inline tl::unexpected<Problem> refuse(ReplyCode code, ByteView sentence) {
  return tl::unexpected<Problem>(Problem{.code = code, .sentence = sentence});
}

}  // namespace sluice::amqp
