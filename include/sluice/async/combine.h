// gather, settle, race, with_timeout: several coroutines as one.
//
//   auto [user, cart] = co_await gather(load_user(id), load_cart(id));       // both, or first
//   error auto replies = co_await gather(std::move(many));                        // a vector of
//   one type auto outcomes = co_await settle(std::move(many));                       // errors are
//   values auto first = co_await race(ask(mirror_a), ask(mirror_b));                // variant,
//   first to end auto page = co_await with_timeout(fetch(url), 2s);                      // or
//   TimeoutError
//
// All of them join what they started: when they return or throw, none of the coroutines runs any
// more, so these may use the caller's locals. Cancelling the caller cancels them. The threading
// rule is TaskGroup's: one executor that runs one thing at a time.
#pragma once

#include <sluice/async/task_group.h>

#include <tuple>
#include <vector>

namespace sluice {

/// What one coroutine came to, for settle().
template <class T>
struct Settled {
  std::optional<detail::Yield<T>> value;
  std::exception_ptr error;  ///< Set if there is no value.

  bool ok() const { return value.has_value(); }

  /// The value, or its error thrown.
  detail::Yield<T>& get() {
    if (!value) std::rethrow_exception(error);
    return *value;
  }
};

/// The winner of a race over a vector.
template <class T>
struct First {
  std::size_t index = 0;
  detail::Yield<T> value;
};

namespace detail {

template <class T>
using Slots = std::vector<std::optional<Yield<T>>>;

/// Stores what `task` yields; `slot` points into something that `owner` keeps alive.
template <class T>
Awaitable<void> run_into(Awaitable<T> task,
                         std::optional<Yield<T>>* slot,
                         std::shared_ptr<const void> owner) {
  static_cast<void>(owner);
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    slot->emplace();
  } else {
    slot->emplace(co_await std::move(task));
  }
}

template <class T>
Awaitable<void> settle_into(Awaitable<T> task,
                            Settled<T>* slot,
                            std::shared_ptr<const void> owner) {
  try {
    co_await run_into<T>(std::move(task), &slot->value, std::move(owner));
  } catch (...) {
    slot->error = std::current_exception();
  }
}

template <class... Ts>
using TupleSlots = std::tuple<std::optional<Yield<Ts>>...>;

template <class... Ts>
std::shared_ptr<TupleSlots<Ts...>> start_all(Scope& scope, std::tuple<Awaitable<Ts>...>& tasks) {
  auto slots = std::make_shared<TupleSlots<Ts...>>();
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (scope.start(run_into<Ts>(std::move(std::get<I>(tasks)), &std::get<I>(*slots), slots), I), ...);
  }(std::index_sequence_for<Ts...>());
  return slots;
}

template <class T>
std::shared_ptr<Slots<T>> start_all(Scope& scope, std::vector<Awaitable<T>>& tasks) {
  auto slots = std::make_shared<Slots<T>>(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    scope.start(run_into<T>(std::move(tasks[i]), &(*slots)[i], slots), i);
  }
  return slots;
}

template <class... Ts>
Awaitable<std::tuple<Yield<Ts>...>> gather_tuple(std::tuple<Awaitable<Ts>...> tasks) {
  auto scope = std::make_shared<Scope>(co_await asio::this_coro::executor, CancelOn::failure);
  std::shared_ptr<TupleSlots<Ts...>> slots;
  auto start = [&] { slots = start_all(*scope, tasks); };
  co_await Scope::join(scope, start);
  const bool all = std::apply([](auto&... slot) { return (slot.has_value() && ...); }, *slots);
  if (!all) scope->rethrow();
  co_return std::apply([](auto&... slot) { return std::tuple<Yield<Ts>...>(std::move(*slot)...); },
                       *slots);
}

template <class T>
Awaitable<std::vector<Yield<T>>> gather_vector(std::vector<Awaitable<T>> tasks) {
  auto scope = std::make_shared<Scope>(co_await asio::this_coro::executor, CancelOn::failure);
  std::shared_ptr<Slots<T>> slots;
  auto start = [&] { slots = start_all(*scope, tasks); };
  co_await Scope::join(scope, start);
  std::vector<Yield<T>> values;
  values.reserve(slots->size());
  for (auto& slot : *slots) {
    if (!slot) scope->rethrow();
    values.push_back(std::move(*slot));
  }
  co_return values;
}

template <class T>
Awaitable<std::vector<Settled<T>>> settle_vector(std::vector<Awaitable<T>> tasks) {
  auto scope = std::make_shared<Scope>(co_await asio::this_coro::executor, CancelOn::nothing);
  auto slots = std::make_shared<std::vector<Settled<T>>>(tasks.size());
  auto start = [&] {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      scope->start(settle_into<T>(std::move(tasks[i]), &(*slots)[i], slots), i);
    }
  };
  co_await Scope::join(scope, start);
  if (scope->is_owner_cancelled()) throw_cancelled();
  co_return std::move(*slots);
}

