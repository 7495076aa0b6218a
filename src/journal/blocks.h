// Reading back old frames from segment files. Going through a backlog in log order costs one pread
// a block; a read out of order (a delayed job, a priority) costs one of its own size.
#pragma once

#include "base/bytes.h"
#include "base/position.h"
#include "base/result.h"
#include "io/directory.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace sluice::journal {

/// Owner's thread only; the files may be appended to by another meanwhile.
class BlockReader {
 public:
  /// `directory` outlives the reader.
  explicit BlockReader(io::Directory& directory) : directory_(directory) {}

  /// The bytes, of which none is at or behind `written_end`: the segment is written up to there and
  /// no further. They live until the next call. Errors: `io`, `corrupt` if the file is too short.
  Result<ByteView> read(Position at, std::size_t size, std::uint32_t written_end);
  /// Closes the segment's file and forgets its blocks.
  void forget(std::uint32_t segment);

 private:
  struct Block {
    Position begin;
    Buffer bytes;
    std::uint64_t last_use = 0;
  };

  struct OpenFile {
    std::uint32_t segment = 0;
    std::unique_ptr<io::File> file;
    std::uint64_t last_use = 0;
  };

  bool is_in_order(Position begin);
  Block* find(Position begin, std::size_t needed);
  Result<ByteView> read_alone(Position at, std::size_t size);
  Result<Block*> block(Position begin, std::size_t needed, std::uint32_t written_end);
  Result<io::File*> file(std::uint32_t segment);

  io::Directory& directory_;
  std::vector<Block> blocks_;
  std::vector<OpenFile> files_;
  Buffer alone_;                       ///< What is not in one block.
  std::array<Position, 32> missed_{};  ///< Blocks that were asked for and not read, a ring.
  std::size_t next_missed_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace sluice::journal
