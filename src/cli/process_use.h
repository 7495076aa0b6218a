// What a process of this machine has used: CPU time and memory, from /proc.
#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

namespace sluice::cli {

struct ProcessUse {
  double cpu_seconds = 0;          ///< User and system time of its living threads.
  std::uint64_t memory_bytes = 0;  ///< Resident.
};

/// Empty when there is no such process (any more).
std::optional<ProcessUse> process_use(pid_t pid);

}  // namespace sluice::cli
