// What exchange.declare and bindings ask for, as the core has it.
#pragma once

#include "gateway/amqp/refusal.h"
#include "model/routing.h"
#include "wire/amqp/queue_methods.h"

#include <string>
#include <utility>
#include <vector>

namespace sluice::amqp {

/// Unknown types: 503. An exchange of type x-delayed-message is one of its x-delayed-type: every
/// exchange delays a message with the header x-delay.
Allowed<model::Exchange> exchange_of(const ExchangeDeclare& declare);

/// Refused (406) with the first thing that differs.
Allowed<void> check_equivalent(ByteView exchange,
                               const model::Exchange& is,
                               const model::Exchange& asked);

/// What of a binding's arguments headers exchanges compare: all but x-match and, unless that says
/// so, what begins with x-. `headers` views `arguments`.
struct BindingMatch {
  std::vector<std::pair<ByteView, ByteView>> headers;
  bool is_any_enough = false;
};

Allowed<BindingMatch> binding_match(Table arguments);

}  // namespace sluice::amqp
