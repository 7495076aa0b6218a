// Offline check and salvage: a walk over everything that is intact, however damaged the rest is.
#include "journal/log.h"
#include "journal/recovery.h"
#include "journal/scan.h"

#include <algorithm>
#include <utility>

namespace sluice::journal {
namespace {

/// Goes through all segment files in order, hands out every intact frame and notes what is wrong.
class Walk {
 public:
  Walk(io::Directory& directory, const OnFrame& on_frame)
      : directory_(directory), on_frame_(on_frame) {}

  Result<CheckReport> run() {
    Result<std::vector<SegmentFile>> listed = list_segments(directory_);
    if (!listed) return tl::unexpected<Error>(listed.error());
    files_ = std::move(*listed);
    const Result<Survey> surveyed = survey(directory_);
    if (!surveyed && surveyed.error().code == ErrorCode::io) {
      return tl::unexpected<Error>(surveyed.error());
    }
    if (!surveyed)
      report_.findings.push_back({directory_.path(), 0, surveyed.error().message, true});
    is_sound_ = surveyed.has_value();
    choose(is_sound_ ? *surveyed : Survey());
    report_.segments = files_.size();
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (Result<void> walked = walk(i); !walked) return tl::unexpected<Error>(walked.error());
    }
    return std::move(report_);
  }

 private:
  /// Leaves out files that are no part of the log; finds the log's identity.
  void choose(const Survey& log) {
    std::vector<std::uint32_t> leftovers = log.dropped;
    leftovers.insert(leftovers.end(), log.unborn.begin(), log.unborn.end());
    for (const std::uint32_t number : leftovers) {
      std::erase_if(files_, [&](const SegmentFile& file) { return file.number == number; });
      note(number,
           0,
           "is not a part of the log: dropped before, or never begun; the next start removes it",
           false);
    }
    log_id_ = log.log_id;
    for (const SegmentFile& file : files_) {
      if (log_id_ == 0 && file.is_valid()) log_id_ = file.header().log_id;
    }
  }

  void note(std::uint32_t segment, std::uint64_t offset, std::string what, bool is_fatal) {
    report_.findings.push_back({segment_name(segment), offset, std::move(what), is_fatal});
  }

  Result<void> walk(std::size_t index) {
    const SegmentFile& segment = files_[index];
    if (!segment.is_valid()) {
      note(segment.number, 0, "the header fails its checksum", true);
    } else {
      next_sequence_ = std::max(next_sequence_, segment.header().first_sequence);
    }
    const SegmentFile* next = index + 1 < files_.size() ? &files_[index + 1] : nullptr;
    if (next != nullptr && next->number != segment.number + 1) {
      note(segment.number + 1, 0, "is missing", true);
      next = nullptr;
    }
    const bool is_end_known = next != nullptr && next->is_valid();
    const std::uint64_t end = is_end_known ? next->header().previous_end : segment.size;
    if (end > segment.size) {
      note(segment.number, segment.size, "the file is shorter than the segment was", true);
    }
    const Result<std::unique_ptr<io::File>> file =
        directory_.open(segment_name(segment.number), io::OpenMode::read_only);
    if (!file) return tl::unexpected<Error>(file.error());
    const std::uint64_t to = std::min(end, segment.size);
    // How much is missing in front of a damaged place is unknown; the next segment bounds it.
    const std::uint64_t missing_max =
        is_end_known && next->header().first_sequence > next_sequence_
            ? (next->header().first_sequence - next_sequence_) * frame_header_bytes
            : segment.size;
    const SegmentRange range{
        segment_salt(log_id_, segment.number),
        segment_header_bytes,
        static_cast<std::uint32_t>(std::max<std::uint64_t>(to, segment_header_bytes)),
        missing_max};
    return walk_frames(**file, segment.number, range, is_end_known);
  }

