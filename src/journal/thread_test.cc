// The owner appends, reads, seals and cleans while another thread writes: run under ASan and TSan.
#include "io/posix.h"
#include "journal/test_log.h"

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::journal {
namespace {

/// A thread that writes one batch after the other, as the engine's does.
class WritingThread {
 public:
  explicit WritingThread(Log& log) : log_(log), thread_([this] { run(); }) {}

  ~WritingThread() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void hand_over(Batch batch) {
    {
      const std::lock_guard lock(mutex_);
      todo_.emplace(std::move(batch));
    }
    changed_.notify_all();
  }

  /// The batch handed over last, once it is written; waits only if told to.
  std::optional<Batch> take(bool is_waiting) {
    std::unique_lock lock(mutex_);
    if (is_waiting) changed_.wait(lock, [this] { return done_.has_value(); });
    return std::exchange(done_, std::nullopt);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return todo_.has_value() || is_ending_; });
      if (!todo_) return;
      Batch batch = std::move(*todo_);
      todo_.reset();
      lock.unlock();
      const Result<void> written = log_.write(batch, ++count_ % 3 == 0 ? Sync::no : Sync::yes);
      check(written.has_value());
      lock.lock();
      done_.emplace(std::move(batch));
      changed_.notify_all();
    }
  }

  Log& log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Batch> todo_;
  std::optional<Batch> done_;
  bool is_ending_ = false;
  int count_ = 0;
  std::thread thread_;
};

struct Live {
  Position at;
  std::string payload;
};

void clean_a_little(Log& log, Position& copies_end, bool& is_scanned, std::deque<Live>& live) {
  if (log.segment_count() < 4) return;
  if (!is_scanned) {
    const Result<bool> scanned =
        log.scan_oldest(2000, [](Position, ByteView) { return Result<void>(); });
    check(scanned.has_value());
    is_scanned = *scanned;
    if (!is_scanned) return;
    while (!live.empty() && live.front().at.segment() == log.first_segment())
      live.pop_front();
    copies_end = log.end();
  }
  if (log.durable_end() < copies_end) return;
  check(log.drop_oldest(copies_end).has_value());
  is_scanned = false;
}

void append_read_and_clean(Log& log, int frames) {
  WritingThread writer(log);
  bool is_writing = false;
  bool is_scanned = false;
  Position copies_end;
  std::deque<Live> live;
  for (int i = 0; i < frames; ++i) {
    Live job{log.open_frame(),
             "job " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 300), '.')};
    log.frame().append(job.payload);
    check(log.close_frame());
    live.push_back(std::move(job));
    const Live& other = live[static_cast<std::size_t>(i) * 7919 % live.size()];
    const Result<ByteView> bytes = log.read(other.at, other.payload.size());
    ASSERT_TRUE(bytes) << bytes.error().message;
    ASSERT_EQ(*bytes, other.payload);
    if (is_writing) {
      if (std::optional<Batch> done = writer.take(false)) {
        log.retire(std::move(*done));
        is_writing = false;
      }
    }
    if (!is_writing && i % 5 == 0) {
      writer.hand_over(log.seal());
      is_writing = true;
    }
    clean_a_little(log, copies_end, is_scanned, live);
  }
  if (is_writing) log.retire(*writer.take(true));
}

TEST(LogThreads, TheOwnerWorksWhileAnotherThreadWritesInMemory) {
  TestLog log(LogOptions{.segment_bytes = 16u << 10, .tail_cache_bytes = 32u << 10});
  append_read_and_clean(*log.operator->(), 8000);
}

TEST(LogThreads, TheOwnerWorksWhileAnotherThreadWritesOnDisk) {
  const std::string path = "/tmp/sluice-journal-" + std::to_string(::getpid()) + "/threads";
  {
    const auto directory = io::open_directory(path);
    ASSERT_TRUE(directory) << directory.error().message;
    const auto log =
        Log::open(**directory,
                  LogOptions{.segment_bytes = 64u << 10, .tail_cache_bytes = 32u << 10},
                  [](Position, ByteView) { return Result<void>(); },
                  {});
    ASSERT_TRUE(log) << log.error().message;
    append_read_and_clean(**log, 8000);
    ASSERT_TRUE((*log)->close());
  }
  std::filesystem::remove_all("/tmp/sluice-journal-" + std::to_string(::getpid()));
}

}  // namespace
}  // namespace sluice::journal
