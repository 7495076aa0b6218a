// A worker with raw handlers: a coroutine, a blocking function, and every outcome there is.
//
//   sluice serve &                                             # or ./run serve
//   ./10_worker sluice://127.0.0.1:7770 &
//   sluice push greetings hello Ada                            # the worker prints and succeeds
//   sluice push greetings flaky x                              # fails twice, then succeeds
//   kill %2                                                    # SIGTERM: drains and ends
#include <sluice/worker.h>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using sluice::Awaitable;
using sluice::Context;
using sluice::Outcome;

int main(int argc, char** argv) {
  sluice::WorkerOptions options;
  if (argc > 1) options.url(argv[1]);
  options.queue("greetings").concurrency(50).grace(10s);
  sluice::Worker worker(options);

  // A coroutine: while it waits, the thread runs others. What it returns is the job's result.
  worker.handle("hello", [](Context& context) -> Awaitable<std::string> {
    co_await sluice::sleep_for(10ms);
    std::printf("hello, %s\n", context.payload().c_str());
    co_return "greeted " + context.payload();
  });

  // Not a coroutine: runs on the worker's thread pool, and may block.
  worker.handle("count", [](Context& context) {
    int vowels = 0;
    for (const char c : context.payload()) {
      if (std::string("aeiou").find(c) != std::string::npos) ++vowels;
    }
    return std::to_string(vowels);
  });

  // An exception is a failed attempt; the job comes back after its backoff.
  worker.handle("flaky", [](Context& context) -> Awaitable<void> {
    if (context.attempt() < 3) throw std::runtime_error("not in the mood");
    co_return;
  });

  // Or the handler decides.
  worker.handle("choosy", [](Context& context) -> Awaitable<Outcome> {
    const std::string& payload = context.payload();
    if (payload.empty()) co_return Outcome::dead("there is nobody to greet");
    if (payload == "later") co_return Outcome::retry_after(30s, "they are asleep");
    if (payload == "not me") co_return Outcome::release(1s);
    co_return Outcome::done("greeted " + payload);
  });

  // Everything else.
  worker.handle_any([](Context& context) -> Awaitable<Outcome> {
    co_return Outcome::dead("no idea what a " + context.type() + " is");
  });

  const sluice::Result<void> stopped = worker.run();
  if (!stopped) std::fprintf(stderr, "%s\n", stopped.error().message.c_str());
  return stopped ? 0 : 1;
}
