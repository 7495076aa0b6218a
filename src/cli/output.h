// What goes to the terminal: tables, raw results, progress bars, and the JSON of jobs and queues.
#pragma once

#include "base/bytes.h"

#include <sluice/job.h>
#include <sluice/queue.h>

#include <boost/json/object.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace sluice::cli {

SystemTime now();

/// Columns as wide as their widest cell, two spaces apart. Cells are printed as they are: escape
/// what came from others.
class Table {
 public:
  enum class Align : std::uint8_t { left, right };

  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell per column.
  void add(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  /// The lines, title first, without trailing spaces.
  std::vector<std::string> lines() const;
  void print() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Prints the document and a newline.
void print_json(const boost::json::value& document);
/// A payload or result: as it is into a file or pipe, escaped and with a newline on a terminal.
void print_bytes(ByteView bytes);

/// `key` as text, or as `key`_base64 when the bytes are no UTF-8 and so no JSON string.
void put_bytes(boost::json::object& object, const std::string& key, ByteView bytes);
std::string base64(ByteView bytes);
/// Field names as the protocol has them (docs/protocol.md: JOB, QUEUE GET). Times are unix ms.
boost::json::object to_json(const JobInfo& job);
boost::json::object to_json(const QueueInfo& queue);

/// A bar on stderr, only if that is a terminal; gone when it ends.
class ProgressBar {
 public:
  /// `total` 0: unknown, a counter is shown instead of a bar.
  ProgressBar(std::string label, std::uint64_t total);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  ~ProgressBar() { clear(); }

  /// Redraws at most ten times a second.
  void show(std::uint64_t done, std::string_view note = {});
  void clear();

 private:
  std::string label_;
  std::uint64_t total_;
  bool is_shown_ = false;
  bool is_on_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace sluice::cli
