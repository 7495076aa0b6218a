// Session: handlers started, cancelled, answered for, and drained.
#include "worker/session.h"

#include <sluice/async/combine.h>

#include <boost/asio/post.hpp>

namespace sluice::worker {

using std::chrono::steady_clock;

Session::Session(const Plan& plan, Monitor& monitor, const asio::any_io_executor& executor)
    : plan_(plan),
      monitor_(monitor),
      executor_(executor),
      pool_(std::make_unique<asio::thread_pool>(plan.options.blocking_threads())),
      scope_(std::make_shared<detail::Scope>(executor, detail::CancelOn::nothing)),
      bell_(executor),
      link_(plan.options, monitor, *this, link_events()) {
  compose();
}

Session::~Session() = default;

// The link calls these on its own thread; they come back here as posts, in order. The session is
// held weakly: the link's thread must not be the one that destroys it (and so joins itself).
LinkEvents Session::link_events() {
  const auto here = [this](auto act) {
    asio::post(executor_, [weak = weak_from_this(), act = std::move(act)]() mutable {
      if (const auto self = weak.lock()) act(*self);
    });
  };
  LinkEvents events;
  events.on_jobs = [here](std::vector<RunningPtr> jobs) {
    here([jobs = std::move(jobs)](Session& self) { self.on_jobs(jobs); });
  };
  events.on_lost = [here](const RunningPtr& job, std::string reason) {
    here([job, reason = std::move(reason)](Session& self) { self.on_lost(job, reason); });
  };
  events.on_refused = [here](Error error) {
    here([error = std::move(error)](Session& self) {
      self.refused_ = error;
      self.stop();
    });
  };
  events.on_stopped = [here] {
    here([](Session& self) {
      self.is_link_stopped_ = true;
      self.bell_.ring();
    });
  };
  events.on_closed = [here] {
    here([](Session& self) {
      self.is_link_closed_ = true;
      self.bell_.ring();
    });
  };
  return events;
}

void Session::compose() {
  for (const auto& [type, handler] : plan_.handlers) {
    Handler inner = handler;
    for (auto layer = plan_.layers.rbegin(); layer != plan_.layers.rend(); ++layer) {
      inner = [around = *layer, inner = std::move(inner)](Context& context) {
        return around(context, inner);
      };
    }
    handlers_.emplace(type, std::move(inner));
  }
}

Awaitable<Result<void>> Session::run(std::shared_ptr<Session> session) {
  Session& self = *session;
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  Result<AsyncClient> client = self.plan_.make_client(self.executor_);
  if (!client) co_return tl::unexpected<Error>(client.error());
  self.client_.emplace(std::move(*client));
  const Result<void> started = self.link_.start(self.plan_.make_client);
  if (!started) co_return started;
  self.monitor_.event(EventLevel::info, "worker_started", self.plan_.options.name());
  while (!self.is_stopping_) {
    co_await self.bell_.wait_until();
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) self.stop();
  }
  co_await self.drain();
  self.abandon();
  self.monitor_.event(EventLevel::info, "worker_stopped", self.plan_.options.name());
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (self.refused_) co_return tl::unexpected<Error>(*self.refused_);
  co_return Result<void>();
}

void Session::stop() {
  if (is_stopping_) is_hurried_ = true;
  is_stopping_ = true;
  bell_.ring();
}

void Session::abandon() {
  if (client_) client_->close();
}

// -- Jobs. -------------------------------------------------------------------------------------

void Session::on_jobs(const std::vector<RunningPtr>& jobs) {
  for (const RunningPtr& job : jobs) {
    if (is_stopping_) {
      answer(job, Outcome::release());
      continue;
    }
    ++monitor_.running;
    jobs_.insert(job);
    job->task = scope_->start(run_job(shared_from_this(), job), 0);
  }
}

void Session::on_lost(const RunningPtr& job, const std::string& reason) {
  if (!jobs_.contains(job) || job->is_answered) return;
  ++monitor_.lost;
  monitor_.event(EventLevel::warning, "job_lost", reason, &job->job);
  cancel(*job, Ending::lost);
}

void Session::cancel(Running& job, Ending why) {
  if (job.ending == Ending::none) job.ending = why;
  job.is_cancelled = true;
  job.stop.request_stop();
  if (job.task) scope_->cancel(*job.task);
}

Awaitable<void> Session::run_job(std::shared_ptr<Session> session, RunningPtr job) {
  Session& self = *session;
  self.monitor_.event(EventLevel::debug, "job_started", {}, &job->job);
  std::optional<Outcome> outcome;
  try {
    outcome = co_await self.attempt(*job);
  } catch (...) {
    outcome = self.outcome_of(std::current_exception(), *job);
  }
  // No suspension below: with the coroutine's end the handle of its task is no good any more.
  job->task.reset();
  self.jobs_.erase(job);
  --self.monitor_.running;
  if (job->ending == Ending::lost) {
    self.link_.forget(job);
  } else if (!job->is_answered) {
    self.answer(job, std::move(*outcome));
  }
  if (self.is_stopping_) self.bell_.ring();
}

