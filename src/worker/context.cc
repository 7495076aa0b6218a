// Context, and the monitor that events and counts go to.
#include "worker/session.h"

#include <sluice/worker.h>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <future>

namespace sluice {

const Job& Context::job() const {
  return running_.job;
}

void Context::progress(unsigned percent, std::string note) {
  running_.session.link().report(
      running_.shared_from_this(), std::min(percent, 100u), std::move(note));
}

bool Context::is_cancelled() const {
  return running_.is_cancelled || running_.stop.stop_requested();
}

std::stop_token Context::stop_token() const {
  return running_.stop.get_token();
}

void Context::log(std::string message) {
  running_.session.monitor().event(EventLevel::info, "job_log", std::move(message), &running_.job);
}

const AsyncClient& Context::client() const {
  return running_.session.client();
}

namespace {

Awaitable<Result<JobId>> push_there(const AsyncClient& client,
                                    std::string queue,
                                    Payload job,
                                    PushOptions options) {
  auto pushed = client.push(queue, job, options);
  co_return co_await std::move(pushed);
}

}  // namespace

Result<JobId> Context::push_and_wait(std::string queue, Payload job, PushOptions options) const {
  std::promise<Result<JobId>> pushed;
  std::future<Result<JobId>> result = pushed.get_future();
  asio::co_spawn(executor(),
                 push_there(client(), std::move(queue), std::move(job), std::move(options)),
                 [&pushed](const std::exception_ptr& error, Result<JobId> id) {
                   if (error) {
                     pushed.set_exception(error);
                   } else {
                     pushed.set_value(std::move(id));
                   }
                 });
  return result.get();
}

const asio::any_io_executor& Context::executor() const {
  return running_.session.executor();
}

asio::thread_pool& Context::pool() const {
  return running_.session.pool();
}

namespace detail {

Awaitable<Outcome> undecodable(std::string reason) {
  co_return Outcome::dead(std::move(reason));
}

StopAlso::StopAlso(const Context& context, const std::stop_token& stop)
    : forward_(stop, [&running = context.running_] { running.stop.request_stop(); }) {}

}  // namespace detail

std::string_view name(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::done:
      return "done";
    case Outcome::Kind::failed:
      return "failed";
    case Outcome::Kind::retry:
      return "retry";
    case Outcome::Kind::released:
      return "released";
    case Outcome::Kind::dead:
      return "dead";
  }
  return "";
}

std::string WorkerEvent::text() const {
  std::string line = "event=" + name;
  if (!queue.empty()) line += " queue=" + queue;
  if (job != JobId()) line += " job=" + job.text();
  if (!type.empty()) line += " type=" + type;
  if (attempt > 0) line += " attempt=" + std::to_string(attempt);
  if (!message.empty()) line += fmt::format(" message={:?}", message);
  return line;
}

namespace worker {

Monitor::Monitor(std::function<void(const WorkerEvent&)> hook) : hook_(std::move(hook)) {
  if (hook_) return;
  hook_ = [](const WorkerEvent& event) {
    if (event.level < EventLevel::warning) return;
    std::fprintf(stderr, "%s\n", event.text().c_str());
  };
}

void Monitor::event(EventLevel level, std::string name, std::string message, const Job* job) {
  WorkerEvent event;
  event.level = level;
  event.name = std::move(name);
  event.message = std::move(message);
  if (job != nullptr) {
    event.job = job->id;
    event.queue = job->queue;
    event.type = job->type;
    event.attempt = job->attempt;
  }
  const std::scoped_lock lock(mutex_);
  hook_(event);
}

}  // namespace worker
}  // namespace sluice
