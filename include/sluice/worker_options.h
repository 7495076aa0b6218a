// WorkerOptions, WorkerCounters, WorkerEvent: how a worker works, and what it tells.
#pragma once

#include <sluice/job.h>
#include <sluice/options.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

enum class EventLevel : std::uint8_t {
  debug,    ///< One per job: started, ended.
  info,     ///< Of the worker's life: started, draining, reconnected.
  warning,  ///< A failed attempt, a lost lease: dealt with.
  error,    ///< A person must act.
};

/// Something worth a log line.
struct WorkerEvent {
  EventLevel level = EventLevel::info;
  std::string name;     ///< "job_failed", "drain_started", …: docs/worker.md lists them.
  std::string message;  ///< For a person. May be empty.
  JobId job;            ///< 0: about no job.
  std::string queue;
  std::string type;
  unsigned attempt = 0;

  WorkerEvent() = default;
  /// "event=job_failed queue=mail job=42 type=SendMail attempt=3 message="smtp: refused"".
  std::string text() const;
};

/// Since the worker started, except `running` and `unsent`, which are of the moment.
struct WorkerCounters {
  std::uint64_t pulled = 0;
  std::uint64_t running = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;    ///< Failed attempts, dead ones among them.
  std::uint64_t dead = 0;      ///< Outcome::dead.
  std::uint64_t released = 0;  ///< By a handler or by the drain.
  std::uint64_t lost = 0;      ///< Cancelled, or the lease went to somebody else.
  std::uint64_t unsent = 0;    ///< Outcomes that the server has not confirmed yet.
  std::uint64_t heartbeats = 0;

  WorkerCounters() = default;
};

/// What becomes of a job whose type has no handler.
enum class UnknownType : std::uint8_t { fail, release, dead };

/// A class with chained setters; each has a reader of the same name.
class WorkerOptions {
 public:
  /// "sluice://[user:password@]host[:port]". Not used with a Client.
  WorkerOptions& url(std::string address) { return url_ = std::move(address), *this; }

  const std::string& url() const { return url_; }

  /// Adds one; earlier ones are served first. At least one.
  WorkerOptions& queue(std::string name) { return queues_.push_back(std::move(name)), *this; }

  WorkerOptions& queues(std::vector<std::string> names) {
    return queues_ = std::move(names), *this;
  }

  const std::vector<std::string>& queues() const { return queues_; }

  /// Jobs running at once. 1 … 10,000 and more: a waiting coroutine costs a few KB.
  WorkerOptions& concurrency(std::size_t jobs) { return concurrency_ = jobs, *this; }

  std::size_t concurrency() const { return concurrency_; }

  /// Kept in the history of its jobs. Unset: host:pid.
  WorkerOptions& name(std::string worker) { return name_ = std::move(worker), *this; }

  const std::string& name() const { return name_; }

  /// After how long without a heartbeat the server gives a job to another worker. Unset: as the job
  /// or its queue says (timeout). Heartbeats come every third of it.
  WorkerOptions& lease(Duration length) { return lease_ = length, *this; }

  std::optional<Duration> lease() const { return lease_; }

  /// How long one attempt may take; then it is cancelled and has failed. 0: as long as it likes.
  WorkerOptions& attempt_timeout(Duration limit) { return attempt_timeout_ = limit, *this; }

  Duration attempt_timeout() const { return attempt_timeout_; }

  /// How long running jobs may go on after stop(); then they are cancelled and released.
  WorkerOptions& grace(Duration limit) { return grace_ = limit, *this; }

  Duration grace() const { return grace_; }

  /// How long cancelled handlers may take to end, and unsent outcomes to be sent, before the worker
  /// gives up on them.
  WorkerOptions& patience(Duration limit) { return patience_ = limit, *this; }

  Duration patience() const { return patience_; }

  /// Threads for handlers that are no coroutines.
  WorkerOptions& blocking_threads(std::size_t count) { return blocking_threads_ = count, *this; }

  std::size_t blocking_threads() const { return blocking_threads_; }

  /// One PULL waits this long at the server.
  WorkerOptions& pull_wait(Duration longest) { return pull_wait_ = longest, *this; }

  Duration pull_wait() const { return pull_wait_; }

  WorkerOptions& unknown_type(UnknownType what) { return unknown_type_ = what, *this; }

  UnknownType unknown_type() const { return unknown_type_; }

  /// Whether run() turns SIGTERM and SIGINT into stop().
  WorkerOptions& handle_signals(bool yes) { return handle_signals_ = yes, *this; }

  bool handle_signals() const { return handle_signals_; }

  /// Called with every event, one at a time, on any thread of the worker; must not block. Unset:
  /// warnings and errors go to stderr.
  WorkerOptions& on_event(std::function<void(const WorkerEvent&)> hook) {
    return on_event_ = std::move(hook), *this;
  }

  const std::function<void(const WorkerEvent&)>& on_event() const { return on_event_; }

  /// Timeouts, reconnecting.
  WorkerOptions& client(ClientOptions options) { return client_ = std::move(options), *this; }

  const ClientOptions& client() const { return client_; }

 private:
  std::string url_ = "sluice://127.0.0.1:7770";
  std::vector<std::string> queues_;
  std::size_t concurrency_ = 100;
  std::string name_;
  std::optional<Duration> lease_;
  Duration attempt_timeout_{0};
  Duration grace_ = std::chrono::seconds(20);
  Duration patience_ = std::chrono::seconds(5);
  std::size_t blocking_threads_ = 4;
  Duration pull_wait_ = std::chrono::seconds(20);
  UnknownType unknown_type_ = UnknownType::fail;
  bool handle_signals_ = true;
  std::function<void(const WorkerEvent&)> on_event_;
  ClientOptions client_;
};

}  // namespace sluice
