// Asks the lock file of io::Directory::lock() whether somebody holds it.
#include "server/data_user.h"

#include "io/posix.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace sluice::server {

std::optional<std::string> data_user(const std::string& directory) {
  const std::string path = directory + "/" + io::lock_file_name;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return std::nullopt;
  // Shared: two who ask do not see each other. Released by close().
  const bool is_held = ::flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  std::string pid;
  if (is_held) {
    std::array<char, 32> text{};
    const ssize_t count = ::pread(file, text.data(), text.size(), 0);
    for (ssize_t i = 0; i < count; ++i) {
      const char c = text[static_cast<std::size_t>(i)];
      if (c >= '0' && c <= '9') pid += c;
    }
    if (pid.empty()) pid = "unknown";
  }
  ::close(file);
  if (!is_held) return std::nullopt;
  return pid;
}

}  // namespace sluice::server
