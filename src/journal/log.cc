// The owner's half of the log: appending, sealing, reading back, cleaning. Writing is in writer.cc.
#include "journal/log.h"

#include "base/check.h"
#include "journal/blocks.h"
#include "journal/format.h"
#include "journal/recovery.h"
#include "journal/scan.h"
#include "journal/tail.h"
#include "journal/writer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

namespace sluice::journal {

class Log::Impl {
 public:
  Impl(io::Directory& directory, const LogOptions& options, Recovered recovered)
      : directory_(directory),
        options_(options),
        log_id_(recovered.log_id),
        segments_(recovered.segments.begin(), recovered.segments.end()),
        sequence_(recovered.next_sequence),
        durable_sequence_(recovered.next_sequence),
        marked_sequence_(recovered.next_sequence),
        durable_end_(segments_.back().number, segments_.back().end),
        retired_end_(durable_end_),
        tail_(options.tail_cache_bytes),
        blocks_(directory),
        writer_(directory,
                options,
                std::move(recovered.file),
                segments_.back().number,
                segments_.back().end) {
    for (const SegmentInfo& segment : segments_)
      closed_bytes_ += segment.end;
    open_chunk(segments_.back().number, segments_.back().end);
  }

  // -- Appending. --------------------------------------------------------------------------------

  Position open_frame() {
    check(!is_frame_open_);
    is_frame_open_ = true;
    if (open_->end_offset() >= options_.segment_bytes) [[unlikely]]
      roll();
    frame_ = open_->bytes.size();
    open_->bytes.extend(frame_header_bytes);
    return {open_->segment, open_->end_offset()};
  }

  Buffer& frame() { return open_->bytes; }

  bool close_frame(std::uint32_t flags = 0) {
    check(is_frame_open_);
    is_frame_open_ = false;
    Buffer& bytes = open_->bytes;
    const std::size_t payload = bytes.size() - frame_ - frame_header_bytes;
    if (payload == 0 && flags == 0) {
      bytes.truncate(frame_);
      return false;
    }
    seal_frame(
        bytes.data() + frame_,
        static_cast<std::uint32_t>(payload),
        {salt_, open_->offset + static_cast<std::uint32_t>(frame_), sequence_, durable_sequence_},
        flags);
    ++sequence_;
    segments_.back().end = open_->end_offset();
    return true;
  }

  Position end() const {
    const bool is_header_alone = open_->offset == 0 && !is_chunk_worth_sealing();
    const SegmentInfo& last = is_header_alone ? segments_[segments_.size() - 2] : segments_.back();
    return {last.number, last.end};
  }

  std::size_t unsealed_bytes() const {
    return filled_bytes_ + (is_chunk_worth_sealing() ? open_->bytes.size() : 0);
  }

  // -- Group commit. -----------------------------------------------------------------------------

  Batch seal() {
    check(!is_frame_open_);
    Batch batch;
    batch.bytes = unsealed_bytes();
    batch.parts = std::exchange(filled_, {});
    if (is_chunk_worth_sealing()) {
      batch.parts.push_back({open_, open_first_sequence_});
      open_chunk(open_->segment, open_->end_offset());
    }
    filled_bytes_ = 0;
    batch.end = end();
    batch.end_sequence = sequence_;
    take_removals(batch);
    return batch;
  }

  Result<void> write(Batch& batch, Sync sync) { return writer_.write(batch, sync); }

  void retire(Batch batch) {
    retired_end_ = std::max(retired_end_, batch.end);
    if (batch.durable_sequence > durable_sequence_) durable_sequence_ = batch.durable_sequence;
    durable_end_ = std::max(durable_end_, batch.durable_end);
    for (BatchPart& part : batch.parts) {
      // The log made the chunk and owns it; the batch sees it as const because the writer must.
      tail_.retire(std::const_pointer_cast<Chunk>(std::move(part.chunk)));
    }
  }

  Position durable_end() const { return durable_end_; }

  bool mark_idle() {
    if (durable_sequence_ != sequence_ || marked_sequence_ == sequence_) return false;
    append_mark({}, mark_bit);
    marked_sequence_ = sequence_;
    return true;
  }

  Result<void> close() {
    for (const std::uint32_t flags : {mark_bit, mark_bit | clean_end_bit}) {
      // The first round makes everything durable, so that the second can say so.
      if (flags != mark_bit) append_mark({}, flags);
      Batch batch = seal();
      if (Result<void> written = write(batch, Sync::yes); !written) return written;
      retire(std::move(batch));
    }
    writer_.discard_next();
    is_frame_open_ = true;  // No frame can be opened behind the clean end.
    return {};
  }

  // -- Reading back. -----------------------------------------------------------------------------

  Result<ByteView> read(Position at, std::size_t size) {
    if (const std::optional<ByteView> bytes = tail_.find(at, size)) return *bytes;
    if (at.segment() < segments_.front().number || at.segment() > retired_end_.segment()) {
      return no_such_bytes(at, size);
    }
    const std::uint32_t written_end =
        at.segment() == retired_end_.segment() ? retired_end_.offset() : info(at.segment()).end;
    if (at.offset() < segment_header_bytes || at.offset() > written_end ||
        size > written_end - at.offset()) {
      return no_such_bytes(at, size);
    }
    return blocks_.read(at, size, written_end);
  }

