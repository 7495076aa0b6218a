// The async kit: what each part yields, and that cancelling or destroying it at any step leaves
// nothing behind.
#include <sluice/async.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Counts live instances: what a cancelled coroutine held must be gone.
struct Held {
  Held() { ++count; }

  Held(const Held&) { ++count; }

  Held(Held&&) noexcept { ++count; }

  Held& operator=(const Held&) = default;
  Held& operator=(Held&&) noexcept = default;

  ~Held() { --count; }

  static inline std::atomic<int> count{0};
};

/// Runs `task` to its end on its own io_context, which must then have nothing left to do.
template <class T>
T run(Awaitable<T> task) {
  asio::io_context io(1);
  std::exception_ptr error;
  std::optional<detail::Yield<T>> value;
  auto body = [&]() -> Awaitable<void> {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
      value.emplace();
    } else {
      value.emplace(co_await std::move(task));
    }
  };
  asio::co_spawn(io, body, [&](std::exception_ptr e) { error = std::move(e); });
  io.run();
  if (error) std::rethrow_exception(error);
  if constexpr (!std::is_void_v<T>) return std::move(*value);
}

Awaitable<int> after(std::chrono::milliseconds pause, int value) {
  const Held held;
  co_await sleep_for(pause);
  co_return value;
}

Awaitable<int> fails(std::chrono::milliseconds pause, std::string what) {
  const Held held;
  if (pause > 0ms) co_await sleep_for(pause);
  throw std::runtime_error(what);
}

Awaitable<int> at_once(int value) {
  co_return value;
}

Awaitable<void> forever(bool& was_cancelled) {
  const Held held;
  try {
    co_await sleep_for(1h);
  } catch (const boost::system::system_error&) {
    was_cancelled = true;
    throw;
  }
}

TEST(Gather, YieldsAllValuesInOrder) {
  const auto [a, b, c] = run(gather(after(3ms, 1), at_once(2), sleep_for(1ms)));
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 2);
  EXPECT_EQ(c, std::monostate());
}

TEST(Gather, OfAVectorKeepsTheOrder) {
  std::vector<Awaitable<int>> tasks;
  for (int i = 0; i < 100; ++i)
    tasks.push_back(after(std::chrono::milliseconds(i % 3), i));
  const std::vector<int> values = run(gather(std::move(tasks)));
  ASSERT_EQ(values.size(), 100u);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
}

TEST(Gather, OfNothingIsNothing) {
  EXPECT_TRUE(run(gather(std::vector<Awaitable<int>>())).empty());
}

TEST(Gather, FirstErrorCancelsAndJoinsTheOthers) {
  bool was_cancelled = false;
  auto body = [&]() -> Awaitable<std::string> {
    try {
      co_await gather(forever(was_cancelled), fails(1ms, "no"), fails(1h, "never"));
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(was_cancelled);
      EXPECT_EQ(Held::count, 0);
      co_return error.what();
    }
    co_return "";
  };
  EXPECT_EQ(run(body()), "no");
}

TEST(Gather, AnErrorBeforeTheFirstSuspensionCounts) {
  bool was_cancelled = false;
  EXPECT_THROW(run(gather(fails(0ms, "at once"), forever(was_cancelled))), std::runtime_error);
  EXPECT_EQ(Held::count, 0);
}

