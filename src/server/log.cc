// The log: fields to one line of text or JSON, spdlog's queue and thread to standard output.
#include "server/log.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace sluice::server {
namespace {

// Lines waiting for a slow reader of our output; beyond it the oldest are dropped.
constexpr std::size_t queued_lines_max = 4096;
constexpr std::chrono::seconds close_wait_max{1};

bool is_printable(unsigned char c) {
  return c >= 0x20 && c < 0x7f;
}

std::string_view cut(std::string_view value) {
  return value.substr(0, log_value_bytes_max);
}

void append_text(std::string& out, std::string_view value) {
  for (const char c : cut(value)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (is_printable(byte)) {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    }
  }
  if (value.size() > log_value_bytes_max) out += "...";
}

void append_json(std::string& out, std::string_view value) {
  std::string_view rest = cut(value);
  out += '"';
  while (!rest.empty()) {
    const auto byte = static_cast<unsigned char>(rest.front());
    std::size_t size = 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += rest.front();
    } else if (is_printable(byte)) {
      out += rest.front();
    } else if (byte < 0x80) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else if (const std::size_t character = utf8_size(rest);
               character != 0 && !is_control(rest, character)) {
      out += rest.substr(0, character);
      size = character;
    } else {
      out += "\\ufffd";
    }
    rest.remove_prefix(size);
  }
  if (value.size() > log_value_bytes_max) out += "...";
  out += '"';
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (c == ' ' || c == '"' || c == '=' || c == '\\') return true;
    if (!is_printable(static_cast<unsigned char>(c))) return true;
  }
  return false;
}

bool is_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool is_fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!is_fine) return false;
  }
  return true;
}

// Takes the value at the front of `rest`: up to a space, or "quoted" with backslash escapes.
std::string take_value(std::string_view& rest) {
  std::string value;
  if (rest.empty() || rest.front() != '"') {
    value = rest.substr(0, rest.find(' '));
    rest.remove_prefix(value.size());
    return value;
  }
  rest.remove_prefix(1);
  while (!rest.empty() && rest.front() != '"') {
    if (rest.front() == '\\' && rest.size() > 1) rest.remove_prefix(1);
    value += rest.front();
    rest.remove_prefix(1);
  }
  if (!rest.empty()) rest.remove_prefix(1);
  return value;
}

LogLevel take_level(std::vector<LogField>& fields) {
  for (auto field = fields.begin(); field != fields.end(); ++field) {
    if (field->name != "level") continue;
    for (const LogLevel level : {LogLevel::debug, LogLevel::warn, LogLevel::error}) {
      if (field->value != name(level)) continue;
      fields.erase(field);
      return level;
    }
    fields.erase(field);
    break;
  }
  return LogLevel::info;
}

}  // namespace

std::string text_fields(const std::vector<LogField>& fields) {
  std::string out;
  for (const LogField& field : fields) {
    if (!out.empty()) out += ' ';
    out += field.name;
    out += '=';
    const bool is_quoted = needs_quotes(field.value);
    if (is_quoted) out += '"';
    append_text(out, field.value);
    if (is_quoted) out += '"';
  }
  return out;
}

std::string json_fields(const std::vector<LogField>& fields) {
  std::string out;
  for (const LogField& field : fields) {
    if (!out.empty()) out += ',';
    append_json(out, field.name);
    out += ':';
    if (field.is_number) {
      out += field.value;
    } else {
      append_json(out, field.value);
    }
  }
  return out;
}

std::vector<LogField> parse_fields(std::string_view line) {
  std::vector<LogField> fields;
  std::string_view rest = line;
  while (!rest.empty()) {
    if (rest.front() == ' ') {
      rest.remove_prefix(1);
      continue;
    }
    const std::size_t equals = rest.find('=');
    if (equals == std::string_view::npos || !is_name(rest.substr(0, equals))) {
      fields.emplace_back("text", rest);
      break;
    }
    const std::string_view name = rest.substr(0, equals);
    rest.remove_prefix(equals + 1);
    fields.emplace_back(name, take_value(rest));
  }
  return fields;
}

class Logger::Impl {
 public:
  Impl(LogFormat format_, LogLevel level_)
      : format(format_),
        level(level_),
        pool(std::make_shared<spdlog::details::thread_pool>(queued_lines_max, 1)) {
    auto sink = std::make_shared<spdlog::sinks::stdout_sink_st>();
    logger = std::make_shared<spdlog::async_logger>(
        "sluice", std::move(sink), pool, spdlog::async_overflow_policy::overrun_oldest);
    const char* pattern = format == LogFormat::json
                              ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %v";
    logger->set_pattern(pattern, spdlog::pattern_time_type::utc);
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
  }

  const LogFormat format;
  const LogLevel level;
  std::mutex mutex;  // Held while a line is queued and while the pool is taken away by close().
  // The queue and its thread. Shared because async_logger wants a weak pointer; null once closed.
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Logger::Logger(LogFormat format, LogLevel level) : impl_(std::make_unique<Impl>(format, level)) {}

Logger::~Logger() {
  close();
}

void Logger::event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < impl_->level) return;
  std::vector<LogField> all{{"event", event}};
  all.insert(all.end(), fields.begin(), fields.end());
  write(level, all);
}

void Logger::line(std::string_view text) {
  std::vector<LogField> fields = parse_fields(text);
  const LogLevel level = take_level(fields);
  if (level >= impl_->level) write(level, fields);
}

void Logger::always(std::string_view event, std::initializer_list<LogField> fields) {
  std::vector<LogField> all{{"event", event}};
  all.insert(all.end(), fields.begin(), fields.end());
  write(LogLevel::info, all);
}

void Logger::write(LogLevel level, const std::vector<LogField>& fields) {
  std::string text;
  if (impl_->format == LogFormat::json) {
    text = fmt::format("\"{}\",{}", name(level), json_fields(fields));
  } else {
    text = fmt::format("{} {}", name(level), text_fields(fields));
  }
  const std::scoped_lock lock(impl_->mutex);
  if (impl_->pool == nullptr) return;
  impl_->logger->log(spdlog::level::info, spdlog::string_view_t(text));
}

void Logger::close() {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  {
    const std::scoped_lock lock(impl_->mutex);
    pool.swap(impl_->pool);
  }
  if (pool == nullptr) return;
  // Ending the pool waits for the last line to be written, which a reader that stopped reading can
  // delay for ever; then the thread is left behind, and so the process must be about to end.
  std::promise<void> written;
  std::future<void> is_written = written.get_future();
  std::thread closer([last = std::move(pool), done = std::move(written)]() mutable {
    last.reset();
    done.set_value();
  });
  if (is_written.wait_for(close_wait_max) == std::future_status::ready) {
    closer.join();
  } else {
    closer.detach();
  }
}

}  // namespace sluice::server
