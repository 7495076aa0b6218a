// Signals and nudges by signalfd, eventfd and poll.
#include "server/wakeups.h"

#include "base/check.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace sluice::server {

Wakeups::Wakeups() {
  std::signal(SIGPIPE, SIG_IGN);  // A client that left is an error of its socket, nothing more.
  std::signal(SIGXFSZ, SIG_IGN);  // A file that may not grow is a failed write (EFBIG).
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&set, signal);
  check(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  nudges_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || nudges_ < 0) {
    throw std::system_error(errno, std::generic_category(), "a descriptor for signals");
  }
}

Wakeups::~Wakeups() {
  ::close(signals_);
  ::close(nudges_);
}

Wakeup Wakeups::wait(Duration timeout) {
  std::array<pollfd, 2> ready{{{signals_, POLLIN, 0}, {nudges_, POLLIN, 0}}};
  int result = 0;
  do {
    result = poll(ready.data(), ready.size(), static_cast<int>(timeout.count()));
  } while (result < 0 && errno == EINTR);
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    return info.ssi_signo == SIGHUP ? Wakeup::hangup : Wakeup::stop;
  }
  std::uint64_t nudges = 0;
  if (::read(nudges_, &nudges, sizeof nudges) > 0) return Wakeup::nudged;
  return Wakeup::timed_out;
}

void Wakeups::nudge() {
  const std::uint64_t one = 1;
  // Only fails when the counter is full, and then the reader is going to wake up anyway.
  [[maybe_unused]] const auto written = ::write(nudges_, &one, sizeof one);
}

}  // namespace sluice::server
