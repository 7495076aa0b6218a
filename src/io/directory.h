// The operating system's file system as a parameter: File and Directory. Implementations: posix
// (io/posix.h), in memory with power loss and faults on command (io/memory.h).
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sluice::io {

/// An open file. Offsets and sizes in bytes. Not thread-safe, except that positioned reads may run
/// beside one writer.
class File {
 public:
  virtual ~File() = default;
  /// Writes all of `bytes` or fails. Interrupted and short writes are continued.
  virtual Result<void> write_at(std::uint64_t offset, ByteView bytes) = 0;
  /// Reads up to `size` bytes into `to`; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, char* to, std::size_t size) = 0;
  /// fdatasync: content and size. A failure is final for this file (never call it again).
  virtual Result<void> sync() = 0;
  /// Reserves blocks and extends the size to at least `size`; new bytes read as zero.
  virtual Result<void> allocate(std::uint64_t size) = 0;
  /// Cuts the file to `size` bytes and gives the rest back to the file system.
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;

  /// Where the last bytes that are not zero end at the latest, found without reading: what was only
  /// reserved lies behind it. size() where the file system cannot say.
  virtual Result<std::uint64_t> data_end() { return size(); }

  /// Drops clean cached pages, so that the next read comes from the device.
  virtual void forget_cache() = 0;
  /// The same for pages that lie wholly within the first `bytes`. The page in which a file that
  /// grows ends has to stay: to write into it, it would have to be read first.
  virtual void forget_front(std::uint64_t bytes) = 0;
};

enum class OpenMode : std::uint8_t {
  create_new,  ///< Fails if it exists.
  read_write,  ///< Must exist.
  read_only,
};

/// One directory of plain files. Names have no slash. Any thread may call any method; a File
/// belongs to one thread at a time, with the exception that File names.
class Directory {
 public:
  virtual ~Directory() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& name, OpenMode mode) = 0;
  virtual Result<std::vector<std::string>> list() = 0;
  virtual Result<void> remove(const std::string& name) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  /// fsync of the directory itself: created, renamed and removed names are durable after it.
  virtual Result<void> sync() = 0;
  /// An exclusive lock that lives as long as the Directory. Error `busy` with the holder's pid if
  /// another process has it, or says that it is being read.
  virtual Result<void> lock() = 0;
  /// Free bytes of the file system for ordinary users.
  virtual Result<std::uint64_t> free_bytes() = 0;
  /// For messages: the path, or a name for the in-memory one.
  virtual std::string path() const = 0;
};

}  // namespace sluice::io
