// Opening a log that exists: what belongs to it, where it ends, whether it may be served. The rules
// are in format.h (THE END OF THE LOG, STARTING AGAIN).
#pragma once

#include "base/result.h"
#include "io/directory.h"
#include "journal/log.h"
#include "journal/scan.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace sluice::journal {

/// What a look at the headers and at the last segment says. Nothing is changed by it.
struct Survey {
  std::vector<SegmentFile> live;  ///< Without gaps; all headers valid. Empty: no log yet.
  // Files that are no part of the log:
  std::vector<std::uint32_t> dropped;  ///< In front of it; what says so need not be durable yet.
  std::vector<std::uint32_t> unborn;   ///< Behind it.
  std::uint64_t log_id = 0;
  std::uint64_t durable_upto = 0;   ///< D of format.h.
  std::uint32_t stop_offset = 0;    ///< Where reading the last segment stops,
  std::uint64_t stop_sequence = 0;  ///< and the sequence that was expected there (q).
  bool is_clean = false;            ///< Ends with a clean end, then zeros.
  std::uint64_t torn_bytes = 0;     ///< From the stop to the last byte that is not zero, about.
};

/// Errors: `io`, `corrupt`.
Result<Survey> survey(io::Directory& directory);

/// A segment that belongs to the log.
struct SegmentInfo {
  std::uint32_t number = 0;
  std::uint32_t end = 0;  ///< Offset behind its last frame.
  std::uint64_t first_sequence = 0;
};

/// A log that is ready to be appended to; everything in it is durable.
struct Recovered {
  std::uint64_t log_id = 0;
  std::vector<SegmentInfo> segments;  ///< At least one; the last is `file`.
  std::unique_ptr<io::File> file;
  std::uint64_t next_sequence = 1;
};

/// Reads the log and hands out its frames, then makes its end durable; creates a log in an empty
/// directory. Errors: those of Log::open() and of `on_frame`.
Result<Recovered> recover(io::Directory& directory,
                          const LogOptions& options,
                          const OnFrame& on_frame,
                          const OnProgress& on_progress);

}  // namespace sluice::journal
