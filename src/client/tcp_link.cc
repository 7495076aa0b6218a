// TcpLink: a Link over one TCP connection. Connect, say hello, then read and write until it breaks;
// again, with growing pauses, as long as calls wait for it.

#include "client/address.h"
#include "client/decode.h"
#include "client/open.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <random>

namespace sluice::client {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr auto awaited = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t read_bytes = std::size_t{64} << 10;
/// A write buffer larger than this is given back after use.
constexpr std::size_t kept_bytes = std::size_t{1} << 20;

class TcpLink final : public Link {
 public:
  TcpLink(const asio::any_io_executor& executor, Address address, ClientOptions options)
      : Link(executor,
             options.reply_bytes_max(),
             {ErrorCode::closed, "there is no connection to " + address.text() + " yet"}),
        address_(std::move(address)),
        options_(std::move(options)),
        socket_(executor),
        resolver_(executor),
        wake_(executor),
        pause_(executor) {}

 private:
  asio::awaitable<void> run(std::shared_ptr<TcpLink> self);
  asio::awaitable<Result<void>> connect();
  asio::awaitable<error_code> dial();
  asio::awaitable<Result<void>> say_hello();
  asio::awaitable<Error> serve();
  asio::awaitable<void> read_replies();
  asio::awaitable<void> write_commands();
  void end_serving(Error why);
  asio::awaitable<void> wait_for_work();
  asio::awaitable<void> rest(unsigned failures);
  void wake() override;
  void drop() override;
  void closed() override;
  void late() override;
  Error broken(const std::string& what) const;