/// The winner's value in the alternative of its index; none if the winner has thrown.
template <class... Ts>
std::optional<std::variant<Yield<Ts>...>> take_winner(TupleSlots<Ts...>& slots,
                                                      std::size_t winner) {
  std::optional<std::variant<Yield<Ts>...>> value;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto take = [&]<std::size_t J>(std::integral_constant<std::size_t, J>) {
      auto& slot = std::get<J>(slots);
      if (J == winner && slot) value.emplace(std::in_place_index<J>, std::move(*slot));
    };
    (take(std::integral_constant<std::size_t, I>()), ...);
  }(std::index_sequence_for<Ts...>());
  return value;
}

template <class... Ts>
Awaitable<std::variant<Yield<Ts>...>> race_tuple(std::tuple<Awaitable<Ts>...> tasks) {
  auto scope = std::make_shared<Scope>(co_await asio::this_coro::executor, CancelOn::first_end);
  std::shared_ptr<TupleSlots<Ts...>> slots;
  auto start = [&] { slots = start_all(*scope, tasks); };
  co_await Scope::join(scope, start);
  auto winner = take_winner<Ts...>(*slots, scope->first_index());
  if (!winner) scope->rethrow();
  co_return std::move(*winner);
}

template <class T>
Awaitable<First<T>> race_vector(std::vector<Awaitable<T>> tasks) {
  auto scope = std::make_shared<Scope>(co_await asio::this_coro::executor, CancelOn::first_end);
  std::shared_ptr<Slots<T>> slots;
  auto start = [&] { slots = start_all(*scope, tasks); };
  co_await Scope::join(scope, start);
  const std::size_t winner = scope->first_index();
  if (!(*slots)[winner]) scope->rethrow();
  First<T> first{winner, std::move(*(*slots)[winner])};
  co_return first;
}

}  // namespace detail

/// Runs all at the same time and yields a tuple of their values (std::monostate for void). The
/// first failure cancels the others and is rethrown once they have ended.
template <class... Ts>
Awaitable<std::tuple<detail::Yield<Ts>...>> gather(Awaitable<Ts>... tasks) {
  static_assert(sizeof...(Ts) > 0, "gather() needs at least one coroutine");
  return detail::gather_tuple<Ts...>(std::tuple<Awaitable<Ts>...>(std::move(tasks)...));
}

/// The same for any number of one type; values in the order of the tasks. None: an empty vector.
template <class T>
Awaitable<std::vector<detail::Yield<T>>> gather(std::vector<Awaitable<T>> tasks) {
  return detail::gather_vector<T>(std::move(tasks));
}

/// Runs all at the same time and waits for all, whatever they come to. Throws only when the caller
/// is cancelled.
template <class T>
Awaitable<std::vector<Settled<T>>> settle(std::vector<Awaitable<T>> tasks) {
  return detail::settle_vector<T>(std::move(tasks));
}

/// Yields what ends first, by a value or by its exception; the others are cancelled and joined.
/// What a loser had already done is lost: do not race a Channel::receive() whose value you need.
template <class... Ts>
Awaitable<std::variant<detail::Yield<Ts>...>> race(Awaitable<Ts>... tasks) {
  static_assert(sizeof...(Ts) > 0, "race() needs at least one coroutine");
  return detail::race_tuple<Ts...>(std::tuple<Awaitable<Ts>...>(std::move(tasks)...));
}

/// The same over a vector, which is not empty (std::invalid_argument).
template <class T>
Awaitable<First<T>> race(std::vector<Awaitable<T>> tasks) {
  if (tasks.empty()) throw std::invalid_argument("race() needs at least one coroutine");
  return detail::race_vector<T>(std::move(tasks));
}

/// Awaits `task` for at most `limit`; then cancels it, waits until it has ended and throws
/// TimeoutError. A task that ends with a value in spite of that has its value returned.
template <class T>
Awaitable<T> with_timeout(Awaitable<T> task, std::chrono::steady_clock::duration limit) {
  auto scope = std::make_shared<detail::Scope>(co_await asio::this_coro::executor,
                                               detail::CancelOn::nothing);
  auto slot = std::make_shared<std::optional<detail::Yield<T>>>();
  auto start = [&] { scope->start(detail::run_into<T>(std::move(task), slot.get(), slot), 0); };
  co_await detail::Scope::join(scope, start, std::chrono::steady_clock::now() + limit);
  if (!*slot && scope->is_timed_out() && !scope->failure()) {
    throw TimeoutError(std::chrono::duration_cast<std::chrono::milliseconds>(limit));
  }
  if (!*slot) scope->rethrow();
  if constexpr (!std::is_void_v<T>) co_return std::move(**slot);
}

}  // namespace sluice