TEST(Gather, RunsAHundredThousandTasks) {
  std::vector<Awaitable<int>> tasks;
  for (int i = 0; i < 100'000; ++i)
    tasks.push_back(after(1ms, i));
  const std::vector<int> values = run(gather(std::move(tasks)));
  EXPECT_EQ(values.back(), 99'999);
  EXPECT_EQ(Held::count, 0);
}

TEST(Gather, CancelsAHundredThousandTasks) {
  auto body = []() -> Awaitable<void> {
    std::vector<Awaitable<int>> tasks;
    for (int i = 0; i < 100'000; ++i)
      tasks.push_back(after(1h, i));
    tasks.push_back(fails(1ms, "stop"));
    co_await gather(std::move(tasks));
  };
  EXPECT_THROW(run(body()), std::runtime_error);
  EXPECT_EQ(Held::count, 0);
}

TEST(Settle, KeepsErrorsAsValues) {
  std::vector<Awaitable<int>> tasks;
  tasks.push_back(at_once(1));
  tasks.push_back(fails(1ms, "two"));
  tasks.push_back(after(2ms, 3));
  auto settled = run(settle(std::move(tasks)));
  EXPECT_EQ(settled[0].get(), 1);
  EXPECT_FALSE(settled[1].ok());
  EXPECT_THROW(settled[1].get(), std::runtime_error);
  EXPECT_EQ(settled[2].get(), 3);
}

TEST(Race, YieldsTheFirstAndJoinsTheLosers) {
  bool was_cancelled = false;
  const auto winner = run(race(forever(was_cancelled), after(1ms, 7)));
  ASSERT_EQ(winner.index(), 1u);
  EXPECT_EQ(std::get<1>(winner), 7);
  EXPECT_TRUE(was_cancelled);
  EXPECT_EQ(Held::count, 0);
}

TEST(Race, AnErrorThatComesFirstWins) {
  EXPECT_THROW(run(race(after(1h, 1), fails(1ms, "first"))), std::runtime_error);
}

TEST(Race, AnErrorOfALoserDoesNotCount) {
  auto stubborn = []() -> Awaitable<int> {
    try {
      co_await sleep_for(1h);
    } catch (const boost::system::system_error&) {
      throw std::runtime_error("loser");
    }
    co_return 0;
  };
  std::vector<Awaitable<int>> tasks;
  tasks.push_back(stubborn());
  tasks.push_back(after(1ms, 5));
  const First<int> first = run(race(std::move(tasks)));
  EXPECT_EQ(first.index, 1u);
  EXPECT_EQ(first.value, 5);
}

TEST(WithTimeout, YieldsTheValueInTime) {
  EXPECT_EQ(run(with_timeout(after(1ms, 4), 1h)), 4);
}

TEST(WithTimeout, CancelsJoinsAndThrows) {
  bool was_cancelled = false;
  EXPECT_THROW(run(with_timeout(forever(was_cancelled), 2ms)), TimeoutError);
  EXPECT_TRUE(was_cancelled);
}

TEST(WithTimeout, PassesTheTasksOwnErrorOn) {
  EXPECT_THROW(run(with_timeout(fails(0ms, "own"), 1h)), std::runtime_error);
}

TEST(RetryLoop, TriesUntilItWorks) {
  int calls = 0;
  auto op = [&calls]() -> Awaitable<int> {
    if (++calls < 3) throw std::runtime_error("not yet");
    co_return calls;
  };
  EXPECT_EQ(run(retry(Retry().attempts(5).delay(1ms), op)), 3);
}

TEST(RetryLoop, GivesTheLastErrorUp) {
  int calls = 0;
  auto op = [&calls]() -> Awaitable<void> {
    ++calls;
    throw std::runtime_error("never");
    co_return;
  };
  EXPECT_THROW(run(retry(Retry().attempts(3).delay(1ms), op)), std::runtime_error);
  EXPECT_EQ(calls, 3);
}

TEST(RetryLoop, AnErrorResultIsAFailure) {
  int calls = 0;
  auto op = [&calls]() -> Awaitable<Result<int>> {
    if (++calls < 2) co_return fail(ErrorCode::busy, "full");
    co_return calls;
  };
  const Result<int> result = run(retry(Retry().attempts(2).delay(1ms), op));
  EXPECT_EQ(result.value(), 2);
}

TEST(RetryLoop, WhenSaysWhatIsNotWorthIt) {
  int calls = 0;
  auto op = [&calls]() -> Awaitable<void> {
    ++calls;
    throw std::logic_error("ours");
    co_return;
  };
  auto never = [](const std::exception_ptr&) { return false; };
  EXPECT_THROW(run(retry(Retry().attempts(9).when(never), op)), std::logic_error);
  EXPECT_EQ(calls, 1);
}

TEST(RetryOptions, PausesGrowUpToTheCap) {
  const Retry retry = Retry().delay(10ms).factor(2).cap(35ms).jitter(0);
  EXPECT_EQ(retry.delay_after(1), 10ms);
  EXPECT_EQ(retry.delay_after(2), 20ms);
  EXPECT_EQ(retry.delay_after(3), 35ms);
  EXPECT_EQ(retry.delay_after(1'000'000), 35ms);
}

TEST(WithGroup, JoinsWhatWasSpawned) {
  int done = 0;
  auto body = [&]() -> Awaitable<void> {
    co_await with_group([&](TaskGroup& group) -> Awaitable<void> {
      for (int i = 0; i < 10; ++i) {
        group.spawn([&done]() -> Awaitable<void> {
          co_await sleep_for(1ms);
          ++done;
        });
      }
      co_return;
    });
    EXPECT_EQ(done, 10);
  };
  run(body());
}

TEST(WithGroup, AFailureCancelsTheOthersAndIsRethrown) {
  bool was_cancelled = false;
  auto body = [&](TaskGroup& group) -> Awaitable<void> {
    group.spawn(forever(was_cancelled));
    group.spawn([]() -> Awaitable<void> { co_await fails(1ms, "x"); });
    co_return;
  };
  EXPECT_THROW(run(with_group(body)), std::runtime_error);
  EXPECT_TRUE(was_cancelled);
}

TEST(WithGroup, KeepGoingLetsTheOthersFinish) {
  int value = 0;
  auto body = [&](TaskGroup& group) -> Awaitable<void> {
    group.spawn([&value]() -> Awaitable<void> { value = co_await after(5ms, 8); });
    group.spawn([]() -> Awaitable<void> { co_await fails(0ms, "x"); });
    co_return;
  };
  EXPECT_THROW(run(with_group(body, OnFailure::keep_going)), std::runtime_error);
  EXPECT_EQ(value, 8);
}

TEST(WithGroup, AThrowingBodyCancelsItsTasks) {
  bool was_cancelled = false;
  auto body = [&](TaskGroup& group) -> Awaitable<void> {
    group.spawn(forever(was_cancelled));
    throw std::logic_error("body");
    co_return;
  };
  EXPECT_THROW(run(with_group(body)), std::logic_error);
  EXPECT_TRUE(was_cancelled);
}

TEST(TaskGroupTest, CancelFromAnotherThreadEndsItsTasks) {
  bool was_cancelled = false;
  auto body = [&]() -> Awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.spawn(forever(was_cancelled));
    const std::jthread other([&group] { group.cancel(); });
    co_await group.join();
  };
  run(body());
  EXPECT_TRUE(was_cancelled);
}

TEST(TaskGroupTest, IsUsableAgainAfterCancelAndJoin) {
  bool was_cancelled = false;
  int value = 0;
  auto body = [&]() -> Awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.spawn(forever(was_cancelled));
    group.cancel();
    co_await group.join();
    group.spawn([&value]() -> Awaitable<void> { value = co_await after(1ms, 3); });
    co_await group.join();
  };
  run(body());
  EXPECT_EQ(value, 3);
}

TEST(TaskGroupTest, AnUnjoinedGroupCancelsItsTasks) {
  bool was_cancelled = false;
  auto body = [&]() -> Awaitable<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.spawn(forever(was_cancelled));
  };
  run(body());
  EXPECT_TRUE(was_cancelled);
  EXPECT_EQ(Held::count, 0);
}

