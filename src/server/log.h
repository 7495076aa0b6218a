// The server's log: one line per event on standard output, as text or JSON (docs/operations.md).
//
//   logger.event(LogLevel::info, "listening", {{"protocol", "resp"}, {"address", address}});
//   2026-01-02T03:04:05.678Z info event=listening protocol=resp address=127.0.0.1:7770
//
// Ids go in, payloads never. Whatever a value holds, it stays on its line: control characters and
// what is not ASCII are escaped. Written by a thread of its own: a reader of our output that
// stopped reading costs log lines, never the engine's time.
#pragma once

#include <concepts>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

/// `error` means that a person must act.
enum class LogLevel : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };

constexpr std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "";
}

constexpr std::string_view name(LogFormat format) {
  switch (format) {
    case LogFormat::text:
      return "text";
    case LogFormat::json:
      return "json";
  }
  return "";
}

/// A name and a value of a line. Numbers stay numbers in JSON; ids are passed as strings, because
/// JSON's numbers end at 2^53.
struct LogField {
  std::string name;
  std::string value;
  bool is_number = false;

  LogField(std::string_view field, std::string_view text) : name(field), value(text) {}

  LogField(std::string_view field, const char* text) : name(field), value(text) {}

  LogField(std::string_view field, const std::string& text) : name(field), value(text) {}

  template <std::integral T>
  LogField(std::string_view field, T number)
      : name(field), value(std::to_string(number)), is_number(true) {}
};

/// Longer values are cut, and end in "...".
inline constexpr std::size_t log_value_bytes_max = 1024;

/// `a=1 b="x y"` with everything that could end the line or fool a terminal escaped.
std::string text_fields(const std::vector<LogField>& fields);
/// `"a":1,"b":"x y"`, always valid JSON.
std::string json_fields(const std::vector<LogField>& fields);
/// Reads `event=x note="two words"`, the engine's lines. What does not fit goes into a field
/// "text".
std::vector<LogField> parse_fields(std::string_view line);

class Logger {
 public:
  Logger(LogFormat format, LogLevel level);
  /// Writes what is still queued.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  /// Any thread; never blocks.
  void event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
  /// A line of key=value text, as the engine and the gateways make them: `event=x level=warn …`.
  /// Without a level it is info. Any thread.
  void line(std::string_view text);
  /// At info whatever the level says: what scripts wait for. Any thread.
  void always(std::string_view event, std::initializer_list<LogField> fields);
  /// Waits (a second at most) until what was logged is written. Before std::_Exit only: later lines
  /// are dropped.
  void close();

 private:
  void write(LogLevel level, const std::vector<LogField>& fields);

  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::server
