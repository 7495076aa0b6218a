// retry: does something again, with growing pauses, until it works.
//
//   auto page = co_await retry(Retry().attempts(5).delay(100ms), [&] { return fetch(url); });
//
// For short pauses within a handler. A job that should come back in minutes returns
// Outcome::retry_after() instead: then the server keeps it, and nothing is lost with the process.
#pragma once

#include <sluice/async/awaitable.h>
#include <sluice/error.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

namespace sluice {

/// How often and how fast. The defaults: 3 attempts, 100 ms, doubled each time up to 10 s, each
/// pause spread by ± 20 %.
class Retry {
 public:
  using Duration = std::chrono::steady_clock::duration;

  Retry() = default;

  /// Including the first; at least 1.
  Retry& attempts(std::uint32_t count) {
    attempts_ = count == 0 ? 1 : count;
    return *this;
  }

  /// Before the second attempt.
  Retry& delay(Duration first) {
    delay_ = first;
    return *this;
  }

  /// Each pause is the one before times this; 1: all the same.
  Retry& factor(double growth) {
    factor_ = growth;
    return *this;
  }

  Retry& cap(Duration longest) {
    cap_ = longest;
    return *this;
  }

  /// 0 … 1.
  Retry& jitter(double share) {
    jitter_ = share;
    return *this;
  }

  /// Which exceptions are worth another attempt; unset: all but cancellation.
  Retry& when(std::function<bool(const std::exception_ptr&)> is_worth_it) {
    when_ = std::move(is_worth_it);
    return *this;
  }

  std::uint32_t attempts() const { return attempts_; }

  /// The pause after `failed` (1-based) attempts.
  Duration delay_after(std::uint32_t failed) const;
  bool is_worth_another(const std::exception_ptr& error) const;

 private:
  std::uint32_t attempts_ = 3;
  Duration delay_ = std::chrono::milliseconds(100);
  Duration cap_ = std::chrono::seconds(10);
  double factor_ = 2.0;
  double jitter_ = 0.2;
  std::function<bool(const std::exception_ptr&)> when_;
};

namespace detail {

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<Result<T>> = true;

/// True: `value` is what to return. An error Result is, too, if there is no further attempt.
template <class T, class F>
Awaitable<bool> try_once(F& op, bool is_last, std::optional<Yield<T>>& value) {
  if constexpr (std::is_void_v<T>) {
    co_await op();
    value.emplace();
  } else {
    value.emplace(co_await op());
    if constexpr (is_result<T>) {
      co_return *value || is_last || value->error().code == ErrorCode::cancelled;
    }
  }
  co_return true;
}

template <class T, class F>
Awaitable<T> retry_loop(Retry options, F op) {
  for (std::uint32_t attempt = 1;; ++attempt) {
    const bool is_last = attempt >= options.attempts();
    std::optional<Yield<T>> value;
    std::exception_ptr error;
    bool is_done = false;
    try {
      is_done = co_await try_once<T>(op, is_last, value);
    } catch (...) {
      error = std::current_exception();
    }
    if constexpr (std::is_void_v<T>) {
      if (is_done) co_return;
    } else {
      if (is_done) co_return std::move(*value);
    }
    if (error && (is_last || !options.is_worth_another(error))) std::rethrow_exception(error);
    co_await sleep_for(options.delay_after(attempt));
  }
}

}  // namespace detail

/// Awaits `op()` until it yields a value; an exception or an error Result counts as a failure. The
/// last failure is thrown or returned. Errors: that one; operation_aborted when cancelled, also
/// during a pause. `op` may capture by reference in place; one that captures owners by value must
/// be a named lambda.
template <class F>
auto retry(Retry options, F&& op) -> std::invoke_result_t<std::remove_cvref_t<F>&> {
  static_assert(detail::is_safe_beside_co_await<F>,
                "GCC 12 would destroy this lambda's captures twice: give the lambda a name first");
  using Awaitable = std::invoke_result_t<std::remove_cvref_t<F>&>;
  return detail::retry_loop<typename Awaitable::value_type, std::remove_cvref_t<F>>(
      std::move(options), std::forward<F>(op));
}

}  // namespace sluice
