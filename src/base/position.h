// Position: a byte in the log. Segment number above, offset within the segment below, so that
// positions grow with the log and no segment needs a table to be found.
#pragma once

#include <compare>
#include <cstdint>

namespace sluice {

struct Position {
  std::uint64_t value = 0;

  constexpr Position() = default;

  constexpr Position(std::uint32_t segment, std::uint32_t offset)
      : value((std::uint64_t{segment} << 32) | offset) {}

  constexpr std::uint32_t segment() const { return static_cast<std::uint32_t>(value >> 32); }

  constexpr std::uint32_t offset() const { return static_cast<std::uint32_t>(value); }

  /// The position `count` bytes further in the same segment.
  constexpr Position plus(std::size_t count) const {
    Position moved;
    moved.value = value + count;
    return moved;
  }

  friend constexpr auto operator<=>(const Position&, const Position&) = default;
};

}  // namespace sluice
