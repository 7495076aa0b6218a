// Signals and the ready line.
#include "service.h"

#include <fmt/core.h>

#include <cerrno>
#include <csignal>
#include <string>

#include <unistd.h>

namespace orders {

Service::Service() : io(1), stop_signals(io, SIGTERM, SIGINT) {
  stop_signals.async_wait([this](const boost::system::error_code& ec, int) {
    if (!ec) io.stop();
  });
}

void Service::ready(int fd, std::uint16_t port, std::uint16_t second_port) {
  const std::string line = fmt::format("{} {}\n", port, second_port);
  if (fd < 0) {
    fmt::print("listening on {}", line);
    std::fflush(stdout);
    return;
  }
  // A driver that is gone has sent SIGTERM; there is nobody to tell.
  if (::write(fd, line.data(), line.size()) < 0) {
    fmt::print(stderr, "event=ready_unheard error={}\n", errno);
  }
  ::close(fd);
}

}  // namespace orders
