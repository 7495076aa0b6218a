// A library for LD_PRELOAD that makes one system call of a process fail, come back short, or be the
// last thing that the process does.
//
// A test maps a file of the layout `Control`, names it in FAULT_CONTROL and starts the program; it
// arms a plan in that file before the start or at any later moment, and reads there what happened,
// also when the process was killed (faults.py). The plan names a kind of call and says which one of
// them, counted from the arming: so that a loop can go through N = 1, 2, 3, … until nothing is hit.
// The kinds are the names in the quotes below. Without a plan every call goes straight through.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace {

/// Shared with the test. The test writes the plan first and is_armed last.
struct Control {
  std::atomic<std::uint64_t> is_armed;
  std::atomic<std::uint64_t> seen;      ///< Calls that fit the plan since it was armed.
  std::atomic<std::uint64_t> injected;  ///< How many of them were tampered with.
  std::uint64_t nth;                    ///< The first of these, 1-based,
  std::uint64_t count;                  ///< and how many there are.
  std::uint64_t error;                  ///< For Action::fail.
  std::uint64_t action;
  char kind[16];   ///< Empty: calls of every kind are counted in `counts`, and go through.
  char path[256];  ///< Calls on files: only if the path contains this.

  struct Count {
    char kind[16];
    std::uint64_t calls;
  };

  Count counts[48];
  std::atomic_flag is_counting;
};

/// The letters are what the test writes.
enum class Action : char {
  none = 0,
  fail = 'f',         ///< Return -1 and the error.
  shorten = 's',      ///< Transfer half of the bytes.
  kill_before = 'b',  ///< SIGKILL instead of the call,
  kill_middle = 'm',  ///< after half of its bytes,
  kill_after = 'a',   ///< after the whole call.
};

Control* open_control() {
  const char* path = std::getenv("FAULT_CONTROL");
  if (path == nullptr) return nullptr;
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) std::abort();
  void* at = ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) std::abort();
  ::close(fd);
  return static_cast<Control*>(at);
}

/// Null until the library is set up: calls of other libraries' constructors go through.
Control* control = nullptr;

[[gnu::constructor]] void set_up() {
  control = open_control();
}

/// The function that this library stands in front of.
template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

/// What a call is about: an open file, or a name in an open directory.
struct Place {
  int fd = -1;
  const char* name = "";

  bool contains(const char* part) const {
    char link[32] = "/proc/self/fd/";
    char* end = link + std::strlen(link);
    char digits[12];
    int count = 0;
    for (int rest = fd; rest > 0 || count == 0; rest /= 10)
      digits[count++] = static_cast<char>('0' + rest % 10);
    while (count > 0)
      *end++ = digits[--count];
    *end = 0;
    char path[PATH_MAX + NAME_MAX + 2] = {};
    const ssize_t length = fd < 0 ? 0 : ::readlink(link, path, PATH_MAX);
    char* to = path + std::max<ssize_t>(length, 0);
    *to++ = '/';
    std::strncpy(to, name, NAME_MAX);
    return std::strstr(path, part) != nullptr;
  }
};

void count(const char* kind) {
  while (control->is_counting.test_and_set(std::memory_order_acquire)) {
  }
  for (Control::Count& each : control->counts) {
    if (each.kind[0] == 0) std::strncpy(each.kind, kind, sizeof each.kind - 1);
    if (std::strcmp(each.kind, kind) != 0) continue;
    ++each.calls;
    break;
  }
  control->is_counting.clear(std::memory_order_release);
}

/// What is to happen to this call. Allocates nothing: malloc asks, too.
Action plan(const char* kind, const Place* place = nullptr) {
  if (control == nullptr || control->is_armed.load(std::memory_order_acquire) == 0) {
    return Action::none;
  }
  const bool is_survey = control->kind[0] == 0;
  if (!is_survey && std::strcmp(kind, control->kind) != 0) return Action::none;
  const int saved = errno;
  const bool fits = place == nullptr || control->path[0] == 0 || place->contains(control->path);
  errno = saved;
  if (!fits) return Action::none;
  if (is_survey) count(kind);
  const std::uint64_t number = control->seen.fetch_add(1) + 1;
  if (is_survey || number < control->nth || number - control->nth >= control->count) {
    return Action::none;
  }
  control->injected.fetch_add(1);
  return static_cast<Action>(control->action);
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;)
    ::pause();
}

