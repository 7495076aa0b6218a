// Durations, backoff specifications and policies as text: see text.h.
#include "gateway/text.h"

#include "base/utf8.h"
#include "model/limits.h"
#include "model/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice::gateway {
namespace {

using model::Backoff;

/// Splits at spaces; the next word, empty at the end.
ByteView next_word(ByteView& text) {
  while (!text.empty() && text[0] == ' ')
    text.remove_prefix(1);
  const ByteView word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

tl::unexpected<Error> bad_backoff(ByteView what, ByteView part) {
  return fail(ErrorCode::arg,
              fmt::format("backoff: {} {}; allowed: exponential <d> [cap <d>] [jitter <n>%] | "
                          "fixed <d> | linear <d> [cap <d>] | list <d> …, <d> like 1500ms 30s 5m",
                          what,
                          shown(part)));
}

Result<void> parse_backoff_list(Backoff& backoff, ByteView rest) {
  for (ByteView word = next_word(rest); !word.empty(); word = next_word(rest)) {
    const std::optional<Duration> delay = parse_duration(word);
    if (!delay) return bad_backoff("not a duration:", word);
    if (backoff.list.size() == model::backoff_list_max) {
      return fail(ErrorCode::too_big,
                  fmt::format("backoff: the list has more than {} delays; the last one repeats",
                              model::backoff_list_max));
    }
    backoff.list.push_back(*delay);
  }
  if (backoff.list.empty()) return bad_backoff("a delay is missing after", "list");
  return {};
}

Result<void> parse_backoff_options(Backoff& backoff, ByteView rest) {
  const bool has_cap = backoff.kind != Backoff::Kind::fixed;
  for (ByteView word = next_word(rest); !word.empty(); word = next_word(rest)) {
    ByteView value = next_word(rest);
    if (word == "cap" && has_cap) {
      const std::optional<Duration> cap = parse_duration(value);
      if (!cap) return bad_backoff("not a duration after cap:", value);
      backoff.cap = *cap;
    } else if (word == "jitter") {
      if (!value.empty() && value.back() == '%') value.remove_suffix(1);
      const std::optional<std::uint64_t> percent = parse_number(value);
      if (!percent || *percent > 100) return bad_backoff("jitter is not 0% to 100%:", value);
      backoff.jitter_percent = static_cast<std::uint8_t>(*percent);
    } else {
      return bad_backoff("not understood:", word);
    }
  }
  return {};
}

Result<std::uint64_t> number_in(ByteView field,
                                ByteView text,
                                std::uint64_t min,
                                std::uint64_t max) {
  const std::optional<std::uint64_t> number = parse_number(text);
  if (number && *number >= min && *number <= max) return *number;
  return fail(
      ErrorCode::arg,
      fmt::format("{} is {}; allowed: a number from {} to {}", field, shown(text), min, max));
}

Result<Duration> duration_in(ByteView field, ByteView text, Duration min, Duration max) {
  const std::optional<Duration> duration = parse_duration(text);
  if (duration && *duration >= min && *duration <= max) return *duration;
  return fail(
      ErrorCode::arg,
      fmt::format("{} is {}; allowed: a duration like 1500 (ms) 30s 5m 2h 7d, from {} to {}",
                  field,
                  shown(text),
                  format_duration(min),
                  format_duration(max)));
}

template <class Field, class Value>
Result<void> assign(std::optional<Field>& field, Result<Value> value) {
  if (!value) return tl::unexpected<Error>(std::move(value.error()));
  if constexpr (std::is_same_v<Field, Value>) {
    field = std::move(*value);
  } else {
    field = static_cast<Field>(*value);
  }
  return {};
}

Result<model::Overflow> parse_overflow(ByteView value) {
  if (is_word(value, "REJECT")) return model::Overflow::reject;
  if (is_word(value, "DROP_HEAD") || value == "drop-head") return model::Overflow::drop_head;
  return fail(ErrorCode::arg,
              fmt::format("overflow is {}; allowed: reject, drop_head", shown(value)));
}

Result<std::string> parse_dead_letter(ByteView value) {
  if (value.empty() || model::is_name(value)) return std::string(value);
  Error error = bad_queue_name(value);
  error.message = "dead_letter: " + error.message;
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace

std::optional<std::uint64_t> parse_number(ByteView text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Duration> parse_duration(ByteView text) {
  std::uint64_t number = 0;
  const auto [unit_at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const ByteView unit = text.substr(static_cast<std::size_t>(unit_at - text.data()));
  std::uint64_t factor = 0;
  if (unit.empty() || unit == "ms") {
    factor = 1;
  } else if (unit == "s") {
    factor = 1000;
  } else if (unit == "m") {
    factor = 60 * 1000;
  } else if (unit == "h") {
    factor = 3600 * 1000;
  } else if (unit == "d") {
    factor = 24 * 3600 * 1000;
  } else {
    return std::nullopt;
  }
  if (number > static_cast<std::uint64_t>(duration_max.count()) / factor) return std::nullopt;
  return Duration(static_cast<std::int64_t>(number * factor));
}

std::string format_duration(Duration duration) {
  struct Unit {
    std::int64_t milliseconds;
    ByteView name;
  };

  static constexpr std::array<Unit, 4> units{
      {{24 * 3600 * 1000, "d"}, {3600 * 1000, "h"}, {60 * 1000, "m"}, {1000, "s"}}};
  const std::int64_t count = duration.count();
  if (count == 0) return "0";
  for (const Unit& unit : units) {
    if (count % unit.milliseconds == 0)
      return fmt::format("{}{}", count / unit.milliseconds, unit.name);
  }
  return fmt::format("{}ms", count);
}

Result<Backoff> parse_backoff(ByteView text) {
  ByteView rest = text;
  const ByteView kind = next_word(rest);
  Backoff backoff;
  if (kind == "exponential") {
    backoff.kind = Backoff::Kind::exponential;
  } else if (kind == "fixed") {
    backoff.kind = Backoff::Kind::fixed;
  } else if (kind == "linear") {
    backoff.kind = Backoff::Kind::linear;
  } else if (kind == "list") {
    backoff.kind = Backoff::Kind::list;
  } else {
    return bad_backoff("not a kind:", kind);
  }
  if (backoff.kind != Backoff::Kind::exponential) backoff.jitter_percent = 0;
  if (backoff.kind == Backoff::Kind::list) {
    Result<void> parsed = parse_backoff_list(backoff, rest);
    if (!parsed) return tl::unexpected<Error>(std::move(parsed.error()));
    return backoff;
  }
  const ByteView base = next_word(rest);
  const std::optional<Duration> delay = parse_duration(base);
  if (!delay) return bad_backoff("not a duration:", base);
  backoff.base = *delay;
  Result<void> parsed = parse_backoff_options(backoff, rest);
  if (!parsed) return tl::unexpected<Error>(std::move(parsed.error()));
  return backoff;
}

std::string format_backoff(const Backoff& backoff) {
  const std::string base = format_duration(backoff.base);
  std::string text;
  switch (backoff.kind) {
    case Backoff::Kind::exponential:
      return fmt::format("exponential {} cap {} jitter {}%",
                         base,
                         format_duration(backoff.cap),
                         backoff.jitter_percent);
    case Backoff::Kind::list:
      text = "list";
      for (const Duration delay : backoff.list)
        text += " " + format_duration(delay);
      return text;
    case Backoff::Kind::fixed:
      text = "fixed " + base;
      break;
    case Backoff::Kind::linear:
      text = fmt::format("linear {} cap {}", base, format_duration(backoff.cap));
      break;
  }
  if (backoff.jitter_percent != 0) text += fmt::format(" jitter {}%", backoff.jitter_percent);
  return text;
}

Result<void> set_policy_field(model::PolicyChange& change, ByteView field, ByteView value) {
  const auto is = [field](ByteView name) { return is_word(field, name); };
  constexpr Duration none{0};
  if (is("PRIORITY")) return assign(change.priority, number_in(field, value, 0, 255));
  if (is("DELAY")) return assign(change.delay, duration_in(field, value, none, duration_max));
  if (is("MAX_ATTEMPTS") || is("ATTEMPTS")) {
    const Result<std::uint64_t> unlimited = model::attempts_unlimited;
    const Result<std::uint64_t> count = number_in(field, value, 0, model::attempts_max);
    if (count && *count == 0) return assign(change.max_attempts, unlimited);
    return assign(change.max_attempts, count);
  }
  if (is("BACKOFF")) return assign(change.backoff, parse_backoff(value));
  if (is("TIMEOUT")) {
    return assign(change.timeout, duration_in(field, value, Duration(1), model::lease_max));
  }
  if (is("TTL")) return assign(change.ttl, duration_in(field, value, none, duration_max));
  if (is("KEEP")) return assign(change.keep, duration_in(field, value, none, duration_max));
  if (is("KEEP_MAX")) return assign(change.keep_max, number_in(field, value, 0, UINT32_MAX));
  if (is("MAX_LENGTH")) return assign(change.max_length, number_in(field, value, 0, UINT64_MAX));
  if (is("OVERFLOW")) return assign(change.overflow, parse_overflow(value));
  if (is("DEAD_LETTER")) return assign(change.dead_letter, parse_dead_letter(value));
  return fail(ErrorCode::arg,
              fmt::format("{} is not a field of a queue's policy; allowed: priority delay "
                          "max_attempts backoff timeout ttl keep keep_max max_length overflow "
                          "dead_letter",
                          shown(field)));
}

Error bad_queue_name(ByteView name) {
  if (name.size() > model::queue_name_bytes_max) {
    return {
        ErrorCode::too_big,
        fmt::format(
            "the queue's name has {} bytes (limit {})", name.size(), model::queue_name_bytes_max)};
  }
  return {ErrorCode::arg,
          fmt::format("{} is not a queue's name; allowed: 1 to {} bytes of UTF-8 without control "
                      "characters",
                      shown(name),
                      model::queue_name_bytes_max)};
}

std::string shown(ByteView text) {
  constexpr std::size_t shown_max = 64;
  std::string out = "\"";
  std::size_t at = 0;
  while (at < std::min(text.size(), shown_max)) {
    const ByteView rest = text.substr(at);
    const std::size_t size = utf8_size(rest);
    if (size == 0 || is_control(rest, size)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest.front()));
      ++at;
    } else {
      out += rest.substr(0, size);
      at += size;
    }
  }
  out += at < text.size() ? "…\"" : "\"";
  return out;
}

bool is_word(ByteView text, ByteView upper_case) {
  if (text.size() != upper_case.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char upper = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (upper != upper_case[i]) return false;
  }
  return true;
}

}  // namespace sluice::gateway
