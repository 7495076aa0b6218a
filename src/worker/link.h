// Link: the worker's side towards the server, on a thread of its own, so that no handler can keep a
// heartbeat from being sent. Pulls jobs while there are slots, extends their leases, sends
// outcomes.
//
//   pull loop ──jobs──► on_jobs ──► handlers ──finish()──► inbox ──► ACK, FAIL, RELEASE in batches
//                beat loop: EXTEND every third of a lease; STALE ──► on_lost
//
// An outcome that could not be sent stays here and is sent again until the server has answered: its
// token stays good across a restart of the server.
#pragma once

#include "worker/bell.h"
#include "worker/running.h"

#include <sluice/async/task_group.h>
#include <sluice/async_client.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace sluice::worker {

using RunningPtr = std::shared_ptr<Running>;
using MakeClient = std::function<Result<AsyncClient>(const asio::any_io_executor&)>;

/// Called on the link's thread.
struct LinkEvents {
  std::function<void(std::vector<RunningPtr>)> on_jobs;
  /// The lease is over, so the outcome will not count.
  std::function<void(const RunningPtr&, std::string reason)> on_lost;
  /// The server refuses us for good.
  std::function<void(Error)> on_refused;
  /// After stop_pulling() or on_refused: on_jobs is not called any more.
  std::function<void()> on_stopped;
  /// The last call.
  std::function<void()> on_closed;
};

class Link {
 public:
  /// All outlive it. `session` is the one that its jobs name.
  Link(const WorkerOptions& options, Monitor& monitor, Session& session, LinkEvents events);
  /// Stops the thread, whatever it does. After on_closed nothing is lost by it.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Starts the thread. Error: what `make_client` says.
  Result<void> start(const MakeClient& make_client);

  // -- Any thread. -----------------------------------------------------------------------------

  /// The handler has ended, or is given up. Frees the slot.
  void finish(const RunningPtr& job, Outcome outcome);
  /// The handler of a lost job has ended. Frees the slot.
  void forget(const RunningPtr& job);
  void report(const RunningPtr& job, unsigned percent, std::string note);
  void stop_pulling();
  /// Sends what is unsent, for at most `limit`; then on_closed.
  void close(Duration limit);

 private:
  struct Answer {
    RunningPtr job;
    std::optional<Outcome> outcome;  ///< None: forget it.
  };

  struct Report {
    RunningPtr job;
    unsigned percent;
    std::string note;
  };

  /// Calls `take_inbox` soon on the link's thread, once for all that is put in until then.
  void ring_inbox();
  void take_inbox();

  Awaitable<void> run();
  void on_run_ended(const std::exception_ptr& error);
  Awaitable<void> pull_loop();
  /// Both: false when the server did not answer.
  Awaitable<bool> greet();
  Awaitable<bool> pull();
  bool check_answer(const Error* error);
  void deliver(std::vector<Job> jobs);
  std::size_t free_slots() const;

  Awaitable<void> beat_loop();
  Awaitable<void> beat(RunningPtr job);
  void schedule(const RunningPtr& job, SteadyTime at);
  void unlease(Running& job);
  void lose(const RunningPtr& job, const std::string& reason);
  Duration lease_of(const Running& job) const;
  void learn_clock(SystemTime extended_to, Duration by);

  Awaitable<void> send_loop(std::vector<Answer> answers);
  Awaitable<void> send_acks(const std::vector<Answer>& answers, std::vector<Result<void>>& results);
  Awaitable<void> send_one(const Answer& answer, Result<void>& result);
  /// True: the server has answered for good. Else it is to be sent again.
  bool settle(Answer& answer, const Result<void>& result);
  Awaitable<void> report_loop(RunningPtr job);

  /// Logs the first failure of an outage and the first success after it.
  void note(const Error* error);

  const WorkerOptions& options_;
  Monitor& monitor_;
  Session& session_;
  LinkEvents events_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  std::optional<AsyncClient> client_;
  TaskGroup pulls_;
  TaskGroup tasks_;
  Bell slot_bell_;
  Bell beat_bell_;
  Bell close_bell_;
  std::multimap<SteadyTime, RunningPtr> beats_;
  std::optional<Duration> clock_offset_;  ///< The server's clock minus ours.
  std::size_t taken_ = 0;                 ///< Slots: jobs pulled and not answered.
  std::size_t unsent_ = 0;
  bool is_stopping_ = false;
  bool is_away_ = false;  ///< The server did not answer last time.
  std::atomic<bool> is_closed_{false};
  std::optional<SteadyTime> close_by_;

  std::mutex mutex_;
  std::vector<Answer> answers_;   ///< Guarded by mutex_.
  std::vector<Report> reports_;   ///< Guarded by mutex_.
  bool is_inbox_posted_ = false;  ///< Guarded by mutex_.
  std::thread thread_;
};

}  // namespace sluice::worker
