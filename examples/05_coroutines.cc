// The coroutine form: a hundred pushes and their results under way at once, on one thread.
//
//   ./05_coroutines sluice://127.0.0.1:7770
#include <sluice/async_client.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <future>
#include <iostream>

using namespace std::chrono_literals;

sluice::Awaitable<bool> push_and_check(sluice::AsyncClient client, int number) {
  const auto id = co_await client.push("numbers", "even", std::to_string(number));
  if (!id) co_return false;
  const auto job = co_await client.job(*id);
  co_return job && job->payload == std::to_string(number);
}

int main(int argc, char** argv) {
  boost::asio::io_context io;
  auto client = sluice::AsyncClient::connect(io.get_executor(),
                                             argc > 1 ? argv[1] : "sluice://127.0.0.1:7770");
  if (!client) return std::cerr << client.error().message << '\n', 1;

  // What is called in one turn of the io_context leaves in one write, and is synced together.
  std::vector<std::future<bool>> checks;
  for (int i = 0; i < 100; ++i) {
    checks.push_back(
        boost::asio::co_spawn(io, push_and_check(*client, i), boost::asio::use_future));
  }
  while (checks.back().wait_for(0s) != std::future_status::ready)
    io.run_one();
  client->close();
  io.run();
  int right = 0;
  for (auto& check : checks)
    right += check.get() ? 1 : 0;
  std::cout << right << " of 100 are there\n";
}
