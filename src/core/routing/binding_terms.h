// BindingTerms: what a binding is, apart from the exchange it belongs to, and the same as one text:
// its identity, which is also how it stands in the journal.
#pragma once

#include "base/result.h"
#include "core/routing/destination.h"

#include <string>
#include <utility>
#include <vector>

namespace sluice::core {

struct BindingTerms {
  Destination to;
  ByteView key;
  std::vector<std::pair<ByteView, ByteView>> headers;  ///< An empty value: any.
  bool is_any_enough = false;
  ByteView arguments;
};

/// u8 flags (1: to an exchange, 2: any header is enough), u32 destination, sized8 key, u16 number
/// of headers, each sized16 name and sized16 value, sized16 arguments.
std::string encode(const BindingTerms& terms);
/// The views point into `bytes`. Error `corrupt`.
Result<BindingTerms> decode_binding(ByteView bytes);

}  // namespace sluice::core
