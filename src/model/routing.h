// Routing: exchanges and bindings, by which one publish reaches many queues. Values only.
//
//   publish ──► exchange ──(binding: key, headers)──► queue
//                  │ └──────(binding)──► exchange …
//                  └── alternate exchange, for what no binding wants
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::model {

/// How an exchange chooses among its bindings. Stored in the journal: numbers are final.
enum class ExchangeKind : std::uint8_t {
  direct = 0,   ///< The binding's key is the message's.
  fanout = 1,   ///< All.
  topic = 2,    ///< The binding's key is a pattern: words and dots, * is a word, # any number.
  headers = 3,  ///< The message has the binding's headers.
};
inline constexpr std::size_t exchange_kind_count = 4;

constexpr std::string_view name(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::direct:
      return "direct";
    case ExchangeKind::fanout:
      return "fanout";
    case ExchangeKind::topic:
      return "topic";
    case ExchangeKind::headers:
      return "headers";
  }
  return "";
}

constexpr std::optional<ExchangeKind> exchange_kind(std::string_view wanted) {
  for (std::size_t index = 0; index < exchange_kind_count; ++index) {
    const auto kind = static_cast<ExchangeKind>(index);
    if (name(kind) == wanted) return kind;
  }
  return std::nullopt;
}

struct Exchange {
  ExchangeKind kind = ExchangeKind::direct;
  bool is_durable = true;       ///< False: it is gone after a restart, with its bindings.
  bool is_auto_delete = false;  ///< It goes with the last binding that it has.
  bool is_internal = false;     ///< Takes only what other exchanges give it.
  std::string alternate;  ///< Exchange that gets what no binding wants; it need not exist yet.
  std::string arguments;  ///< Opaque: what the gateway that declared it wants to find again.

  friend bool operator==(const Exchange&, const Exchange&) = default;
};

/// One way from an exchange on. Two bindings that are alike in everything are one.
struct Binding {
  ByteView exchange;
  ByteView destination;
  bool is_to_exchange = false;  ///< The destination is an exchange, not a queue.
  ByteView key;                 ///< Direct and topic exchanges.
  /// Headers exchanges: what a message has to have. An empty value means any value.
  std::vector<std::pair<ByteView, ByteView>> headers;
  bool is_any_enough = false;  ///< One of `headers` is enough; otherwise all are needed.
  ByteView arguments;          ///< Opaque, as Exchange::arguments.
};

}  // namespace sluice::model
