// ScriptedServer: for tests of the client: a server on a loopback port whose every word and every
// silence is the test's choice. Blocking; run the script on a thread of the test.
#pragma once

#include "base/check.h"
#include "wire/resp/parser.h"

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace sluice::client {

/// One accepted connection.
class ScriptedConnection {
 public:
  explicit ScriptedConnection(int socket) : socket_(socket) {}

  ScriptedConnection(ScriptedConnection&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), input_(std::move(other.input_)) {}

  ScriptedConnection& operator=(ScriptedConnection&&) = delete;

  ~ScriptedConnection() { close(); }

  /// The next command's words joined by spaces; "" when the client has left.
  std::string command() {
    resp::CommandParser parser{resp::ParserLimits{}};
    for (;;) {
      const resp::Outcome outcome = parser.next(input_.data(), input_.size());
      if (outcome == resp::Outcome::command) {
        std::string words;
        for (std::size_t i = 0; i < parser.arguments().size(); ++i) {
          if (i > 0) words += ' ';
          words += parser.arguments()[i];
        }
        input_.erase(0, parser.consumed());
        return words;
      }
      check(outcome == resp::Outcome::incomplete);
      char bytes[4096];
      const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
      check(count >= 0 || errno != EAGAIN);  // It neither said anything nor left.
      if (count <= 0) return {};
      input_.append(bytes, static_cast<std::size_t>(count));
      parser = resp::CommandParser{resp::ParserLimits{}};
    }
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;  // The client left; the test will see that.
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  /// Answers the client's HELLO.
  void greet() {
    const std::string hello = command();
    check(hello.starts_with("HELLO 3"));
    send("%1\r\n$6\r\nserver\r\n$6\r\nsluice\r\n");
  }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
  std::string input_;
};

class ScriptedServer {
 public:
  /// Listens on `port`, or on a free one.
  explicit ScriptedServer(std::uint16_t port = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    check(socket_ >= 0);
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address = loopback(port);
    check(::bind(socket_, generic(&address), sizeof address) == 0);
    check(::listen(socket_, 16) == 0);
    limit_waiting(socket_);
    socklen_t size = sizeof address;
    check(::getsockname(socket_, generic(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  ~ScriptedServer() { ::close(socket_); }

  std::uint16_t port() const { return port_; }

  std::string url() const { return "sluice://127.0.0.1:" + std::to_string(port_); }

  /// The next connection, before its HELLO.
  ScriptedConnection accept_silent() {
    const int accepted = ::accept(socket_, nullptr, nullptr);
    check(accepted >= 0);
    limit_waiting(accepted);
    return ScriptedConnection(accepted);
  }

  ScriptedConnection accept() {
    ScriptedConnection connection = accept_silent();
    connection.greet();
    return connection;
  }

  /// accept() with the PING of Client::connect answered.
  ScriptedConnection accept_client() {
    ScriptedConnection connection = accept();
    check(connection.command() == "PING");
    connection.send("+PONG\r\n");
    return connection;
  }

 private:
  /// A broken test ends instead of hanging.
  static void limit_waiting(int socket) {
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  static sockaddr* generic(sockaddr_in* address) { return reinterpret_cast<sockaddr*>(address); }

  int socket_;
  std::uint16_t port_ = 0;
};

}  // namespace sluice::client
