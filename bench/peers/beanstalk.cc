// beanstalkd through its text protocol over a plain socket.
#include "load.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace peers {
namespace {

class Connection {
 public:
  explicit Connection(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)), input_(1u << 20) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      die("cannot connect to beanstalkd");
    }
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ~Connection() { ::close(fd_); }

  void send(const std::string& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t count = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count < 0) die("beanstalkd closed the connection");
      sent += static_cast<std::size_t>(count);
    }
  }

  bool has_line() const { return line_end() != nullptr; }

  bool has_input() const {
    pollfd input{fd_, POLLIN, 0};
    return ::poll(&input, 1, 0) > 0;
  }

  void receive() {
    if (begin_ > 0) {
      std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t count = ::recv(fd_, input_.data() + end_, input_.size() - end_, 0);
    if (count <= 0) die("beanstalkd closed the connection");
    end_ += static_cast<std::size_t>(count);
  }

  /// Without its \r\n.
  std::string line() {
    while (!has_line())
      receive();
    const char* const start = input_.data() + begin_;
    const char* const end = line_end();
    begin_ += static_cast<std::size_t>(end - start) + 1;
    return {start, static_cast<std::size_t>(end - start) - 1};
  }

  /// Valid until the next receive.
  const char* body(std::size_t bytes) {
    while (end_ - begin_ < bytes + 2)
      receive();
    const char* const start = input_.data() + begin_;
    begin_ += bytes + 2;
    return start;
  }

 private:
  const char* line_end() const {
    return static_cast<const char*>(std::memchr(input_.data() + begin_, '\n', end_ - begin_));
  }

  int fd_;
  std::vector<char> input_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

class BeanstalkProducer : public Producer {
 public:
  explicit BeanstalkProducer(int port) : connection_(port) {}

  void post(const char* payload, std::size_t bytes) override {
    batch_ += "put 1024 0 60 " + std::to_string(bytes) + "\r\n";
    batch_.append(payload, bytes);
    batch_ += "\r\n";
    ++posted_;
  }

  void flush() override {
    connection_.send(batch_);
    batch_.clear();
    outstanding_ += std::exchange(posted_, 0);
  }

  void settle(std::size_t most) override {
    while (outstanding_ > most)
      take_one();
  }

  void poll() override {
    while (outstanding_ > 0) {
      if (connection_.has_line()) {
        take_one();
      } else if (connection_.has_input()) {
        connection_.receive();
      } else {
        return;
      }
    }
  }

 private:
  void take_one() {
    const std::string line = connection_.line();
    if (line.compare(0, 8, "INSERTED") != 0) die("put: " + line);
    --outstanding_;
  }

  Connection connection_;
  std::string batch_;
  std::size_t posted_ = 0;
  std::size_t outstanding_ = 0;
};

class BeanstalkConsumer : public Consumer {
 public:
  explicit BeanstalkConsumer(int port) : connection_(port) {}

  std::size_t fetch(std::size_t most, int timeout_ms, const OnJob& on_job) override {
    const std::size_t asked = std::min(most, std::max<std::size_t>(1, last_ * 2));
    std::string commands = std::exchange(acks_, {});
    commands += "reserve-with-timeout " + std::to_string(std::max(1, timeout_ms / 1000)) + "\r\n";
    for (std::size_t i = 1; i < asked; ++i)
      commands += "reserve-with-timeout 0\r\n";
    connection_.send(commands);
    take_acks();
    std::size_t jobs = 0;
    for (std::size_t i = 0; i < asked; ++i) {
      const std::string line = connection_.line();
      if (line.compare(0, 9, "RESERVED ") != 0) continue;
      char* rest = nullptr;
      const unsigned long id = std::strtoul(line.c_str() + 9, &rest, 10);
      const unsigned long bytes = std::strtoul(rest, nullptr, 10);
      on_job(connection_.body(bytes), bytes);
      acks_ += "delete " + std::to_string(id) + "\r\n";
      ++acks_sent_;
      ++jobs;
    }
    last_ = jobs;
    return jobs;
  }

  void finish() override {
    connection_.send(std::exchange(acks_, {}));
    take_acks();
  }

 private:
  void take_acks() {
    for (; acks_sent_ > 0; --acks_sent_) {
      const std::string line = connection_.line();
      if (line != "DELETED") die("delete: " + line);
    }
  }

  Connection connection_;
  std::string acks_;
  std::size_t acks_sent_ = 0;
  std::size_t last_ = 1;
};

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments(argc, argv);
  const int port = static_cast<int>(arguments.number("port", 0));
  return peers::drive(
      arguments,
      [port] { return std::make_unique<peers::BeanstalkProducer>(port); },
      [port] { return std::make_unique<peers::BeanstalkConsumer>(port); });
}