Awaitable<Outcome> Session::attempt(Running& job) {
  auto handler = handlers_.find(job.job.type);
  if (handler == handlers_.end()) handler = handlers_.find("");
  if (handler == handlers_.end()) co_return outcome_of_unknown(job.job);
  Awaitable<Outcome> work = handler->second(job.context);
  const Duration limit = plan_.options.attempt_timeout();
  if (limit == Duration{0}) co_return co_await std::move(work);
  Awaitable<Outcome> limited = with_timeout(std::move(work), limit);
  co_return co_await std::move(limited);
}

Outcome Session::outcome_of(const std::exception_ptr& error, const Running& job) const {
  // What a handler throws after we cancelled it is our doing, whatever it says.
  if (job.ending == Ending::draining) return Outcome::release();
  if (is_cancelled(error)) return Outcome::failed("the handler cancelled itself");
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    return Outcome::failed(failure.what());
  } catch (...) {
    return Outcome::failed("the handler threw something that is no std::exception");
  }
}

Outcome Session::outcome_of_unknown(const Job& job) const {
  const std::string reason = "worker \"" + plan_.options.name() + "\" has no handler for type \"" +
                             job.type + "\"; add one, or handle_any()";
  switch (plan_.options.unknown_type()) {
    case UnknownType::fail:
      return Outcome::failed(reason);
    case UnknownType::release:
      return Outcome::release(std::chrono::seconds(1));
    case UnknownType::dead:
      return Outcome::dead(reason);
  }
  return Outcome::failed(reason);
}

void Session::answer(const RunningPtr& job, Outcome outcome) {
  job->is_answered = true;
  count(job->job, outcome);
  link_.finish(job, std::move(outcome));
}

void Session::count(const Job& job, const Outcome& outcome) {
  switch (outcome.kind()) {
    case Outcome::Kind::done:
      ++monitor_.succeeded;
      monitor_.event(EventLevel::debug, "job_succeeded", {}, &job);
      return;
    case Outcome::Kind::failed:
    case Outcome::Kind::retry:
      ++monitor_.failed;
      monitor_.event(EventLevel::warning, "job_failed", outcome.text(), &job);
      return;
    case Outcome::Kind::released:
      ++monitor_.released;
      monitor_.event(EventLevel::debug, "job_released", {}, &job);
      return;
    case Outcome::Kind::dead:
      ++monitor_.failed;
      ++monitor_.dead;
      monitor_.event(EventLevel::warning, "job_dead", outcome.text(), &job);
      return;
  }
}

// -- Draining. ---------------------------------------------------------------------------------

Awaitable<void> Session::drain() {
  link_.stop_pulling();
  while (!is_link_stopped_)
    co_await bell_.wait_until();
  monitor_.event(EventLevel::info,
                 "drain_started",
                 std::to_string(jobs_.size()) + " running; grace " +
                     std::to_string(plan_.options.grace().count()) + " ms");
  co_await wait_for_jobs(steady_clock::now() + plan_.options.grace());
  is_hurried_ = true;
  const std::unordered_set<RunningPtr> left = jobs_;
  for (const RunningPtr& job : left)
    cancel(*job, Ending::draining);
  co_await wait_for_jobs(steady_clock::now() + plan_.options.patience());
  release_the_rest();
  link_.close(plan_.options.patience());
  while (!is_link_closed_)
    co_await bell_.wait_until();
  if (const std::uint64_t unsent = monitor_.unsent; unsent > 0) {
    monitor_.event(EventLevel::error,
                   "outcomes_unsent",
                   std::to_string(unsent) + " jobs will run again when their leases are over");
  }
  co_await detail::Scope::join(scope_, {});
}

Awaitable<void> Session::wait_for_jobs(SteadyTime until) {
  const bool was_hurried = is_hurried_;
  while (!jobs_.empty() && steady_clock::now() < until && is_hurried_ == was_hurried) {
    co_await bell_.wait_until(until);
  }
}

void Session::release_the_rest() {
  for (const RunningPtr& job : jobs_) {
    if (job->ending == Ending::lost || job->is_answered) continue;
    monitor_.event(EventLevel::error,
                   "handler_stuck",
                   "released although its handler has not ended: it ignores its cancellation",
                   &job->job);
    answer(job, Outcome::release());
  }
}

}  // namespace sluice::worker
