// Survey, delivery and the new beginning of a log that is opened.
#include "journal/recovery.h"

#include <algorithm>
#include <utility>

namespace sluice::journal {
namespace {

constexpr std::uint64_t progress_bytes = 16u << 20;
constexpr std::uint64_t no_sequence = ~std::uint64_t{0};
/// A segment made by recovery gets its real name once it is complete and durable.
constexpr const char* unfinished_name = "recovery.tmp";

template <class T>
tl::unexpected<Error> failed(const Result<T>& result) {
  return tl::unexpected<Error>(result.error());
}

tl::unexpected<Error> damaged(const io::Directory& directory,
                              std::uint32_t segment,
                              std::uint64_t offset,
                              const std::string& what,
                              std::uint64_t lost_bytes) {
  return damaged_at(directory,
                    segment,
                    offset,
                    what + "; " + std::to_string(lost_bytes) +
                        " bytes from there on were durable and would be lost. Nothing was "
                        "changed. Restore a backup, or let `sluice check` show what is left");
}

/// A dropped segment's mark has the number of the oldest one that is left.
std::uint32_t oldest_in_mark(const FrameScanner& scanner) {
  std::uint32_t number = 0;
  if (scanner.header().is_mark() && scanner.payload().size() == sizeof number) {
    std::memcpy(&number, scanner.payload().data(), sizeof number);
  }
  return number;
}

/// Up to where there are only zeros: what is merely reserved is not read.
SegmentRange whole_range(const Survey& log, const SegmentFile& segment, std::uint32_t from) {
  const auto to = static_cast<std::uint32_t>(segment.data_end);
  return {segment_salt(log.log_id, segment.number), from, std::max(from, to)};
}

/// Looks for frames that say more is durable than `log.stop_sequence`; returns where the last
/// intact frame ends, or `from`. Error `corrupt`: it cannot be told.
Result<std::uint32_t> look_behind(const io::Directory& directory,
                                  std::uint32_t segment,
                                  io::File& file,
                                  const SegmentRange& range,
                                  Survey& log) {
  FrameFinder finder(file, range, log.stop_sequence);
  std::uint32_t end = range.from;
  for (;;) {
    const Result<bool> is_found = finder.next();
    if (!is_found && is_found.error().code == ErrorCode::corrupt) {
      return fail(ErrorCode::corrupt,
                  "whether the end of segment " + segment_name(segment) + " of " +
                      directory.path() +
                      " is torn or damaged cannot be told: " + is_found.error().message +
                      ". Nothing was changed. `sluice check --salvage` copies all that is before");
    }
    if (!is_found) return failed(is_found);
    if (!*is_found) return end;
    const FrameHeader& header = finder.found().header;
    log.durable_upto = std::max(log.durable_upto, header.durable_upto());
    end = finder.found().offset + frame_header_bytes + header.length();
  }
}

/// Reads the last segment: where it stops, D, whether it ends cleanly, what marks say is the
/// oldest.
Result<std::uint32_t> survey_last(io::Directory& directory, const SegmentFile& last, Survey& log) {
  const Result<std::unique_ptr<io::File>> file =
      directory.open(segment_name(last.number), io::OpenMode::read_only);
  if (!file) return failed(file);
  (*file)->forget_cache();
  std::uint32_t oldest = 0;
  log.durable_upto = last.header().first_sequence;
  FrameScanner scanner(
      **file, whole_range(log, last, segment_header_bytes), last.header().first_sequence);
  while (scanner.next()) {
    log.durable_upto = std::max(log.durable_upto, scanner.header().durable_upto());
    log.is_clean = scanner.header().is_clean_end();
    oldest = std::max(oldest, oldest_in_mark(scanner));
  }
  if (scanner.error()) return tl::unexpected<Error>(*scanner.error());
  log.stop_offset = scanner.offset();
  log.stop_sequence = scanner.next_sequence();
  if (log.is_clean) {
    const Result<bool> zero = is_zero(**file, log.stop_offset, last.data_end);
    if (!zero) return failed(zero);
    if (*zero) return oldest;
    log.is_clean = false;
  }
  const Result<std::uint32_t> end =
      look_behind(directory, last.number, **file, whole_range(log, last, log.stop_offset), log);
  if (!end) return failed(end);
  log.torn_bytes = *end - log.stop_offset;
  return oldest;
}

/// Files behind the last valid header: their frames do not count, unless they say otherwise.
/// `bytes_before`: from where the last segment stops to the beginning of this file.
Result<void> survey_unborn(io::Directory& directory,
                           const SegmentFile& unborn,
                           std::uint64_t bytes_before,
                           Survey& log) {
  const Result<std::unique_ptr<io::File>> file =
      directory.open(segment_name(unborn.number), io::OpenMode::read_only);
  if (!file) return failed(file);
  (*file)->forget_cache();
  SegmentRange range = whole_range(log, unborn, 0);
  range.bytes_before = bytes_before;
  const Result<std::uint32_t> end = look_behind(directory, unborn.number, **file, range, log);
  if (!end) return failed(end);
  log.torn_bytes += *end;
  return {};
}

/// Which of the valid files belong to the log, given that everything from `oldest` on must be
/// there.
Result<void> choose_live(io::Directory& directory,
                         const std::vector<SegmentFile>& files,
                         std::uint32_t oldest,
                         Survey& log) {
  std::uint32_t expected = oldest;
  for (const SegmentFile& file : files) {
    if (file.number < oldest) {
      log.dropped.push_back(file.number);
      continue;
    }
    if (file.number != expected) {
      return fail(ErrorCode::corrupt,
                  "segment " + segment_name(expected) + " of " + directory.path() +
                      " is missing; nothing was changed. Restore it from a backup");
    }
    if (!file.is_valid()) {
      return damaged(directory, file.number, 0, "its header fails its checksum", file.size);
    }
    if (file.header().log_id != log.log_id) {
      return fail(ErrorCode::corrupt,
                  "segment " + segment_name(file.number) + " of " + directory.path() +
                      " belongs to another log");
    }
    log.live.push_back(file);
    ++expected;
  }
  return {};
}

}  // namespace

Result<Survey> survey(io::Directory& directory) {
  Survey log;
  Result<std::vector<SegmentFile>> listed = list_segments(directory);
  if (!listed) return failed(listed);
  std::vector<SegmentFile>& files = *listed;
  if (files.empty()) return log;
  for (const SegmentFile& file : files) {
    if (file.decoded.state == HeaderState::newer_version) {
      return fail(ErrorCode::corrupt,
                  "segment " + segment_name(file.number) + " of " + directory.path() +
                      " has format version " + std::to_string(file.decoded.version) +
                      ", this program reads up to version " + std::to_string(format_version) +
                      "; use a newer Sluice");
    }
  }
  const auto last_valid = std::find_if(
      files.rbegin(), files.rend(), [](const SegmentFile& file) { return file.is_valid(); });
  if (last_valid == files.rend()) {
    return damaged(
        directory, files.back().number, 0, "no segment has a valid header", files.back().size);
  }
  const std::vector<SegmentFile> unborn(last_valid.base(), files.end());
  files.erase(last_valid.base(), files.end());
  log.log_id = files.back().header().log_id;
  Result<std::uint32_t> oldest = survey_last(directory, files.back(), log);
  if (!oldest) return failed(oldest);
  std::uint64_t bytes_before = files.back().size - log.stop_offset;
  for (const SegmentFile& file : unborn) {
    log.unborn.push_back(file.number);
    if (Result<void> seen = survey_unborn(directory, file, bytes_before, log); !seen) {
      return failed(seen);
    }
    bytes_before += file.size;
  }
  if (log.durable_upto > log.stop_sequence) {
    return damaged(directory,
                   files.back().number,
                   log.stop_offset,
                   "no intact frame here, but frames behind it say that it was durable",
                   log.torn_bytes);
  }
  for (const SegmentFile& file : files) {
    if (file.is_valid()) oldest = std::max(*oldest, file.header().oldest_segment);
  }
  if (Result<void> chosen = choose_live(directory, files, *oldest, log); !chosen) {
    return failed(chosen);
  }
  if (log.live.empty()) {
    return fail(ErrorCode::corrupt,
                "segment " + segment_name(*oldest) + " of " + directory.path() +
                    " is missing; nothing was changed. Restore it from a backup");
  }
  return log;
}

namespace {

class Recovery {
 public:
  Recovery(io::Directory& directory,
           const LogOptions& options,
           const OnFrame& on_frame,
           const OnProgress& on_progress)
      : directory_(directory), options_(options), on_frame_(on_frame), on_progress_(on_progress) {}

