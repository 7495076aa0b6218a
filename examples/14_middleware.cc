// Middleware: what belongs around every handler. Here a timer, a limit per customer, and one that
// turns errors that no retry can mend into dead letters. Also where a worker's events go.
//
//   ./14_middleware sluice://127.0.0.1:7770
//   sluice push work pay 17 --header customer=42
#include <sluice/async.h>
#include <sluice/worker.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using sluice::Awaitable;
using sluice::Context;
using sluice::Handler;
using sluice::Outcome;

namespace {

Awaitable<Outcome> timed(Context& context, const Handler& next) {
  const auto begin = std::chrono::steady_clock::now();
  Outcome outcome = co_await next(context);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  context.log(std::string(name(outcome.kind())) + " after " + std::to_string(took.count()) + " ms");
  co_return outcome;
}

/// Two jobs of one customer at a time. Lives on the handlers' thread, so it needs no lock.
class PerCustomer {
 public:
  Awaitable<Outcome> operator()(Context& context, const Handler& next) {
    const std::string customer(context.header("customer"));
    sluice::Semaphore& limit = limits_.try_emplace(customer, 2).first->second;
    const sluice::Semaphore::Permit permit = co_await limit.acquire();
    Outcome outcome = co_await next(context);
    co_return outcome;
  }

 private:
  std::map<std::string, sluice::Semaphore> limits_;
};

Awaitable<Outcome> bad_input_is_final(Context& context, const Handler& next) {
  try {
    co_return co_await next(context);
  } catch (const std::invalid_argument& error) {
    co_return Outcome::dead(error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  sluice::WorkerOptions options;
  if (argc > 1) options.url(argv[1]);
  options.queue("work").attempt_timeout(1min).on_event([](const sluice::WorkerEvent& event) {
    if (event.level >= sluice::EventLevel::info) std::printf("%s\n", event.text().c_str());
  });
  sluice::Worker worker(options);
  PerCustomer per_customer;
  worker.use(timed);  // The outermost.
  worker.use([&per_customer](Context& context, const Handler& next) {
    return per_customer(context, next);
  });
  worker.use(bad_input_is_final);
  worker.handle("pay", [](Context& context) -> Awaitable<std::string> {
    const int amount = std::stoi(context.payload());  // Throws std::invalid_argument.
    co_await sluice::sleep_for(100ms);
    co_return "paid " + std::to_string(amount);
  });
  return worker.run() ? 0 : 1;
}
