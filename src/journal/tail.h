// The newest part of the log in memory: frames being appended, batches being written, and what was
// written last, kept for readers up to a limit. Memory is used again and again: a batch's buffer
// becomes cache, and what falls out of the cache becomes the next batch's buffer.
#pragma once

#include "base/bytes.h"
#include "base/position.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace sluice::journal {

/// A run of bytes of one segment. Once it is sealed its bytes do not change until it is used again,
/// so the writing thread may read them while the owner does.
struct Chunk {
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
  Buffer bytes;
  bool is_retired = false;  ///< Written; may leave the cache. Touched by the owner only.
  bool is_block = false;    ///< Collects small batches.

  Position begin() const { return {segment, offset}; }

  std::uint32_t end_offset() const { return offset + static_cast<std::uint32_t>(bytes.size()); }
};

/// Chunks in log order. Owner's thread only.
class Tail {
 public:
  explicit Tail(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// A new, empty chunk at the end, for appending.
  std::shared_ptr<Chunk> add(std::uint32_t segment, std::uint32_t offset);
  /// Takes the last chunk away again; it is empty.
  void drop_last();
  /// The chunk was written. It stays readable, here or as a copy, until newer ones push it out.
  void retire(const std::shared_ptr<Chunk>& chunk);
  /// The bytes, if all of them are here. They live until the next call of a method.
  std::optional<ByteView> find(Position at, std::size_t size);

 private:
  using Chunks = std::deque<std::shared_ptr<Chunk>>;

  std::shared_ptr<Chunk> fresh();
  void reuse(std::shared_ptr<Chunk> chunk);
  void merge(const Chunks::iterator& small);
  void evict();

  std::size_t bytes_max_;
  std::size_t retired_bytes_ = 0;  ///< Memory, not content, of the retired chunks.
  Chunks chunks_;
  std::vector<std::shared_ptr<Chunk>> free_;
  Chunk* last_found_ = nullptr;  ///< Readers go through the log in order.
};

}  // namespace sluice::journal
