// Child: a process that the demo started, and the only kind it ever ends.
#pragma once

#include <sluice/error.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace orders {

/// Runs until stop(), kill() or the destructor. If the demo itself is killed, the kernel ends its
/// children with SIGTERM. Not thread-safe; start() from the main thread only.
class Child {
 public:
  using Ports = std::array<std::uint16_t, 2>;

  /// Starts `command` with its output appended to `log`. A service of this demo is told a
  /// --ready-fd and start() waits until it has written its ports there; others (`has_ready_fd`
  /// false) are returned at once. Error: io, with the end of the log.
  static sluice::Result<Child> start(std::string name,
                                     std::vector<std::string> command,
                                     std::filesystem::path log,
                                     bool has_ready_fd);

  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  ~Child() { stop(std::chrono::seconds(5)); }

  pid_t pid() const { return pid_; }

  const Ports& ports() const { return ports_; }

  const std::string& name() const { return name_; }

  /// False once it has ended by itself.
  bool is_running();
  /// kill -9, and waits for the end.
  void kill();
  /// SIGTERM, then SIGKILL when `patience` is over. Waits for the end. Idempotent.
  void stop(std::chrono::milliseconds patience);

 private:
  Child() = default;
  bool wait_ended(std::chrono::milliseconds patience);

  std::string name_;
  pid_t pid_ = -1;
  Ports ports_{};
};

/// The last lines of a log file, for messages.
std::string tail(const std::filesystem::path& log);

}  // namespace orders
