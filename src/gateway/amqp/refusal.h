// Refusal: why a client does not get what it asked for, in RabbitMQ's words where it has some.
#pragma once

#include "base/bytes.h"
#include "wire/amqp/reply_code.h"

#include <fmt/format.h>
#include <tl/expected.hpp>

#include <string>
#include <utility>

namespace sluice::amqp {

struct Refusal {
  ReplyCode code{};
  std::string sentence;
};

template <class T>
using Allowed = tl::expected<T, Refusal>;

[[gnu::cold]] inline tl::unexpected<Refusal> forbid(ReplyCode code, std::string sentence) {
  return tl::unexpected<Refusal>(Refusal{code, std::move(sentence)});
}

/// "queue 'mail' in vhost '/'".
inline std::string in_vhost(ByteView what, ByteView name, ByteView vhost = "/") {
  return fmt::format("{} '{}' in vhost '{}'", what, name, vhost);
}

}  // namespace sluice::amqp
