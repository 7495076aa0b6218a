// offload: blocking or CPU-bound work on a thread pool, while the caller's thread serves others.
//
//   asio::thread_pool pool(4);
//   std::string pdf = co_await offload(pool, [&] { return render_pdf(order); });
//
// The caller resumes on its own executor. Cancelling the caller drops work that has not begun; work
// that has begun cannot be interrupted: its stop_token is set (if the function takes one) and the
// caller waits for its end. So the function may use the caller's locals.
#pragma once

#include <sluice/async/awaitable.h>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace sluice {

namespace detail {

class OffloadState;

/// Runs `work` on the pool. False: it never began, because the caller was cancelled or the pool
/// stopped. Rethrows nothing: `work` keeps its own outcome.
Awaitable<bool> run_on(asio::thread_pool& pool, std::function<void(std::stop_token)> work);

template <class F>
decltype(auto) call_offloaded(F& function, std::stop_token token) {
  if constexpr (std::is_invocable_v<F&, std::stop_token>) {
    return function(std::move(token));
  } else {
    return function();
  }
}

template <class F>
using OffloadResult = decltype(call_offloaded(std::declval<F&>(), std::declval<std::stop_token>()));

template <class T, class F>
Awaitable<T> offload_to(asio::thread_pool& pool, F function) {
  std::optional<Yield<T>> value;
  std::exception_ptr error;
  auto work = [&](std::stop_token token) {
    try {
      if constexpr (std::is_void_v<T>) {
        call_offloaded(function, std::move(token));
        value.emplace();
      } else {
        value.emplace(call_offloaded(function, std::move(token)));
      }
    } catch (...) {
      error = std::current_exception();
    }
  };
  const bool has_run = co_await run_on(pool, work);
  if (!has_run) throw_cancelled();
  if (error) std::rethrow_exception(error);
  if constexpr (!std::is_void_v<T>) co_return std::move(*value);
}

}  // namespace detail

/// Calls `function()` or `function(std::stop_token)` on a thread of `pool` and yields what it
/// returns. Errors: what it throws; operation_aborted when cancelled before it began or when the
/// pool was stopped. `pool` outlives the call. `function` may capture by reference in place; one
/// that captures owners by value must be a named lambda.
template <class F>
auto offload(asio::thread_pool& pool, F&& function)
    -> Awaitable<detail::OffloadResult<std::remove_cvref_t<F>>> {
  static_assert(detail::is_safe_beside_co_await<F>,
                "GCC 12 would destroy this lambda's captures twice: give the lambda a name first");
  using Function = std::remove_cvref_t<F>;
  return detail::offload_to<detail::OffloadResult<Function>, Function>(pool,
                                                                       std::forward<F>(function));
}

}  // namespace sluice
