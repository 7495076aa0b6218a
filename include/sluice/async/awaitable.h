// Awaitable<T>: the coroutine type of Sluice, Boost.Asio's own, so that every Asio operation can be
// awaited in a handler. And sleep_for().
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <variant>

namespace sluice {

namespace asio = boost::asio;

/// A coroutine of the library and of its users. Starts when it is awaited or spawned.
template <class T>
using Awaitable = boost::asio::awaitable<T>;

/// What with_timeout() throws when the time is over. Everything that was cancelled from outside
/// throws boost::system::system_error with asio::error::operation_aborted instead.
class TimeoutError : public std::runtime_error {
 public:
  explicit TimeoutError(std::chrono::milliseconds limit);
};

/// True for the exception that a cancelled wait throws.
bool is_cancelled(const std::exception_ptr& error) noexcept;

/// `co_await sleep_for(100ms);` suspends the coroutine, not the thread. Errors: operation_aborted
/// when cancelled. Leaves nothing behind.
Awaitable<void> sleep_for(std::chrono::steady_clock::duration duration);

namespace detail {

/// The exception of every cancelled wait.
[[noreturn]] void throw_cancelled();

/// What a coroutine of T yields as a value: void becomes std::monostate.
template <class T>
using Yield = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// GCC 12 destroys a lambda temporary that owns something twice when it stands in the same
/// expression as co_await. Callables that the kit takes in such places are checked: pass a named
/// lambda (`auto op = [url] {…}; co_await retry(Retry(), op);`) or capture by reference.
template <class F>
constexpr bool is_safe_beside_co_await =
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ <= 12
    std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<std::remove_cvref_t<F>>;
#else
    true;
#endif

}  // namespace detail
}  // namespace sluice