/// A call that happens as a whole or not at all. `real` does it.
template <class Real>
auto whole(const char* kind, const Place* place, Real real) -> decltype(real()) {
  switch (plan(kind, place)) {
    case Action::fail:
      errno = static_cast<int>(control->error);
      return -1;
    case Action::kill_before:
      die();
    case Action::kill_middle:
    case Action::kill_after:
      static_cast<void>(real());
      die();
    case Action::shorten:
    case Action::none:
      break;
  }
  return real();
}

/// A call that moves up to `size` bytes. `real` does it for the size that it is given.
template <class Real>
ssize_t transfer(const char* kind, const Place* place, std::size_t size, Real real) {
  switch (plan(kind, place)) {
    case Action::fail:
      errno = static_cast<int>(control->error);
      return -1;
    case Action::shorten:
      return real((size + 1) / 2);
    case Action::kill_before:
      die();
    case Action::kill_middle:
      static_cast<void>(real(size / 2));
      die();
    case Action::kill_after:
      static_cast<void>(real(size));
      die();
    case Action::none:
      break;
  }
  return real(size);
}

/// A call that answers a pointer. Null is its failure.
template <class Real>
void* allocation(Real real) {
  const Action action = plan("malloc");
  if (action == Action::none) return real();
  if (action == Action::kill_before) die();
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

extern "C" {

// -- Files and directories. ----------------------------------------------------------------------

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  static auto* const real = next<decltype(pwrite)>("pwrite");
  const Place place{fd};
  return transfer("pwrite", &place, size, [=](size_t n) { return real(fd, bytes, n, offset); });
}

ssize_t pread(int fd, void* bytes, size_t size, off_t offset) {
  static auto* const real = next<decltype(pread)>("pread");
  const Place place{fd};
  return transfer("pread", &place, size, [=](size_t n) { return real(fd, bytes, n, offset); });
}

int fdatasync(int fd) {
  static auto* const real = next<decltype(fdatasync)>("fdatasync");
  const Place place{fd};
  return whole("fdatasync", &place, [=] { return real(fd); });
}

int fsync(int fd) {
  static auto* const real = next<decltype(fsync)>("fsync");
  const Place place{fd};
  return whole("fsync", &place, [=] { return real(fd); });
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  static auto* const real = next<decltype(fallocate)>("fallocate");
  const Place place{fd};
  return whole("fallocate", &place, [=] { return real(fd, mode, offset, size); });
}

int ftruncate(int fd, off_t size) noexcept {
  static auto* const real = next<int(int, off_t)>("ftruncate");
  const Place place{fd};
  return whole("ftruncate", &place, [=] { return real(fd, size); });
}

int fstat(int fd, struct stat* facts) noexcept {
  static auto* const real = next<int(int, struct stat*)>("fstat");
  const Place place{fd};
  return whole("fstat", &place, [=] { return real(fd, facts); });
}

int fstatvfs(int fd, struct statvfs* facts) noexcept {
  static auto* const real = next<int(int, struct statvfs*)>("fstatvfs");
  const Place place{fd};
  return whole("fstatvfs", &place, [=] { return real(fd, facts); });
}

int flock(int fd, int operation) noexcept {
  static auto* const real = next<int(int, int)>("flock");
  const Place place{fd};
  return whole("flock", &place, [=] { return real(fd, operation); });
}

/// Kind "create" with O_CREAT, "open" without.
int openat(int directory, const char* name, int flags, ...) {
  static auto* const real = next<decltype(openat)>("openat");
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const Place place{directory, name};
  const char* kind = (flags & O_CREAT) != 0 ? "create" : "open";
  return whole(kind, &place, [=] { return real(directory, name, flags, mode); });
}

int unlinkat(int directory, const char* name, int flags) noexcept {
  static auto* const real = next<int(int, const char*, int)>("unlinkat");
  const Place place{directory, name};
  return whole("unlinkat", &place, [=] { return real(directory, name, flags); });
}

int renameat(int from, const char* name, int to, const char* new_name) noexcept {
  static auto* const real = next<int(int, const char*, int, const char*)>("renameat");
  const Place place{from, name};
  return whole("renameat", &place, [=] { return real(from, name, to, new_name); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = next<int(const char*, mode_t)>("mkdir");
  const Place place{-1, path};
  return whole("mkdir", &place, [=] { return real(path, mode); });
}

dirent* readdir(DIR* entries) {
  static auto* const real = next<decltype(readdir)>("readdir");
  const Place place{::dirfd(entries)};
  if (plan("readdir", &place) == Action::none) return real(entries);
  errno = static_cast<int>(control->error);
  return nullptr;
}

// -- Sockets. ------------------------------------------------------------------------------------

int socket(int domain, int type, int protocol) noexcept {
  static auto* const real = next<int(int, int, int)>("socket");
  return whole("socket", nullptr, [=] { return real(domain, type, protocol); });
}

int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  static auto* const real = next<int(int, const sockaddr*, socklen_t)>("bind");
  return whole("bind", nullptr, [=] { return real(fd, address, size); });
}

int listen(int fd, int backlog) noexcept {
  static auto* const real = next<int(int, int)>("listen");
  return whole("listen", nullptr, [=] { return real(fd, backlog); });
}

int accept(int fd, sockaddr* address, socklen_t* size) {
  static auto* const real = next<decltype(accept)>("accept");
  return whole("accept", nullptr, [=] { return real(fd, address, size); });
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t size) noexcept {
  static auto* const real = next<int(int, int, int, const void*, socklen_t)>("setsockopt");
  return whole("setsockopt", nullptr, [=] { return real(fd, level, option, value, size); });
}

ssize_t recv(int fd, void* bytes, size_t size, int flags) {
  static auto* const real = next<decltype(recv)>("recv");
  return transfer("recv", nullptr, size, [=](size_t n) { return real(fd, bytes, n, flags); });
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  static auto* const real = next<decltype(send)>("send");
  return transfer("send", nullptr, size, [=](size_t n) { return real(fd, bytes, n, flags); });
}

// -- Waiting and threads. ------------------------------------------------------------------------

int epoll_create1(int flags) noexcept {
  static auto* const real = next<int(int)>("epoll_create1");
  return whole("epoll_create", nullptr, [=] { return real(flags); });
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  static auto* const real = next<int(int, int, int, epoll_event*)>("epoll_ctl");
  return whole("epoll_ctl", nullptr, [=] { return real(epoll, operation, fd, event); });
}

int epoll_wait(int epoll, epoll_event* events, int count, int timeout) {
  static auto* const real = next<decltype(epoll_wait)>("epoll_wait");
  return whole("epoll_wait", nullptr, [=] { return real(epoll, events, count, timeout); });
}

int eventfd(unsigned count, int flags) noexcept {
  static auto* const real = next<int(unsigned, int)>("eventfd");
  return whole("eventfd", nullptr, [=] { return real(count, flags); });
}

int signalfd(int fd, const sigset_t* signals, int flags) noexcept {
  static auto* const real = next<int(int, const sigset_t*, int)>("signalfd");
  return whole("signalfd", nullptr, [=] { return real(fd, signals, flags); });
}

int timerfd_create(clockid_t clock, int flags) noexcept {
  static auto* const real = next<int(clockid_t, int)>("timerfd_create");
  return whole("timerfd", nullptr, [=] { return real(clock, flags); });
}

/// Answers its error instead of setting errno.
int pthread_create(pthread_t* thread,
                   const pthread_attr_t* attributes,
                   void* (*run)(void*),
                   void* argument) noexcept {
  static auto* const real =
      next<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  if (plan("thread") == Action::fail) return static_cast<int>(control->error);
  return real(thread, attributes, run, argument);
}

// -- Memory. glibc's own names: looking them up with dlsym() would itself allocate. ---------------

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) noexcept {
  return allocation([=] { return __libc_malloc(size); });
}

void* calloc(size_t count, size_t size) noexcept {
  return allocation([=] { return __libc_calloc(count, size); });
}

void* realloc(void* block, size_t size) noexcept {
  return allocation([=] { return __libc_realloc(block, size); });
}

void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return allocation([=] { return __libc_memalign(alignment, size); });
}

}  // extern "C"
