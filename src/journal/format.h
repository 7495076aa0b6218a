// The bytes of the log on disk. This page is the specification; the code below it follows it.
//
// A log is a directory of segment files (and the file LOCK, io/posix.h). All numbers are
// little-endian and unsigned. XXH3 is the 64-bit hash of that name with seed 0.
//
// SEGMENT FILE. Its name is the segment's number in 16 lower-case hexadecimal digits and ".seg".
// Numbers start at 1 and have no gaps; the oldest segments are removed from the front. A file is a
// header, frames without gaps between them, then zeros up to its preallocated size.
//
//   SEGMENT HEADER, 64 bytes
//     0   8  magic "SluiceLg"
//     8   4  version of this format: 1
//    12   4  created_by: version of the writing program, major<<16 | minor<<8 | patch. Information
//    16   8  log_id: the same in all segments of a log, different between logs
//    24   8  number of the segment, as in the file name
//    32   8  first_sequence: the sequence number of the first frame in this segment
//    40   4  previous_end: where the segment before this one ends, in bytes. Frames behind it do
//    not
//            count. 0 if there was no segment before
//    44   4  oldest_segment: no segment below this number belongs to the log
//    48   8  zero
//    56   8  XXH3 of bytes 0..55
//
//   FRAME, 24 bytes and the payload
//     0   8  checksum: XXH3 of the frame from byte 8 to its end, XOR place(log_id, segment, offset)
//            (below), where offset is the frame's in its file. Bytes that were meant for another
//            place, another segment or another log, or are left over from them, never pass
//     8   4  bits 0..29 length of the payload; bit 31: a mark; bit 30: that mark is a clean end
//    12   4  lag: this frame's sequence - lag = durable_upto, the sequence up to which (exclusive)
//            all frames were known to be durable when this one was closed. Saturates
//    16   8  sequence: 1 for the first frame of the log, then consecutive through all segments
//    24   …  the payload: the engine's bytes; in a mark either nothing or, 4 bytes, the number of
//            the segment that is the oldest from here on (as oldest_segment above)
//
// Marks are the log's own frames. They are not handed to the engine.
//
// WHAT IS DURABLE WHEN
//   - A new file is created, preallocated, and its directory synced before anything is written in
//   it.
//   - Its header is written together with its first frames and counts from the same fdatasync on.
//   - Before the first byte is written to a segment, the one before it is completely durable. So
//     only the last segment that has a valid header can have a torn end: in all others every frame
//     up to the next one's previous_end must be intact.
//   - A file that has no valid header is not yet part of the log if it is behind all that have.
//   - The disk may tear a sector that is being written, but leaves those of its bytes alone that
//   the
//     write does not change: a batch may begin in the sector in which the durable one before it
//     ends.
//
// THE END OF THE LOG. Reading the last segment stops at the first bytes that are no intact frame
// with the expected sequence q. Let D be the greatest durable_upto of all intact frames of the last
// segment and of its header (first_sequence), and of intact frames found anywhere behind the stop.
//   - D > q: a frame that was durable is damaged. The log is corrupt: nobody reads on, nothing is
//   cut.
//   - D <= q: what follows the stop was never acknowledged; it is a torn write and does not count.
//   - If the bytes behind the stop look like frames so often that they cannot all be verified in
//     reasonable time (FrameFinder), D is unknown: nobody reads on, as above.
// Since every frame says how far the log was durable, only the last batch or two can be mistaken
// for torn when they rot; a clean end and the marks of an idle log say it for all frames before
// them.
//
// STARTING AGAIN, at minimum cost (RELIABILITY S2, S3). Frames below D are durable: a successful
// fdatasync covered them, whoever saw it. Of the intact frames from D on nobody knows: they may be
// in the page cache only, perhaps marked clean by an fdatasync that failed. So, unless the log ends
// with a clean end and zeros, the frames from D on are written into a new segment, numbered from
// first_sequence = D, whose previous_end is the offset of frame D in the old file; that is synced
// before anything is served. The old file is never written again; it is cut there later to give its
// space back. If D is the old segment's own first_sequence, nothing in it is known to be durable,
// not even its header: then the new file takes its number and, by a rename, its place. No byte
// below D is copied, so a start after a crash costs the last batches and not a segment. After a
// clean end (a mark with bit 30, which is synced by Log::close() when all is well) the same file is
// continued. Before the last segment is read its cached pages are dropped, so that what counts is
// what the device has.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::journal {

