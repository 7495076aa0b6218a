// EXCHANGE, BIND and UNBIND: arguments to commands.
#pragma once

#include "engine/port.h"
#include "gateway/native/verbs.h"
#include "wire/resp/parser.h"

namespace sluice::native {

/// Appends the request to the batch. Error ARG.
Result<void> read_routing(Verb verb, const resp::Arguments& arguments, engine::RequestBatch& batch);

}  // namespace sluice::native