  Result<Recovered> run() {
    if (Result<void> have_read = read(); !have_read) return failed(have_read);
    if (Result<void> tidied = remove_unborn(); !tidied) return failed(tidied);
    if (log_.live.empty()) return start_empty();
    Result<Recovered> done = begins_again_ ? begin_again() : go_on();
    if (!done) return done;
    // Not before: the mark that dropped them may have been in the end that is durable only now.
    if (Result<void> tidied = remove(log_.dropped); !tidied) return failed(tidied);
    report(true);
    return done;
  }

  /// Hands out what run() would, the last frames from where they are, and changes nothing.
  Result<void> look() {
    begins_again_ = false;
    return read();
  }

 private:
  Result<void> read() {
    Result<Survey> surveyed = survey(directory_);
    if (!surveyed) return failed(surveyed);
    log_ = std::move(*surveyed);
    log_id_ = log_.log_id;
    begins_again_ = begins_again_ && !log_.is_clean;
    for (const SegmentFile& segment : log_.live)
      progress_.bytes_total += counted_end(segment);
    for (const SegmentFile& segment : log_.live) {
      if (Result<void> delivered = deliver(segment); !delivered) return delivered;
    }
    return {};
  }

  bool is_last(const SegmentFile& segment) const {
    return segment.number == log_.live.back().number;
  }

