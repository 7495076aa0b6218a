// Semaphore, RateLimiter, Channel and offload: fairness, limits, closing, and where work runs.
#include <sluice/async.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Runs `body(group)` to its end.
template <class Body>
void run_group(Body body) {
  asio::io_context io(1);
  std::exception_ptr error;
  asio::co_spawn(io, with_group(body), [&](std::exception_ptr e) { error = std::move(e); });
  io.run();
  if (error) std::rethrow_exception(error);
}

TEST(SemaphoreTest, LetsInAsManyAsItHasPermits) {
  Semaphore semaphore(3);
  int inside = 0;
  int most = 0;
  auto task = [&]() -> Awaitable<void> {
    const Semaphore::Permit permit = co_await semaphore.acquire();
    most = std::max(most, ++inside);
    co_await sleep_for(1ms);
    --inside;
  };
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    for (int i = 0; i < 20; ++i)
      group.spawn(task);
    co_return;
  });
  EXPECT_EQ(most, 3);
  EXPECT_EQ(semaphore.available(), 3u);
}

TEST(SemaphoreTest, ServesInOrderOfArrivalWhateverTheSize) {
  Semaphore semaphore(2);
  std::vector<int> order;
  auto task = [&](int name, std::size_t count) -> Awaitable<void> {
    const Semaphore::Permit permit = co_await semaphore.acquire(count);
    order.push_back(name);
    co_await sleep_for(1ms);
  };
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    group.spawn(task(1, 1));
    group.spawn(task(2, 2));
    group.spawn(task(3, 1));
    co_return;
  });
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(SemaphoreTest, ACancelledWaiterLetsThoseBehindItPass) {
  Semaphore semaphore(2);
  bool has_passed = false;
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    const Semaphore::Permit one = co_await semaphore.acquire();
    group.spawn([&]() -> Awaitable<void> {
      try {
        co_await with_timeout(semaphore.acquire(2), 1ms);
      } catch (const TimeoutError&) {
      }
    });
    group.spawn([&]() -> Awaitable<void> {
      const Semaphore::Permit permit = co_await semaphore.acquire();
      has_passed = true;
    });
    EXPECT_FALSE(has_passed);
    co_await sleep_for(20ms);
    EXPECT_TRUE(has_passed);
  });
}

TEST(SemaphoreTest, RefusesMoreThanThereAre) {
  Semaphore semaphore(2);
  auto body = [&](TaskGroup&) -> Awaitable<void> { co_await semaphore.acquire(3); };
  EXPECT_THROW(run_group(body), std::invalid_argument);
}

TEST(SemaphoreTest, TryAcquireDoesNotWait) {
  Semaphore semaphore(1);
  auto first = semaphore.try_acquire();
  EXPECT_TRUE(first.has_value());
  EXPECT_FALSE(semaphore.try_acquire().has_value());
  first->release();
  EXPECT_TRUE(semaphore.try_acquire().has_value());
}

TEST(SemaphoreTest, APermitMayOutliveIt) {
  Semaphore::Permit permit;
  {
    Semaphore semaphore(1);
    permit = std::move(*semaphore.try_acquire());
  }
}

TEST(RateLimiterTest, NeverExceedsItsRate) {
  RateLimiter limiter(200, 1s, 5);
  const auto begin = std::chrono::steady_clock::now();
  int turns = 0;
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    for (int i = 0; i < 25; ++i) {
      group.spawn([&]() -> Awaitable<void> {
        co_await limiter.acquire();
        ++turns;
        const auto passed = std::chrono::steady_clock::now() - begin;
        EXPECT_LE(turns, 5 + passed / 5ms + 1);
      });
    }
    co_return;
  });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 20 * 5ms);
}

TEST(RateLimiterTest, TryAcquireTakesOnlyABurst) {
  RateLimiter limiter(1, 1h, 3);
  EXPECT_TRUE(limiter.try_acquire(2));
  EXPECT_FALSE(limiter.try_acquire(2));
  EXPECT_TRUE(limiter.try_acquire(1));
  EXPECT_FALSE(limiter.try_acquire(1));
}

TEST(RateLimiterTest, ACancelledLastInLineGivesItsTurnBack) {
  RateLimiter limiter(1, 100ms, 1);
  run_group([&](TaskGroup&) -> Awaitable<void> {
    co_await limiter.acquire();
    for (int i = 0; i < 1000; ++i) {
      try {
        co_await with_timeout(limiter.acquire(), 0ms);
      } catch (const TimeoutError&) {
      }
    }
    co_await with_timeout(limiter.acquire(), 10s);
  });
}

TEST(RateLimiterTest, RefusesNonsense) {
  EXPECT_THROW(RateLimiter(0, 1s), std::invalid_argument);
  RateLimiter limiter(1, 1s);
  auto body = [&](TaskGroup&) -> Awaitable<void> { co_await limiter.acquire(2); };
  EXPECT_THROW(run_group(body), std::invalid_argument);
}

