// Worker: runs the jobs of some queues. A handler per job type; the rest is done for you.
//
//   sluice::Worker worker(sluice::WorkerOptions().queue("mail").concurrency(100));
//   worker.handle<SendMail>([](sluice::Context& context, SendMail mail) -> sluice::Awaitable<void>
//   {
//     co_await smtp_send(mail.to, mail.subject);      // thousands of these at once on one thread
//   });
//   worker.handle("thumbnail", [](sluice::Context& context) {        // no coroutine: runs on a
//   pool
//     return make_thumbnail(context.payload());
//   });
//   sluice::Result<void> stopped = worker.run();       // until SIGTERM, SIGINT or stop()
//
// Handlers return nothing, a result, or an Outcome; an exception is a failed attempt. Jobs are
// pulled as slots become free, their leases extended on a thread of the worker's own (even while a
// handler blocks), outcomes sent in batches. When the server restarts, running jobs go on and their
// outcomes are sent when it is back. A job that was cancelled, or whose lease was lost, has its
// handler cancelled and its outcome dropped. Guide: docs/worker.md.
#pragma once

#include <sluice/async/offload.h>
#include <sluice/client.h>
#include <sluice/context.h>
#include <sluice/outcome.h>
#include <sluice/worker_options.h>

#include <concepts>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

namespace sluice {

/// A handler in its plainest form; all others are turned into it.
using Handler = std::function<Awaitable<Outcome>(Context&)>;

/// Something around every handler: `co_return co_await next(context)`, with more before and after.
/// `next` may be called again, or not at all.
using Middleware = std::function<Awaitable<Outcome>(Context&, const Handler& next)>;

class Worker {
 public:
  explicit Worker(WorkerOptions options);
  /// Works for the client's server, or for the engine in this process if it is an embedded one.
  Worker(const Client& client, WorkerOptions options);
  /// Not while it runs.
  ~Worker();
  Worker(Worker&&) noexcept;
  Worker& operator=(Worker&&) noexcept;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Handles jobs pushed as an Args: `function(Context&, Args)`, a coroutine or a blocking
  /// function. A payload that is no Args makes the job dead: it cannot succeed.
  template <Described Args, class F>
    requires std::invocable<F&, Context&, Args>
  Worker& handle(F function);

  /// Handles jobs of a type: `function(Context&)`, which reads context.payload() itself.
  template <class F>
    requires std::invocable<F&, Context&>
  Worker& handle(std::string type, F function);

  /// Handles every type that has no handler of its own.
  template <class F>
    requires std::invocable<F&, Context&>
  Worker& handle_any(F function) {
    return handle(std::string(), std::move(function));
  }

  /// Puts `layer` around all handlers, inside of those that were put there before.
  Worker& use(Middleware layer);

  /// Runs handlers on the calling thread until SIGTERM, SIGINT (unless handle_signals(false)) or
  /// stop(), then drains: pulls no more, gives running jobs WorkerOptions::grace to end, cancels
  /// and releases the rest. A second signal ends the grace. Errors: `arg` (no queue, no handler,
  /// bad address), `no_auth`, `no_perm`. A server that is away is waited for, not an error. Once.
  Result<void> run();

  /// The same within an io_context of yours, where the handlers then run; one thread runs it.
  /// No signals. Cancelling it is stop().
  Awaitable<Result<void>> async_run();

  /// Begins to drain. Any thread; idempotent; before run() it makes run() return at once.
  void stop();

  /// A consistent-enough picture at any time. Any thread.
  WorkerCounters counters() const;

  class Impl;

 private:
  Worker& add(std::string type, Handler handler);

  std::unique_ptr<Impl> impl_;
};

namespace detail {

/// What a payload that does not decode comes to.
Awaitable<Outcome> undecodable(std::string reason);

/// While it lives, a stop request also reaches the context's own stop_token.
class StopAlso {
 public:
  StopAlso(const Context& context, const std::stop_token& stop);

 private:
  std::stop_callback<std::function<void()>> forward_;
};

template <class T>
inline constexpr bool is_awaitable = false;
template <class T>
inline constexpr bool is_awaitable<Awaitable<T>> = true;

/// Calls a handler of any form and turns what it returns into an Outcome.
template <class F, class... Args>
Awaitable<Outcome> call_handler(F& function, Context& context, Args... args) {
  using R = std::invoke_result_t<F&, Context&, Args...>;
  if constexpr (is_awaitable<R>) {
    if constexpr (std::is_void_v<typename R::value_type>) {
      // In two steps: the arguments must not be temporaries of the co_await expression (GCC 12).
      auto running = function(context, std::move(args)...);
      co_await std::move(running);
      co_return Outcome::done();
    } else {
      auto running = function(context, std::move(args)...);
      co_return to_outcome<typename R::value_type>(co_await std::move(running));
    }
  } else {
    auto work = [&](const std::stop_token& stop) -> Outcome {
      const StopAlso link(context, stop);
      if constexpr (std::is_void_v<R>) {
        function(context, std::move(args)...);
        return Outcome::done();
      } else {
        return to_outcome<R>(function(context, std::move(args)...));
      }
    };
    co_return co_await offload(context.pool(), work);
  }
}

}  // namespace detail

template <Described Args, class F>
  requires std::invocable<F&, Context&, Args>
Worker& Worker::handle(F function) {
  return add(std::string(type_name<Args>()),
             [function = std::move(function)](Context& context) mutable -> Awaitable<Outcome> {
               Result<Args> args = decode<Args>(context.job());
               if (!args) return detail::undecodable(args.error().message);
               return detail::call_handler<F, Args>(function, context, std::move(*args));
             });
}

template <class F>
  requires std::invocable<F&, Context&>
Worker& Worker::handle(std::string type, F function) {
  return add(std::move(type),
             [function = std::move(function)](Context& context) mutable -> Awaitable<Outcome> {
               return detail::call_handler<F>(function, context);
             });
}

}  // namespace sluice
