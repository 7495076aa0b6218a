// The part of the async kit that is no template: scopes and groups, waiters, limits, offloading.
#include <sluice/async.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>

namespace sluice {

using std::chrono::steady_clock;

TimeoutError::TimeoutError(std::chrono::milliseconds limit)
    : std::runtime_error("timed out after " + std::to_string(limit.count()) + " ms") {}

bool is_cancelled(const std::exception_ptr& error) noexcept {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& failed) {
    return failed.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

Awaitable<void> sleep_for(steady_clock::duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::deferred));
  if (error) detail::throw_cancelled();
}

namespace detail {

void throw_cancelled() {
  throw boost::system::system_error(asio::error::operation_aborted);
}

// -- Scope. ------------------------------------------------------------------------------------

Scope::Scope(asio::any_io_executor executor, CancelOn cancel_on)
    : executor_(std::move(executor)), cancel_on_(cancel_on), wakeup_(executor_) {}

Scope::Handle Scope::start(Awaitable<void> task, std::size_t index) {
  children_.emplace_back(index);
  const Handle child = std::prev(children_.end());
  child->is_cancelled = is_cancelling_;
  ++running_;
  auto on_done = [self = shared_from_this(), child](const std::exception_ptr&) {
    self->on_end(child);
  };
  asio::co_spawn(executor_,
                 run(shared_from_this(), child, std::move(task)),
                 asio::bind_cancellation_slot(child->signal.slot(), std::move(on_done)));
  return child;
}

// Wraps a child so that what surrounds it in co_spawn never sees the cancellation: Asio 1.81 throws
// out of io_context::run(), and drops the completion, when a coroutine is cancelled before its
// first suspension. So a signal is kept back until the child has begun, and given here.
Awaitable<void> Scope::run(std::shared_ptr<Scope> scope, Handle child, Awaitable<void> task) {
  static_cast<void>(scope);  // Keeps the list alive that `child` is in.
  child->is_started = true;
  if (child->is_cancelled) child->signal.emit(asio::cancellation_type::all);
  try {
    co_await std::move(task);
  } catch (...) {
    child->error = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
}

void Scope::cancel(Handle child) {
  if (child->is_done) return;
  child->is_cancelled = true;
  if (!child->is_started) return;
  // An operation may complete within emit(); its child must not be erased under our feet.
  ++emitting_;
  child->signal.emit(asio::cancellation_type::all);
  if (--emitting_ == 0) {
    children_.remove_if([](const Child& ended) { return ended.is_done; });
  }
}

void Scope::cancel() {
  is_cancelling_ = true;
  ++emitting_;
  for (auto child = children_.begin(); child != children_.end(); ++child)
    cancel(child);
  if (--emitting_ == 0) {
    children_.remove_if([](const Child& ended) { return ended.is_done; });
  }
}

void Scope::on_end(Handle child) {
  child->is_done = true;
  --running_;
  const bool is_first = first_index_ == npos;
  if (is_first) first_index_ = child->index;
  const std::exception_ptr error = child->error;
  const bool is_echo = child->is_cancelled && is_cancelled(error);
  const bool counts = error && !is_echo && (is_first || cancel_on_ != CancelOn::first_end);
  if (counts && !failure_) failure_ = error;
  if (emitting_ == 0) children_.erase(child);
  const bool is_fatal = (cancel_on_ == CancelOn::failure && counts) ||
                        (cancel_on_ == CancelOn::first_end && is_first);
  if (is_fatal && running_ > 0) cancel();
  if (running_ == 0) {
    is_woken_ = true;
    wakeup_.cancel();
  }
}

Awaitable<void> Scope::join(std::shared_ptr<Scope> scope,
                            std::function<void()> start_children,
                            Deadline deadline) {
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  auto seen = (co_await asio::this_coro::cancellation_state).cancelled();
  if (start_children) start_children();
  while (scope->running_ > 0) {
    // Cancelled by one of its own children while they were started: no wait to interrupt yet.
    auto now = (co_await asio::this_coro::cancellation_state).cancelled();
    if (now == seen) {
      const bool has_limit = deadline && !scope->is_timed_out_;
      scope->wakeup_.expires_at(has_limit ? *deadline : steady_clock::time_point::max());
      scope->is_woken_ = false;
      const auto [error] = co_await scope->wakeup_.async_wait(asio::as_tuple(asio::deferred));
      now = (co_await asio::this_coro::cancellation_state).cancelled();
      if (!error) scope->is_timed_out_ = true;
      if (error && scope->is_woken_ && now == seen) continue;
      if (error) scope->is_owner_cancelled_ = true;
    } else {
      scope->is_owner_cancelled_ = true;
    }
    seen = now;
    if (scope->running_ > 0) scope->cancel();
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
}

void Scope::rethrow() const {
  if (failure_) std::rethrow_exception(failure_);
  throw_cancelled();
}

std::exception_ptr Scope::reset() {
  is_cancelling_ = false;
  is_owner_cancelled_ = false;
  is_timed_out_ = false;
  first_index_ = npos;
  return std::exchange(failure_, nullptr);
}

Awaitable<void> join_after(TaskGroup& group, Awaitable<void> body) {
  std::exception_ptr failure;
  try {
    co_await std::move(body);
  } catch (...) {
    failure = std::current_exception();
  }
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  if (failure || (throws && cancelled != asio::cancellation_type::none)) group.cancel();
  try {
    co_await group.join();
  } catch (...) {
    if (!failure) failure = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (failure) std::rethrow_exception(failure);
}

// -- Waiter. -----------------------------------------------------------------------------------

Waiter::Waiter(const asio::any_io_executor& executor)
    : parked_(executor, steady_clock::time_point::max()) {}

void Waiter::wake() {
  unlink();
  is_woken_ = true;
  parked_.cancel();
}

Awaitable<bool> Waiter::wait() {
  const auto [error] = co_await parked_.async_wait(asio::as_tuple(asio::deferred));
  static_cast<void>(error);
  co_return is_woken_;
}

struct SemaphoreState {
  struct Entry : Waiter {
    Entry(const asio::any_io_executor& executor, std::size_t n) : Waiter(executor), count(n) {}

    std::size_t count;
  };

  std::size_t total = 0;
  std::size_t available = 0;
  Line<Entry> line;

  /// Serves the line from its head as far as the permits go.
  void grant() {
    while (!line.empty() && line.front().count <= available) {
      Entry& entry = line.front();
      available -= entry.count;
      entry.wake();
    }
  }

  void release(std::size_t count) {
    available += count;
    grant();
  }
};

namespace {

/// Leaves the line in order however the wait ends: a grant that nobody took is passed on, and so is
/// the turn of those who stood behind.
class Place {
 public:
  Place(SemaphoreState& state, SemaphoreState::Entry& entry) : state_(state), entry_(entry) {
    state_.line.push_back(entry_);
  }

  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  ~Place() {
    if (is_taken_) return;
    if (entry_.is_woken()) {
      state_.release(entry_.count);
    } else {
      entry_.unlink();
      state_.grant();
    }
  }

  void take() { is_taken_ = true; }

 private:
  SemaphoreState& state_;
  SemaphoreState::Entry& entry_;
  bool is_taken_ = false;
};

Awaitable<Semaphore::Permit> acquire_from(std::shared_ptr<SemaphoreState> state,
                                          std::size_t count) {
  if (count > state->total) {
    throw std::invalid_argument("a semaphore of " + std::to_string(state->total) +
                                " permits was asked for " + std::to_string(count));
  }
  if (state->line.empty() && state->available >= count) {
    state->available -= count;
    co_return Semaphore::Permit(state, count);
  }
  SemaphoreState::Entry entry(co_await asio::this_coro::executor, count);
  Place place(*state, entry);
  const bool woken = co_await entry.wait();
  if (!woken) throw_cancelled();
  place.take();
  co_return Semaphore::Permit(state, count);
}

}  // namespace

// -- Offload. ----------------------------------------------------------------------------------

/// Shared by the waiting coroutine and the pool. `work` refers to the coroutine's frame, so the
/// frame is not left before the work has ended: by waiting in the coroutine, or, when the frame is
/// destroyed while suspended (its io_context died), by blocking in its destructor. Whatever belongs
/// to the io_context stays in the frame, because the pool may be the last to let go of this.
class OffloadState : public std::enable_shared_from_this<OffloadState> {
 public:
  OffloadState(asio::steady_timer& parked, std::function<void(std::stop_token)> work)
      : parked_(&parked), work_(std::move(work)) {}

  /// On the pool.
  void run() {
    {
      const std::scoped_lock lock(mutex_);
      if (phase_ != Phase::queued) return;
      phase_ = Phase::running;
    }
    work_(stop_.get_token());
    const std::scoped_lock lock(mutex_);
    end(Phase::done);
  }

  /// The pool dropped the work (or ran it: then this does nothing).
  void drop() {
    const std::scoped_lock lock(mutex_);
    if (phase_ == Phase::queued) end(Phase::dropped);
  }

  /// Takes the work back if it has not begun, asks it to stop if it has.
  void withdraw() {
    const std::scoped_lock lock(mutex_);
    if (phase_ == Phase::queued) phase_ = Phase::dropped;
    if (phase_ == Phase::running) stop_.request_stop();
  }

  /// The coroutine's frame is about to go: waits until nothing refers to it any more.
  void abandon() {
    withdraw();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return phase_ != Phase::running; });
    parked_ = nullptr;
  }

  bool is_done() const {
    const std::scoped_lock lock(mutex_);
    return phase_ == Phase::done;
  }

  bool has_ended() const {
    const std::scoped_lock lock(mutex_);
    return phase_ == Phase::done || phase_ == Phase::dropped;
  }

 private:
  enum class Phase : std::uint8_t { queued, running, done, dropped };

  void end(Phase phase) {
    phase_ = phase;
    ended_.notify_all();
    if (parked_ == nullptr) return;
    // Posted under the lock: abandon() cannot return, nor the io_context die, in between.
    asio::post(parked_->get_executor(), [self = shared_from_this()] {
      if (self->parked_ != nullptr) self->parked_->cancel();
    });
  }

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  std::stop_source stop_;
  Phase phase_ = Phase::queued;
  asio::steady_timer* parked_;  ///< In the frame. Null: the frame is gone.
  std::function<void(std::stop_token)> work_;
};

namespace {

/// What the pool holds: tells the state when it is destroyed without having been run.
class Ticket {
 public:
  explicit Ticket(std::shared_ptr<OffloadState> state) : state_(std::move(state)) {}

  Ticket(Ticket&&) noexcept = default;
  Ticket& operator=(Ticket&&) noexcept = default;
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  ~Ticket() {
    if (state_) state_->drop();
  }

  void operator()() { std::exchange(state_, nullptr)->run(); }

 private:
  std::shared_ptr<OffloadState> state_;
};

/// Blocks, in the one case where a frame dies while its work runs.
class AbandonAtEnd {
 public:
  explicit AbandonAtEnd(OffloadState& state) : state_(state) {}

  AbandonAtEnd(const AbandonAtEnd&) = delete;
  AbandonAtEnd& operator=(const AbandonAtEnd&) = delete;

  ~AbandonAtEnd() { state_.abandon(); }

 private:
  OffloadState& state_;
};

}  // namespace

Awaitable<bool> run_on(asio::thread_pool& pool, std::function<void(std::stop_token)> work) {
  asio::steady_timer parked(co_await asio::this_coro::executor);
  auto state = std::make_shared<OffloadState>(parked, std::move(work));
  const AbandonAtEnd guard(*state);
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::post(pool, Ticket(state));
  while (!state->has_ended()) {
    parked.expires_at(steady_clock::time_point::max());
    const auto [error] = co_await parked.async_wait(asio::as_tuple(asio::deferred));
    static_cast<void>(error);
    if (!state->has_ended()) state->withdraw();
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  co_return state->is_done();
}

}  // namespace detail

// -- TaskGroup. --------------------------------------------------------------------------------

TaskGroup::TaskGroup(const asio::any_io_executor& executor, OnFailure on_failure)
    : scope_(std::make_shared<detail::Scope>(executor,
                                             on_failure == OnFailure::cancel_others
                                                 ? detail::CancelOn::failure
                                                 : detail::CancelOn::nothing)) {}

TaskGroup::~TaskGroup() {
  if (scope_->running() == 0) return;
  // Not dispatched: if the io_context is being destroyed, this must never run.
  asio::post(scope_->executor(), [scope = scope_] { scope->cancel(); });
}

void TaskGroup::spawn(Awaitable<void> task) {
  scope_->start(std::move(task), 0);
}

void TaskGroup::cancel() {
  asio::dispatch(scope_->executor(), [scope = scope_] { scope->cancel(); });
}

Awaitable<void> TaskGroup::join() {
  auto scope = scope_;
  co_await detail::Scope::join(scope, {});
  const bool is_owner_cancelled = scope->is_owner_cancelled();
  const std::exception_ptr failure = scope->reset();
  if (failure) std::rethrow_exception(failure);
  if (is_owner_cancelled) detail::throw_cancelled();
}

// -- Semaphore and RateLimiter. ----------------------------------------------------------------

Semaphore::Permit::Permit(std::shared_ptr<detail::SemaphoreState> state, std::size_t count)
    : state_(std::move(state)), count_(count) {}

Semaphore::Permit::Permit(Permit&& other) noexcept
    : state_(std::move(other.state_)), count_(std::exchange(other.count_, 0)) {}

Semaphore::Permit& Semaphore::Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    count_ = std::exchange(other.count_, 0);
  }
  return *this;
}

