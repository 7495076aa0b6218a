// Sequential and searching readers of segment files.
#include "journal/scan.h"

#include "base/check.h"

#include <algorithm>
#include <utility>

namespace sluice::journal {
namespace {

/// Large enough that a read costs little against its bytes, small enough to stay in the L2 cache.
constexpr std::size_t read_bytes = 1u << 20;

/// Requires that there is at least one byte.
bool is_zero(ByteView bytes) {
  check(!bytes.empty());
  // Compares the bytes with themselves moved by one: memcmp is the fastest scan there is.
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

FrameScanner::FrameScanner(io::File& file, const SegmentRange& range, std::uint64_t next_sequence)
    : file_(file), range_(range), sequence_(next_sequence), base_(range.from) {
  check(range.from <= range.to);
}

bool FrameScanner::take_frame() {
  const char* frame = buffer_.data() + at_;
  std::memcpy(&header_, frame, sizeof header_);
  if (header_.sequence != sequence_ || header_.lag > header_.sequence) return false;
  const std::size_t bytes = frame_header_bytes + std::size_t{header_.length()};
  if (bytes > limit_ - at_) {
    is_short_ = bytes <= range_.to - offset();
    needed_ = bytes;
    return false;
  }
  frame_offset_ = offset();
  if (header_.checksum != frame_checksum({frame, bytes}, range_.salt, frame_offset_)) {
    return false;
  }
  payload_ = {frame + frame_header_bytes, header_.length()};
  at_ += bytes;
  ++sequence_;
  return true;
}

bool FrameScanner::next_from_file() {
  if (limit_ - at_ < frame_header_bytes) {
    if (range_.to - offset() < frame_header_bytes) return false;
    if (!fill(frame_header_bytes)) return false;
    is_short_ = false;
    if (take_frame()) return true;
  }
  if (!std::exchange(is_short_, false)) return false;
  return fill(needed_) && take_frame();
}

/// Reads on until the buffer holds `needed` bytes from the next frame's start, which are in range.
bool FrameScanner::fill(std::size_t needed) {
  const std::size_t rest = limit_ - at_;
  const std::size_t left = range_.to - offset();
  const std::size_t wanted = std::min(left, std::max(needed, read_bytes));
  if (rest > 0) std::memmove(buffer_.data(), buffer_.data() + at_, rest);
  base_ += static_cast<std::uint32_t>(at_);
  at_ = 0;
  buffer_.truncate(rest);
  limit_ = rest;
  Result<std::size_t> got =
      file_.read_at(base_ + rest, buffer_.extend(wanted - rest), wanted - rest);
  if (!got) {
    error_ = std::move(got.error());
    return false;
  }
  limit_ = rest + *got;
  buffer_.truncate(limit_);
  return limit_ >= needed;
}

FrameFinder::FrameFinder(io::File& file, const SegmentRange& range, std::uint64_t sequence_min)
    : file_(file),
      range_(range),
      sequence_min_(sequence_min),
      sequence_max_(sequence_min +
                    (range.bytes_before + range.to - range.from) / frame_header_bytes),
      verify_bytes_left_(verify_factor * (range.to - range.from)),
      at_(range.from) {}

Result<bool> FrameFinder::next() {
  while (range_.to - at_ >= frame_header_bytes) {
    check(at_ >= window_start_);
    if (at_ + frame_header_bytes > window_start_ + window_.size()) {
      const Result<bool> filled = fill(at_);
      if (!filled) return tl::unexpected<Error>(filled.error());
      if (!*filled) break;
    }
    const char* const begin = window_.data() + (at_ - window_start_);
    const char* const end = window_.data() + window_.size() - frame_header_bytes;
    const char* at = begin;
    std::uint64_t sequence = 0;
    do {
      std::memcpy(&sequence, at + 16, sizeof sequence);
    } while ((sequence < sequence_min_ || sequence > sequence_max_) && ++at <= end);
    at_ += static_cast<std::uint32_t>(at - begin);
    if (at > end) continue;
    const std::uint32_t offset = at_++;
    const Result<bool> is_intact = verify(offset);
    if (!is_intact) return tl::unexpected<Error>(is_intact.error());
    if (!*is_intact) continue;
    at_ = offset + frame_header_bytes + found_.header.length();
    return true;
  }
  return false;
}

/// Moves the window to `offset`, or further where there are only zeros: no frame starts in them.
Result<bool> FrameFinder::fill(std::uint32_t offset) {
  for (;;) {
    const std::size_t wanted = std::min<std::size_t>(range_.to - offset, read_bytes);
    window_.clear();
    const Result<std::size_t> got = file_.read_at(offset, window_.extend(wanted), wanted);
    if (!got) return tl::unexpected<Error>(got.error());
    window_.truncate(*got);
    window_start_ = offset;
    at_ = offset;
    if (*got < frame_header_bytes) return false;
    if (!is_zero(window_.view())) return true;
    // A frame may start in the last bytes of the window: its checksum could begin with zeros.
    offset += static_cast<std::uint32_t>(*got - frame_header_bytes + 1);
  }
}

/// What a header at `offset` cannot say, whatever the payload behind it is.
bool FrameFinder::is_possible(const FrameHeader& header, std::uint32_t offset) const {
  const std::uint64_t room = range_.bytes_before + offset - range_.from;
  if (header.sequence - sequence_min_ > room / frame_header_bytes) return false;
  if (header.lag > header.sequence) return false;
  if (!header.is_mark()) return !header.is_clean_end();
  return header.length() == 0 || header.length() == sizeof(SegmentHeader::oldest_segment);
}

/// Whether an intact frame starts at `offset`, which is in the window; it is found_ then.
Result<bool> FrameFinder::verify(std::uint32_t offset) {
  const ByteView seen = window_.view().substr(offset - window_start_);
  FrameHeader header;
  std::memcpy(&header, seen.data(), sizeof header);
  const std::size_t bytes = frame_header_bytes + std::size_t{header.length()};
  if (bytes > range_.to - offset || !is_possible(header, offset)) return false;
  if (bytes > verify_bytes_left_) {
    return fail(ErrorCode::corrupt,
                "from offset " + std::to_string(range_.from) + " to " + std::to_string(range_.to) +
                    " so many bytes look like frames that not all of them were verified, only " +
                    "those before offset " + std::to_string(offset));
  }
  verify_bytes_left_ -= bytes;
  ByteView frame = seen;
  if (bytes > seen.size()) {
    large_.clear();
    const Result<std::size_t> got = file_.read_at(offset, large_.extend(bytes), bytes);
    if (!got) return tl::unexpected<Error>(got.error());
    large_.truncate(*got);
    frame = large_.view();
  }
  if (!is_intact_frame(frame, range_.salt, offset)) return false;
  found_ = {header, offset};
  return true;
}

tl::unexpected<Error> damaged_at(const io::Directory& directory,
                                 std::uint32_t segment,
                                 std::uint64_t offset,
                                 const std::string& what) {
  return fail(ErrorCode::corrupt,
              "segment " + segment_name(segment) + " of " + directory.path() +
                  " is damaged at offset " + std::to_string(offset) + ": " + what);
}

Result<bool> is_zero(io::File& file, std::uint64_t from, std::uint64_t to) {
  Buffer bytes;
  while (from < to) {
    const std::size_t wanted = std::min<std::uint64_t>(to - from, read_bytes);
    bytes.clear();
    const Result<std::size_t> got = file.read_at(from, bytes.extend(wanted), wanted);
    if (!got) return tl::unexpected<Error>(got.error());
    if (*got == 0) break;
    if (!is_zero({bytes.data(), *got})) return false;
    from += *got;
  }
  return true;
}

Result<std::vector<SegmentFile>> list_segments(io::Directory& directory) {
  const Result<std::vector<std::string>> names = directory.list();
  if (!names) return tl::unexpected<Error>(names.error());
  std::vector<SegmentFile> segments;
  for (const std::string& name : *names) {
    const std::optional<std::uint32_t> number = segment_number(name);
    if (!number) continue;
    const Result<std::unique_ptr<io::File>> file = directory.open(name, io::OpenMode::read_only);
    if (!file) return tl::unexpected<Error>(file.error());
    const Result<std::uint64_t> size = (*file)->size();
    if (!size) return tl::unexpected<Error>(size.error());
    if (*size > std::uint64_t{segment_bytes_max} + frame_payload_bytes_max) {
      return fail(
          ErrorCode::corrupt,
          "segment " + name + " of " + directory.path() + " has " + std::to_string(*size) +
              " bytes, more than a segment can have; it is not one of this program's files");
    }
    const Result<std::uint64_t> data_end = (*file)->data_end();
    if (!data_end) return tl::unexpected<Error>(data_end.error());
    SegmentHeaderBytes bytes{};
    const Result<std::size_t> got = (*file)->read_at(0, bytes.data(), bytes.size());
    if (!got) return tl::unexpected<Error>(got.error());
    segments.push_back({*number, *size, *data_end, decode_header({bytes.data(), *got}, *number)});
  }
  std::sort(segments.begin(), segments.end(), [](const SegmentFile& a, const SegmentFile& b) {
    return a.number < b.number;
  });
  return segments;
}

Result<std::unique_ptr<io::File>> create_segment(io::Directory& directory,
                                                 std::uint32_t number,
                                                 std::uint32_t segment_bytes) {
  Result<std::unique_ptr<io::File>> file =
      directory.open(segment_name(number), io::OpenMode::create_new);
  if (!file) return file;
  if (Result<void> allocated = (*file)->allocate(reserved_bytes(segment_bytes)); !allocated) {
    // Without its space the file is of no use, and its name is needed for the next try; should it
    // not go away now, recovery removes it.
    static_cast<void>(directory.remove(segment_name(number)));
    return tl::unexpected<Error>(allocated.error());
  }
  if (Result<void> linked = directory.sync(); !linked) {
    return tl::unexpected<Error>(linked.error());
  }
  return file;
}

}  // namespace sluice::journal