  /// Where the frames of a live segment end.
  std::uint32_t counted_end(const SegmentFile& segment) const {
    if (is_last(segment)) return log_.stop_offset;
    return log_.live[segment.number - log_.live.front().number + 1].header().previous_end;
  }

  /// Hands out the durable frames of a segment; those of the last one that are not known to be
  /// durable are kept in copy_.
  Result<void> deliver(const SegmentFile& segment) {
    const std::uint32_t end = counted_end(segment);
    if (end < segment_header_bytes || end > segment.size) {
      return damaged(directory_,
                     segment.number,
                     segment.size,
                     "it is shorter than it was",
                     end - std::min<std::uint64_t>(end, segment.size));
    }
    const Result<std::unique_ptr<io::File>> file =
        directory_.open(segment_name(segment.number), io::OpenMode::read_only);
    if (!file) return failed(file);
    const std::uint64_t until = is_last(segment) && begins_again_ ? log_.durable_upto : no_sequence;
    FrameScanner scanner(**file,
                         {segment_salt(log_id_, segment.number), segment_header_bytes, end},
                         segment.header().first_sequence);
    const std::uint64_t bytes_before = progress_.bytes_done;
    while (scanner.next_sequence() < until && scanner.next()) {
      if (Result<void> taken = hand_out(Position(segment.number, scanner.frame_offset()),
                                        scanner.header(),
                                        scanner.payload());
          !taken) {
        return taken;
      }
      progress_.bytes_done = bytes_before + scanner.offset();
      report(false);
    }
    segments_.push_back({segment.number, scanner.offset(), segment.header().first_sequence});
    if (is_last(segment)) keep_tail(scanner);
    progress_.bytes_done = bytes_before + scanner.offset();
    if (scanner.error()) return tl::unexpected<Error>(*scanner.error());
    return check_end(segment, scanner, end);
  }

  Result<void> check_end(const SegmentFile& segment,
                         const FrameScanner& scanner,
                         std::uint32_t end) {
    const std::uint64_t expected =
        is_last(segment)
            ? log_.stop_sequence
            : log_.live[segment.number - log_.live.front().number + 1].header().first_sequence;
    if (scanner.offset() == end && scanner.next_sequence() == expected) return {};
    return damaged(directory_,
                   segment.number,
                   scanner.offset(),
                   "no intact frame with sequence " + std::to_string(scanner.next_sequence()),
                   end - scanner.offset());
  }

  void keep_tail(FrameScanner& scanner) {
    while (scanner.next()) {
      if (scanner.header().is_mark()) continue;
      copy_ends_.push_back(copy_.size() + scanner.payload().size());
      copy_.append(scanner.payload());
    }
  }

  Result<void> hand_out(Position frame, const FrameHeader& header, ByteView payload) {
    if (header.is_mark()) return {};
    ++progress_.frames;
    return on_frame_(frame.plus(frame_header_bytes), payload);
  }

  void report(bool is_end) {
    if (!on_progress_) return;
    if (!is_end && progress_.bytes_done < next_report_) return;
    next_report_ = progress_.bytes_done + progress_bytes;
    on_progress_(progress_);
  }

  /// Makes room for the segment that comes next.
  Result<void> remove_unborn() {
    const Result<std::vector<std::string>> names = directory_.list();
    if (!names) return failed(names);
    if (std::find(names->begin(), names->end(), unfinished_name) != names->end()) {
      if (Result<void> removed = directory_.remove(unfinished_name); !removed) return removed;
      if (Result<void> synced = directory_.sync(); !synced) return synced;
    }
    return remove(log_.unborn);
  }

  Result<void> remove(const std::vector<std::uint32_t>& segments) {
    if (segments.empty()) return {};
    for (const std::uint32_t number : segments) {
      if (Result<void> removed = directory_.remove(segment_name(number)); !removed) return removed;
    }
    return directory_.sync();
  }

  /// The last segment ends cleanly: its file is continued.
  Result<Recovered> go_on() {
    const SegmentInfo& last = segments_.back();
    Result<std::unique_ptr<io::File>> file =
        directory_.open(segment_name(last.number), io::OpenMode::read_write);
    if (!file) return failed(file);
    if (Result<void> allocated = (*file)->allocate(reserved_bytes(options_.segment_bytes));
        !allocated) {
      return failed(allocated);
    }
    // The clean end itself was synced by the process that wrote it, if that got so far.
    if (Result<void> synced = (*file)->sync(); !synced) return failed(synced);
    return Recovered{log_id_, std::move(segments_), std::move(*file), log_.stop_sequence};
  }

