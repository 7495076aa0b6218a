// Bell: lets one coroutine sleep until somebody on the same thread rings, or until a time.
#pragma once

#include <sluice/async/awaitable.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>

#include <utility>

namespace sluice::worker {

class Bell {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Bell(const asio::any_io_executor& executor) : timer_(executor) {}

  /// A ring that nobody waits for is heard by the next wait.
  void ring() {
    has_rung_ = true;
    timer_.cancel();
  }

  /// Returns when it rings or has rung, at `time`, or when the coroutine is cancelled (which the
  /// caller asks its own cancellation state about).
  Awaitable<void> wait_until(Time time = Time::max()) {
    if (!std::exchange(has_rung_, false)) {
      timer_.expires_at(time);
      const auto [error] = co_await timer_.async_wait(asio::as_tuple(asio::deferred));
      static_cast<void>(error);
      has_rung_ = false;
    }
  }

 private:
  asio::steady_timer timer_;
  bool has_rung_ = false;
};

}  // namespace sluice::worker
