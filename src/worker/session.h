// Session: one run of a worker, on the handlers' thread. Starts a handler for each job that the
// link brings, cancels those whose lease is lost, and drains at the end:
//
//   running ──stop(), signal, refused──► no more pulls ──► grace for what runs ──► cancel, release
//           ──► send what is unsent ──► link closed ──► the last handler has ended
#pragma once

#include "worker/link.h"

#include <sluice/worker.h>

#include <boost/asio/thread_pool.hpp>

#include <map>
#include <memory>
#include <string>
#include <unordered_set>

namespace sluice::worker {

/// What a worker is told before it runs.
struct Plan {
  WorkerOptions options;
  MakeClient make_client;
  std::map<std::string, Handler, std::less<>> handlers;  ///< By type; "": any other type.
  std::vector<Middleware> layers;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  /// `plan` and `monitor` outlive it. Runs on `executor`.
  Session(const Plan& plan, Monitor& monitor, const asio::any_io_executor& executor);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// From the first pull to the last answer. Errors: `arg`, `no_auth`, `no_perm`.
  static Awaitable<Result<void>> run(std::shared_ptr<Session> session);
  /// Begins to drain; the second call ends the grace. On the executor.
  void stop();
  /// Ends the calls of handlers. For a run that is destroyed before its end: the calls and the
  /// client hold each other.
  void abandon();

  // -- For Context. ----------------------------------------------------------------------------

  Link& link() { return link_; }

  Monitor& monitor() { return monitor_; }

  /// Once it runs.
  const AsyncClient& client() const { return client_.value(); }

  const asio::any_io_executor& executor() const { return executor_; }

  asio::thread_pool& pool() { return *pool_; }

 private:
  LinkEvents link_events();
  void compose();
  void on_jobs(const std::vector<RunningPtr>& jobs);
  void on_lost(const RunningPtr& job, const std::string& reason);
  void cancel(Running& job, Ending why);

  static Awaitable<void> run_job(std::shared_ptr<Session> session, RunningPtr job);
  Awaitable<Outcome> attempt(Running& job);
  Outcome outcome_of(const std::exception_ptr& error, const Running& job) const;
  Outcome outcome_of_unknown(const Job& job) const;
  void answer(const RunningPtr& job, Outcome outcome);
  void count(const Job& job, const Outcome& outcome);

  Awaitable<void> drain();
  Awaitable<void> wait_for_jobs(SteadyTime until);
  void release_the_rest();

  const Plan& plan_;
  Monitor& monitor_;
  asio::any_io_executor executor_;
  std::map<std::string, Handler, std::less<>> handlers_;  ///< With the layers around them.
  std::unique_ptr<asio::thread_pool> pool_;
  std::optional<AsyncClient> client_;     ///< For handlers.
  std::shared_ptr<detail::Scope> scope_;  ///< Owns the handlers' coroutines, as each of them does.
  std::unordered_set<RunningPtr> jobs_;   ///< Their handlers have not ended.
  Bell bell_;
  bool is_stopping_ = false;
  bool is_hurried_ = false;
  bool is_link_stopped_ = false;
  bool is_link_closed_ = false;
  std::optional<Error> refused_;
  Link link_;  ///< Last: its thread ends before the rest does.
};

}  // namespace sluice::worker
