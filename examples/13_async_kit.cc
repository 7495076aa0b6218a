// The async kit by itself, no server needed: everything a handler wants when it waits for more than
// one thing.
#include <sluice/async.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using sluice::Awaitable;

namespace {

Awaitable<std::string> fetch(std::string what, std::chrono::milliseconds takes) {
  co_await sluice::sleep_for(takes);
  if (what.empty()) throw std::invalid_argument("nothing to fetch");
  co_return "<" + what + ">";
}

// All results, or the first error; then the others are cancelled, and have ended when it arrives.
Awaitable<void> gathering() {
  const auto [user, cart] = co_await sluice::gather(fetch("user", 20ms), fetch("cart", 30ms));
  std::printf("gather: %s %s\n", user.c_str(), cart.c_str());

  std::vector<Awaitable<std::string>> pages;
  pages.push_back(fetch("a", 1ms));
  pages.push_back(fetch("", 1ms));
  for (auto& settled : co_await sluice::settle(std::move(pages))) {
    std::printf("settle: %s\n", settled.ok() ? settled.value->c_str() : "an error, kept");
  }
}

// Whoever ends first; the loser is cancelled and joined.
Awaitable<void> racing() {
  const auto first = co_await sluice::race(fetch("slow mirror", 1h), fetch("fast mirror", 5ms));
  std::printf("race: number %zu\n", first.index());
  try {
    co_await sluice::with_timeout(fetch("too slow", 1h), 10ms);
  } catch (const sluice::TimeoutError& late) {
    std::printf("with_timeout: %s\n", late.what());
  }
}

Awaitable<void> retrying() {
  int calls = 0;
  // A lambda in a co_await expression captures by reference, or has a name (GCC 12).
  const int worked =
      co_await sluice::retry(sluice::Retry().attempts(5).delay(5ms), [&]() -> Awaitable<int> {
        if (++calls < 3) throw std::runtime_error("busy");
        co_return calls;
      });
  std::printf("retry: worked at attempt %d\n", worked);
}

// At most three at a time, at most 100 a second, whatever the number of tasks.
Awaitable<void> limiting() {
  sluice::Semaphore connections(3);
  sluice::RateLimiter rate(100, 1s, 10);
  int done = 0;
  auto call = [&]() -> Awaitable<void> {
    const sluice::Semaphore::Permit permit = co_await connections.acquire();
    co_await rate.acquire();
    co_await sluice::sleep_for(1ms);
    ++done;
  };
  co_await sluice::with_group([&](sluice::TaskGroup& group) -> Awaitable<void> {
    for (int i = 0; i < 30; ++i)
      group.spawn(call);
    co_return;
  });
  std::printf("limits: %d calls done\n", done);
}

// A producer that must not run ahead of its consumers by more than four.
Awaitable<void> piping() {
  sluice::Channel<std::string> lines(4);
  std::size_t bytes = 0;
  auto produce = [&]() -> Awaitable<void> {
    for (int i = 0; i < 100; ++i)
      co_await lines.send("line " + std::to_string(i));
    lines.close();
  };
  auto consume = [&]() -> Awaitable<void> {
    while (auto line = co_await lines.receive())
      bytes += line->size();
  };
  co_await sluice::with_group([&](sluice::TaskGroup& group) -> Awaitable<void> {
    group.spawn(produce);
    group.spawn(consume);
    group.spawn(consume);
    co_return;
  });
  std::printf("channel: %zu bytes\n", bytes);
}

// Blocking work on a pool; this thread goes on with the others meanwhile.
Awaitable<void> offloading() {
  boost::asio::thread_pool pool(2);
  auto count = [] {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 10'000'000; ++i)
      sum += i;
    return sum;
  };
  const std::uint64_t sum = co_await sluice::offload(pool, count);
  std::printf("offload: %llu\n", static_cast<unsigned long long>(sum));
}

Awaitable<void> everything() {
  co_await gathering();
  co_await racing();
  co_await retrying();
  co_await limiting();
  co_await piping();
  co_await offloading();
}

}  // namespace

int main() {
  boost::asio::io_context io(1);
  int code = 0;
  boost::asio::co_spawn(io, everything(), [&code](const std::exception_ptr& error) {
    if (error) code = 1;
  });
  io.run();
  return code;
}
