// The log: an append-only sequence of opaque frames in numbered segment files. Group commit on the
// writing side, one sequential scan on the reading side, cleaning from the front. What a frame
// means is the engine's business. The bytes on disk: journal/format.h.
//
//   log.open_frame();  log.frame().append(bytes);  log.close_frame();     // engine thread
//   Batch batch = log.seal();                                           // engine thread
//   Result<void> written = log.write(batch, Sync::yes);                     // any thread, one at a
//   time log.retire(std::move(batch));                                       // engine thread; now
//   durable
//
// Threads: everything but write() belongs to the thread that owns the log; write() may run on
// another thread while the owner goes on to append, read and seal. At most one batch is being
// written at a time, in the order they were sealed.
//
// A failed write() is final (RELIABILITY rule 1): the log refuses every later write, the owner
// stops the process. It is never retried.
#pragma once

#include "base/bytes.h"
#include "base/position.h"
#include "base/result.h"
#include "io/directory.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::journal {

struct LogOptions {
  /// A segment is closed once it is at least this long; one frame may reach beyond. 4 KiB … 1 GiB.
  std::uint32_t segment_bytes = 64u << 20;
  /// How much of the newest log is kept in memory, so that jobs that are taken soon after they were
  /// pushed are never read back from disk.
  std::size_t tail_cache_bytes = 64u << 20;
  /// Makes the identity of a new log differ from that of every other, so that their bytes never
  /// pass for each other's. Any number that is unlikely to be used twice, the time for example.
  std::uint64_t identity_seed = 0;
};

enum class Sync : std::uint8_t { yes, no };

/// A run of frames in memory (journal/tail.h).
struct Chunk;

/// What a batch writes into one segment.
struct BatchPart {
  std::shared_ptr<const Chunk> chunk;  ///< Shared with the log, which reads back from it meanwhile.
  std::uint64_t first_sequence = 0;
};

/// Frames sealed together: written with one write per part and covered by one fdatasync.
struct Batch {
  std::vector<BatchPart> parts;
  Position end;  ///< The log's end behind this batch.
  bool is_synced = false;
  std::size_t bytes = 0;

  // For the log only.
  std::uint64_t end_sequence = 0;
  std::vector<std::uint32_t> removals;  ///< Dropped segments whose files may go.
  Position durable_end;                 ///< Set by write(): durable up to here
  std::uint64_t durable_sequence = 0;   ///< and up to this frame, if not 0.
};

/// Where recovery stands; called every 16 MiB of a scan and at its end.
struct ScanProgress {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t frames = 0;
};

/// Called for each intact frame in log order with the position of its payload's first byte. An
/// error stops the scan and is returned by open().
using OnFrame = std::function<Result<void>(Position, ByteView)>;
using OnProgress = std::function<void(const ScanProgress&)>;

class Log {
 public:
  /// Opens the log in `directory` (creating an empty one), takes its lock, reads every frame. A
  /// torn last batch is dropped; the verified rest of its segment is rewritten into a new segment
  /// and synced before this returns, and the torn file is never appended to (RELIABILITY S2, S3).
  /// Errors: `io`, `busy` (locked by another process), `corrupt` with file, offset and how many
  /// bytes would be lost.
  static Result<std::unique_ptr<Log>> open(io::Directory& directory,
                                           const LogOptions& options,
                                           const OnFrame& on_frame,
                                           const OnProgress& on_progress);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  Log(Log&&) = delete;
  Log& operator=(Log&&) = delete;

  // -- Appending. ------------------------------------------------------------------------------

  /// Starts a frame; closes the segment first if it is full. Returns the position that the first
  /// byte appended to frame() will have. One frame is open at a time.
  Position open_frame();
  /// Append the frame's payload here and nothing else; what was there before is the log's own.
  Buffer& frame();
  /// Ends the frame. An empty one leaves no trace. Returns whether something was appended.
  bool close_frame();
  /// The position behind the last closed frame.
  Position end() const;
  /// Bytes appended since the last seal().
  std::size_t unsealed_bytes() const;

  // -- Group commit. ---------------------------------------------------------------------------

