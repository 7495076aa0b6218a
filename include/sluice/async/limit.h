// Semaphore and RateLimiter: at most so many at a time, at most so many in a second.
//
//   Semaphore smtp(10);                                  // shared by all handlers of a worker
//   Semaphore::Permit permit = co_await smtp.acquire();  // given back at the end of the scope
//
//   RateLimiter api(100, 1s);                            // 100 calls a second, bursts of 100
//   co_await api.acquire();
//
// Both are fair: first come, first served. Threads: all who use one share an executor that runs one
// thing at a time (as a worker's handlers do, unless it has handler threads). They may die before
// their waiters; those then wait until they are cancelled.
#pragma once

#include <sluice/async/awaitable.h>

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace sluice {

namespace detail {

/// One coroutine in a line: parked on a timer that never expires, because a timer is cancelled,
/// counted as work and destroyed by its io_context as a bare handler would not be. Leaves the line
/// by itself when its coroutine is destroyed.
class Waiter : public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  explicit Waiter(const asio::any_io_executor& executor);
  /// Takes it out of the line and resumes it.
  void wake();
  /// True: woken. False: cancelled; the waiter may still be in the line.
  Awaitable<bool> wait();

  bool is_woken() const { return is_woken_; }

 private:
  asio::steady_timer parked_;
  bool is_woken_ = false;
};

template <class W>
using Line = boost::intrusive::list<W, boost::intrusive::constant_time_size<false>>;

struct SemaphoreState;

}  // namespace detail

class Semaphore {
 public:
  /// The right of one holder; gives it back when it dies. May outlive the semaphore.
  class Permit {
   public:
    Permit() = default;
    Permit(std::shared_ptr<detail::SemaphoreState> state, std::size_t count);
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&& other) noexcept;
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;
    ~Permit();
    /// Gives it back now. Idempotent.
    void release();

   private:
    std::shared_ptr<detail::SemaphoreState> state_;
    std::size_t count_ = 0;
  };

  explicit Semaphore(std::size_t permits);

  /// Waits for `count` permits at once. A small request waits behind a large one that came first.
  /// Errors: std::invalid_argument if there are fewer in all; operation_aborted when cancelled.
  Awaitable<Permit> acquire(std::size_t count = 1);
  /// None if it would have to wait.
  std::optional<Permit> try_acquire(std::size_t count = 1);
  std::size_t available() const;

 private:
  std::shared_ptr<detail::SemaphoreState> state_;
};

class RateLimiter {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// `count` per `interval` in the long run; after a pause up to `burst` (0: `count`) at once.
  /// Errors: std::invalid_argument for a count or interval of zero.
  RateLimiter(std::size_t count, Duration interval, std::size_t burst = 0);

  /// Waits for its turn. A turn that is cancelled is used up unless it was the last in line: the
  /// rate is never exceeded. Errors: std::invalid_argument if `tokens` is more than a burst;
  /// operation_aborted when cancelled.
  Awaitable<void> acquire(std::size_t tokens = 1);
  /// False if it would have to wait.
  bool try_acquire(std::size_t tokens = 1);

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct State {
    Duration per_token;
    std::size_t burst;
    Time used_until;  ///< Tokens are spent up to here; at most a burst ahead of now.
  };

  static Awaitable<void> wait_turn(std::shared_ptr<State> state, std::size_t tokens);

  std::shared_ptr<State> state_;
};

}  // namespace sluice
