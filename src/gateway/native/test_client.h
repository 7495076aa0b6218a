// For tests: a blocking client on a loopback socket that reads replies as Values.
#pragma once

#include "base/check.h"
#include "gateway/test_socket.h"
#include "wire/resp/decoder.h"
#include "wire/resp/writer.h"

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace sluice::native {

class TestClient : public gateway::TestSocket {
 public:
  using TestSocket::TestSocket;

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
      if (!TestSocket::receive(input_)) return std::nullopt;
    }
  }

  resp::Value ask(std::initializer_list<ByteView> words) {
    send_command(words);
    std::optional<resp::Value> reply = receive();
    EXPECT_TRUE(reply.has_value());
    return reply ? *std::move(reply) : resp::Value();
  }

 private:
  resp::Decoder decoder_;
  std::string input_;
};

}  // namespace sluice::native
