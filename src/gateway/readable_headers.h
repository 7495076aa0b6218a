// Headers of jobs as people and workers of every protocol can read them. Those that a client gave
// are as they came. What Sluice keeps of another protocol's message (model/header_names.h) becomes
// text: an AMQP message's headers under their own names, its properties and its way with a colon in
// front (a header that a client named so gets a second one):
//
//   colour            red                 of its header table; what is no text as JSON
//   :content-type     text/plain          and :correlation-id, :reply-to, …
//   :exchange, :key   orders, order.paid  what it was published to; each further key as :also
//   :deaths           mail rejected 2, mail.slow expired 1       the newest first
#pragma once

#include "base/bytes.h"

#include <string>
#include <utility>
#include <vector>

namespace sluice::gateway {

/// What to show for one header of the record.
std::vector<std::pair<std::string, std::string>> readable_header(ByteView name, ByteView value);

/// Headers as model/headers.h encodes them, of which some are Sluice's own: all of them readable,
/// encoded again.
std::string readable_headers(ByteView encoded);

}  // namespace sluice::gateway
