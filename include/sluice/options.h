// Options of the C++ client: how to connect, how to pull, how to fail. Classes with chained
// setters; each setter has a reader of the same name.
#pragma once

#include <sluice/job.h>
#include <sluice/payload.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace sluice {

class ClientOptions {
 public:
  /// How long a call may take, reconnecting included; then `timed_out`. A call that waits (pull
  /// with wait, await) gets its wait on top.
  ClientOptions& timeout(Duration call) { return timeout_ = call, *this; }

  Duration timeout() const { return timeout_; }

  /// For one attempt to connect and say hello.
  ClientOptions& connect_timeout(Duration attempt) { return connect_timeout_ = attempt, *this; }

  Duration connect_timeout() const { return connect_timeout_; }

  /// The pause after a failed attempt to connect doubles from `first` to `longest`, ± a fifth.
  ClientOptions& reconnect(Duration first, Duration longest) {
    return reconnect_first_ = first, reconnect_longest_ = longest, *this;
  }

  Duration reconnect_first() const { return reconnect_first_; }

  Duration reconnect_longest() const { return reconnect_longest_; }

  /// Calls that wait at the server each use a connection of their own; beyond this many: `busy`.
  ClientOptions& waiting_max(std::size_t calls) { return waiting_max_ = calls, *this; }

  std::size_t waiting_max() const { return waiting_max_; }

  /// Bytes of calls that are not answered yet; beyond: `busy`.
  ClientOptions& outstanding_bytes_max(std::size_t bytes) {
    return outstanding_bytes_max_ = bytes, *this;
  }

  std::size_t outstanding_bytes_max() const { return outstanding_bytes_max_; }

  /// The longest reply that is accepted; beyond, the connection is closed (`protocol`).
  ClientOptions& reply_bytes_max(std::size_t bytes) { return reply_bytes_max_ = bytes, *this; }

  std::size_t reply_bytes_max() const { return reply_bytes_max_; }

  /// What the server's logs call this client.
  ClientOptions& name(std::string client) { return name_ = std::move(client), *this; }

  const std::string& name() const { return name_; }

 private:
  Duration timeout_ = std::chrono::seconds(10);
  Duration connect_timeout_ = std::chrono::seconds(3);
  Duration reconnect_first_{20};
  Duration reconnect_longest_ = std::chrono::seconds(2);
  std::size_t waiting_max_ = 256;
  std::size_t outstanding_bytes_max_ = std::size_t{64} << 20;
  std::size_t reply_bytes_max_ = std::size_t{512} << 20;
  std::string name_;
};

/// The engine in the process: see Client::embedded.
class EmbeddedOptions {
 public:
  /// Calls wait for the disk (the default): what was answered survives a power failure.
  EmbeddedOptions& sync_always() { return sync_ = Duration{0}, *this; }

  /// Calls do not wait; a power failure loses at most this much. (A crash of the process: nothing
  /// that the operating system has.)
  EmbeddedOptions& sync_every(Duration interval) { return sync_ = interval, *this; }

  EmbeddedOptions& sync_never() { return sync_.reset(), *this; }

  /// 0: always; a duration: every; unset: never.
  std::optional<Duration> sync() const { return sync_; }

  /// Memory for jobs that were just pushed, so that they are not read back from disk.
  EmbeddedOptions& cache_bytes(std::size_t bytes) { return cache_bytes_ = bytes, *this; }

  std::size_t cache_bytes() const { return cache_bytes_; }

  /// Size of one file of the journal.
  EmbeddedOptions& segment_bytes(std::uint32_t bytes) { return segment_bytes_ = bytes, *this; }

  std::uint32_t segment_bytes() const { return segment_bytes_; }

  /// As ClientOptions::timeout.
  EmbeddedOptions& timeout(Duration call) { return timeout_ = call, *this; }

  Duration timeout() const { return timeout_; }

 private:
  std::optional<Duration> sync_ = Duration{0};
  std::size_t cache_bytes_ = std::size_t{16} << 20;
  std::uint32_t segment_bytes_ = 64u << 20;
  Duration timeout_ = std::chrono::seconds(10);
};

class PullOptions {
 public:
  PullOptions& count(unsigned jobs_max) { return count_ = jobs_max, *this; }

  unsigned count() const { return count_; }

  /// Waits this long at the server for the first job; 0: answers at once.
  PullOptions& wait(Duration longest) { return wait_ = longest, *this; }

  Duration wait() const { return wait_; }

  /// Instead of the job's own timeout.
  PullOptions& lease(Duration length) { return lease_ = length, *this; }

  std::optional<Duration> lease() const { return lease_; }

  /// The worker's name, kept in the history of its jobs.
  PullOptions& as(std::string worker) { return worker_ = std::move(worker), *this; }

  const std::string& worker() const { return worker_; }

 private:
  unsigned count_ = 1;
  Duration wait_{0};
  std::optional<Duration> lease_;
  std::string worker_;
};

class FailOptions {
 public:
  /// Instead of the backoff.
  FailOptions& retry(Duration after) { return retry_ = after, *this; }

  std::optional<Duration> retry() const { return retry_; }

  /// No further attempt.
  FailOptions& dead() { return is_dead_ = true, *this; }

  bool is_dead() const { return is_dead_; }

 private:
  std::optional<Duration> retry_;
  bool is_dead_ = false;
};

/// One push of push_many().
struct PushItem {
  std::string queue;
  Payload payload;
  PushOptions options;

  PushItem(std::string to_queue, Payload job, PushOptions asked = {})
      : queue(std::move(to_queue)), payload(std::move(job)), options(std::move(asked)) {}
};

/// One acknowledgement of ack_many().
struct AckItem {
  Lease lease;
  std::string result;

  explicit AckItem(Lease of, std::string with = {}) : lease(of), result(std::move(with)) {}
};

struct BackupInfo {
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;

  BackupInfo() = default;
};

}  // namespace sluice
