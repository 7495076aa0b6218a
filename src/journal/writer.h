// The writing half of the log: puts sealed batches on the disk. It belongs to the thread that calls
// Log::write() and shares nothing with the owner but the batch at hand.
#pragma once

#include "base/result.h"
#include "io/directory.h"
#include "journal/log.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace sluice::journal {

class Writer {
 public:
  /// Goes on in `file`, which is segment `segment`, is allocated and has nothing but zeros from
  /// `end` on. `directory` outlives the writer.
  Writer(io::Directory& directory,
         const LogOptions& options,
         std::unique_ptr<io::File> file,
         std::uint32_t segment,
         std::uint32_t end);

  /// See Log::write().
  Result<void> write(Batch& batch, Sync sync);
  /// Takes back the segment that was created ahead; nothing is written afterwards. Should its file
  /// stay, the next start removes it.
  void discard_next();

 private:
  Result<void> write_parts(Batch& batch);
  Result<void> begin_segment(const BatchPart& part, Batch& batch);
  Result<void> write_zeros_ahead(std::uint32_t end);
  void prepare_next();
  Result<void> sync_file();
  Result<void> remove_dropped(Batch& batch);

  io::Directory& directory_;
  std::uint32_t segment_bytes_;
  std::unique_ptr<io::File> file_;
  std::uint32_t segment_;
  std::uint32_t end_;
  std::uint32_t zeroed_end_;             ///< Up to here blocks are written, by frames or by zeros.
  std::unique_ptr<io::File> next_;       ///< Segment segment_ + 1, created ahead of its use.
  std::optional<Error> prepare_failed_;  ///< Why next_ could not be created ahead.
  bool is_dirty_ = false;
  std::optional<Error> failed_;  ///< Final.
};

}  // namespace sluice::journal