Semaphore::Permit::~Permit() {
  release();
}

void Semaphore::Permit::release() {
  if (const auto state = std::exchange(state_, nullptr)) state->release(std::exchange(count_, 0));
}

Semaphore::Semaphore(std::size_t permits) : state_(std::make_shared<detail::SemaphoreState>()) {
  state_->total = permits;
  state_->available = permits;
}

Awaitable<Semaphore::Permit> Semaphore::acquire(std::size_t count) {
  return detail::acquire_from(state_, count);
}

std::optional<Semaphore::Permit> Semaphore::try_acquire(std::size_t count) {
  if (!state_->line.empty() || state_->available < count) return std::nullopt;
  state_->available -= count;
  return Permit(state_, count);
}

std::size_t Semaphore::available() const {
  return state_->available;
}

RateLimiter::RateLimiter(std::size_t count, Duration interval, std::size_t burst)
    : state_(std::make_shared<State>()) {
  if (count == 0 || interval <= Duration::zero()) {
    throw std::invalid_argument("a rate limiter needs a count and an interval above zero");
  }
  state_->per_token = std::max<Duration>(interval / static_cast<Duration::rep>(count), Duration(1));
  state_->burst = burst == 0 ? count : burst;
}

// The bucket as one time (GCRA): every token moves `used_until` on by its share of the interval,
// and may be had when that is at most a burst ahead of now.
Awaitable<void> RateLimiter::wait_turn(std::shared_ptr<State> state, std::size_t tokens) {
  if (tokens > state->burst) {
    throw std::invalid_argument("a rate limiter with bursts of " + std::to_string(state->burst) +
                                " was asked for " + std::to_string(tokens) + " tokens at once");
  }
  const Time now = steady_clock::now();
  const Duration cost = state->per_token * static_cast<Duration::rep>(tokens);
  const Duration ahead = state->per_token * static_cast<Duration::rep>(state->burst);
  const Time mine = std::max(state->used_until, now) + cost;
  state->used_until = mine;
  if (mine - ahead <= now) co_return;
  try {
    co_await sleep_for(mine - ahead - now);
  } catch (...) {
    if (state->used_until == mine) state->used_until -= cost;
    throw;
  }
}

