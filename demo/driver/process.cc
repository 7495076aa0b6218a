// fork, exec, wait.
#include "driver/process.h"

#include <fmt/core.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace orders {
namespace {

constexpr std::chrono::seconds ready_max(20);
constexpr std::size_t tail_bytes_max = 2000;

struct Pipe {
  int read = -1;
  int write = -1;
};

sluice::Result<Pipe> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return sluice::fail(sluice::ErrorCode::io, std::string("pipe: ") + std::strerror(errno));
  }
  return Pipe{ends[0], ends[1]};
}

/// In the child, between fork and exec: system calls only. Never returns.
[[noreturn]] void become(char* const* arguments, int log, int ready, pid_t parent) {
  ::setpgid(0, 0);  // Ctrl-C is for the driver, which ends its children in order.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(126);  // It died before the line above.
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  if (ready >= 0) ::fcntl(ready, F_SETFD, 0);
  ::execvp(arguments[0], arguments);
  constexpr std::string_view message = "cannot be run: no such program\n";
  if (::write(STDERR_FILENO, message.data(), message.size()) < 0) ::_exit(125);
  ::_exit(127);
}

/// "PORT PORT\n" from the child; nothing when it ended or the time is over.
std::string read_ready_line(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + ready_max;
  std::string line;
  while (line.empty() || line.back() != '\n') {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waiting{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) < 0) return {};
    char byte = 0;
    if (::read(fd, &byte, 1) != 1) return {};
    line += byte;
  }
  return line;
}

}  // namespace

sluice::Result<Child> Child::start(std::string name,
                                   std::vector<std::string> command,
                                   std::filesystem::path log,
                                   bool has_ready_fd) {
  Pipe ready;
  if (has_ready_fd) {
    const auto opened = open_pipe();
    if (!opened) return tl::unexpected(opened.error());
    ready = *opened;
    command.push_back("--ready-fd");
    command.push_back(std::to_string(ready.write));
  }
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) {
    return sluice::fail(sluice::ErrorCode::io, log.string() + ": " + std::strerror(errno));
  }
  std::vector<char*> arguments;
  for (std::string& word : command)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);

  Child child;
  child.name_ = std::move(name);
  const pid_t parent = ::getpid();
  child.pid_ = ::fork();
  if (child.pid_ == 0) become(arguments.data(), output, ready.write, parent);
  ::close(output);
  if (has_ready_fd) ::close(ready.write);
  if (child.pid_ < 0) {
    return sluice::fail(sluice::ErrorCode::io, std::string("fork: ") + std::strerror(errno));
  }
  if (!has_ready_fd) return child;
  const std::string line = read_ready_line(ready.read);
  ::close(ready.read);
  std::istringstream(line) >> child.ports_[0] >> child.ports_[1];
  if (line.empty()) {
    return sluice::fail(
        sluice::ErrorCode::io,
        fmt::format("{} did not start; the end of {}:\n{}", child.name_, log.string(), tail(log)));
  }
  return child;
}

Child::Child(Child&& other) noexcept
    : name_(std::move(other.name_)), pid_(std::exchange(other.pid_, -1)), ports_(other.ports_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(pid_, other.pid_);
  std::swap(ports_, other.ports_);
  return *this;
}

bool Child::is_running() {
  return pid_ > 0 && !wait_ended(std::chrono::milliseconds(0));
}

void Child::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Child::stop(std::chrono::milliseconds patience) {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  if (!wait_ended(patience)) kill();
}

bool Child::wait_ended(std::chrono::milliseconds patience) {
  // A pidfd becomes readable when the process ends (glibc 2.36 has the wrapper, older do not).
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  pollfd waiting{fd, POLLIN, 0};
  if (fd >= 0) {
    ::poll(&waiting, 1, static_cast<int>(patience.count()));
    ::close(fd);
  }
  if (::waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

std::string tail(const std::filesystem::path& log) {
  std::ifstream file(log, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return text.size() <= tail_bytes_max ? text : text.substr(text.size() - tail_bytes_max);
}

}  // namespace orders
