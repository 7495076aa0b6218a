// The real file system and the real clocks of Linux behind io::Directory, io::File and io::Clock.
//
// Files are created with mode 0600 and directories with 0700: a journal holds what users handed
// over in confidence. Every error says what was tried, on which path, and what the system answered.
#pragma once

#include "io/clock.h"
#include "io/directory.h"

#include <memory>
#include <string>

namespace sluice::io {

/// Opens the directory, creating it and its missing parents; each new name is made durable by an
/// fsync of the directory that holds it. Errors: `io`.
Result<std::unique_ptr<Directory>> open_directory(const std::string& path);

/// Opens a directory that must exist and changes nothing. Errors: `io`.
Result<std::unique_ptr<Directory>> open_existing_directory(const std::string& path);

/// CLOCK_BOOTTIME and CLOCK_REALTIME.
class SystemClock final : public Clock {
 public:
  Duration since_boot() override;
  WallTime wall() override;
};

/// The name of the file that Directory::lock() locks; it holds the owner's pid as text.
inline constexpr const char* lock_file_name = "LOCK";

}  // namespace sluice::io
