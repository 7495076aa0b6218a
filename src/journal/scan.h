// Reading segment files: frames in order at disk speed (FrameScanner), and frames anywhere behind a
// damaged place (FrameFinder).
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "io/directory.h"
#include "journal/format.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace sluice::journal {

/// A part of a segment file and what is needed to verify the frames in it.
struct SegmentRange {
  std::uint64_t salt = 0;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  /// For FrameFinder: how many bytes of other files lie between the first frame that is missing and
  /// `from`.
  std::uint64_t bytes_before = 0;
};

/// Walks consecutive intact frames from `range.from` up to `range.to`.
///
///   while (scanner.next()) use(scanner.header(), scanner.payload());
///   if (scanner.error()) …
///   if (scanner.offset() != range.to) … what follows is no intact frame with the next sequence
class FrameScanner {
 public:
  /// `file` outlives the scanner.
  FrameScanner(io::File& file, const SegmentRange& range, std::uint64_t next_sequence);

  /// Goes to the next frame; false at the end of the range, at bytes that are no intact frame with
  /// the expected sequence, and when reading failed.
  bool next() {
    if (limit_ - at_ < frame_header_bytes || !take_frame()) [[unlikely]] {
      return next_from_file();
    }
    return true;
  }

  /// Of the current frame; the payload's bytes live until the next call of next().
  const FrameHeader& header() const { return header_; }

  ByteView payload() const { return payload_; }

  std::uint32_t frame_offset() const { return frame_offset_; }

  /// Behind the current frame: where the next one starts, and the sequence it must have.
  std::uint32_t offset() const { return base_ + static_cast<std::uint32_t>(at_); }

  std::uint64_t next_sequence() const { return sequence_; }

  /// Why reading failed, if it did.
  const Error* error() const { return error_ ? &*error_ : nullptr; }

 private:
  bool take_frame();
  bool next_from_file();
  bool fill(std::size_t needed);

  io::File& file_;
  SegmentRange range_;
  std::uint64_t sequence_;
  Buffer buffer_;          ///< Bytes of the file from base_ on.
  std::uint32_t base_;     ///< Offset in the file of the buffer's first byte.
  std::size_t at_ = 0;     ///< The next frame, in the buffer.
  std::size_t limit_ = 0;  ///< Bytes in the buffer.
  bool is_short_ = false;  ///< take_frame() needs more of the file.
  std::size_t needed_ = 0;
  FrameHeader header_;
  ByteView payload_;
  std::uint32_t frame_offset_ = 0;
  std::optional<Error> error_;
};

/// Looks for intact frames at every offset of a range: behind a damaged frame the lengths lead
/// nowhere.
///
/// Payloads are other people's bytes and may look like the header of a long frame at every offset.
/// Hashing each of them would take the square of the range, hours for a segment. Real frames do not
/// overlap, so all of them together are hashed once: whoever needs verify_factor times that is
/// being fooled, and next() gives up. The time is so bounded by the length of the range.
class FrameFinder {
 public:
  static constexpr std::uint64_t verify_factor = 64;

  struct Found {
    FrameHeader header;
    std::uint32_t offset = 0;
  };

  /// Frames with a sequence below `sequence_min` are not wanted; how many can fit in front of them
  /// bounds the others.
  FrameFinder(io::File& file, const SegmentRange& range, std::uint64_t sequence_min);
  /// Looks for the next intact frame in the file's order; false if there is none. Errors: `io`;
  /// `corrupt` if it has given up.
  Result<bool> next();

  /// What next() found.
  const Found& found() const { return found_; }

 private:
  Result<bool> fill(std::uint32_t offset);
  Result<bool> verify(std::uint32_t offset);
  bool is_possible(const FrameHeader& header, std::uint32_t offset) const;

  io::File& file_;
  SegmentRange range_;
  std::uint64_t sequence_min_;
  std::uint64_t sequence_max_;
  std::uint64_t verify_bytes_left_;
  std::uint32_t at_;
  Buffer window_;
  std::uint32_t window_start_ = 0;
  Buffer large_;
  Found found_;
};

/// An error `corrupt` that names the place. `what`: what is wrong there, and what to do.
tl::unexpected<Error> damaged_at(const io::Directory& directory,
                                 std::uint32_t segment,
                                 std::uint64_t offset,
                                 const std::string& what);

/// Whether the file has nothing but zeros from `from` to `to`.
Result<bool> is_zero(io::File& file, std::uint64_t from, std::uint64_t to);

/// A segment file as it was found.
struct SegmentFile {
  std::uint32_t number = 0;
  std::uint64_t size = 0;
  std::uint64_t data_end = 0;  ///< Only zeros follow.
  DecodedHeader decoded;

  bool is_valid() const { return decoded.state == HeaderState::valid; }

  const SegmentHeader& header() const { return decoded.header; }
};

/// All segment files of the directory by number, their headers read.
Result<std::vector<SegmentFile>> list_segments(io::Directory& directory);

/// What is reserved for a segment of `segment_bytes`. The last frame of a segment reaches beyond
/// its length, and must not need more of a disk that is full by then: acks are small.
constexpr std::uint64_t reserved_bytes(std::uint32_t segment_bytes) {
  constexpr std::uint32_t room_min = 4u << 10;
  constexpr std::uint32_t room_max = 1u << 20;
  return std::uint64_t{segment_bytes} + std::clamp(segment_bytes / 8, room_min, room_max);
}

/// Creates the file of a segment, reserves its space and makes its name durable: then its content
/// may be written (format.h, WHAT IS DURABLE WHEN).
Result<std::unique_ptr<io::File>> create_segment(io::Directory& directory,
                                                 std::uint32_t number,
                                                 std::uint32_t segment_bytes);

}  // namespace sluice::journal
