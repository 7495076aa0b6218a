// The engine's errors in AMQP's words.
#pragma once

#include "gateway/amqp/refusal.h"
#include "model/reply.h"

namespace sluice::amqp {

/// Of names that only the broker gives.
inline constexpr ByteView reserved_prefix = "amq.";

/// Null: it is another answer.
inline const Error* error_in(const model::Answer& answer) {
  const auto* error = std::get_if<std::unique_ptr<Error>>(&answer);
  return error == nullptr ? nullptr : error->get();
}

inline Refusal no_queue(ByteView name) {
  return {ReplyCode::not_found, "no " + in_vhost("queue", name)};
}

inline Refusal no_exchange(ByteView name) {
  return {ReplyCode::not_found, "no " + in_vhost("exchange", name)};
}

/// For what RabbitMQ has no words: the engine's own, which name the field and the limit.
inline Refusal other(const Error& error) {
  const bool is_short = error.code == ErrorCode::busy;
  return {is_short ? ReplyCode::resource_error : ReplyCode::precondition_failed, error.message};
}

}  // namespace sluice::amqp
