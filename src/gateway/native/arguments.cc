// Single arguments, and the options of PUSH: see arguments.h.
#include "gateway/native/arguments.h"

#include "gateway/text.h"
#include "model/header_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace sluice::native {
namespace {

using gateway::is_word;
using gateway::shown;
using model::PushOptions;

/// The last millisecond of the year 9999.
constexpr std::uint64_t at_max = 253'402'300'799'999;

enum class Option : std::uint8_t {
  delay,
  at,
  priority,
  attempts,
  backoff,
  timeout,
  ttl,
  unique,
  window,
  on_conflict,
  group,
  keep,
  after,
  after_any,
  header,
  unknown,
};

constexpr std::array<ByteView, 15> option_names{"DELAY",
                                                "AT",
                                                "PRIORITY",
                                                "ATTEMPTS",
                                                "BACKOFF",
                                                "TIMEOUT",
                                                "TTL",
                                                "UNIQUE",
                                                "WINDOW",
                                                "ONCONFLICT",
                                                "GROUP",
                                                "KEEP",
                                                "AFTER",
                                                "AFTER_ANY",
                                                "HEADER"};

Option find_option(ByteView word) {
  for (std::size_t i = 0; i < option_names.size(); ++i) {
    if (is_word(word, option_names[i])) return static_cast<Option>(i);
  }
  return Option::unknown;
}

/// Walks the options of one PUSH.
class OptionReader {
 public:
  OptionReader(const resp::Arguments& arguments,
               std::size_t from,
               const model::Limits& limits,
               PushOptions& options)
      : arguments_(arguments), at_(from), limits_(limits), options_(options) {}

  Result<void> run() {
    while (at_ < arguments_.size()) {
      name_ = arguments_[at_];
      const Option option = find_option(name_);
      ++at_;
      Result<void> read = read_option(option);
      if (!read) return read;
    }
    return finish();
  }

 private:
  Result<void> read_option(Option option) {
    if (option == Option::after_any && !next_is_number()) {
      all_after_any_ = true;  // A bare AFTER_ANY speaks for every AFTER.
      return {};
    }
    if (option == Option::unknown) {
      return fail(
          ErrorCode::arg,
          fmt::format(
              "PUSH: unknown option {}; allowed: {}", shown(name_), fmt::join(option_names, " ")));
    }
    if (option == Option::group) return fail(ErrorCode::arg, "GROUP is not supported yet");
    const std::size_t values = option == Option::header ? 2 : 1;
    if (arguments_.size() - at_ < values) {
      return fail(ErrorCode::arg,
                  fmt::format("PUSH: {} needs {}",
                              option_names[static_cast<std::size_t>(option)],
                              values == 1 ? "a value" : "a key and a value"));
    }
    const ByteView value = arguments_[at_];
    at_ += values;
    switch (option) {
      case Option::delay:
        return set(options_.delay, duration(value, Duration(0), duration_max));
      case Option::at:
        return read_at(value);
      case Option::priority:
        return set(options_.priority, read_number("PRIORITY", value, 0, 255));
      case Option::attempts:
        return set(options_.max_attempts, read_number("ATTEMPTS", value, 1, model::attempts_max));
      case Option::backoff:
        return set(options_.backoff, gateway::parse_backoff(value));
      case Option::timeout:
        return set(options_.timeout, duration(value, Duration(1), model::lease_max));
      case Option::ttl:
        return set(options_.ttl, duration(value, Duration(0), duration_max));
      case Option::keep:
        return set(options_.keep, duration(value, Duration(0), duration_max));
      case Option::unique:
        return read_unique(value);
      case Option::window:
        return set(options_.unique_window, duration(value, Duration(1), duration_max));
      case Option::on_conflict:
        return read_on_conflict(value);
      case Option::after:
        return read_after(value, false);
      case Option::after_any:
        return read_after(value, true);
      case Option::header:
        return read_header(value, arguments_[at_ - 1]);
      case Option::group:
      case Option::unknown:
        break;
    }
    return {};
  }

  Result<Duration> duration(ByteView value, Duration min, Duration max) {
    return read_duration(name_, value, min, max);
  }

  template <class Field, class Value>
  static Result<void> set(std::optional<Field>& field, Result<Value> value) {
    if (!value) return error_of(value);
    if constexpr (std::is_same_v<Field, Value>) {
      field = std::move(*value);
    } else {
      field = static_cast<Field>(*value);
    }
    return {};
  }

  Result<void> read_at(ByteView value) {
    Result<std::uint64_t> at = read_number("AT (unix time in ms)", value, 0, at_max);
    if (!at) return error_of(at);
    options_.at = WallTime(Duration(static_cast<std::int64_t>(*at)));
    return {};
  }

  Result<void> read_unique(ByteView value) {
    if (value.empty()) return bad_argument("UNIQUE", value, "a key of 1 to 1024 bytes");
    if (value.size() > model::key_bytes_max) {
      return too_long("the UNIQUE key", value.size(), model::key_bytes_max);
    }
    options_.unique_key = value;
    return {};
  }

