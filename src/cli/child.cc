// posix_spawn, pipes, a pidfd and poll; see child.h.
#include "cli/child.h"

#include "cli/exit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::cli {
namespace {

[[noreturn]] void fail_system(const char* what, int error) {
  throw Exit{ExitCode::failed, fmt::format("{}: {}", what, std::generic_category().message(error))};
}

struct Pipe {
  Descriptor read_end;
  Descriptor write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_system("cannot make a pipe", errno);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// Ours only: the child must find ordinary blocking pipes.
void set_nonblocking(const Descriptor& end) {
  ::fcntl(end.fd(), F_SETFL, ::fcntl(end.fd(), F_GETFL) | O_NONBLOCK);
}

/// This process's environment with `added` on top.
std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const std::string_view key = line.substr(0, line.find('=') + 1);
    const bool is_replaced = std::any_of(
        added.begin(), added.end(), [&](const std::string& one) { return one.starts_with(key); });
    if (!is_replaced) all.emplace_back(line);
  }
  return all;
}

/// Default signal handling and an empty mask, whatever this process has set for itself.
void set_signals(posix_spawnattr_t& attributes) {
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

/// Appends what can be read now to `sink`; false at the end of the stream.
template <class Sink>
bool drain(const Descriptor& pipe, Sink sink) {
  std::array<char, 16384> bytes{};
  while (true) {
    const ssize_t got = ::read(pipe.fd(), bytes.data(), bytes.size());
    if (got > 0) {
      sink(ByteView(bytes.data(), static_cast<std::size_t>(got)));
    } else if (got == 0) {
      return false;
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

}  // namespace

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Child::Child(ChildOptions options) : options_(std::move(options)) {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, in.read_end.fd(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.write_end.fd(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.write_end.fd(), STDERR_FILENO);
  set_signals(attributes);
  std::vector<std::string> environment = merged_environment(options_.environment);
  std::vector<char*> environment_pointers;
  environment_pointers.reserve(environment.size() + 1);
  for (std::string& entry : environment)
    environment_pointers.push_back(entry.data());
  environment_pointers.push_back(nullptr);
  std::string shell = "sh";
  std::string flag = "-c";
  std::array<char*, 4> arguments{shell.data(), flag.data(), options_.command.data(), nullptr};
  const int error = ::posix_spawn(
      &pid_, "/bin/sh", &actions, &attributes, arguments.data(), environment_pointers.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) fail_system("cannot start /bin/sh", error);
  // By number: the declaration in glibc 2.36 lacks extern "C".
  process_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!process_.is_open()) {
    const int reason = errno;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    fail_system("cannot watch the child process", reason);
  }
  input_ = std::move(in.write_end);
  output_pipe_ = std::move(out.read_end);
  error_pipe_ = std::move(err.read_end);
  set_nonblocking(input_);
  set_nonblocking(output_pipe_);
  set_nonblocking(error_pipe_);
  feed();
}

Child::~Child() {
  if (is_ended_) return;
  if (process_.is_open()) {
    signal(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void Child::feed() {
  while (input_.is_open()) {
    const ByteView rest = options_.input.substr(fed_);
    if (rest.empty()) {
      input_.reset();
      return;
    }
    const ssize_t wrote = ::write(input_.fd(), rest.data(), rest.size());
    if (wrote >= 0) {
      fed_ += static_cast<std::size_t>(wrote);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      input_.reset();  // EPIPE: it does not want to read (all of) its input. That is its right.
    }
  }
}

void Child::read_output() {
  const bool goes_on = drain(output_pipe_, [this](ByteView bytes) {
    const std::size_t room = options_.output_bytes_max - output_.size();
    is_output_cut_ = is_output_cut_ || bytes.size() > room;
    output_.append(bytes.substr(0, room));
  });
  if (!goes_on) output_pipe_.reset();
}

void Child::read_errors() {
  const bool goes_on = drain(error_pipe_, [this](ByteView bytes) {
    error_tail_.append(bytes);
    if (error_tail_.size() > options_.error_tail_bytes_max) {
      error_tail_.erase(0, error_tail_.size() - options_.error_tail_bytes_max);
    }
  });
  if (!goes_on) error_pipe_.reset();
}

bool Child::run_until(Clock::time_point deadline, int wake_fd) {
  while (!is_ended_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    // A negative descriptor, that of a closed pipe, is skipped by poll.
    std::array<pollfd, 5> watched{{{process_.fd(), POLLIN, 0},
                                   {input_.fd(), POLLOUT, 0},
                                   {output_pipe_.fd(), POLLIN, 0},
                                   {error_pipe_.fd(), POLLIN, 0},
                                   {wake_fd, POLLIN, 0}}};
    const int timeout = static_cast<int>(std::min<long>(left, 60'000));
    if (::poll(watched.data(), watched.size(), timeout) < 0 && errno != EINTR) {
      fail_system("cannot wait for the child process", errno);
    }
    if (watched[1].revents != 0) feed();
    if (watched[2].revents != 0) read_output();
    if (watched[3].revents != 0) read_errors();
    if (watched[0].revents != 0) reap();
    if (watched[4].revents != 0 && !is_ended_) return false;
  }
  return true;
}

void Child::signal(int number) {
  ::kill(-pid_, number);
}

void Child::reap() {
  // What it wrote just before its end is in the pipes still.
  if (output_pipe_.is_open()) read_output();
  if (error_pipe_.is_open()) read_errors();
  // Before waitpid: until then the number of the process group cannot be given to somebody else.
  signal(SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  is_ended_ = true;
  is_exited_ = WIFEXITED(status);
  status_ = is_exited_ ? WEXITSTATUS(status) : WTERMSIG(status);
}

std::string Child::exit_text() const {
  return fmt::format("{} {}", is_exited_ ? "exit" : "killed by signal", status_);
}

}  // namespace sluice::cli
