// HttpServer and HttpClient over Boost.Beast.
#include "http.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

#include <exception>
#include <optional>
#include <utility>

namespace orders {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr auto quiet = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds idle_max(600);
constexpr const char* idempotency_header = "Idempotency-Key";

tcp::endpoint loopback(std::uint16_t port) {
  return {asio::ip::address_v4::loopback(), port};
}

std::string text(beast::string_view view) {
  return {view.data(), view.size()};
}

HttpRequest from_beast(http::request<http::string_body> message) {
  HttpRequest request;
  request.method = text(message.method_string());
  request.target = text(message.target());
  request.idempotency_key = text(message[idempotency_header]);
  request.body = std::move(message.body());
  return request;
}

http::response<http::string_body> to_beast(HttpResponse answer, bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(answer.status), 11);
  message.set(http::field::content_type, "application/json");
  message.body() = std::move(answer.body);
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

http::request<http::string_body> to_beast(HttpRequest request) {
  http::request<http::string_body> message(
      http::string_to_verb(request.method), request.target, 11);
  message.set(http::field::host, "127.0.0.1");
  message.set(http::field::content_type, "application/json");
  if (!request.idempotency_key.empty()) message.set(idempotency_header, request.idempotency_key);
  message.body() = std::move(request.body);
  message.prepare_payload();
  return message;
}

}  // namespace

HttpResponse http_error(int status, const std::string& message) {
  const boost::json::value body = {{"error", message}};
  return {status, boost::json::serialize(body)};
}

void log_escaped(std::exception_ptr thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    fmt::print(stderr, "event=escaped error=\"{}\"\n", e.what());
  }
}

HttpServer::HttpServer(asio::io_context& io, std::uint16_t port, Handler handler)
    : acceptor_(io, loopback(port)), handler_(std::move(handler)) {
  asio::co_spawn(io, accept(), log_escaped);
}

asio::awaitable<void> HttpServer::accept() {
  while (acceptor_.is_open()) {
    auto [ec, socket] = co_await acceptor_.async_accept(quiet);
    if (ec == asio::error::operation_aborted) co_return;
    if (ec) {
      fmt::print(stderr, "event=accept_failed error=\"{}\"\n", ec.message());
      continue;
    }
    if (sessions_ >= http_connections_max) continue;  // Closes it: the customer tries again.
    asio::co_spawn(acceptor_.get_executor(), session(std::move(socket)), log_escaped);
  }
}

asio::awaitable<void> HttpServer::session(tcp::socket socket) {
  ++sessions_;
  const std::shared_ptr<void> leave(nullptr, [this](void*) { --sessions_; });
  beast::tcp_stream stream(std::move(socket));
  stream.socket().set_option(tcp::no_delay(true));
  beast::flat_buffer buffer;
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(http_body_bytes_max);
    stream.expires_after(idle_max);
    const auto [read_error, read_bytes] = co_await http::async_read(stream, buffer, parser, quiet);
    if (read_error) co_return;  // The peer left, was idle too long or does not speak HTTP.
    const bool keep_alive = parser.get().keep_alive();
    HttpRequest request = from_beast(parser.release());
    HttpResponse response = co_await answer(std::move(request));
    if (response.is_lost) co_return;
    auto message = to_beast(std::move(response), keep_alive);
    stream.expires_after(idle_max);
    const auto [write_error, written] = co_await http::async_write(stream, message, quiet);
    if (write_error) co_return;
    if (!keep_alive) co_return;
  }
}

asio::awaitable<HttpResponse> HttpServer::answer(HttpRequest request) {
  try {
    HttpResponse response = co_await handler_(std::move(request));
    co_return response;
  } catch (const std::exception& e) {
    fmt::print(stderr, "event=request_failed error=\"{}\"\n", e.what());
    co_return http_error(500, e.what());
  }
}

struct HttpClient::Connection {
  explicit Connection(const asio::any_io_executor& executor) : stream(executor) {}

  beast::tcp_stream stream;
  beast::flat_buffer buffer;
};

HttpClient::HttpClient(std::uint16_t port, std::chrono::milliseconds deadline)
    : port_(port), deadline_(deadline) {}

HttpClient::~HttpClient() = default;

asio::awaitable<sluice::Result<HttpResponse>> HttpClient::send(HttpRequest request) {
  auto taken = co_await connected();
  if (!taken) co_return tl::unexpected(taken.error());
  ConnectionPtr connection = std::move(*taken);
  auto message = to_beast(std::move(request));
  connection->stream.expires_after(deadline_);
  const auto [write_error, written] =
      co_await http::async_write(connection->stream, message, quiet);
  if (write_error) {
    co_return sluice::fail(sluice::ErrorCode::closed, "cannot send: " + write_error.message());
  }
  http::response_parser<http::string_body> parser;
  parser.body_limit(http_body_bytes_max);
  const auto [read_error, read_bytes] =
      co_await http::async_read(connection->stream, connection->buffer, parser, quiet);
  if (read_error) {
    const auto code = read_error == beast::error::timeout ? sluice::ErrorCode::timed_out
                                                          : sluice::ErrorCode::closed;
    co_return sluice::fail(code, "no answer: " + read_error.message());
  }
  auto answer = parser.release();
  connection->stream.expires_never();
  if (answer.keep_alive()) idle_.push_back(std::move(connection));
  co_return HttpResponse(static_cast<int>(answer.result_int()), std::move(answer.body()));
}

asio::awaitable<sluice::Result<HttpClient::ConnectionPtr>> HttpClient::connected() {
  if (!idle_.empty()) {
    ConnectionPtr connection = std::move(idle_.back());
    idle_.pop_back();
    co_return connection;
  }
  const auto executor = co_await asio::this_coro::executor;
  auto connection = std::make_unique<Connection>(executor);
  connection->stream.expires_after(deadline_);
  const auto [ec] = co_await connection->stream.async_connect(loopback(port_), quiet);
  if (ec) {
    co_return sluice::fail(sluice::ErrorCode::closed,
                           fmt::format("cannot connect to 127.0.0.1:{}: {}", port_, ec.message()));
  }
  connection->stream.socket().set_option(tcp::no_delay(true));
  co_return connection;
}

}  // namespace orders