  // -- Cleaning. ---------------------------------------------------------------------------------

  std::uint64_t bytes() const { return closed_bytes_ + (segments_.back().end - counted_end_); }

  std::size_t segment_count() const { return segments_.size(); }

  std::uint32_t first_segment() const { return segments_.front().number; }

  Result<bool> scan_oldest(std::size_t budget, const OnFrame& on_frame) {
    check(segments_.size() > 1);
    const SegmentInfo oldest = segments_.front();
    if (retired_end_ < Position(oldest.number, oldest.end)) return false;
    if (!cleaner_) {
      Result<std::unique_ptr<io::File>> file =
          directory_.open(segment_name(oldest.number), io::OpenMode::read_only);
      if (!file) return tl::unexpected<Error>(file.error());
      cleaner_file_ = std::move(*file);
      cleaner_ = std::make_unique<FrameScanner>(
          *cleaner_file_,
          SegmentRange{segment_salt(log_id_, oldest.number), segment_header_bytes, oldest.end},
          oldest.first_sequence);
    }
    const std::uint32_t from = cleaner_->offset();
    while (cleaner_->offset() - from < budget && cleaner_->next()) {
      if (cleaner_->header().is_mark()) continue;
      const Position at(oldest.number, cleaner_->frame_offset() + frame_header_bytes);
      if (Result<void> taken = on_frame(at, cleaner_->payload()); !taken) {
        return tl::unexpected<Error>(taken.error());
      }
    }
    if (cleaner_->error()) return tl::unexpected<Error>(*cleaner_->error());
    if (cleaner_->offset() == oldest.end) return true;
    if (cleaner_->offset() - from >= budget) return false;
    return fail(ErrorCode::corrupt,
                "segment " + segment_name(oldest.number) + " of " + directory_.path() +
                    " is damaged at offset " + std::to_string(cleaner_->offset()) +
                    ", found while cleaning; stop the server and run `sluice check`");
  }

  Result<void> drop_oldest(Position copies_end) {
    check(segments_.size() > 1);
    check(durable_end_ >= copies_end);
    const SegmentInfo oldest = segments_.front();
    check(retired_end_ >= Position(oldest.number, oldest.end));
    cleaner_.reset();
    cleaner_file_.reset();
    blocks_.forget(oldest.number);
    segments_.pop_front();
    closed_bytes_ -= oldest.end;
    const std::uint32_t number = segments_.front().number;
    append_mark({reinterpret_cast<const char*>(&number), sizeof number}, mark_bit);
    drops_.push_back({oldest.number, oldest.end, sequence_});
    return {};
  }

  bool has_dropped_files() const { return !drops_.empty(); }

  bool is_removal_due() const {
    return pins_ == 0 && !drops_.empty() && drops_.front().marked_sequence <= durable_sequence_;
  }

  // -- Backup. -----------------------------------------------------------------------------------

  std::vector<Extent> pin() {
    ++pins_;
    std::vector<Extent> extents;
    // Until its mark is durable a dropped segment is a part of what a reader of the copy will miss.
    for (const Drop& drop : drops_) {
      if (drop.marked_sequence > durable_sequence_) {
        extents.push_back({segment_name(drop.segment), drop.end});
      }
    }
    for (const SegmentInfo& segment : segments_) {
      if (segment.number > durable_end_.segment()) break;
      const bool is_last = segment.number == durable_end_.segment();
      const std::uint32_t end = is_last ? durable_end_.offset() : segment.end;
      if (end > 0) extents.push_back({segment_name(segment.number), end});
    }
    return extents;
  }

  void unpin() {
    check(pins_ > 0);
    --pins_;
  }

 private:
  struct Drop {
    std::uint32_t segment = 0;
    std::uint32_t end = 0;
    std::uint64_t marked_sequence = 0;  ///< Durable up to here: the mark is durable.
  };

  SegmentInfo& info(std::uint32_t segment) { return segments_[segment - segments_.front().number]; }

  void open_chunk(std::uint32_t segment, std::uint32_t offset) {
    open_ = tail_.add(segment, offset);
    open_first_sequence_ = sequence_;
    if (segment != salted_segment_) {
      salted_segment_ = segment;
      salt_ = segment_salt(log_id_, segment);
      counted_end_ = offset;
    }
  }

  /// A segment's header alone is not written; it waits for the first frame.
  bool is_chunk_worth_sealing() const {
    const std::size_t header = open_->offset == 0 ? segment_header_bytes : 0;
    return open_->bytes.size() > header;
  }

