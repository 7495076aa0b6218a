// Group commit: one write a part, one fdatasync a batch, a new segment now and then.
#include "journal/writer.h"

#include "journal/format.h"
#include "journal/scan.h"
#include "journal/tail.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::journal {
namespace {

/// Below this a batch is small: what its fdatasync has to do besides writing it is felt.
constexpr std::size_t small_bytes = 64u << 10;
/// An fdatasync behind a write into blocks that were only reserved has to change the file's map of
/// blocks, too, which costs more than the write. So zeros are written ahead of small batches, this
/// many at a time.
constexpr std::size_t zeros_ahead_bytes = 256u << 10;
constexpr std::array<char, zeros_ahead_bytes> zeros{};

}  // namespace

Writer::Writer(io::Directory& directory,
               const LogOptions& options,
               std::unique_ptr<io::File> file,
               std::uint32_t segment,
               std::uint32_t end)
    : directory_(directory),
      segment_bytes_(options.segment_bytes),
      file_(std::move(file)),
      segment_(segment),
      end_(end),
      zeroed_end_(end) {}

Result<void> Writer::write(Batch& batch, Sync sync) {
  if (failed_) return tl::unexpected<Error>(*failed_);
  Result<void> done = write_parts(batch);
  if (done && sync == Sync::yes) {
    done = sync_file();
    if (done) {
      batch.is_synced = true;
      batch.durable_end = batch.end;
      batch.durable_sequence = batch.end_sequence;
    }
  }
  if (done) done = remove_dropped(batch);
  if (done) prepare_next();
  // Whatever failed: what the file holds is unknown from here on (RELIABILITY rule 1).
  if (!done) failed_ = done.error();
  return done;
}

Result<void> Writer::write_parts(Batch& batch) {
  for (const BatchPart& part : batch.parts) {
    const Chunk& chunk = *part.chunk;
    if (chunk.offset == 0) {
      if (Result<void> begun = begin_segment(part, batch); !begun) return begun;
    }
    check(chunk.segment == segment_);
    check(chunk.offset == end_);
    const std::uint32_t end = chunk.end_offset();
    if (chunk.bytes.size() < small_bytes) {
      if (Result<void> zeroed = write_zeros_ahead(end); !zeroed) return zeroed;
    }
    is_dirty_ = true;
    if (Result<void> written = file_->write_at(chunk.offset, chunk.bytes.view()); !written) {
      return written;
    }
    end_ = end;
    zeroed_end_ = std::max(zeroed_end_, end);
  }
  return {};
}

/// The segment before is made durable first: recovery relies on that (format.h).
Result<void> Writer::begin_segment(const BatchPart& part, Batch& batch) {
  if (Result<void> synced = sync_file(); !synced) return synced;
  const Chunk& chunk = *part.chunk;
  check(chunk.segment == segment_ + 1);
  batch.durable_end = chunk.begin();
  batch.durable_sequence = part.first_sequence;
  if (next_ == nullptr) {
    Result<std::unique_ptr<io::File>> created =
        create_segment(directory_, chunk.segment, segment_bytes_);
    if (!created) return tl::unexpected<Error>(prepare_failed_.value_or(created.error()));
    next_ = std::move(*created);
  }
  prepare_failed_.reset();
  file_ = std::move(next_);
  segment_ = chunk.segment;
  end_ = 0;
  zeroed_end_ = 0;
  return {};
}

Result<void> Writer::write_zeros_ahead(std::uint32_t end) {
  if (end <= zeroed_end_ || zeroed_end_ >= segment_bytes_) return {};
  const std::size_t count = std::min<std::size_t>(zeros.size(), segment_bytes_ - zeroed_end_);
  const std::uint32_t from = zeroed_end_;
  zeroed_end_ += static_cast<std::uint32_t>(count);
  is_dirty_ = true;
  return file_->write_at(from, {zeros.data(), count});
}

/// Creates the next segment as soon as the one before it is begun: should others fill the disk,
/// there is still a whole segment for acks and for the copies of cleaning, which frees the next
/// one (RELIABILITY S1). A failure is none of this batch, which is written; it is tried again when
/// a segment has been removed, and in begin_segment().
void Writer::prepare_next() {
  if (next_ != nullptr || prepare_failed_) return;
  Result<std::unique_ptr<io::File>> created =
      create_segment(directory_, segment_ + 1, segment_bytes_);
  if (created) {
    next_ = std::move(*created);
  } else {
    prepare_failed_ = std::move(created.error());
  }
}

Result<void> Writer::sync_file() {
  if (!is_dirty_) return {};
  if (Result<void> synced = file_->sync(); !synced) return synced;
  is_dirty_ = false;
  return {};
}

Result<void> Writer::remove_dropped(Batch& batch) {
  for (const std::uint32_t segment : std::exchange(batch.removals, {})) {
    if (Result<void> removed = directory_.remove(segment_name(segment)); !removed) return removed;
    prepare_failed_.reset();
  }
  return {};
}

void Writer::discard_next() {
  if (std::exchange(next_, nullptr) == nullptr) return;
  static_cast<void>(directory_.remove(segment_name(segment_ + 1)));
}

}  // namespace sluice::journal
