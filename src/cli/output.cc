// Tables, JSON and progress bars; see output.h.
#include "cli/output.h"

#include "cli/units.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <algorithm>

#include <unistd.h>

namespace sluice::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t bar_columns = 30;

std::int64_t unix_ms(SystemTime time) {
  return time.time_since_epoch().count();
}

void put_if(json::object& object, const char* key, const std::string& text) {
  if (!text.empty()) put_bytes(object, key, text);
}

json::array history_json(const std::vector<JobEvent>& events) {
  json::array history;
  for (const JobEvent& event : events) {
    json::object one{{"time", unix_ms(event.time)}, {"state", name(event.state)}};
    if (event.attempt > 0) one["attempt"] = event.attempt;
    put_if(one, "worker", event.worker);
    put_if(one, "note", event.note);
    history.push_back(std::move(one));
  }
  return history;
}

}  // namespace

SystemTime now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::string> Table::lines() const {
  std::vector<std::size_t> widths;
  std::vector<std::string> titles;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    widths.push_back(width(columns_[i].title));
    for (const auto& row : rows_)
      widths[i] = std::max(widths[i], width(row[i]));
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text += "  ";
      const std::string padding(widths[i] - width(cells[i]), ' ');
      text += columns_[i].align == Align::right ? padding + cells[i] : cells[i] + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  std::vector<std::string> all{line(titles)};
  for (const auto& row : rows_)
    all.push_back(line(row));
  return all;
}

void Table::print() const {
  for (const std::string& line : lines())
    fmt::print("{}\n", line);
}

void print_json(const json::value& document) {
  fmt::print("{}\n", json::serialize(document));
}

void print_bytes(ByteView bytes) {
  if (::isatty(STDOUT_FILENO) != 0) {
    fmt::print("{}\n", escaped(bytes));
  } else {
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  }
}

std::string base64(ByteView bytes) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= count ? alphabet[group >> (18 - 6 * i) & 63u] : '=';
    }
  }
  return out;
}

void put_bytes(json::object& object, const std::string& key, ByteView bytes) {
  if (is_utf8(bytes)) {
    object[key] = bytes;
  } else {
    object[key + "_base64"] = base64(bytes);
  }
}

json::object to_json(const JobInfo& job) {
  json::object object{{"id", job.id.text()},
                      {"queue", job.queue},
                      {"type", job.type},
                      {"state", name(job.state)},
                      {"priority", job.priority},
                      {"attempt", job.attempt},
                      {"max_attempts", job.max_attempts},
                      {"created", unix_ms(job.created)}};
  if (job.due) object["due"] = unix_ms(*job.due);
  put_if(object, "worker", job.worker);
  put_if(object, "error", job.error);
  if (job.result) put_bytes(object, "result", *job.result);
  if (job.progress > 0) object["progress"] = job.progress;
  put_if(object, "note", job.note);
  put_if(object, "unique", job.unique);
  if (!job.after.empty()) {
    json::array after;
    for (const JobId id : job.after)
      after.emplace_back(id.text());
    object["after"] = std::move(after);
  }
  if (!job.headers.empty()) {
    json::object headers;
    for (const auto& [key, value] : job.headers)
      put_bytes(headers, escaped(key), value);
    object["headers"] = std::move(headers);
  }
  put_if(object, "payload", job.payload);
  if (!job.history.empty()) object["history"] = history_json(job.history);
  return object;
}

json::object to_json(const QueueInfo& queue) {
  json::object object{{"name", queue.name}, {"paused", queue.paused}};
  for (std::size_t i = 0; i < queue.jobs.size(); ++i) {
    object[name(static_cast<JobState>(i))] = queue.jobs.at(i);
  }
  object["priority"] = queue.priority;
  object["delay"] = queue.delay.count();
  object["max_attempts"] = queue.max_attempts;
  object["backoff"] = queue.backoff;
  object["timeout"] = queue.timeout.count();
  object["ttl"] = queue.ttl.count();
  object["keep"] = queue.keep.count();
  object["keep_max"] = queue.keep_max;
  object["max_length"] = queue.max_length;
  object["overflow"] = queue.overflow;
  object["dead_letter"] = queue.dead_letter;
  object["pushed_total"] = queue.pushed_total;
  object["pulled_total"] = queue.pulled_total;
  object["succeeded_total"] = queue.succeeded_total;
  object["failed_total"] = queue.failed_total;
  object["dead_total"] = queue.dead_total;
  object["waiting_pulls"] = queue.waiting_pulls;
  object["oldest_ready_ms"] = queue.oldest_ready.count();
  return object;
}

ProgressBar::ProgressBar(std::string label, std::uint64_t total)
    : label_(std::move(label)),
      total_(total),
      is_on_(::isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()) {}

void ProgressBar::show(std::uint64_t done, std::string_view note) {
  if (!is_on_) return;
  const auto time = std::chrono::steady_clock::now();
  if (is_shown_ && time - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = time;
  is_shown_ = true;
  const double seconds = std::chrono::duration<double>(time - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string bar;
  if (total_ > 0) {
    const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    const auto filled = static_cast<std::size_t>(fraction * bar_columns);
    bar = fmt::format("[{}{}] {:3.0f}% ",
                      std::string(filled, '#'),
                      std::string(bar_columns - filled, '.'),
                      fraction * 100);
    if (rate > 0 && done < total_) {
      const double left = static_cast<double>(total_ - done) / rate;
      bar += short_duration(std::chrono::seconds(static_cast<std::int64_t>(left))) + " left ";
    }
  }
  fmt::print(
      stderr, "\r{} {}{} ({}/s) {}\x1b[K", label_, bar, grouped(done), short_rate(rate), note);
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (is_shown_) fmt::print(stderr, "\r\x1b[K");
  is_shown_ = false;
}

}  // namespace sluice::cli