TEST(TaskGroupTest, TasksMaySpawnTasks) {
  int leaves = 0;
  std::function<Awaitable<void>(TaskGroup&, int)> grow = [&](TaskGroup& group,
                                                             int depth) -> Awaitable<void> {
    if (depth == 0) {
      ++leaves;
      co_return;
    }
    group.spawn(grow(group, depth - 1));
    co_await sleep_for(0ms);
    group.spawn(grow(group, depth - 1));
  };
  auto body = [&](TaskGroup& group) -> Awaitable<void> {
    group.spawn(grow(group, 10));
    co_return;
  };
  run(with_group(body));
  EXPECT_EQ(leaves, 1024);
}

// -- Every step. -------------------------------------------------------------------------------

Awaitable<void> all_of_combine() {
  const auto [a, b] = co_await gather(after(0ms, 1), after(1ms, 2));
  EXPECT_EQ(a + b, 3);
  std::vector<Awaitable<int>> tasks;
  tasks.push_back(after(0ms, 1));
  tasks.push_back(fails(0ms, "settled"));
  co_await settle(std::move(tasks));
  co_await race(after(0ms, 1), after(1h, 2));
  co_await with_timeout(after(1ms, 1), 1h);
  try {
    co_await with_timeout(after(1h, 1), 1ms);
  } catch (const TimeoutError&) {
  }
  int calls = 0;
  co_await retry(Retry().delay(1ms), [&]() -> Awaitable<int> {
    if (++calls < 3) throw std::runtime_error("again");
    co_return 1;
  });
}

