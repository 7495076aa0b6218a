// Sizes and durations: one table of units each, read in both directions.
#include "server/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace sluice::server {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 9> byte_units{{{"B", 1},
                                          {"KiB", 1ull << 10},
                                          {"MiB", 1ull << 20},
                                          {"GiB", 1ull << 30},
                                          {"TiB", 1ull << 40},
                                          {"KB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000}}};
constexpr std::size_t binary_byte_units = 5;  // The first ones; the only ones that are printed.

constexpr std::array<Unit, 5> time_units{
    {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

template <std::size_t count>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<Unit, count>& units) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9')
    ++digits;
  const std::optional<std::uint64_t> number = parse_count(text.substr(0, digits));
  if (!number) return std::nullopt;
  std::string_view rest = text.substr(digits);
  if (rest.empty()) return number;
  if (rest.size() > 1 && rest.front() == ' ') rest.remove_prefix(1);
  for (const Unit& unit : units) {
    if (!equal_ignoring_case(rest, unit.name)) continue;
    if (*number > std::numeric_limits<std::uint64_t>::max() / unit.factor) return std::nullopt;
    return *number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t count>
std::string text_with_unit(std::uint64_t value,
                           const std::array<Unit, count>& units,
                           std::size_t used) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < used; ++i) {
    if (value != 0 && value % units[i].factor == 0) best = i;
  }
  return std::to_string(value / units[best].factor) + std::string(units[best].name);
}

}  // namespace

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{}) return std::nullopt;
  if (stopped != end) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  return parse_with_unit(text, byte_units);
}

std::string bytes_text(std::uint64_t bytes) {
  return text_with_unit(bytes, byte_units, binary_byte_units);
}

std::optional<Duration> parse_duration(std::string_view text) {
  const std::optional<std::uint64_t> milliseconds = parse_with_unit(text, time_units);
  if (!milliseconds) return std::nullopt;
  if (*milliseconds > static_cast<std::uint64_t>(duration_max.count())) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*milliseconds));
}

std::string duration_text(Duration duration) {
  return text_with_unit(
      static_cast<std::uint64_t>(duration.count()), time_units, time_units.size());
}

std::string printable(std::string_view raw) {
  constexpr std::size_t shown_max = 200;
  std::string text;
  for (const char c : raw.substr(0, shown_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  if (raw.size() > shown_max) text += "...";
  return text;
}

}  // namespace sluice::server