  /// Takes everything appended since the last seal. The owner may go on appending at once.
  Batch seal();
  /// Writes the batch and, with Sync::yes, makes it and everything before it durable. Creates,
  /// preallocates and links segments as needed.
  /// An empty batch with Sync::yes makes durable what was written before. Errors: `io`; final.
  Result<void> write(Batch& batch, Sync sync);
  /// Gives the batch's memory to the tail cache and, if it was synced, advances durable_end().
  void retire(Batch batch);
  /// Everything before this position is on the disk. Engine thread.
  Position durable_end() const;
  /// Appends a mark that says how far the log is durable, for an idle log: with it even rot in the
  /// last batch is told from a torn write. Seal and write it (Sync::no is enough). False, and
  /// nothing is appended, if there is nothing new to say or not all frames are durable.
  bool mark_idle();
  /// Ends the log cleanly: writes and syncs what is not yet sealed and a mark that lets the next
  /// start go on in the same file. Optional: without it the next start rewrites the last batches.
  /// Requires that no batch is under way. The log takes no frames afterwards. Errors: `io`.
  Result<void> close();

  // -- Reading back. ---------------------------------------------------------------------------

  /// The `size` payload bytes at `at`, from whichever is cheapest: the open batch, the tail cache,
  /// a read-ahead block, the file. The view lives until the next call of any method. The frame's
  /// checksum is not verified again here: a record that is read back carries its own. Errors: `io`,
  /// `corrupt` (no such bytes).
  Result<ByteView> read(Position at, std::size_t size);

  // -- Cleaning. -------------------------------------------------------------------------------

  std::uint64_t bytes() const;  ///< Of all segments, as written (not as preallocated).
  std::size_t segment_count() const;
  std::uint32_t first_segment() const;  ///< Number of the oldest segment.
  /// Reads frames of the oldest segment from where the last call stopped, until about `budget`
  /// bytes are read or the segment ends. Returns true at its end. Only if segment_count() > 1.
  /// `on_frame` may append frames to the log. Returns false and reads nothing while a part of the
  /// segment is not yet written and retired. Errors: `io`, `corrupt`.
  Result<bool> scan_oldest(std::size_t budget, const OnFrame& on_frame);
  /// Takes the oldest segment out of the log. The owner has made sure that everything of it that
  /// still counts was appended again and is durable: checked against durable_end() >= `copies_end`.
  /// The file goes once a mark that says so is durable, with one of the next batches (write()
  /// unlinks it).
  Result<void> drop_oldest(Position copies_end);
  /// Whether files of dropped segments are still there.
  bool has_dropped_files() const;
  /// Whether the next batch will remove one of them; it may be an empty one.
  bool is_removal_due() const;

  // -- Backup. ---------------------------------------------------------------------------------

  /// A segment file and how many of its bytes belong to a consistent copy.
  struct Extent {
    std::string file;
    std::uint64_t bytes = 0;
  };

  /// The files that together hold the log up to durable_end(): copied up to their `bytes`, in any
  /// order, they are a log. None of them is removed before unpin(). Pins nest.
  std::vector<Extent> pin();
  void unpin();

 private:
  class Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Called with the bytes verified since the last call, about every MiB; false ends it early.
using OnVerified = std::function<bool(std::uint64_t bytes)>;

/// Reads a segment of a log that is in use from the device, past the page cache, and verifies every
/// frame of the extent. Any thread. Errors: `corrupt` with file and offset; `io`, also when the
/// segment has been removed since pin() named it.
Result<void> verify_segment(io::Directory& directory,
                            const Log::Extent& extent,
                            const OnVerified& on_verified);

/// Hands out the frames that Log::open() would, in the same order, and changes nothing. The last
/// ones are where they are, not where a new start would write them again. Errors: as Log::open().
Result<void> read_log(io::Directory& directory, const OnFrame& on_frame);

/// One finding of an offline check.
struct Finding {
  std::string file;
  std::uint64_t offset = 0;
  std::string what;
  bool is_fatal = false;  ///< The server would refuse to start.
};

struct CheckReport {
  std::vector<Finding> findings;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;
};

/// Reads a log without changing a byte of it and says everything that is wrong. `on_frame` gets
/// every intact frame. Errors: `io` only.
Result<CheckReport> check_log(io::Directory& directory, const OnFrame& on_frame);

/// Copies every intact frame of a damaged log into a new, healthy log in `target` (which must be
/// empty), and reports what was left behind.
Result<CheckReport> salvage_log(io::Directory& source, io::Directory& target);

}  // namespace sluice::journal