  const Address address_;
  const ClientOptions options_;
  tcp::socket socket_;
  tcp::resolver resolver_;
  asio::steady_timer wake_;   ///< Cancelled when there is something to write.
  asio::steady_timer pause_;  ///< Between attempts to connect; cancelled by close().
  std::array<char, read_bytes> input_{};
  std::string output_;
  std::optional<Error> why_broken_;  ///< Set while reader and writer end.
  std::minstd_rand random_{std::random_device{}()};
  bool is_running_ = false;
};

void TcpLink::wake() {
  wake_.cancel();
  if (is_running_ || is_closed_) return;
  is_running_ = true;
  const auto self = std::static_pointer_cast<TcpLink>(shared_from_this());
  asio::co_spawn(socket_.get_executor(), run(self), [self](const std::exception_ptr& problem) {
    self->is_running_ = false;
    if (problem) self->close({ErrorCode::io, "the client ran out of memory"});
  });
}

void TcpLink::drop() {
  error_code ignored;  // Closing a socket that is closed or broken: there is nothing left to do.
  socket_.close(ignored);
}

void TcpLink::closed() {
  resolver_.cancel();
  pause_.cancel();
  wake_.cancel();
  drop();
}

void TcpLink::late() {
  // The other end may be gone without a word: then nothing but a new connection helps. A command is
  // sent a little later than it is asked for: most of the timeout is enough.
  const std::optional<SteadyTime> silent = pipeline_.silent_since();
  if (!silent.has_value()) return;
  if (Clock::now() - *silent >= options_.timeout() * 9 / 10) return drop();
  look_again(*silent + options_.timeout());
}

// -- The connection.
// -------------------------------------------------------------------------------

asio::awaitable<void> TcpLink::run(std::shared_ptr<TcpLink>) {
  unsigned failures = 0;
  while (!is_closed_) {
    co_await wait_for_work();
    if (is_closed_) break;
    Result<void> connected = co_await connect();
    if (is_closed_) break;
    if (!connected) {
      why_unsent_ = connected.error();
      // A refused login stays refused; a server that is away may come back.
      if (why_unsent_.code != ErrorCode::closed) pipeline_.finish_all(why_unsent_);
      co_await rest(++failures);
      continue;
    }
    failures = 0;
    ++connections_total_;
    const Error why = co_await serve();
    drop();
    // What this server says is not understood, and would not be if it were asked again.
    if (why.code == ErrorCode::protocol) pipeline_.finish_all(why);
    pipeline_.on_break(why, Clock::now());
    why_unsent_ = why;
  }
}

asio::awaitable<void> TcpLink::wait_for_work() {
  while (!is_closed_ && !why_broken_.has_value() && !pipeline_.has_output()) {
    wake_.expires_at(SteadyTime::max());
    co_await wake_.async_wait(awaited);
  }
}

asio::awaitable<void> TcpLink::rest(unsigned failures) {
  const unsigned doublings = std::min(failures - 1, 16u);
  const Duration pause =
      std::min(options_.reconnect_first() * (1u << doublings), options_.reconnect_longest());
  // A fifth more or less, so that a thousand clients do not come back in one millisecond.
  std::uniform_int_distribution<Duration::rep> spread(pause.count() * 4 / 5, pause.count() * 6 / 5);
  pause_.expires_after(Duration{spread(random_)});
  co_await pause_.async_wait(awaited);
}

asio::awaitable<Result<void>> TcpLink::connect() {
  struct Attempt {
    bool is_late = false;
    bool is_over = false;
  };

  // Shared with the timer's handler, which may run after this frame is gone.
  const auto attempt = std::make_shared<Attempt>();
  asio::steady_timer limit(socket_.get_executor(), options_.connect_timeout());
  limit.async_wait([weak = weak_from_this(), this, attempt](const error_code&) {
    const std::shared_ptr<Link> self = weak.lock();
    if (self == nullptr || attempt->is_over) return;
    attempt->is_late = true;
    resolver_.cancel();
    drop();
  });
  const error_code problem = co_await dial();
  Result<void> connected;
  if (!problem) connected = co_await say_hello();
  attempt->is_over = true;
  if (problem) {
    const std::string why =
        attempt->is_late
            ? "no answer within " + std::to_string(options_.connect_timeout().count()) + " ms"
            : problem.message();
    co_return sluice::fail(
        ErrorCode::closed,
        "cannot connect to " + address_.text() + ": " + why + "; is `sluice serve` running there?");
  }
  if (!connected) drop();
  co_return connected;
}

asio::awaitable<error_code> TcpLink::dial() {
  drop();
  error_code not_numeric;
  const asio::ip::address numeric = asio::ip::make_address(address_.host, not_numeric);
  if (!not_numeric) {
    // Asio resolves on a thread of its own; numbers need none.
    const tcp::endpoint endpoint(numeric, address_.port);
    auto [problem] = co_await socket_.async_connect(endpoint, awaited);
    if (problem) co_return problem;
  } else {
    const std::string port = std::to_string(address_.port);
    auto [unknown, endpoints] = co_await resolver_.async_resolve(address_.host, port, awaited);
    if (unknown) co_return unknown;
    auto [problem, endpoint] = co_await asio::async_connect(socket_, endpoints, awaited);
    if (problem) co_return problem;
  }
  error_code problem;
  socket_.set_option(tcp::no_delay(true), problem);
  co_return problem;
}

asio::awaitable<Result<void>> TcpLink::say_hello() {
  output_ = hello(address_.user, address_.password, options_.name());
  auto [unsent, sent] = co_await asio::async_write(socket_, asio::buffer(output_), awaited);
  if (unsent) co_return tl::unexpected<Error>(broken(unsent.message()));
  resp::Decoder decoder;
  resp::Value reply;
  std::string seen;
  for (;;) {
    auto [problem, count] = co_await socket_.async_read_some(asio::buffer(input_), awaited);
    if (problem) co_return tl::unexpected<Error>(broken(problem.message()));
    seen.append(input_.data(), count);
    const resp::Decoded outcome = decoder.next(seen, reply);
    if (outcome == resp::Decoded::value) break;
    if (outcome == resp::Decoded::broken || seen.size() >= read_bytes) {
      co_return sluice::fail(ErrorCode::protocol,
                             address_.text() +
                                 " does not speak the protocol of "
                                 "Sluice; is it the port of `--resp`?");
    }
    seen.erase(0, decoder.consumed());
  }
  if (reply.is_error()) {
    Error refused = error_of_line(reply.text);
    refused.message = address_.text() + " refused the connection: " + refused.message;
    // A full or draining server is worth another attempt; a wrong login is not.
    if (refused.code == ErrorCode::busy) refused.code = ErrorCode::closed;
    co_return tl::unexpected<Error>(std::move(refused));
  }
  co_return Result<void>();
}

asio::awaitable<Error> TcpLink::serve() {
  using asio::experimental::awaitable_operators::operator&&;
  why_broken_.reset();
  pipeline_.heard(Clock::now());
  co_await (read_replies() && write_commands());
  Error why = std::move(*why_broken_);
  why_broken_.reset();
  co_return why;
}

asio::awaitable<void> TcpLink::read_replies() {
  while (!why_broken_.has_value()) {
    auto [problem, count] = co_await socket_.async_read_some(asio::buffer(input_), awaited);
    if (problem) {
      end_serving(broken(problem.message()));
      break;
    }
    pipeline_.heard(Clock::now());
    const Result<void> fed = pipeline_.feed({input_.data(), count});
    if (!fed) end_serving(fed.error());
    if (pipeline_.has_output()) wake();  // Jobs that nobody waits for are given back.
  }
}

asio::awaitable<void> TcpLink::write_commands() {
  for (;;) {
    co_await wait_for_work();
    if (is_closed_) end_serving(broken("closed"));
    if (why_broken_.has_value()) co_return;
    output_.clear();
    pipeline_.take_output(output_, Clock::now());
    auto [problem, count] = co_await asio::async_write(socket_, asio::buffer(output_), awaited);
    if (problem) end_serving(broken(problem.message()));
    if (output_.capacity() > kept_bytes) std::string().swap(output_);
  }
}

/// Reader and writer end each other: by the closed socket and by the woken wait.
void TcpLink::end_serving(Error why) {
  if (why_broken_.has_value()) return;
  why_broken_ = std::move(why);
  drop();
  wake();
}

Error TcpLink::broken(const std::string& what) const {
  return {ErrorCode::closed, "the connection to " + address_.text() + " broke: " + what};
}

}  // namespace

Result<std::shared_ptr<Core>> remote_core(const asio::any_io_executor& executor,
                                          std::string_view url,
                                          const ClientOptions& options) {
  Result<Address> address = parse_address(url);
  if (!address) return tl::unexpected<Error>(std::move(address.error()));
  auto make_link = [address = std::move(*address),
                    options](const asio::any_io_executor& on) -> std::shared_ptr<Link> {
    return std::make_shared<TcpLink>(on, address, options);
  };
  const CoreLimits limits{.waiting_max = options.waiting_max(),
                          .outstanding_bytes_max = options.outstanding_bytes_max()};
  return std::make_shared<Core>(executor, std::move(make_link), limits);
}

}  // namespace sluice::client
