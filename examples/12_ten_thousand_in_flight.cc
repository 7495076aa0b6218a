// Ten thousand jobs in flight on one thread, each awaiting I/O of its own: a request over a
// loopback socket to a server that takes two seconds to answer. One at a time they would take five
// and a half hours.
//
// Each job needs an open file: see ulimit -Hn.
//
//   ./12_ten_thousand_in_flight sluice://127.0.0.1:7770 10000
#include <sluice/async.h>
#include <sluice/worker.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using boost::asio::ip::tcp;
using sluice::Awaitable;
using sluice::Context;

namespace {

Awaitable<void> serve(tcp::socket socket) {
  char request = 0;
  co_await boost::asio::async_read(socket, boost::asio::buffer(&request, 1), use_awaitable);
  co_await sluice::sleep_for(2s);
  co_await boost::asio::async_write(socket, boost::asio::buffer(&request, 1), use_awaitable);
}

/// A service that is slow but can do many things at once, like most services. Tells its port on
/// `port_to`, never returns.
[[noreturn]] void run_service(int port_to) {
  boost::asio::io_context io(1);
  tcp::acceptor acceptor(io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  acceptor.listen(16'384);
  auto accept = [&](sluice::TaskGroup& group) -> Awaitable<void> {
    for (;;) {
      tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
      group.spawn(serve(std::move(socket)));
    }
  };
  auto serving = sluice::with_group(accept, sluice::OnFailure::keep_going);
  boost::asio::co_spawn(io, std::move(serving), [](const std::exception_ptr&) {});
  const std::uint16_t port = acceptor.local_endpoint().port();
  if (::write(port_to, &port, sizeof port) != sizeof port) ::_exit(1);
  io.run();
  ::_exit(0);
}

/// The service in a process of its own, which has open files of its own.
class Service {
 public:
  Service() {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_service(ends[1]);
    }
    ::close(ends[1]);
    const ssize_t got = ::read(ends[0], &port_, sizeof port_);
    ::close(ends[0]);
    if (got != sizeof port_) throw std::runtime_error("the service did not start");
  }

  ~Service() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  tcp::endpoint endpoint() const { return {boost::asio::ip::address_v4::loopback(), port_}; }

 private:
  ::pid_t process_ = -1;
  std::uint16_t port_ = 0;
};

/// Raises the limit of open files as far as it may be.
std::size_t allow_open_files(std::size_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(std::max<rlim_t>(limit.rlim_cur, count), limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

int run(const std::string& url, std::size_t jobs) {
  const Service service;
  std::size_t in_flight = 0;
  std::size_t most = 0;
  std::size_t done = 0;
  sluice::Worker worker(sluice::WorkerOptions().url(url).queue("slow-calls").concurrency(jobs));
  worker.handle("call", [&](Context& context) -> Awaitable<std::string> {
    most = std::max(most, ++in_flight);
    tcp::socket socket(context.executor());
    co_await socket.async_connect(service.endpoint(), use_awaitable);
    char byte = 'x';
    co_await boost::asio::async_write(socket, boost::asio::buffer(&byte, 1), use_awaitable);
    co_await boost::asio::async_read(socket, boost::asio::buffer(&byte, 1), use_awaitable);
    --in_flight;
    if (++done == jobs) worker.stop();
    co_return std::string(1, byte);
  });

  const auto client = sluice::Client::connect(url);
  if (!client) {
    std::fprintf(stderr, "%s\n", client.error().message.c_str());
    return 1;
  }
  std::vector<sluice::PushItem> items;
  for (std::size_t i = 0; i < jobs; ++i) {
    items.emplace_back("slow-calls", sluice::Payload("call", std::to_string(i)));
  }
  for (const auto& id : client->push_many(items)) {
    if (!id) {
      std::fprintf(stderr, "%s\n", id.error().message.c_str());
      return 1;
    }
  }

  const auto begin = std::chrono::steady_clock::now();
  const sluice::Result<void> stopped = worker.run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (!stopped) {
    std::fprintf(stderr, "%s\n", stopped.error().message.c_str());
    return 1;
  }
  std::printf("%zu jobs of two seconds each, on one thread\n", done);
  std::fprintf(stderr, "took %.1f s; most in flight at once: %zu\n", took.count(), most);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string url = argc > 1 ? argv[1] : "sluice://127.0.0.1:7770";
  const std::size_t jobs = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10'000;
  const std::size_t files = allow_open_files(jobs + 100);
  if (files < jobs + 100) {
    std::fprintf(stderr, "only %zu open files are allowed; try fewer jobs\n", files);
    return 1;
  }
  return run(url, jobs);
}
