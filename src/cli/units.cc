// Formatting and parsing for people; see units.h.
#include "cli/units.h"

#include "base/utf8.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace sluice::cli {
namespace {

void append_hex(std::string& out, ByteView bytes) {
  for (const char c : bytes) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
  }
}

std::string three_digits(double value) {
  return value < 9.995   ? fmt::format("{:.2f}", value)
         : value < 99.95 ? fmt::format("{:.1f}", value)
                         : fmt::format("{:.0f}", value);
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc{}) return std::nullopt;
  const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  std::uint64_t factor = 0;
  if (unit.empty() || unit == "ms") factor = 1;
  if (unit == "s") factor = 1000;
  if (unit == "m") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  if (unit == "d") factor = 86'400'000;
  const auto most = static_cast<std::uint64_t>(duration_max.count());
  if (factor == 0 || number > most / factor) return std::nullopt;
  return Duration(number * factor);
}

std::string short_duration(Duration duration) {
  const std::int64_t ms = duration.count();
  if (ms < 0) return fmt::format("-{}", short_duration(-duration));
  if (ms < 1000) return fmt::format("{}ms", ms);
  if (ms < 60'000) {
    return ms % 1000 < 100 ? fmt::format("{}s", ms / 1000)
                           : fmt::format("{}.{}s", ms / 1000, ms % 1000 / 100);
  }

  struct Unit {
    std::int64_t length;
    char name;
  };

  constexpr std::array<Unit, 4> units{
      {{86'400'000, 'd'}, {3'600'000, 'h'}, {60'000, 'm'}, {1000, 's'}}};
  std::size_t i = 0;
  while (ms < units.at(i).length)
    ++i;
  const std::int64_t rest = ms % units.at(i).length / units.at(i + 1).length;
  std::string text = fmt::format("{}{}", ms / units.at(i).length, units.at(i).name);
  if (rest > 0) text += fmt::format("{}{}", rest, units.at(i + 1).name);
  return text;
}

std::string attempts_text(unsigned max) {
  return max == 0 ? "no limit" : std::to_string(max);
}

std::string iso_time(SystemTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (time - seconds).count());
}

std::string relative_time(SystemTime time, SystemTime now) {
  if (time == now) return "now";
  return time < now ? short_duration(now - time) + " ago" : "in " + short_duration(time - now);
}

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

std::string grouped_or_dash(std::uint64_t number) {
  return number == 0 ? "-" : grouped(number);
}

std::string short_rate(double per_second) {
  if (per_second <= 0) return "0";
  if (per_second < 999.5) return three_digits(per_second);
  if (per_second < 999'500) return three_digits(per_second / 1e3) + "k";
  return three_digits(per_second / 1e6) + "M";
}

std::string short_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array<const char*, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units.at(unit));
}

bool is_utf8(ByteView bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = utf8_size(bytes.substr(at));
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string escaped(ByteView bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = utf8_size(bytes.substr(at));
    const char c = bytes[at];
    if (length == 0) {
      append_hex(out, bytes.substr(at, 1));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (is_control(bytes.substr(at), length)) {
      append_hex(out, bytes.substr(at, length));
    } else {
      out += bytes.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
  return out;
}

std::string clipped(ByteView escaped_text, std::size_t columns) {
  if (width(escaped_text) <= columns) return std::string(escaped_text);
  std::size_t at = 0;
  for (std::size_t shown = 0; shown + 1 < columns; ++shown) {
    at += std::max<std::size_t>(1, utf8_size(escaped_text.substr(at)));
  }
  return std::string(escaped_text.substr(0, at)) + "…";
}

std::size_t width(ByteView text) {
  std::size_t count = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++count;
  }
  return count;
}

}  // namespace sluice::cli
