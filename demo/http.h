// HTTP for the demo: a JSON server and a client that keeps its connections, thin over Boost.Beast.
// Beast stays in http.cc; one thread, one io_context per process.
#pragma once

#include <sluice/error.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace orders {

namespace asio = boost::asio;

inline constexpr std::size_t http_body_bytes_max = 8 << 20;  ///< A report about 100,000 orders.
inline constexpr std::size_t http_connections_max = 1024;    ///< The default limit of open files.

/// A request as both sides see it. `idempotency_key` is the one header the shop uses.
struct HttpRequest {
  HttpRequest() = default;

  HttpRequest(std::string method_name, std::string path, std::string content = {})
      : method(std::move(method_name)), target(std::move(path)), body(std::move(content)) {}

  std::string method;
  std::string target;
  std::string body;
  std::string idempotency_key;
};

/// A JSON answer. A server may also lose it: close the connection without a word.
struct HttpResponse {
  HttpResponse() = default;

  HttpResponse(int status_code, std::string json) : status(status_code), body(std::move(json)) {}

  int status = 200;
  std::string body;
  bool is_lost = false;
};

/// {"error": message} with this status.
HttpResponse http_error(int status, const std::string& message);

/// Listens on 127.0.0.1 and answers every request with what `handler` returns; a handler that
/// throws answers 500. Must outlive the run of `io`.
class HttpServer {
 public:
  using Handler = std::function<asio::awaitable<HttpResponse>(HttpRequest)>;

  /// Port 0 takes a free one. Throws boost::system::system_error when it cannot listen.
  HttpServer(asio::io_context& io, std::uint16_t port, Handler handler);

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::awaitable<void> accept();
  asio::awaitable<void> session(asio::ip::tcp::socket socket);
  asio::awaitable<HttpResponse> answer(HttpRequest request);

  asio::ip::tcp::acceptor acceptor_;
  Handler handler_;
  std::size_t sessions_ = 0;
};

/// Sends requests to 127.0.0.1:port, any number at once, each on a connection of its own that is
/// kept for the next one. Used by coroutines of one thread. Never sends a request twice: whether
/// that is safe only its caller knows.
class HttpClient {
 public:
  HttpClient(std::uint16_t port, std::chrono::milliseconds deadline);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// The answer, whatever its status. Errors: closed (no connection, or no answer on it),
  /// timed_out. After either the effect of the request is unknown.
  asio::awaitable<sluice::Result<HttpResponse>> send(HttpRequest request);

 private:
  struct Connection;
  using ConnectionPtr = std::unique_ptr<Connection>;

  asio::awaitable<sluice::Result<ConnectionPtr>> connected();

  std::uint16_t port_;
  std::chrono::milliseconds deadline_;
  std::vector<ConnectionPtr> idle_;
};

/// For co_spawn of what should not end by an exception: writes it to stderr.
void log_escaped(std::exception_ptr thrown);

}  // namespace orders