  Result<void> walk_frames(io::File& file,
                           std::uint32_t segment,
                           SegmentRange range,
                           bool is_end_known) {
    for (;;) {
      FrameScanner scanner(file, range, next_sequence_);
      while (scanner.next()) {
        next_sequence_ = scanner.next_sequence();
        if (scanner.header().is_mark()) continue;
        ++report_.frames;
        report_.bytes += scanner.payload().size();
        const Position at(segment, scanner.frame_offset() + frame_header_bytes);
        if (Result<void> taken = on_frame_(at, scanner.payload()); !taken) return taken;
      }
      if (scanner.error()) return tl::unexpected<Error>(*scanner.error());
      if (scanner.offset() == range.to) return {};
      range.from = scanner.offset();
      // The end of a sound log: what is intact behind it was not acknowledged and does not count.
      if (is_sound_ && !is_end_known) return note_end(file, segment, range, is_end_known);
      FrameFinder finder(file, range, next_sequence_);
      const Result<bool> is_found = finder.next();
      if (!is_found && is_found.error().code == ErrorCode::corrupt) {
        note(segment, range.from, is_found.error().message, true);
        return {};
      }
      if (!is_found) return tl::unexpected<Error>(is_found.error());
      if (!*is_found) return note_end(file, segment, range, is_end_known);
      const FrameFinder::Found& found = finder.found();
      note(segment,
           range.from,
           std::to_string(found.offset - range.from) + " bytes are no intact frames; frames " +
               std::to_string(next_sequence_) + " to " + std::to_string(found.header.sequence - 1) +
               " are lost",
           true);
      range.from = found.offset;
      next_sequence_ = found.header.sequence;
    }
  }

  /// No intact frame follows: right at the end of the log, where zeros or a torn write may be.
  Result<void> note_end(io::File& file,
                        std::uint32_t segment,
                        const SegmentRange& range,
                        bool is_end_known) {
    const Result<bool> zero = is_zero(file, range.from, range.to);
    if (!zero) return tl::unexpected<Error>(zero.error());
    const std::string bytes = std::to_string(range.to - range.from);
    if (is_end_known) {
      note(segment,
           range.from,
           "the last " + bytes + " bytes of the segment are no intact frames",
           true);
    } else if (!*zero) {
      note(segment,
           range.from,
           "a torn write: it was not acknowledged, the next start drops it",
           false);
    }
    return {};
  }

  io::Directory& directory_;
  const OnFrame& on_frame_;
  std::vector<SegmentFile> files_;
  bool is_sound_ = false;  ///< survey() has no objection.
  std::uint64_t log_id_ = 0;
  std::uint64_t next_sequence_ = 1;
  CheckReport report_;
};

}  // namespace

Result<CheckReport> check_log(io::Directory& directory, const OnFrame& on_frame) {
  return Walk(directory, on_frame).run();
}

Result<CheckReport> salvage_log(io::Directory& source, io::Directory& target) {
  constexpr std::size_t batch_bytes = 1u << 20;
  const Result<std::vector<std::string>> present = target.list();
  if (!present) return tl::unexpected<Error>(present.error());
  if (!present->empty()) {
    return fail(ErrorCode::arg,
                "directory " + target.path() + " is not empty (it has " + present->front() +
                    "); salvage writes into an empty one");
  }
  const Result<std::unique_ptr<Log>> log =
      Log::open(target, LogOptions(), [](Position, ByteView) { return Result<void>(); }, {});
  if (!log) return tl::unexpected<Error>(log.error());
  Result<CheckReport> report = check_log(source, [&](Position, ByteView payload) -> Result<void> {
    (*log)->open_frame();
    (*log)->frame().append(payload);
    (*log)->close_frame();
    if ((*log)->unsealed_bytes() < batch_bytes) return {};
    Batch batch = (*log)->seal();
    Result<void> written = (*log)->write(batch, Sync::no);
    if (written) (*log)->retire(std::move(batch));
    return written;
  });
  if (!report) return report;
  if (Result<void> closed = (*log)->close(); !closed) return tl::unexpected<Error>(closed.error());
  return report;
}

}  // namespace sluice::journal
