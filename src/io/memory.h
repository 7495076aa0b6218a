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

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace sluice::io {

class MemoryContent;
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

  enum class Accident : std::uint8_t { kill, power_loss };
  /// The accident happens within the `nth` call that changes something (1-based, counted from now):
  /// of a write a part is done, of the others all or nothing. Every later call fails until
  /// restart(), so that a process which does not notice its own end can do no more harm.
  void stop_at(std::uint64_t nth, Accident accident, std::uint64_t seed);
  /// Since an accident of stop_at(); crash() and kill() leave the directory up.
  bool is_down() const;
  void restart();

  enum class Call : std::uint8_t { write, sync, open, allocate, remove, read, list, size };
  /// The `nth` call (1-based, counted from now) of this kind fails with an `io` error; with
  /// `is_persistent` all later ones too. Directory syncs count as sync. A failing write leaves a
  /// part of its bytes behind.
  void fail_at(Call call, std::uint64_t nth, bool is_persistent = false);

  /// What a device may do behind a sync() of a file that it reports as done.
  enum class Lie : std::uint8_t {
    nothing_durable,   ///< Everything stays in a cache that power loss empties.
    stale_sector,      ///< One sector is not written.
    misplaced_sector,  ///< One sector is written to the place of another, of any file.
  };
  /// The `nth` sync() of a file (1-based, counted from now) lies; with `is_persistent` all later
  /// ones too.
  void lie_at(Lie lie, std::uint64_t nth, std::uint64_t seed, bool is_persistent = false);
  /// How many syncs have lied.
  std::uint64_t lies() const;
  /// Also ends lies and forgets a stop that has not happened.
  void clear_faults();
  /// Calls of this kind since construction or the last clear_faults().
  std::uint64_t calls(Call call) const;
  /// Total size of all files beyond which writes and allocations fail as on a full disk.
  void set_capacity(std::uint64_t bytes);
  void remove_capacity();
  /// Total size of all files.
  std::uint64_t taken_bytes() const;

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

  struct Plan {
    std::uint64_t calls = 0;
    std::uint64_t fail_at = 0;  ///< 0: never.
    bool is_persistent = false;

    bool count();
  };

  struct Stop {
    Plan plan;
    Accident accident = Accident::kill;
    std::mt19937_64 random;
  };

  struct Untruth {
    Plan plan;
    Lie lie = Lie::nothing_durable;
    std::mt19937_64 random;
  };

  using Content = std::shared_ptr<MemoryContent>;  // Shared by the names and files that lead to it.
  using Names = std::map<std::string, Content>;

  bool is_failing(Call call);

  /// Counts a call that changes something. True: an accident happens within it; the caller does
  /// what `is_done` or a random part says, then calls go_down().
  bool is_stopping() { return stop_ && stop_->plan.count(); }

  bool is_done() { return stop_->random() % 2 == 0; }

  void go_down();
  void lose_power(std::uint64_t seed);
  void die();
  std::uint64_t used_bytes() const;
  Result<void> write(MemoryContent& content,
                     std::uint64_t offset,
                     ByteView bytes,
                     const std::string& name);
  void sync(MemoryContent& content);
  void misplace(MemoryContent& content, std::uint64_t sector);

  mutable std::mutex mutex_;
  std::string name_;
  Names names_;             ///< As processes see them.
  Names durable_names_;     ///< As they would be found after a power loss.
  std::uint64_t life_ = 0;  ///< Files of an earlier life are dead.
  bool is_locked_ = false;
  bool is_down_ = false;
  std::optional<std::uint64_t> capacity_;
  std::array<Plan, 8> plans_;  ///< By Call.
  std::optional<Stop> stop_;
  std::optional<Untruth> untruth_;
  std::uint64_t lies_ = 0;
};

}  // namespace sluice::io