TEST(ChannelTest, PassesEverythingInOrderThroughASmallBuffer) {
  for (const std::size_t capacity : {0u, 1u, 7u}) {
    Channel<int> channel(capacity);
    std::vector<int> got;
    run_group([&](TaskGroup& group) -> Awaitable<void> {
      group.spawn([&]() -> Awaitable<void> {
        for (int i = 0; i < 100; ++i)
          EXPECT_TRUE(co_await channel.send(i));
        channel.close();
      });
      while (auto value = co_await channel.receive())
        got.push_back(*value);
    });
    ASSERT_EQ(got.size(), 100u);
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
  }
}

TEST(ChannelTest, NeverHoldsMoreThanItsCapacity) {
  Channel<int> channel(4);
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    group.spawn([&]() -> Awaitable<void> {
      for (int i = 0; i < 50; ++i)
        co_await channel.send(i);
      channel.close();
    });
    while (auto value = co_await channel.receive()) {
      EXPECT_LE(channel.size(), 4u);
      co_await sleep_for(0ms);
    }
  });
}

TEST(ChannelTest, CloseRefusesSendersAndDrains) {
  Channel<std::string> channel(1);
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    EXPECT_TRUE(co_await channel.send("inside"));
    group.spawn([&]() -> Awaitable<void> { EXPECT_FALSE(co_await channel.send("waiting")); });
    channel.close();
    EXPECT_FALSE(co_await channel.send("late"));
    EXPECT_EQ(co_await channel.receive(), "inside");
    EXPECT_EQ(co_await channel.receive(), std::nullopt);
  });
}

TEST(ChannelTest, ItsDeathTellsTheWaiting) {
  auto channel = std::make_unique<Channel<int>>(0);
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    group.spawn([&]() -> Awaitable<void> { EXPECT_EQ(co_await channel->receive(), std::nullopt); });
    co_await sleep_for(0ms);
    channel.reset();
  });
}

TEST(ChannelTest, ATimedOutReceiveTakesNothing) {
  Channel<int> channel(1);
  run_group([&](TaskGroup&) -> Awaitable<void> {
    try {
      co_await with_timeout(channel.receive(), 1ms);
      ADD_FAILURE();
    } catch (const TimeoutError&) {
    }
    int value = 9;
    EXPECT_TRUE(channel.try_send(value));
    EXPECT_FALSE(channel.try_send(value));
    EXPECT_EQ(channel.try_receive(), 9);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
  });
}

TEST(Offload, RunsElsewhereAndResumesHere) {
  asio::thread_pool pool(2);
  const auto here = std::this_thread::get_id();
  run_group([&](TaskGroup&) -> Awaitable<void> {
    const auto there = co_await offload(pool, [] { return std::this_thread::get_id(); });
    EXPECT_NE(there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
  });
}

TEST(Offload, PassesExceptionsOn) {
  asio::thread_pool pool(1);
  auto body = [&](TaskGroup&) -> Awaitable<void> {
    co_await offload(pool, [] { throw std::logic_error("there"); });
  };
  EXPECT_THROW(run_group(body), std::logic_error);
}

TEST(Offload, CancelStopsWhatRunsAndDropsWhatDoesNot) {
  asio::thread_pool pool(1);
  std::latch running(1);
  std::atomic<bool> is_stopped{false};
  std::atomic<bool> is_dropped{false};
  std::atomic<int> calls{0};
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    group.spawn([&]() -> Awaitable<void> {
      co_await offload(pool, [&](const std::stop_token& stop) {
        ++calls;
        running.count_down();
        while (!stop.stop_requested())
          std::this_thread::yield();
        is_stopped = true;
        // Keeps the only thread until the other is cancelled, too: one is cancelled after the
        // other.
        while (!is_dropped)
          std::this_thread::yield();
      });
    });
    group.spawn([&]() -> Awaitable<void> {
      try {
        co_await offload(pool, [&] { ++calls; });
      } catch (...) {
        is_dropped = is_cancelled(std::current_exception());
      }
    });
    running.wait();
    group.cancel();
    co_return;
  });
  EXPECT_TRUE(is_stopped);
  EXPECT_TRUE(is_dropped);
  EXPECT_EQ(calls, 1);
}

TEST(Offload, AStoppedPoolIsReportedNotWaitedFor) {
  auto pool = std::make_unique<asio::thread_pool>(1);
  pool->stop();
  pool->join();
  bool was_dropped = false;
  run_group([&](TaskGroup& group) -> Awaitable<void> {
    group.spawn([&]() -> Awaitable<void> {
      try {
        co_await offload(*pool, [] {});
      } catch (...) {
        was_dropped = is_cancelled(std::current_exception());
      }
    });
    co_await sleep_for(0ms);
    pool.reset();
  });
  EXPECT_TRUE(was_dropped);
}

}  // namespace
}  // namespace sluice