  [[gnu::cold, gnu::noinline]] void roll() {
    if (is_chunk_worth_sealing()) {
      filled_bytes_ += open_->bytes.size();
      filled_.push_back({open_, open_first_sequence_});
    } else {
      tail_.drop_last();
    }
    const SegmentInfo& full = segments_.back();
    closed_bytes_ += full.end - counted_end_;
    const SegmentHeader header{
        log_id_, full.number + 1, sequence_, full.end, segments_.front().number};
    check(header.segment != 0);
    segments_.push_back({header.segment, segment_header_bytes, sequence_});
    open_chunk(header.segment, 0);
    const SegmentHeaderBytes bytes = encode(header);
    open_->bytes.append({bytes.data(), bytes.size()});
  }

  void append_mark(ByteView payload, std::uint32_t flags) {
    open_frame();
    frame().append(payload);
    close_frame(flags);
  }

  void take_removals(Batch& batch) {
    while (is_removal_due()) {
      batch.removals.push_back(drops_.front().segment);
      drops_.pop_front();
    }
  }

  tl::unexpected<Error> no_such_bytes(Position at, std::size_t size) const {
    return fail(ErrorCode::corrupt,
                "the log in " + directory_.path() + " has no " + std::to_string(size) +
                    " bytes at offset " + std::to_string(at.offset()) + " of segment " +
                    segment_name(at.segment()));
  }

  io::Directory& directory_;
  LogOptions options_;
  std::uint64_t log_id_;
  std::deque<SegmentInfo> segments_;  ///< Numbers without gaps.
  std::uint64_t closed_bytes_ = 0;    ///< Of segments_, up to counted_end_ in the last.
  std::uint32_t counted_end_ = 0;

  // The open batch.
  std::shared_ptr<Chunk> open_;  ///< Shared with tail_, later with the batch.
  std::uint64_t open_first_sequence_ = 0;
  std::vector<BatchPart> filled_;  ///< Parts of segments that are full.
  std::size_t filled_bytes_ = 0;
  std::size_t frame_ = 0;  ///< Where the open frame starts in open_.
  bool is_frame_open_ = false;
  std::uint64_t salt_ = 0;
  std::uint32_t salted_segment_ = 0;

  std::uint64_t sequence_;          ///< Of the next frame.
  std::uint64_t durable_sequence_;  ///< All frames before it are durable.
  std::uint64_t marked_sequence_;   ///< sequence_ behind the last idle mark.
  Position durable_end_;
  Position retired_end_;  ///< Up to here files can be read.

  Tail tail_;
  BlockReader blocks_;
  std::unique_ptr<io::File> cleaner_file_;
  std::unique_ptr<FrameScanner> cleaner_;
  std::deque<Drop> drops_;
  std::size_t pins_ = 0;

  Writer writer_;  ///< The only member that write() touches.
};

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(io::Directory& directory,
                                       const LogOptions& options,
                                       const OnFrame& on_frame,
                                       const OnProgress& on_progress) {
  if (options.segment_bytes < segment_bytes_min || options.segment_bytes > segment_bytes_max) {
    return fail(ErrorCode::arg,
                "segment size " + std::to_string(options.segment_bytes) + " is out of range (" +
                    std::to_string(segment_bytes_min) + " … " + std::to_string(segment_bytes_max) +
                    " bytes)");
  }
  if (Result<void> locked = directory.lock(); !locked) {
    return tl::unexpected<Error>(locked.error());
  }
  Result<Recovered> recovered = recover(directory, options, on_frame, on_progress);
  if (!recovered) return tl::unexpected<Error>(recovered.error());
  return std::unique_ptr<Log>(
      new Log(std::make_unique<Impl>(directory, options, std::move(*recovered))));
}

Position Log::open_frame() {
  return impl_->open_frame();
}

Buffer& Log::frame() {
  return impl_->frame();
}

bool Log::close_frame() {
  return impl_->close_frame();
}

Position Log::end() const {
  return impl_->end();
}

std::size_t Log::unsealed_bytes() const {
  return impl_->unsealed_bytes();
}

Batch Log::seal() {
  return impl_->seal();
}

Result<void> Log::write(Batch& batch, Sync sync) {
  return impl_->write(batch, sync);
}

void Log::retire(Batch batch) {
  impl_->retire(std::move(batch));
}

Position Log::durable_end() const {
  return impl_->durable_end();
}

bool Log::mark_idle() {
  return impl_->mark_idle();
}

Result<void> Log::close() {
  return impl_->close();
}

Result<ByteView> Log::read(Position at, std::size_t size) {
  return impl_->read(at, size);
}

std::uint64_t Log::bytes() const {
  return impl_->bytes();
}

std::size_t Log::segment_count() const {
  return impl_->segment_count();
}

std::uint32_t Log::first_segment() const {
  return impl_->first_segment();
}

Result<bool> Log::scan_oldest(std::size_t budget, const OnFrame& on_frame) {
  return impl_->scan_oldest(budget, on_frame);
}

Result<void> Log::drop_oldest(Position copies_end) {
  return impl_->drop_oldest(copies_end);
}

bool Log::has_dropped_files() const {
  return impl_->has_dropped_files();
}

bool Log::is_removal_due() const {
  return impl_->is_removal_due();
}

std::vector<Log::Extent> Log::pin() {
  return impl_->pin();
}

void Log::unpin() {
  impl_->unpin();
}

}  // namespace sluice::journal
