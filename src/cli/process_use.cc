// Reads /proc/PID; see process_use.h.
#include "cli/process_use.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <unistd.h>

namespace sluice::cli {
namespace {

/// The scheduler's nanoseconds; /proc/PID/stat counts in ticks of 10 ms, too coarse for short runs.
double thread_cpu_seconds(const std::filesystem::path& task) {
  std::ifstream file(task / "schedstat");
  double nanoseconds = 0;
  file >> nanoseconds;
  return nanoseconds / 1e9;
}

}  // namespace

std::optional<ProcessUse> process_use(pid_t pid) {
  const std::filesystem::path root = fmt::format("/proc/{}", pid);
  std::ifstream memory(root / "statm");
  std::uint64_t pages_total = 0;
  std::uint64_t pages_resident = 0;
  if (!(memory >> pages_total >> pages_resident)) return std::nullopt;
  ProcessUse use;
  use.memory_bytes = pages_resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(root / "task", error)) {
    use.cpu_seconds += thread_cpu_seconds(task.path());
  }
  if (error) return std::nullopt;
  return use;
}

}  // namespace sluice::cli
