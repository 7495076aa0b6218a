// Destination: where a binding leads to; BindingTerms: what a binding is, apart from its exchange.
#pragma once

#include "base/bytes.h"
#include "core/facts.h"

#include <compare>
#include <map>
#include <string>
#include <vector>

namespace sluice::core {

struct Destination {
  std::uint32_t index = 0;  ///< Of the queue, or of the exchange.
  bool is_exchange = false;

  friend auto operator<=>(const Destination&, const Destination&) = default;
};

/// How many bindings lead to each destination under the same key.
using Destinations = std::map<Destination, std::uint32_t>;

inline void add_to(Destinations& destinations, Destination to) {
  ++destinations[to];
}

inline void remove_from(Destinations& destinations, Destination to) {
  const auto found = destinations.find(to);
  if (--found->second == 0) destinations.erase(found);
}

inline void append(const Destinations& destinations, std::vector<Destination>& found) {
  for (const auto& [to, count] : destinations)
    found.push_back(to);
}

}  // namespace sluice::core
