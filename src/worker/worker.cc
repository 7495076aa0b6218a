// Worker: what is set up before a run, and the way from its public face to the session.
#include "worker/session.h"

#include <sluice/worker.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <mutex>
#include <utility>

#include <unistd.h>

namespace sluice {

namespace {

using worker::Monitor;
using worker::Plan;
using worker::Session;

/// "host:pid": tells two workers of one machine apart in the history of a job.
std::string default_name() {
  std::array<char, 65> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return std::string(host.data()) + ":" + std::to_string(::getpid());
}

Result<void> check_plan(const Plan& plan) {
  if (plan.options.queues().empty()) {
    return fail(ErrorCode::arg, "the worker has no queue; name one with WorkerOptions::queue()");
  }
  if (plan.handlers.empty()) {
    return fail(ErrorCode::arg, "the worker has no handler; add one with Worker::handle()");
  }
  if (plan.options.concurrency() == 0 || plan.options.blocking_threads() == 0) {
    return fail(ErrorCode::arg, "concurrency and blocking_threads must be at least 1");
  }
  return {};
}

}  // namespace

class Worker::Impl {
 public:
  explicit Impl(WorkerOptions options) : monitor_(options.on_event()) {
    if (options.name().empty()) options.name(default_name());
    plan.options = std::move(options);
  }

  Awaitable<Result<void>> run() {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    if (const Result<void> ready = check_plan(plan); !ready) co_return ready;
    auto session = std::make_shared<Session>(plan, monitor_, executor);
    const Registration registration(*this, *session);
    auto running = Session::run(session);
    co_return co_await std::move(running);
  }

  void stop() {
    const std::scoped_lock lock(mutex_);
    is_stopped_ = true;
    if (current_ != nullptr) post_stop(*current_);
  }

  WorkerCounters counters() const {
    WorkerCounters now;
    now.pulled = monitor_.pulled;
    now.running = monitor_.running;
    now.succeeded = monitor_.succeeded;
    now.failed = monitor_.failed;
    now.dead = monitor_.dead;
    now.released = monitor_.released;
    now.lost = monitor_.lost;
    now.unsent = monitor_.unsent;
    now.heartbeats = monitor_.heartbeats;
    return now;
  }

  Plan plan;

 private:
  /// Makes the session reachable for stop() while it runs.
  class Registration {
   public:
    Registration(Impl& impl, Session& session) : impl_(impl), session_(session) {
      const std::scoped_lock lock(impl_.mutex_);
      impl_.current_ = &session_;
      if (impl_.is_stopped_) post_stop(session_);
    }

    ~Registration() {
      session_.abandon();
      const std::scoped_lock lock(impl_.mutex_);
      impl_.current_ = nullptr;
    }

    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    Impl& impl_;
    Session& session_;
  };

  static void post_stop(Session& session) {
    asio::post(session.executor(), [weak = session.weak_from_this()] {
      if (const auto self = weak.lock()) self->stop();
    });
  }

  Monitor monitor_;
  std::mutex mutex_;
  Session* current_ = nullptr;  ///< Guarded by mutex_.
  bool is_stopped_ = false;     ///< Guarded by mutex_.
};

Worker::Worker(WorkerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  const WorkerOptions& set = impl_->plan.options;
  impl_->plan.make_client = [&set](const asio::any_io_executor& executor) {
    return AsyncClient::connect(executor, set.url(), set.client());
  };
}

Worker::Worker(const Client& client, WorkerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->plan.make_client = [client](const asio::any_io_executor& executor) -> Result<AsyncClient> {
    return AsyncClient::of(client, executor);
  };
}

Worker::~Worker() = default;
Worker::Worker(Worker&&) noexcept = default;
Worker& Worker::operator=(Worker&&) noexcept = default;

Worker& Worker::add(std::string type, Handler handler) {
  impl_->plan.handlers.insert_or_assign(std::move(type), std::move(handler));
  return *this;
}

Worker& Worker::use(Middleware layer) {
  impl_->plan.layers.push_back(std::move(layer));
  return *this;
}

Result<void> Worker::run() {
  asio::io_context io(1);
  asio::signal_set signals(io);
  std::function<void()> listen = [&] {
    signals.async_wait([&](const boost::system::error_code& error, int) {
      if (error) return;
      stop();
      listen();
    });
  };
  if (impl_->plan.options.handle_signals()) {
    signals.add(SIGTERM);
    signals.add(SIGINT);
    listen();
  }
  Result<void> result;
  std::exception_ptr failure;
  asio::co_spawn(io, async_run(), [&](std::exception_ptr error, Result<void> ended) {
    failure = std::move(error);
    result = std::move(ended);
    signals.cancel();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return result;
}

Awaitable<Result<void>> Worker::async_run() {
  return impl_->run();
}

void Worker::stop() {
  impl_->stop();
}

WorkerCounters Worker::counters() const {
  return impl_->counters();
}

}  // namespace sluice
