// Linux behind io/directory.h: plain system calls, continued when interrupted, errors with names.
#include "io/posix.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace sluice::io {
namespace {

constexpr mode_t file_mode = 0600;
constexpr mode_t directory_mode = 0700;

/// "cannot write 4096 bytes at 512 to /data/1.seg: No space left on device"
tl::unexpected<Error> failed(const std::string& what, const std::string& path, int error) {
  return fail(ErrorCode::io,
              "cannot " + what + " " + path + ": " + std::generic_category().message(error));
}

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}

  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  ~Descriptor() {
    // Nothing to do about an error: what had to be durable was synced, which reports it.
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }

  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

int open_retrying(int directory, const char* name, int flags, mode_t mode) {
  for (;;) {
    const int fd = ::openat(directory, name, flags | O_CLOEXEC, mode);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    const char* at = bytes.data();
    std::size_t left = bytes.size();
    while (left > 0) {
      const ssize_t count = ::pwrite(fd_.get(), at, left, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      // A device that takes nothing and names no reason would be asked forever.
      if (count <= 0) {
        return failed(
            "write " + std::to_string(left) + " bytes at " + std::to_string(offset) + " to",
            path_,
            count == 0 ? ENOSPC : errno);
      }
      at += count;
      offset += static_cast<std::uint64_t>(count);
      left -= static_cast<std::size_t>(count);
    }
    return {};
  }

  Result<std::size_t> read_at(std::uint64_t offset, char* to, std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t count =
          ::pread(fd_.get(), to + done, size - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        return failed(
            "read " + std::to_string(size) + " bytes at " + std::to_string(offset) + " of",
            path_,
            errno);
      }
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Result<void> sync() override {
    // Not retried on EINTR either: whether the pages are clean or written is unknown by then.
    if (::fdatasync(fd_.get()) != 0) return failed("sync", path_, errno);
    return {};
  }

  Result<void> allocate(std::uint64_t size) override {
    const Result<std::uint64_t> now = this->size();
    if (!now) return tl::unexpected<Error>(now.error());
    if (*now >= size) return {};
    int error = EINTR;
    while (error == EINTR) {
      error = ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size)) == 0 ? 0 : errno;
    }
    if (error == EOPNOTSUPP || error == ENOSYS) return fill_with_zeros(*now, size);
    if (error != 0) return failed("reserve " + std::to_string(size) + " bytes for", path_, error);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    int error = EINTR;
    while (error == EINTR) {
      error = ::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0 ? 0 : errno;
    }
    if (error != 0) return failed("cut to " + std::to_string(size) + " bytes", path_, error);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat facts{};
    if (::fstat(fd_.get(), &facts) != 0) return failed("ask for the size of", path_, errno);
    return static_cast<std::uint64_t>(facts.st_size);
  }

  Result<std::uint64_t> data_end() override {
    off_t end = 0;
    for (;;) {
      const off_t data = ::lseek(fd_.get(), end, SEEK_DATA);
      if (data < 0) return errno == ENXIO ? Result<std::uint64_t>(end) : size();
      end = ::lseek(fd_.get(), data, SEEK_HOLE);
      if (end < 0) return size();
    }
  }

  void forget_cache() override {
    // Advice: when the kernel cannot follow it the file is read from the cache as always.
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  }

  void forget_front(std::uint64_t bytes) override {
    // The kernel keeps a page that is only partly in the range; a range of none is the whole file.
    if (bytes == 0) return;
    ::posix_fadvise(fd_.get(), 0, static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
  }

 private:
  /// For file systems without fallocate(). Unlike glibc's posix_fallocate() it writes every byte,
  /// so that the space is really there.
  Result<void> fill_with_zeros(std::uint64_t from, std::uint64_t to) {
    static constexpr std::array<char, 64 * 1024> zeros{};
    while (from < to) {
      const std::size_t count = std::min(
          zeros.size(), static_cast<std::size_t>(std::min<std::uint64_t>(to - from, zeros.size())));
      if (Result<void> written = write_at(from, {zeros.data(), count}); !written) return written;
      from += count;
    }
    return {};
  }

  Descriptor fd_;
  std::string path_;
};

class PosixDirectory final : public Directory {
 public:
  PosixDirectory(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::unique_ptr<File>> open(const std::string& name, OpenMode mode) override {
    int flags = O_RDONLY;
    switch (mode) {
      case OpenMode::create_new:
        flags = O_RDWR | O_CREAT | O_EXCL;
        break;
      case OpenMode::read_write:
        flags = O_RDWR;
        break;
      case OpenMode::read_only:
        flags = O_RDONLY;
        break;
    }
    Descriptor fd(open_retrying(fd_.get(), name.c_str(), flags | O_NOFOLLOW, file_mode));
    if (!fd.is_open()) {
      return failed(mode == OpenMode::create_new ? "create" : "open", full(name), errno);
    }
    return std::make_unique<PosixFile>(std::move(fd), full(name));
  }

  Result<std::vector<std::string>> list() override {
    // A descriptor of its own: a DIR owns its descriptor and moves its offset.
    const int fd = open_retrying(fd_.get(), ".", O_RDONLY | O_DIRECTORY, 0);
    DIR* entries = fd < 0 ? nullptr : ::fdopendir(fd);
    if (entries == nullptr) {
      const int error = errno;
      if (fd >= 0) ::close(fd);
      return failed("list", path_, error);
    }
    std::vector<std::string> names;
    errno = 0;
    // Each thread has its own DIR, which is what readdir() needs to be safe on Linux.
    while (const dirent* entry = ::readdir(entries)) {  // NOLINT(concurrency-mt-unsafe)
      std::string name(static_cast<const char*>(entry->d_name));
      if (name != "." && name != "..") names.push_back(std::move(name));
      errno = 0;
    }
    const int error = errno;
    ::closedir(entries);
    if (error != 0) return failed("list", path_, error);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> remove(const std::string& name) override {
    if (::unlinkat(fd_.get(), name.c_str(), 0) != 0) return failed("remove", full(name), errno);
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0) {
      return failed("rename to " + to + " the file", full(from), errno);
    }
    return {};
  }

  Result<void> sync() override {
    if (::fsync(fd_.get()) != 0) return failed("sync directory", path_, errno);
    return {};
  }

  Result<void> lock() override {
    Descriptor fd(
        open_retrying(fd_.get(), lock_file_name, O_RDWR | O_CREAT | O_NOFOLLOW, file_mode));
    if (!fd.is_open()) return failed("create the lock file", full(lock_file_name), errno);
    int error = EINTR;
    while (error == EINTR)
      error = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (error == EWOULDBLOCK) return in_use(fd.get());
    if (error != 0) return failed("lock", full(lock_file_name), error);
    const std::string pid = std::to_string(::getpid()) + "\n";
    // The lock is the flock; the text is for people, so a full disk must not prevent a start.
    if (::ftruncate(fd.get(), 0) == 0) {
      [[maybe_unused]] const ssize_t count = ::pwrite(fd.get(), pid.data(), pid.size(), 0);
    }
    lock_ = std::move(fd);
    return {};
  }

  Result<std::uint64_t> free_bytes() override {
    struct statvfs facts{};
    int error = EINTR;
    while (error == EINTR)
      error = ::fstatvfs(fd_.get(), &facts) == 0 ? 0 : errno;
    if (error != 0) return failed("ask for the free space of", path_, error);
    return std::uint64_t{facts.f_bavail} * facts.f_frsize;
  }

  std::string path() const override { return path_; }

 private:
  std::string full(const std::string& name) const { return path_ + "/" + name; }

  tl::unexpected<Error> in_use(int fd) const {
    // Readers share the lock and do not write who they are.
    const bool is_read = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
    const std::string user =
        is_read ? "being read by `sluice check`" : "in use by process " + holder(fd);
    return fail(ErrorCode::busy,
                "directory " + path_ + " is " + user + " (" + full(lock_file_name) +
                    " is locked); " + (is_read ? "wait until it ends" : "stop it") +
                    " or use another directory");
  }

  static std::string holder(int fd) {
    std::array<char, 32> text{};
    const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
    std::string pid(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    while (!pid.empty() && (pid.back() < '0' || pid.back() > '9'))
      pid.pop_back();
    return pid.empty() ? "(unknown)" : pid;
  }

  Descriptor fd_;
  Descriptor lock_{-1};
  std::string path_;
};

Result<void> sync_directory(const std::string& path) {
  const Descriptor fd(open_retrying(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY, 0));
  if (!fd.is_open()) return failed("open directory", path, errno);
  if (::fsync(fd.get()) != 0) return failed("sync directory", path, errno);
  return {};
}

/// mkdir -p, with an fsync of the parent of everything it made.
Result<void> make_directories(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (::mkdir(prefix.c_str(), directory_mode) == 0) {
      const std::size_t slash = prefix.rfind('/');
      const std::string parent = slash == std::string::npos ? "."
                                 : slash == 0               ? "/"
                                                            : prefix.substr(0, slash);
      if (Result<void> synced = sync_directory(parent); !synced) return synced;
    } else if (errno != EEXIST) {
      return failed("create directory", prefix, errno);
    }
    if (end == std::string::npos) return {};
  }
}

timespec read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);  // Cannot fail: both clocks exist since Linux 2.6.39.
  return now;
}

Duration milliseconds(const timespec& time) {
  return std::chrono::duration_cast<Duration>(std::chrono::seconds(time.tv_sec) +
                                              std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace

Result<std::unique_ptr<Directory>> open_existing_directory(const std::string& path) {
  Descriptor fd(open_retrying(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY, 0));
  if (!fd.is_open()) return failed("open directory", path, errno);
  return std::make_unique<PosixDirectory>(std::move(fd), path);
}

Result<std::unique_ptr<Directory>> open_directory(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/')
    trimmed.pop_back();
  if (trimmed.empty()) return fail(ErrorCode::arg, "the name of the directory is empty");
  if (Result<void> made = make_directories(trimmed); !made) {
    return tl::unexpected<Error>(made.error());
  }
  return open_existing_directory(trimmed);
}

Duration SystemClock::since_boot() {
  return milliseconds(read_clock(CLOCK_BOOTTIME));
}

WallTime SystemClock::wall() {
  return WallTime(milliseconds(read_clock(CLOCK_REALTIME)));
}

}  // namespace sluice::io