Awaitable<void> all_of_limits() {
  Semaphore semaphore(2);
  RateLimiter limiter(1000, 1s, 1);
  Channel<std::string> channel(2);
  auto body = [&](TaskGroup& group) -> Awaitable<void> {
    for (int i = 0; i < 3; ++i) {
      group.spawn([&]() -> Awaitable<void> {
        const Held held;
        const Semaphore::Permit permit = co_await semaphore.acquire(2);
        co_await limiter.acquire();
        co_await channel.send("a value that is longer than any small string");
      });
    }
    group.spawn([&]() -> Awaitable<void> {
      const Held held;
      for (int i = 0; i < 3; ++i)
        co_await channel.receive();
    });
    co_return;
  };
  co_await with_group(body);
  EXPECT_EQ(semaphore.available(), 2u);
}

Awaitable<void> all_of_offload() {
  asio::thread_pool pool(1);
  std::string text = "borrowed by the pool";
  auto read = [&](const std::stop_token&) { return text.size(); };
  const auto [a, b] = co_await gather(offload(pool, read), offload(pool, read));
  EXPECT_EQ(a, b);
}

using Scenario = Awaitable<void> (*)();

class EveryStep : public testing::TestWithParam<Scenario> {};

TEST_P(EveryStep, CanBeCancelled) {
  bool is_over = false;
  for (int steps = 0; !is_over; ++steps) {
    asio::io_context io(1);
    asio::cancellation_signal signal;
    bool has_ended = false;
    std::exception_ptr error;
    auto body = [&]() -> Awaitable<void> {
      co_await sleep_for(0ms);  // Asio 1.81 cannot cancel before the first suspension.
      co_await GetParam()();
    };
    asio::co_spawn(io, body, asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) {
                     has_ended = true;
                     error = std::move(e);
                   }));
    io.run_one();
    int done = 0;
    while (done < steps && io.run_one() > 0)
      ++done;
    is_over = has_ended;
    signal.emit(asio::cancellation_type::terminal);
    const auto begin = std::chrono::steady_clock::now();
    io.run();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
    EXPECT_TRUE(has_ended);
    EXPECT_TRUE(!error || is_cancelled(error)) << "step " << steps;
    EXPECT_EQ(Held::count, 0) << "step " << steps;
    ASSERT_LT(steps, 10'000);
  }
}

TEST_P(EveryStep, CanBeDestroyed) {
  bool is_over = false;
  for (int steps = 0; !is_over; ++steps) {
    bool has_ended = false;
    {
      asio::io_context io(1);
      asio::co_spawn(io, GetParam()(), [&](const std::exception_ptr&) { has_ended = true; });
      int done = 0;
      while (done < steps && io.run_one() > 0)
        ++done;
    }
    is_over = has_ended;
    EXPECT_EQ(Held::count, 0) << "step " << steps;
    ASSERT_LT(steps, 10'000);
  }
}

INSTANTIATE_TEST_SUITE_P(Kit,
                         EveryStep,
                         testing::Values(all_of_combine, all_of_limits, all_of_offload));

}  // namespace
}  // namespace sluice
