// A log in a memory directory with small segments, for tests: append, commit, lose power, look.
#pragma once

#include "base/check.h"
#include "io/memory.h"
#include "journal/log.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::journal {

class TestLog {
 public:
  static LogOptions small() {
    LogOptions options;
    options.segment_bytes = 4u << 10;
    options.tail_cache_bytes = 64u << 10;
    return options;
  }

  explicit TestLog(LogOptions options = small()) : options_(options) {
    const Result<void> opened = open();
    check(opened.has_value());
  }

  Log* operator->() { return log_.get(); }

  io::MemoryDirectory& directory() { return directory_; }

  /// The payloads and positions that the last open() handed out.
  const std::vector<std::string>& recovered() const { return recovered_; }

  const std::vector<Position>& positions() const { return positions_; }

  Position append(ByteView payload) {
    const Position at = log_->open_frame();
    log_->frame().append(payload);
    check(log_->close_frame());
    return at;
  }

  /// Seals, writes and retires what was appended.
  Result<void> commit(Sync sync = Sync::yes) {
    Batch batch = log_->seal();
    Result<void> written = log_->write(batch, sync);
    if (written) log_->retire(std::move(batch));
    return written;
  }

  void kill() {
    directory_.kill();
    log_.reset();
  }

  void crash(std::uint64_t seed) {
    directory_.crash(seed);
    log_.reset();
  }

  Result<std::unique_ptr<Log>> try_open() {
    recovered_.clear();
    positions_.clear();
    return Log::open(directory_,
                     options_,
                     [this](Position at, ByteView payload) {
                       recovered_.emplace_back(payload);
                       positions_.push_back(at);
                       return Result<void>();
                     },
                     {});
  }

  Result<void> open() {
    Result<std::unique_ptr<Log>> opened = try_open();
    if (!opened) return tl::unexpected<Error>(opened.error());
    log_ = std::move(*opened);
    return {};
  }

  void kill_and_open() {
    directory_.clear_faults();
    kill();
    const Result<void> opened = open();
    if (!opened) std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    check(opened.has_value());
  }

  void crash_and_open(std::uint64_t seed) {
    directory_.clear_faults();
    crash(seed);
    const Result<void> opened = open();
    if (!opened)
      std::fprintf(stderr,
                   "seed %llu: %s\n",
                   static_cast<unsigned long long>(seed),
                   opened.error().message.c_str());
    check(opened.has_value());
  }

 private:
  LogOptions options_;
  io::MemoryDirectory directory_;
  std::unique_ptr<Log> log_;
  std::vector<std::string> recovered_;
  std::vector<Position> positions_;
};

/// Appends `count` frames of about 100 bytes and commits them.
inline std::vector<std::string> fill(TestLog& log, int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) {
    all.push_back("job " + std::to_string(i) + std::string(90, '.'));
    log.append(all.back());
  }
  check(log.commit().has_value());
  return all;
}

}  // namespace sluice::journal