Awaitable<void> RateLimiter::acquire(std::size_t tokens) {
  return wait_turn(state_, tokens);
}

bool RateLimiter::try_acquire(std::size_t tokens) {
  const Time now = steady_clock::now();
  const Duration cost = state_->per_token * static_cast<Duration::rep>(tokens);
  const Duration ahead = state_->per_token * static_cast<Duration::rep>(state_->burst);
  const Time mine = std::max(state_->used_until, now) + cost;
  if (mine - ahead > now) return false;
  state_->used_until = mine;
  return true;
}

// -- Retry. ------------------------------------------------------------------------------------

Retry::Duration Retry::delay_after(std::uint32_t failed) const {
  static thread_local std::minstd_rand random{std::random_device{}()};
  const double longest = static_cast<double>(cap_.count());
  double pause = static_cast<double>(delay_.count());
  for (std::uint32_t i = 1; i < failed && pause < longest; ++i)
    pause *= factor_;
  pause = std::min(pause, longest);
  std::uniform_real_distribution<double> spread(1.0 - jitter_, 1.0 + jitter_);
  return Duration(static_cast<Duration::rep>(pause * spread(random)));
}

bool Retry::is_worth_another(const std::exception_ptr& error) const {
  if (is_cancelled(error)) return false;
  return !when_ || when_(error);
}

}  // namespace sluice
