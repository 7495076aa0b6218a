// Running: one leased job on its way through the worker, and what is known of the worker on all its
// threads.
#pragma once

#include <sluice/async/task_group.h>
#include <sluice/context.h>
#include <sluice/outcome.h>
#include <sluice/worker_options.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace sluice::worker {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Counts and events of a worker. Any thread.
class Monitor {
 public:
  explicit Monitor(std::function<void(const WorkerEvent&)> hook);
  void event(EventLevel level, std::string name, std::string message, const Job* job = nullptr);

  std::atomic<std::uint64_t> pulled{0};
  std::atomic<std::uint64_t> running{0};
  std::atomic<std::uint64_t> succeeded{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> dead{0};
  std::atomic<std::uint64_t> released{0};
  std::atomic<std::uint64_t> lost{0};
  std::atomic<std::uint64_t> unsent{0};
  std::atomic<std::uint64_t> heartbeats{0};

 private:
  std::mutex mutex_;  ///< One event at a time.
  std::function<void(const WorkerEvent&)> hook_;
};

class Session;

/// Why a handler was cancelled.
enum class Ending : std::uint8_t { none, lost, draining };

/// Shared by the handlers' side and the link, each of which has members of its own.
struct Running : std::enable_shared_from_this<Running> {
  Running(Job leased, Session& owner) : job(std::move(leased)), session(owner), context(*this) {}

  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  const Job job;
  Session& session;  ///< Outlives it.
  std::atomic<bool> is_cancelled{false};
  std::stop_source stop;

  // The handlers' thread.
  Context context;
  std::optional<detail::Scope::Handle> task;  ///< Unset: the handler has ended.
  Ending ending = Ending::none;
  bool is_answered = false;  ///< Its outcome is decided and on its way.

  // The link's thread.
  SystemTime received;
  Duration lease{0};
  std::multimap<SteadyTime, std::shared_ptr<Running>>::iterator beat;
  bool is_leased = false;  ///< In the schedule of heartbeats; `beat` is good.
  bool is_beating = false;
  bool is_reporting = false;
  std::optional<std::pair<unsigned, std::string>> progress;
};

}  // namespace sluice::worker
