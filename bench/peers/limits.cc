// What the machine can do, which no queue can beat.
//
//   limits pingpong    a loopback round trip of --size bytes between two processes
//   limits fdatasync   write --size bytes and sync, in place in a preallocated file in --dir
//   limits synced-pingpong   both: the one who answers writes and syncs first, as any durable queue
//   limits stolen      what the host takes of a virtual machine's processors, and what is used
//                      there, in parts of their time: `woken` while each of two is woken 20,000
//                      times a second, `woken_and_synced` while one is and the other syncs
#include "load.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace peers {
namespace {

constexpr std::size_t mebibyte = 1u << 20;

void set_nodelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool read_all(int fd, char* at, std::size_t left) {
  while (left > 0) {
    const ssize_t got = ::read(fd, at, left);
    if (got <= 0) return false;
    at += got;
    left -= static_cast<std::size_t>(got);
  }
  return true;
}

void write_all(int fd, const std::vector<char>& bytes) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    die("cannot write to the socket");
  }
}

/// Before it answers it calls `work`.
[[noreturn]] void echo(int listener, std::size_t size, const std::function<void()>& work) {
  const int fd = ::accept(listener, nullptr, nullptr);
  set_nodelay(fd);
  std::vector<char> bytes(size);
  while (read_all(fd, bytes.data(), size)) {
    work();
    write_all(fd, bytes);
  }
  ::_exit(0);
}

std::vector<std::uint32_t> time_each(double secs, const std::function<void()>& once) {
  std::vector<std::uint32_t> latencies;
  const std::uint64_t end = monotonic_ns() + static_cast<std::uint64_t>(secs * 1e9);
  for (std::uint64_t start = monotonic_ns(); start < end; start = monotonic_ns()) {
    once();
    const std::uint64_t taken = monotonic_ns() - start;
    latencies.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(taken, UINT32_MAX)));
  }
  return latencies;
}

/// A file whose blocks have all been written, in which each write goes behind the last.
class SyncedFile {
 public:
  explicit SyncedFile(const Arguments& arguments)
      : size_(arguments.size("size", 100)),
        path_(arguments.text("dir", ".") + "/fdatasync.limit"),
        fd_(::open(path_.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600)),
        block_(std::max(size_, mebibyte), 'x') {
    if (fd_ < 0) die("cannot create " + path_ + ": " + std::strerror(errno));
    for (std::size_t i = 0; i < file_mebibytes; ++i) {
      if (::pwrite(fd_, block_.data(), mebibyte, static_cast<off_t>(i * mebibyte)) < 0) {
        die("cannot write " + path_);
      }
    }
    ::fsync(fd_);
  }

  SyncedFile(const SyncedFile&) = delete;
  SyncedFile& operator=(const SyncedFile&) = delete;

  ~SyncedFile() {
    ::close(fd_);
    ::unlink(path_.c_str());
  }

  void write() {
    const ssize_t written = ::pwrite(fd_, block_.data(), size_, static_cast<off_t>(at_));
    if (written != static_cast<ssize_t>(size_) || ::fdatasync(fd_) != 0) {
      die("cannot write " + path_);
    }
    at_ = (at_ + size_) % (file_mebibytes * mebibyte - size_);
  }

 private:
  static constexpr std::size_t file_mebibytes = 64;
  std::size_t size_;
  std::string path_;
  int fd_;
  std::vector<char> block_;
  std::size_t at_ = 0;
};

std::vector<std::uint32_t> pingpong(const Arguments& arguments, const std::function<void()>& work) {
  const std::size_t size = arguments.size("size", 100);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (::bind(listener, generic, length) != 0 || ::listen(listener, 1) != 0) die("cannot listen");
  ::getsockname(listener, generic, &length);
  const pid_t child = ::fork();
  if (child == 0) echo(listener, size, work);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, generic, length) != 0) die("cannot connect");
  set_nodelay(fd);
  std::vector<char> bytes(size, 'p');
  auto latencies = time_each(arguments.number("secs", 2), [&] {
    write_all(fd, bytes);
    if (!read_all(fd, bytes.data(), size)) die("the echo ended");
  });
  ::close(fd);
  ::waitpid(child, nullptr, 0);
  return latencies;
}

/// Of all processors together, since the start of the machine (proc(5), /proc/stat).
struct Ticks {
  double used = 0;
  double stolen = 0;
  double all = 0;
};

Ticks ticks_now() {
  std::FILE* const file = std::fopen("/proc/stat", "r");
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  constexpr const char* form = "cpu %lf %lf %lf %lf %lf %lf %lf %lf";
  if (file == nullptr ||
      std::fscanf(file, form, &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) != 8) {
    die("cannot read /proc/stat");
  }
  std::fclose(file);
  const double used = user + nice + system + irq + softirq;
  return {used, steal, used + idle + iowait + steal};
}

/// One thread on each of two processors, for a time.
void report_stolen(const Arguments& arguments,
                   const std::string& what,
                   const std::function<void()>& first,
                   const std::function<void()>& second,
                   Report& report) {
  std::atomic<bool> is_over{false};
  const auto repeat = [&](int processor, const std::function<void()>& once) {
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(processor, &only);
    if (::sched_setaffinity(0, sizeof only, &only) != 0) die("this takes two processors");
    ::prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    while (!is_over)
      once();
  };
  std::thread one([&] { repeat(0, first); });
  std::thread other([&] { repeat(1, second); });
  const Ticks before = ticks_now();
  std::this_thread::sleep_for(std::chrono::duration<double>(arguments.number("secs", 2)));
  const Ticks after = ticks_now();
  is_over = true;
  one.join();
  other.join();
  report.add(what + "_used", (after.used - before.used) / (after.all - before.all));
  report.add(what + "_stolen", (after.stolen - before.stolen) / (after.all - before.all));
}

void stolen(const Arguments& arguments, Report& report) {
  SyncedFile file(arguments);
  const auto nap = [] {
    const timespec time{0, 50'000};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  };
  report_stolen(arguments, "woken", nap, nap, report);
  report_stolen(arguments, "woken_and_synced", nap, [&file] { file.write(); }, report);
}

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments(argc, argv);
  peers::Report report;
  report.add("mode", arguments.mode());
  std::vector<std::uint32_t> latencies;
  if (arguments.mode() == "pingpong") {
    latencies = peers::pingpong(arguments, [] {});
  } else if (arguments.mode() == "fdatasync") {
    peers::SyncedFile file(arguments);
    latencies = peers::time_each(arguments.number("secs", 2), [&file] { file.write(); });
  } else if (arguments.mode() == "synced-pingpong") {
    peers::SyncedFile file(arguments);
    latencies = peers::pingpong(arguments, [&file] { file.write(); });
  } else if (arguments.mode() == "stolen") {
    peers::stolen(arguments, report);
  } else {
    peers::die("no limit " + arguments.mode());
  }
  report.add_latencies(latencies);
  report.print();
  return 0;
}
