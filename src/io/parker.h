// Parker: how a thread sleeps until another one has something for it.
//
//   while (!has_work()) parker.park_for(limit);      // the thread that sleeps
//   put(work); parker.unpark();                      // any other
//
// An unpark() that comes first is not lost: the next park returns at once. A condition variable
// would take its mutex once more on waking, and glibc marks that mutex as contended: two system
// calls of each wake-up that this does without. The algorithm is that of Rust's std::thread::park
// (library/std/src/sys/sync/thread_parking/futex.rs).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace sluice {

/// For one thread that parks; any thread may unpark it. What was written before unpark() is seen
/// after the park that it ended.
class Parker {
 public:
  Parker() = default;
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  /// Sleeps until unpark(). May return without one: look again at what you wait for.
  void park() { park_until_woken(nullptr); }

  /// The same, for at most `limit`, which is not negative.
  void park_for(std::chrono::nanoseconds limit) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
    const timespec timeout{seconds.count(), (limit - seconds).count()};
    park_until_woken(&timeout);
  }

  void unpark() {
    if (state_.exchange(notified, std::memory_order_release) != parked) return;
    ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

 private:
  static constexpr std::uint32_t empty = 0;
  static constexpr std::uint32_t notified = 1;
  static constexpr std::uint32_t parked = 2;

  void park_until_woken(const timespec* timeout) {
    std::uint32_t expected = empty;
    if (state_.compare_exchange_strong(expected, parked, std::memory_order_acquire)) {
      ::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, parked, timeout, nullptr, 0);
    }
    state_.exchange(empty, std::memory_order_acquire);
  }

  std::atomic<std::uint32_t> state_{empty};
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
};

}  // namespace sluice