  /// Writes the frames that may not be durable into a new segment, then hands them out from there.
  /// If that is all frames of the old one, not even its header is known to be durable: the new file
  /// takes its place.
  Result<Recovered> begin_again() {
    const SegmentInfo old = segments_.back();
    SegmentHeader header{
        log_id_, old.number + 1, log_.durable_upto, old.end, segments_.front().number};
    const bool is_replaced = old.end == segment_header_bytes;
    if (is_replaced) {
      header.segment = old.number;
      header.previous_end = log_.live.back().header().previous_end;
      segments_.pop_back();
    }
    Result<Recovered> begun = write_segment(header);
    if (!begun) return begun;
    if (!is_replaced) {
      if (Result<void> freed = cut(old); !freed) return failed(freed);
    }
    std::uint32_t offset = segment_header_bytes;
    std::size_t from = 0;
    for (const std::size_t end : copy_ends_) {
      ++progress_.frames;
      Result<void> taken = on_frame_(Position(header.segment, offset + frame_header_bytes),
                                     copy_.view().substr(from, end - from));
      if (!taken) return failed(taken);
      offset += frame_header_bytes + static_cast<std::uint32_t>(end - from);
      from = end;
    }
    return begun;
  }

  Result<Recovered> start_empty() {
    const std::string path = directory_.path();
    log_id_ = mix(XXH3_64bits(path.data(), path.size()) + mix(options_.identity_seed));
    return write_segment(SegmentHeader{log_id_, 1, 1, 0, 1});
  }

  /// A new segment with what is in copy_, durable and in its place when this returns.
  Result<Recovered> write_segment(const SegmentHeader& header) {
    Buffer bytes;
    const SegmentHeaderBytes head = encode(header);
    bytes.append({head.data(), head.size()});
    FramePlace place{segment_salt(header.log_id, header.segment),
                     0,
                     header.first_sequence,
                     header.first_sequence};
    std::size_t from = 0;
    for (const std::size_t end : copy_ends_) {
      place.offset = static_cast<std::uint32_t>(bytes.size());
      bytes.extend(frame_header_bytes);
      bytes.append(copy_.view().substr(from, end - from));
      seal_frame(bytes.data() + place.offset, static_cast<std::uint32_t>(end - from), place);
      ++place.sequence;
      from = end;
    }
    Result<std::unique_ptr<io::File>> file =
        directory_.open(unfinished_name, io::OpenMode::create_new);
    if (!file) return failed(file);
    Result<void> done =
        (*file)->allocate(std::max(reserved_bytes(options_.segment_bytes), bytes.size()));
    if (done) done = (*file)->write_at(0, bytes.view());
    if (done) done = (*file)->sync();
    if (done) done = directory_.rename(unfinished_name, segment_name(header.segment));
    if (done) done = directory_.sync();
    if (!done) return failed(done);
    // By its new name, so that errors to come name a file that somebody can find.
    Result<std::unique_ptr<io::File>> renamed =
        directory_.open(segment_name(header.segment), io::OpenMode::read_write);
    if (!renamed) return failed(renamed);
    segments_.push_back(
        {header.segment, static_cast<std::uint32_t>(bytes.size()), header.first_sequence});
    return Recovered{log_id_, std::move(segments_), std::move(*renamed), place.sequence};
  }

  /// Gives back what is behind the end of a segment that has a durable successor.
  Result<void> cut(const SegmentInfo& segment) {
    const Result<std::unique_ptr<io::File>> file =
        directory_.open(segment_name(segment.number), io::OpenMode::read_write);
    if (!file) return failed(file);
    return (*file)->truncate(segment.end);
  }

  io::Directory& directory_;
  const LogOptions options_;
  const OnFrame& on_frame_;
  const OnProgress on_progress_;
  Survey log_;
  std::uint64_t log_id_ = 0;
  std::vector<SegmentInfo> segments_;
  bool begins_again_ = true;            ///< The end of the log will be written again.
  Buffer copy_;                         ///< Payloads from D on,
  std::vector<std::size_t> copy_ends_;  ///< and where each ends.
  ScanProgress progress_;
  std::uint64_t next_report_ = progress_bytes;
};

}  // namespace

Result<Recovered> recover(io::Directory& directory,
                          const LogOptions& options,
                          const OnFrame& on_frame,
                          const OnProgress& on_progress) {
  return Recovery(directory, options, on_frame, on_progress).run();
}

Result<void> read_log(io::Directory& directory, const OnFrame& on_frame) {
  return Recovery(directory, LogOptions(), on_frame, {}).look();
}

}  // namespace sluice::journal
