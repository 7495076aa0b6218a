// A directory in memory that can lose power, run full, fail on command and rot: what tests and the
// simulator put under the journal.
//
// The model is that of Linux with a strict reading of POSIX. A write goes to the page cache;
// sync() brings a file's content and size to the device; a new, removed or renamed name is durable
// after the directory's sync() only. At crash() each unsynced 512-byte sector is kept, dropped or
// torn, each size and each name is kept or lost on its own. A torn sector has old, new or random
// bytes where old and new differ; where they do not, nothing changes ("powersafe overwrite", which
// SQLite relies on, too: appending to a sector does not endanger the bytes before). A sync() that
// fails marks the pages clean: they read as new until forget_cache(), and no later sync() brings
// them to the device.
#pragma once

#include "io/directory.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace sluice::io {

class MemoryFile;

class MemoryDirectory final : public Directory {
 public:
  explicit MemoryDirectory(std::string name = "memory");
  ~MemoryDirectory() override;

  Result<std::unique_ptr<File>> open(const std::string& name, OpenMode mode) override;
  Result<std::vector<std::string>> list() override;
  Result<void> remove(const std::string& name) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> sync() override;
  Result<void> lock() override;
  Result<std::uint64_t> free_bytes() override;
  std::string path() const override;

  // -- Accidents. ------------------------------------------------------------------------------

  /// Power loss. Open files answer `io` errors from now on and the lock is free. What was not
  /// synced meets the fate that `seed` draws.
  void crash(std::uint64_t seed);
  /// The process dies, the system lives: as crash(), but everything written stays as written.
  void kill();

  enum class Call : std::uint8_t { write, sync, open, allocate, remove, read };
  /// The `nth` call (1-based, counted from now) of this kind fails with an `io` error; with
  /// `is_persistent` all later ones too. Directory syncs count as sync. A failing write leaves a
  /// part of its bytes behind.
  void fail_at(Call call, std::uint64_t nth, bool is_persistent = false);
  void clear_faults();
  /// Calls of this kind since construction or the last clear_faults().
  std::uint64_t calls(Call call) const;
  /// Total size of all files beyond which writes and allocations fail as on a full disk.
  void set_capacity(std::uint64_t bytes);

  // -- Looking and tampering, both past the page cache. -----------------------------------------

  bool contains(const std::string& name) const;
  /// The content as a reader sees it now.
  std::string content(const std::string& name) const;
  /// Replaces (or creates) a file, durably.
  void put(const std::string& name, ByteView content);
  /// Rot: inverts bits of one stored byte, in the cache and on the device.
  void flip(const std::string& name, std::uint64_t offset, std::uint8_t mask);
  /// Deletes a file durably, as a careless administrator would.
  void lose(const std::string& name);

 private:
  friend class MemoryFile;
  struct Node;

  struct Plan {
    std::uint64_t calls = 0;
    std::uint64_t fail_at = 0;  ///< 0: never.
    bool is_persistent = false;
  };

  using Names = std::map<std::string, std::shared_ptr<Node>>;

  bool is_failing(Call call);
  std::uint64_t used_bytes() const;
  Result<void> write(Node& node, std::uint64_t offset, ByteView bytes, const std::string& name);

  mutable std::mutex mutex_;
  std::string name_;
  Names names_;             ///< As processes see them.
  Names durable_names_;     ///< As they would be found after a power loss.
  std::uint64_t life_ = 0;  ///< Files of an earlier life are dead.
  bool is_locked_ = false;
  std::optional<std::uint64_t> capacity_;
  std::map<Call, Plan> plans_;
};

}  // namespace sluice::io
