// For tests: a blocking client on a loopback socket that reads replies as Values.
#pragma once

#include "base/check.h"
#include "wire/resp/decoder.h"
#include "wire/resp/writer.h"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace sluice::native {

class TestClient {
 public:
  explicit TestClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
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

  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  ~TestClient() { leave(); }

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

  void send_command(std::initializer_list<ByteView> words) {
    Buffer bytes;
    resp::append_command(bytes, words);
    send(bytes.view());
  }

  /// The next reply; unset when the server has closed or said nothing for long.
  std::optional<resp::Value> receive() {
    for (;;) {
      resp::Value value;
      const resp::Decoded outcome = decoder_.next(input_, value);
      input_.erase(0, decoder_.consumed());
      if (outcome == resp::Decoded::value) return value;
      check(outcome == resp::Decoded::incomplete);
      char bytes[65536];
      const ssize_t received = ::recv(socket_, bytes, sizeof bytes, 0);
      if (received <= 0) return std::nullopt;
      input_.append(bytes, static_cast<std::size_t>(received));
    }
  }

  resp::Value ask(std::initializer_list<ByteView> words) {
    send_command(words);
    std::optional<resp::Value> reply = receive();
    EXPECT_TRUE(reply.has_value());
    return reply ? *std::move(reply) : resp::Value();
  }

 private:
  int socket_;
  resp::Decoder decoder_;
  std::string input_;
};

}  // namespace sluice::native
