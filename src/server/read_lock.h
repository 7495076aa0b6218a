// Reading a data directory beside servers: one that is used is not read, one that is read is not
// served.
#pragma once

#include <optional>
#include <string>

namespace sluice::server {

/// Keeps servers out of a data directory while it is read: as long as this lives none can start
/// there. It shares the lock with other readers. Creates and changes nothing, so a directory that
/// no server has used yet (a backup) has no lock file to hold: then user() looks again.
class ReadLock {
 public:
  explicit ReadLock(const std::string& directory);
  ~ReadLock();
  ReadLock(const ReadLock&) = delete;
  ReadLock& operator=(const ReadLock&) = delete;
  ReadLock(ReadLock&&) = delete;
  ReadLock& operator=(ReadLock&&) = delete;

  /// The pid (as text, "unknown" if it did not say) of a server that was there first or that came
  /// while there was no lock file. Ask before reading and once more afterwards; nothing: what was
  /// read is sound.
  std::optional<std::string> user() const;

 private:
  std::string directory_;
  int file_;  ///< Of the lock file; -1: there was none.
  bool is_held_ = false;
};

}  // namespace sluice::server
