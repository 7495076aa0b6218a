// Reading back old frames from segment files through a few aligned blocks, so that going through a
// backlog in log order costs one pread a block.
#pragma once

#include "base/bytes.h"
#include "base/position.h"
#include "base/result.h"
#include "io/directory.h"

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

  Result<Block*> block(Position begin, std::size_t needed, std::uint32_t written_end);
  Result<io::File*> file(std::uint32_t segment);

  io::Directory& directory_;
  std::vector<Block> blocks_;
  std::vector<OpenFile> files_;
  Buffer large_;
  std::uint64_t uses_ = 0;
};

}  // namespace sluice::journal