  Result<void> read_on_conflict(ByteView value) {
    has_on_conflict_ = true;
    if (is_word(value, "EXISTING")) {
      options_.on_conflict = model::OnConflict::existing;
    } else if (is_word(value, "REPLACE")) {
      options_.on_conflict = model::OnConflict::replace;
    } else if (is_word(value, "REJECT")) {
      options_.on_conflict = model::OnConflict::reject;
    } else {
      return bad_argument("ONCONFLICT", value, "existing, replace, reject");
    }
    return {};
  }

  Result<void> read_after(ByteView value, bool any_outcome) {
    Result<std::uint64_t> id = read_number(
        any_outcome ? "AFTER_ANY (a job's id)" : "AFTER (a job's id)", value, 1, UINT64_MAX);
    if (!id) return error_of(id);
    if (options_.after.size() == model::after_max) {
      return fail(
          ErrorCode::too_big,
          fmt::format(
              "PUSH: more than {} AFTER ids (limit {})", model::after_max, model::after_max));
    }
    options_.after.push_back({model::JobId(*id), any_outcome});
    return {};
  }

  Result<void> read_header(ByteView key, ByteView value) {
    if (key.empty()) return bad_argument("HEADER", key, "a key that is not empty");
    if (model::is_reserved_header(key)) {
      return bad_argument("HEADER", key, "a key that does not begin with a colon");
    }
    if (options_.headers.size() == model::headers_max) {
      return fail(
          ErrorCode::too_big,
          fmt::format(
              "PUSH: more than {} headers (limit {})", model::headers_max, model::headers_max));
    }
    header_bytes_ += key.size() + value.size();
    if (header_bytes_ > limits_.headers_bytes_max) {
      return too_long("keys and values of all HEADERs", header_bytes_, limits_.headers_bytes_max);
    }
    options_.headers.emplace_back(key, value);
    return {};
  }

  bool next_is_number() const {
    return at_ < arguments_.size() && gateway::parse_number(arguments_[at_]).has_value();
  }

  Result<void> finish() {
    if (options_.delay && options_.at) {
      return fail(ErrorCode::arg, "PUSH: DELAY and AT exclude each other; give one of them");
    }
    if (options_.unique_key.empty() && (options_.unique_window || has_on_conflict_)) {
      return fail(ErrorCode::arg, "PUSH: WINDOW and ONCONFLICT need UNIQUE key");
    }
    if (all_after_any_) {
      if (options_.after.empty()) {
        return fail(ErrorCode::arg, "PUSH: AFTER_ANY needs a job's id, or AFTER id beside it");
      }
      for (model::Dependency& dependency : options_.after)
        dependency.any_outcome = true;
    }
    return {};
  }

  const resp::Arguments& arguments_;
  std::size_t at_;
  const model::Limits& limits_;
  PushOptions& options_;
  ByteView name_;
  std::size_t header_bytes_ = 0;
  bool all_after_any_ = false;
  bool has_on_conflict_ = false;
};

}  // namespace

tl::unexpected<Error> bad_argument(ByteView name, ByteView value, ByteView allowed) {
  return fail(ErrorCode::arg, fmt::format("{} is {}; allowed: {}", name, shown(value), allowed));
}

tl::unexpected<Error> too_long(ByteView name, std::size_t bytes, std::size_t limit) {
  return fail(ErrorCode::too_big, fmt::format("{}: {} bytes (limit {})", name, bytes, limit));
}

Result<std::uint64_t> read_number(ByteView name,
                                  ByteView value,
                                  std::uint64_t min,
                                  std::uint64_t max) {
  const std::optional<std::uint64_t> number = gateway::parse_number(value);
  if (number && *number >= min && *number <= max) [[likely]]
    return *number;
  return bad_argument(name, value, fmt::format("a number from {} to {}", min, max));
}

Result<Duration> read_duration(ByteView name, ByteView value, Duration min, Duration max) {
  const std::optional<Duration> duration = gateway::parse_duration(value);
  if (duration && *duration >= min && *duration <= max) [[likely]]
    return *duration;
  return bad_argument(name,
                      value,
                      fmt::format("a duration like 1500 (ms) 30s 5m 2h 7d, from {} to {}",
                                  gateway::format_duration(min),
                                  gateway::format_duration(max)));
}

Result<model::JobId> read_id(ByteView value) {
  const std::optional<std::uint64_t> number = gateway::parse_number(value);
  if (number) [[likely]]
    return model::JobId(*number);
  return bad_argument("id", value, "a job's id as PUSH answered it");
}

Result<model::LeaseToken> read_token(ByteView value) {
  const std::optional<std::uint64_t> number = gateway::parse_number(value);
  if (number) [[likely]]
    return model::LeaseToken(*number);
  return bad_argument("token", value, "a lease token as PULL answered it");
}

Result<ByteView> read_name(ByteView name, ByteView value, std::size_t limit) {
  if (value.size() > limit) return too_long(name, value.size(), limit);
  const bool is_plain = std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (value.empty() || !is_plain) {
    return bad_argument(name, value, fmt::format("1 to {} bytes, none a control character", limit));
  }
  return value;
}

Result<void> read_push_options(const resp::Arguments& arguments,
                               std::size_t from,
                               const model::Limits& limits,
                               model::PushOptions& options) {
  return OptionReader(arguments, from, limits, options).run();
}

}  // namespace sluice::native
