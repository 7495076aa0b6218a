// Notifier: tells the service manager how we are (systemd's sd_notify protocol: one datagram of
// NAME=value lines to the socket named by $NOTIFY_SOCKET; man 3 sd_notify).
#pragma once

#include "base/time.h"

#include <string>
#include <string_view>

namespace sluice::server {

class Notifier {
 public:
  /// `socket` is $NOTIFY_SOCKET: a path, or @name for an abstract one. Empty: nobody listens.
  explicit Notifier(std::string_view socket);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void ready(std::string_view status);
  void stopping(std::string_view status);
  /// Only the line that `systemctl status` shows.
  void status(std::string_view status);
  /// Starting or stopping takes longer: do not give up on us for another `more`.
  void extend_timeout(Duration more, std::string_view status);

 private:
  void send(const std::string& message) const;

  std::string address_;
  int socket_ = -1;
};

}  // namespace sluice::server
