// TaskGroup and with_group(): coroutines that run at the same time and have an owner that joins
// them. Everything in combine.h is built on it.
//
//   co_await with_group([&](TaskGroup& group) -> Awaitable<void> {
//     for (const std::string& url : urls) group.spawn(fetch(url));
//     co_return;
//   });                                   // here all are done; the first failure is rethrown
//
// Threads: a group, its tasks and whoever joins share one executor that runs one thing at a time
// (an io_context with one thread, or a strand). Only cancel() may be called from anywhere.
#pragma once

#include <sluice/async/awaitable.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>

namespace sluice {

namespace detail {

/// When the end of one task cancels the others.
enum class CancelOn : std::uint8_t { nothing, failure, first_end };

/// The running children of one owner: counts them, cancels them, wakes the owner when they are
/// gone. Held by the owner and by every child, so that neither outlives what it touches.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  struct Child {
    explicit Child(std::size_t number) : index(number) {}

    asio::cancellation_signal signal;
    std::size_t index;
    bool is_started = false;
    bool is_cancelled = false;
    bool is_done = false;
    std::exception_ptr error;
  };

  using Handle = std::list<Child>::iterator;
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  Scope(asio::any_io_executor executor, CancelOn cancel_on);

  /// Starts a child. The handle is good until the child has ended.
  Handle start(Awaitable<void> task, std::size_t index);
  /// Cancels every child, those that end and those that have not yet begun. Owner's executor only.
  void cancel();
  void cancel(Handle child);
  /// Calls `start_children`, then waits until no child is left. A cancelled owner and a passed
  /// deadline cancel the children and then wait for them: nothing runs on after this. Never throws
  /// but what `start_children` throws.
  static Awaitable<void> join(std::shared_ptr<Scope> scope,
                              std::function<void()> start_children,
                              Deadline deadline = {});

  const asio::any_io_executor& executor() const { return executor_; }

  std::size_t running() const { return running_; }

  /// Of the child that ended first; no child: npos.
  std::size_t first_index() const { return first_index_; }

  /// The first failure that is not the echo of our own cancel(); null: none.
  const std::exception_ptr& failure() const { return failure_; }

  /// The joining coroutine was cancelled while it waited.
  bool is_owner_cancelled() const { return is_owner_cancelled_; }

  bool is_timed_out() const { return is_timed_out_; }

  /// Throws the failure, or, if there is none, operation_aborted.
  [[noreturn]] void rethrow() const;
  /// Makes a joined scope as good as new; returns its failure.
  std::exception_ptr reset();

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

 private:
  static Awaitable<void> run(std::shared_ptr<Scope> scope, Handle child, Awaitable<void> task);
  void on_end(Handle child);

  asio::any_io_executor executor_;
  CancelOn cancel_on_;
  std::list<Child> children_;
  std::size_t running_ = 0;
  std::size_t first_index_ = npos;
  std::exception_ptr failure_;
  std::size_t emitting_ = 0;    ///< Depth of cancel(): ended children stay in the list meanwhile.
  bool is_cancelling_ = false;  ///< Children that start now are born cancelled.
  bool is_woken_ = false;
  bool is_owner_cancelled_ = false;
  bool is_timed_out_ = false;
  asio::steady_timer wakeup_;  ///< The owner waits on it; it never expires unless by a deadline.
};

}  // namespace detail

/// What a failing task does to the others of its group.
enum class OnFailure : std::uint8_t { cancel_others, keep_going };

class TaskGroup {
 public:
  /// `executor` is the owner's: `co_await asio::this_coro::executor`. Its context outlives the
  /// group.
  explicit TaskGroup(const asio::any_io_executor& executor,
                     OnFailure on_failure = OnFailure::cancel_others);
  /// A group is joined before it dies. If its owner was destroyed or threw instead, the tasks are
  /// told to cancel and run out on their own; they must not use what the owner owned. with_group()
  /// cannot get there.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  TaskGroup(TaskGroup&&) = delete;
  TaskGroup& operator=(TaskGroup&&) = delete;

  /// Starts `task` now. Also from within a task of the group, and while somebody joins.
  void spawn(Awaitable<void> task);

  /// Starts a callable that returns Awaitable<void>, and keeps it (and what it captured) alive
  /// while the coroutine runs. Use this one for lambdas.
  template <class F>
    requires std::is_invocable_r_v<Awaitable<void>, F&>
  void spawn(F make) {
    spawn(keep(std::move(make)));
  }

  /// Cancels all tasks; they end with operation_aborted, which does not count as a failure. Any
  /// thread; returns at once.
  void cancel();

  /// Waits until all tasks have ended. Errors: rethrows the first failure; operation_aborted when
  /// the caller was cancelled (then the tasks were cancelled too, and joined). One caller at a
  /// time.
  Awaitable<void> join();

  /// Tasks that have not ended.
  std::size_t size() const { return scope_->running(); }

 private:
  template <class F>
  static Awaitable<void> keep(F make) {
    co_await make();
  }

  std::shared_ptr<detail::Scope> scope_;
};

namespace detail {

/// Awaits `body`, then joins `group`; cancels it first if the body threw.
Awaitable<void> join_after(TaskGroup& group, Awaitable<void> body);

template <class F>
Awaitable<void> run_group(F body, OnFailure on_failure) {
  TaskGroup group(co_await asio::this_coro::executor, on_failure);
  co_await join_after(group, body(group));
}

}  // namespace detail

/// Runs `body(group)`, then joins the group, whatever happens: when the body throws or the caller
/// is cancelled, the tasks are cancelled and joined before the exception goes on. `body` may be a
/// reference-capturing lambda in place; one that captures owners by value must have a name.
template <class F>
  requires std::is_invocable_r_v<Awaitable<void>, F&, TaskGroup&>
Awaitable<void> with_group(F&& body, OnFailure on_failure = OnFailure::cancel_others) {
  static_assert(detail::is_safe_beside_co_await<F>,
                "GCC 12 would destroy this lambda's captures twice: give the lambda a name first");
  return detail::run_group<std::remove_cvref_t<F>>(std::forward<F>(body), on_failure);
}

}  // namespace sluice
