// sd_notify by hand: a datagram is not worth a run-time dependency on libsystemd.
#include "server/notify.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::server {
namespace {

// A line break in a status would start another assignment.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

Notifier::Notifier(std::string_view socket) : address_(socket) {
  const bool is_usable = address_.size() > 1 && (address_[0] == '/' || address_[0] == '@') &&
                         address_.size() < sizeof(sockaddr_un{}.sun_path);
  if (is_usable) socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

Notifier::~Notifier() {
  if (socket_ >= 0) ::close(socket_);
}

void Notifier::ready(std::string_view status) {
  send("READY=1\nSTATUS=" + one_line(status));
}

void Notifier::stopping(std::string_view status) {
  send("STOPPING=1\nSTATUS=" + one_line(status));
}

void Notifier::status(std::string_view status) {
  send("STATUS=" + one_line(status));
}

void Notifier::extend_timeout(Duration more, std::string_view status) {
  const auto microseconds = std::chrono::microseconds(more).count();
  send("EXTEND_TIMEOUT_USEC=" + std::to_string(microseconds) + "\nSTATUS=" + one_line(status));
}

void Notifier::send(const std::string& message) const {
  if (socket_ < 0) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';  // An abstract address.
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  // Best effort: a service manager that does not listen is no reason to stop serving.
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  [[maybe_unused]] const auto sent = ::sendto(
      socket_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address, length);
}

}  // namespace sluice::server
