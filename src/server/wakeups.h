// Wakeups: what the main thread waits for while other threads do the work: signals, and a nudge
// from one of those threads. Signals become file descriptors, so no code runs in signal context.
#pragma once

#include "base/time.h"

#include <cstdint>

namespace sluice::server {

enum class Wakeup : std::uint8_t {
  stop,       ///< SIGTERM or SIGINT.
  hangup,     ///< SIGHUP.
  nudged,     ///< Another thread called nudge().
  timed_out,  ///< Nothing came.
};

class Wakeups {
 public:
  /// Blocks SIGTERM, SIGINT and SIGHUP in this thread and those it starts from now on, and ignores
  /// SIGPIPE and SIGXFSZ: create it before the first thread. Throws std::system_error if
  /// the system has no descriptors left.
  Wakeups();
  ~Wakeups();
  Wakeups(const Wakeups&) = delete;
  Wakeups& operator=(const Wakeups&) = delete;

  /// Waits until something comes, at most for `timeout`; a negative one waits for ever.
  Wakeup wait(Duration timeout);
  /// Any thread.
  void nudge();

 private:
  int signals_ = -1;
  int nudges_ = -1;
};

}  // namespace sluice::server
