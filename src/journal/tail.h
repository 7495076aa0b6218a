// The newest part of the log in memory: frames being appended, batches being written, and what was
// written last, kept for readers up to a limit. Memory is used again and again: a batch that is
// written is copied into the cache, so that the next one has its buffer, and what falls out of the
// cache makes room for what comes.
#pragma once

#include "base/bytes.h"
#include "base/pages.h"
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

  Position begin() const { return {segment, offset}; }

  ByteView content() const { return bytes.view(); }

  std::uint32_t end_offset() const { return offset + static_cast<std::uint32_t>(bytes.size()); }
};

/// Chunks in log order. Owner's thread only.
class Tail {
 public:
  explicit Tail(std::size_t bytes_max);

  /// A new, empty chunk at the end, for appending.
  std::shared_ptr<Chunk> add(std::uint32_t segment, std::uint32_t offset);
  /// Takes the last chunk away again; it is empty.
  void drop_last();
  /// The chunk was written; it is the oldest that was not. Its bytes stay readable until newer ones
  /// push them out.
  void retire(std::shared_ptr<Chunk> chunk);
  /// The bytes, if all of them are here. They live until the next call of a method.
  std::optional<ByteView> find(Position at, std::size_t size);

 private:
  /// What was written, in pieces as large as a batch or larger: a run of bytes of one segment.
  struct Block {
    std::uint32_t segment = 0;
    std::uint32_t offset = 0;
    std::size_t size = 0;
    Pages memory;

    Position begin() const { return {segment, offset}; }

    ByteView content() const { return {memory.data(), size}; }
  };

  void reuse(std::shared_ptr<Chunk> chunk);
  Block& block_for(const Chunk& chunk);
  Pages take_memory(std::size_t bytes);

  std::size_t bytes_max_;
  std::size_t block_bytes_;
  std::deque<Block> blocks_;
  std::size_t blocks_bytes_ = 0;               ///< Their memory, not their content.
  std::deque<std::shared_ptr<Chunk>> chunks_;  ///< Not written yet, behind all blocks.
  std::vector<std::shared_ptr<Chunk>> free_;
  const Block* last_found_ = nullptr;  ///< Readers go through the log in order.
};

}  // namespace sluice::journal
