// For tests: a blocking client's socket on loopback.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

#include <cstdint>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace sluice::gateway {

class TestSocket {
 public:
  explicit TestSocket(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    check(socket_ >= 0);
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    check(::connect(socket_, generic, sizeof address) == 0);
  }

  TestSocket(const TestSocket&) = delete;
  TestSocket& operator=(const TestSocket&) = delete;

  ~TestSocket() { leave(); }

  void leave() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  /// Will send no more, but reads on.
  void finish() { ::shutdown(socket_, SHUT_WR); }

  void send(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // The server has closed; receive() will say so.
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// Appends what comes next. False: the server has closed, or said nothing for long.
  bool receive(std::string& input) {
    char bytes[65536];
    const ssize_t received = ::recv(socket_, bytes, sizeof bytes, 0);
    if (received <= 0) return false;
    input.append(bytes, static_cast<std::size_t>(received));
    return true;
  }

 private:
  int socket_;
};

}  // namespace sluice::gateway
