// Listener: see listener.h. Accepts on its first thread.
#include "gateway/listener.h"

#include "base/check.h"
#include "gateway/session.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <future>
#include <utility>

namespace sluice::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// How long accepting rests when the system has no more file descriptors.
constexpr auto accept_pause = std::chrono::milliseconds(100);

std::string text(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

std::vector<std::unique_ptr<IoThread>> make_threads(Shared& shared) {
  check(shared.options.io_threads > 0);
  std::vector<std::unique_ptr<IoThread>> threads;
  threads.reserve(shared.options.io_threads);
  for (std::size_t i = 0; i < shared.options.io_threads; ++i) {
    threads.push_back(std::make_unique<IoThread>(shared));
  }
  return threads;
}

tl::unexpected<Error> cannot_listen(const std::string& where, const error_code& problem) {
  return fail(ErrorCode::io,
              fmt::format("cannot listen on {}: {}; choose another address or end what uses it",
                          where,
                          problem.message()));
}

}  // namespace

class Listener::Impl {
 public:
  Impl(engine::Port& port, SessionOptions options, MakeDialog make)
      : shared(port, std::move(options)),
        make_dialog(std::move(make)),
        threads(make_threads(shared)),
        acceptor(threads[0]->context()),
        accept_timer(threads[0]->context()) {}

  Result<void> listen(const std::string& host, std::uint16_t port);
  void accept();
  void stop(Duration grace);

  Shared shared;
  const MakeDialog make_dialog;
  std::vector<std::unique_ptr<IoThread>> threads;
  tcp::acceptor acceptor;
  asio::steady_timer accept_timer;
  tcp::endpoint endpoint;
  std::size_t next_thread = 0;
  std::uint64_t next_client = 1;
  bool is_running = false;
  bool is_stopped = false;
  bool was_full = false;
  bool had_no_descriptors = false;

 private:
  void accepted(IoThread& thread, tcp::socket socket);
  void turn_away(tcp::socket socket);
  void accept_later(const error_code& problem);
};

Result<void> Listener::Impl::listen(const std::string& host, std::uint16_t port) {
  const std::string where = fmt::format("{}:{}", host, port);
  error_code problem;
  tcp::resolver resolver(threads[0]->context());
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, problem);
  if (problem || found.empty()) return cannot_listen(where, problem);
  endpoint = found.begin()->endpoint();
  acceptor.open(endpoint.protocol(), problem);
  if (!problem) acceptor.set_option(tcp::acceptor::reuse_address(true), problem);
  if (!problem) acceptor.bind(endpoint, problem);
  // Without it a connection that breaks before it is accepted leaves those behind it unaccepted
  // until the next one comes: Asio waits for news that were told already.
  if (!problem) acceptor.set_option(asio::socket_base::enable_connection_aborted(true), problem);
  if (!problem) acceptor.listen(tcp::acceptor::max_listen_connections, problem);
  if (!problem) endpoint = acceptor.local_endpoint(problem);
  if (problem) {
    error_code ignored;
    acceptor.close(ignored);
    return cannot_listen(where, problem);
  }
  return {};
}

void Listener::Impl::accept() {
  IoThread& thread = *threads[next_thread];
  next_thread = (next_thread + 1) % threads.size();
  acceptor.async_accept(thread.context(),
                        [this, &thread](const error_code& problem, tcp::socket socket) {
                          if (problem == asio::error::operation_aborted) return;
                          if (!acceptor.is_open()) return;
                          if (problem) return accept_later(problem);
                          accepted(thread, std::move(socket));
                          accept();
                        });
}

void Listener::Impl::accepted(IoThread& thread, tcp::socket socket) {
  had_no_descriptors = false;
  shared.counters.connections_total.fetch_add(1, std::memory_order_relaxed);
  if (shared.together->connections.load() >= shared.options.connections_max) {
    return turn_away(std::move(socket));
  }
  was_full = false;
  shared.count_connection();
  auto session =
      std::make_shared<Session>(shared, thread, std::move(socket), make_dialog(next_client++));
  asio::post(thread.context(), [session = std::move(session)] { session->start(); });
}

void Listener::Impl::turn_away(tcp::socket socket) {
  shared.counters.rejected_connections_total.fetch_add(1, std::memory_order_relaxed);
  const std::size_t limit = shared.options.connections_max;
  if (!std::exchange(was_full, true)) {
    shared.log(fmt::format("event=connections_max_reached limit={}", limit));
  }
  // A fresh socket has room for one line; whether it arrives is the client's luck.
  error_code ignored;
  socket.non_blocking(true, ignored);
  asio::write(socket, asio::buffer(shared.options.full), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

/// The system is out of file descriptors or memory: the waiting connections stay in its queue.
void Listener::Impl::accept_later(const error_code& problem) {
  if (!std::exchange(had_no_descriptors, true)) {
    shared.log(fmt::format("event=accept_failed error=\"{}\"", problem.message()));
  }
  accept_timer.expires_after(accept_pause);
  accept_timer.async_wait([this](const error_code& cancelled) {
    if (!cancelled && acceptor.is_open()) accept();
  });
}

void Listener::Impl::stop(Duration grace) {
  if (std::exchange(is_stopped, true)) return;
  if (is_running) {
    std::promise<void> is_closed;
    asio::post(threads[0]->context(), [this, &is_closed] {
      error_code ignored;  // Nothing depends on how the listening socket goes.
      acceptor.close(ignored);
      accept_timer.cancel();
      is_closed.set_value();
    });
    is_closed.get_future().wait();
    const auto start = std::chrono::steady_clock::now();
    const auto longest = std::chrono::hours(24 * 365);
    for (const auto& thread : threads)
      thread->drain_all();
    shared.wait_until_empty(start + std::min<std::chrono::steady_clock::duration>(grace, longest));
    for (const auto& thread : threads)
      thread->close_all();
    shared.wait_until_empty(start + longest);
  }
  shared.blocking.join();
  for (const auto& thread : threads)
    thread->join();
  shared.close_janitor();
}

Listener::Listener(engine::Port& port, SessionOptions options, MakeDialog make_dialog)
    : impl_(std::make_unique<Impl>(port, std::move(options), std::move(make_dialog))) {}

Listener::~Listener() {
  check(!impl_->is_running || impl_->is_stopped);
  impl_->stop(Duration(0));
}

Result<void> Listener::start(const std::string& host, std::uint16_t port) {
  check(!impl_->is_running);
  Result<void> listening = impl_->listen(host, port);
  if (!listening) return listening;
  impl_->is_running = true;
  impl_->accept();
  for (const auto& thread : impl_->threads)
    thread->start();
  return {};
}

std::uint16_t Listener::port() const {
  return impl_->endpoint.port();
}

std::string Listener::address() const {
  return text(impl_->endpoint);
}

const Counters& Listener::counters() const {
  return impl_->shared.counters;
}

void Listener::stop(Duration grace) {
  impl_->stop(grace);
}

}  // namespace sluice::gateway
