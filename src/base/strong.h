// Strong<T, Tag>: a number with a name. JobId and LeaseToken do not mix, and neither with an int.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace sluice {

/// No arithmetic and no conversion either way; `.value` is the only way out.
template <class T, class Tag>
struct Strong {
  T value{};
  constexpr Strong() = default;

  constexpr explicit Strong(T v) : value(v) {}

  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
};

}  // namespace sluice

template <class T, class Tag>
struct std::hash<sluice::Strong<T, Tag>> {
  std::size_t operator()(const sluice::Strong<T, Tag>& id) const noexcept {
    return std::hash<T>{}(id.value);
  }
};
