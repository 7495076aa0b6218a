// Child: one run of a shell command in its own process group, fed and read without blocking.
//
//   Child child({.command = "./send-mail", .environment = env, .input = job.payload});
//   while (!child.run_until(deadline, wake_fd)) { … heartbeats, timeouts: child.signal(SIGTERM); }
//   child.exit_text(), child.output(), child.error_tail()
//
// Whatever the command left running in its process group ends with it.
#pragma once

#include "base/bytes.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace sluice::cli {

/// A descriptor that is closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;

  explicit Descriptor(int fd) : fd_(fd) {}

  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  ~Descriptor() { reset(); }

  void reset();

  int fd() const { return fd_; }

  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct ChildOptions {
  std::string command;                   ///< For `sh -c`.
  std::vector<std::string> environment;  ///< NAME=value, on top of this process's own.
  ByteView input;                        ///< For its stdin; must outlive the child.
  std::size_t output_bytes_max = 1u << 20;
  std::size_t error_tail_bytes_max = 4000;
};

class Child {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts it. Throws Exit when the system cannot (no memory, too many processes).
  explicit Child(ChildOptions options);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  /// Kills what still runs.
  ~Child();

  /// Feeds and reads until it has ended (true), or until `deadline` or `wake_fd` is readable
  /// (false). A negative `wake_fd` is not looked at.
  bool run_until(Clock::time_point deadline, int wake_fd);
  /// To the whole process group.
  void signal(int number);

  // After it has ended:
  bool has_exited() const { return is_exited_; }  ///< By itself, not by a signal.

  int exit_status() const { return status_; }  ///< Exit code, or the signal's number.

  std::string exit_text() const;  ///< "exit 3", "killed by signal 9".

  const std::string& output() const { return output_; }

  bool is_output_cut() const { return is_output_cut_; }

  const std::string& error_tail() const { return error_tail_; }

 private:
  void feed();
  void read_output();
  void read_errors();
  void reap();

  ChildOptions options_;
  Descriptor input_, output_pipe_, error_pipe_, process_;
  pid_t pid_ = -1;
  std::size_t fed_ = 0;
  std::string output_, error_tail_;
  bool is_output_cut_ = false;
  bool is_ended_ = false;
  bool is_exited_ = false;
  int status_ = 0;
};

}  // namespace sluice::cli
