// Asks the lock file of io::Directory::lock() whether somebody holds it, or shares it.
#include "server/read_lock.h"

#include "io/posix.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace sluice::server {
namespace {

std::string pid_in(int file) {
  std::array<char, 32> text{};
  const ssize_t count = ::pread(file, text.data(), text.size(), 0);
  std::string pid;
  for (ssize_t i = 0; i < count; ++i) {
    const char c = text[static_cast<std::size_t>(i)];
    if (c >= '0' && c <= '9') pid += c;
  }
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

ReadLock::ReadLock(const std::string& directory)
    : directory_(directory),
      file_(::open((directory + "/" + io::lock_file_name).c_str(),
                   O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) {
  // Shared: two who read do not see each other. Released by close().
  is_held_ = file_ >= 0 && (::flock(file_, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK);
}

ReadLock::~ReadLock() {
  if (file_ >= 0) ::close(file_);
}

std::optional<std::string> ReadLock::user() const {
  if (is_held_) return std::nullopt;
  if (file_ >= 0) return pid_in(file_);
  // A server makes the file before it changes anything else, and never removes it.
  const ReadLock now(directory_);
  if (now.file_ < 0) return std::nullopt;
  return pid_in(now.file_);
}

}  // namespace sluice::server