inline constexpr std::string_view segment_magic = "SluiceLg";
inline constexpr std::uint32_t format_version = 1;
inline constexpr std::uint32_t program_version = 0x000100;
inline constexpr std::uint32_t segment_header_bytes = 64;
inline constexpr std::uint32_t frame_header_bytes = 24;
inline constexpr std::uint32_t mark_bit = 1u << 31;
inline constexpr std::uint32_t clean_end_bit = 1u << 30;
/// Far above what the engine's limits allow one command (a push of 16 MiB in batches of 40 MiB),
/// and low enough that the largest segment and one frame stay below the 4 GiB of a Position.
inline constexpr std::uint32_t frame_payload_bytes_max = 256u << 20;
inline constexpr std::uint32_t segment_bytes_min = 4u << 10;
inline constexpr std::uint32_t segment_bytes_max = 1u << 30;
static_assert(std::uint64_t{segment_bytes_max} + frame_payload_bytes_max + 1024 < (1ull << 32));
static_assert(frame_payload_bytes_max < clean_end_bit);
static_assert(std::endian::native == std::endian::little);

struct SegmentHeader {
  std::uint64_t log_id = 0;
  std::uint32_t segment = 0;
  std::uint64_t first_sequence = 1;
  std::uint32_t previous_end = 0;
  std::uint32_t oldest_segment = 0;
};

using SegmentHeaderBytes = std::array<char, segment_header_bytes>;

struct FrameHeader {
  std::uint64_t checksum = 0;
  std::uint32_t length_and_flags = 0;
  std::uint32_t lag = 0;
  std::uint64_t sequence = 0;

  std::uint32_t length() const { return length_and_flags & (clean_end_bit - 1); }

  bool is_mark() const { return (length_and_flags & mark_bit) != 0; }

  bool is_clean_end() const { return (length_and_flags & clean_end_bit) != 0; }

  std::uint64_t durable_upto() const { return sequence - lag; }
};

static_assert(sizeof(FrameHeader) == frame_header_bytes);

/// Spreads every input bit over all output bits (the finaliser of SplitMix64).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// What place() needs of a segment, computed once.
constexpr std::uint64_t segment_salt(std::uint64_t log_id, std::uint32_t segment) {
  return mix(log_id + mix(segment));
}

/// Different for every offset of every segment of every log.
constexpr std::uint64_t place(std::uint64_t salt, std::uint32_t offset) {
  return mix(salt + offset * 0x9e3779b97f4a7c15ull);
}

/// Of a whole frame, header and payload.
inline std::uint64_t frame_checksum(ByteView frame, std::uint64_t salt, std::uint32_t offset) {
  return XXH3_64bits(frame.data() + 8, frame.size() - 8) ^ place(salt, offset);
}

/// Where and as what a frame is written.
struct FramePlace {
  std::uint64_t salt = 0;
  std::uint32_t offset = 0;
  std::uint64_t sequence = 0;
  std::uint64_t durable_upto = 0;
};

/// Writes the header in front of a payload that is in place at frame + frame_header_bytes.
inline void seal_frame(char* frame,
                       std::uint32_t payload_bytes,
                       const FramePlace& at,
                       std::uint32_t flags = 0) {
  check(payload_bytes <= frame_payload_bytes_max);
  const std::uint64_t lag = at.sequence - at.durable_upto;
  const std::uint64_t capped_lag = lag > 0xffffffffu ? 0xffffffffu : lag;
  // Whole words, because the hash reads whole words: it would wait for halves to reach the cache.
  const std::uint64_t length_and_lag = capped_lag << 32 | payload_bytes | flags;
  std::memcpy(frame + 8, &length_and_lag, sizeof length_and_lag);
  std::memcpy(frame + 16, &at.sequence, sizeof at.sequence);
  const std::uint64_t checksum =
      frame_checksum({frame, frame_header_bytes + payload_bytes}, at.salt, at.offset);
  std::memcpy(frame, &checksum, sizeof checksum);
}

/// Whether `bytes` starts with a whole, intact frame.
inline bool is_intact_frame(ByteView bytes, std::uint64_t salt, std::uint32_t offset) {
  FrameHeader header;
  if (bytes.size() < sizeof header) return false;
  bytes.copy(reinterpret_cast<char*>(&header), sizeof header);
  if (header.length() > bytes.size() - sizeof header) return false;
  if (header.lag > header.sequence) return false;
  const ByteView frame = bytes.substr(0, sizeof header + header.length());
  return header.checksum == frame_checksum(frame, salt, offset);
}

SegmentHeaderBytes encode(const SegmentHeader& header);

enum class HeaderState : std::uint8_t { valid, invalid, newer_version };

struct DecodedHeader {
  HeaderState state = HeaderState::invalid;
  SegmentHeader header;
  std::uint32_t version = 0;
};

/// Decodes the first bytes of the file of segment `number`; a header of another number is invalid.
DecodedHeader decode_header(ByteView bytes, std::uint32_t number);

/// "000000000000002a.seg"
std::string segment_name(std::uint32_t number);
/// The number in a segment's file name; none if it is not one.
std::optional<std::uint32_t> segment_number(std::string_view name);

}  // namespace sluice::journal
