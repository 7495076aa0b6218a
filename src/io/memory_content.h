// MemoryContent: what one file of io/memory.h holds, once as the page cache shows it and once as
// the device has it. Not thread-safe.
#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace sluice::io {

class MemoryContent {
 public:
  static constexpr std::size_t page_bytes = 4096;
  static constexpr std::size_t sector_bytes = 512;

  std::uint64_t size() const { return size_; }

  /// High-water mark of size since the last cut: what the file takes of the disk.
  std::uint64_t allocated() const { return allocated_; }

  // -- What processes do. ------------------------------------------------------------------------

  void write(std::uint64_t offset, ByteView bytes);
  std::size_t read(std::uint64_t offset, char* to, std::size_t wanted) const;
  void grow(std::uint64_t to);
  void cut(std::uint64_t to);

  // -- What the system does. ---------------------------------------------------------------------

  /// Every unsynced sector and the size reach the device.
  void make_durable();
  /// What Linux does when writeback fails: the pages are clean now, and nothing was written.
  void lose_dirty_marks();
  /// Clean sectors of the pages wholly within the first `bytes` are read from the device again.
  void forget_clean(std::uint64_t bytes);
  /// Decides for every unsynced sector and for the size; the cache is the device afterwards.
  void lose_power(std::mt19937_64& random);

  // -- What a bad device does. -------------------------------------------------------------------

  /// Number of a random sector that has bytes which differ from the device's; none: all is synced.
  std::optional<std::uint64_t> unsynced_sector(std::mt19937_64& random) const;
  /// Takes a sector for written that was not. Returns what it should have become.
  std::array<char, sector_bytes> skip_sector(std::uint64_t sector);
  /// Overwrites a sector on the device; the cache does not know.
  void overwrite_on_device(std::uint64_t sector, const std::array<char, sector_bytes>& bytes);
  /// Inverts bits of one byte, in the cache and on the device. Requires offset < size().
  void flip(std::uint64_t offset, std::uint8_t mask);

 private:
  static constexpr std::size_t sectors_per_page = page_bytes / sector_bytes;

  struct Page {
    std::array<char, page_bytes> cached{};
    std::array<char, page_bytes> durable{};
    std::uint8_t dirty = 0;  ///< One bit a sector.
  };

  Page& page(std::uint64_t number);
  void mark_dirty(std::uint64_t number, std::size_t at, std::size_t count);
  void zero_behind_end();

  std::vector<std::unique_ptr<Page>> pages_;  ///< Null: zeros on both sides.
  std::vector<std::uint64_t> dirty_pages_;    ///< At least those that have a dirty sector.
  std::uint64_t size_ = 0;
  std::uint64_t durable_size_ = 0;
  std::uint64_t allocated_ = 0;
};

}  // namespace sluice::io
