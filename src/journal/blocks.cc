// The blocks and open files of BlockReader, least recently used first out.
#include "journal/blocks.h"

#include "journal/format.h"

#include <algorithm>

namespace sluice::journal {
namespace {

constexpr std::uint32_t block_bytes = 256u << 10;
/// One for each of a few queues that are worked off at the same time.
constexpr std::size_t blocks_max = 16;
constexpr std::size_t files_max = 16;

/// The entry to use for something new: a further one while there are few, else the oldest.
template <class Entry>
Entry& oldest_of(std::vector<Entry>& entries, std::size_t count_max) {
  if (entries.size() < count_max) return entries.emplace_back();
  return *std::min_element(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.last_use < b.last_use;
  });
}

}  // namespace

Result<ByteView> BlockReader::read(Position at, std::size_t size, std::uint32_t written_end) {
  const std::uint32_t within = at.offset() % block_bytes;
  const Position begin(at.segment(), at.offset() - within);
  if (within + size <= block_bytes) {
    if (find(begin, within + size) == nullptr && !is_in_order(begin)) return read_alone(at, size);
    const Result<Block*> found = block(begin, within + size, written_end);
    if (!found) return tl::unexpected<Error>(found.error());
    return (*found)->bytes.view().substr(within, size);
  }
  // Across blocks: what fits into two is put together from them, so that the second is there for
  // the reader's next step; anything larger is read at once.
  Block* const first = find(begin, block_bytes);
  if (within + size > 2 * std::size_t{block_bytes} || first == nullptr) {
    return read_alone(at, size);
  }
  first->last_use = ++uses_;
  alone_.clear();
  alone_.append(first->bytes.view().substr(within));
  const std::size_t rest = size - alone_.size();
  const Result<Block*> second = block(begin.plus(block_bytes), rest, written_end);
  if (!second) return tl::unexpected<Error>(second.error());
  alone_.append((*second)->bytes.view().substr(0, rest));
  return alone_.view();
}

/// Whether somebody was in this block or the one before lately: then a reader goes through the log,
/// and reading the whole block pays. Otherwise notes that somebody was here.
bool BlockReader::is_in_order(Position begin) {
  const bool has_before = begin.offset() >= block_bytes;
  const Position before(begin.segment(), has_before ? begin.offset() - block_bytes : 0);
  if (has_before && find(before, 0) != nullptr) return true;
  for (const Position& missed : missed_) {
    if (missed.segment() != 0 && (missed == begin || missed == before)) return true;
  }
  missed_[next_missed_++ % missed_.size()] = begin;
  return false;
}

Result<ByteView> BlockReader::read_alone(Position at, std::size_t size) {
  const Result<io::File*> from = file(at.segment());
  if (!from) return tl::unexpected<Error>(from.error());
  alone_.clear();
  const Result<std::size_t> got = (*from)->read_at(at.offset(), alone_.extend(size), size);
  if (!got) return tl::unexpected<Error>(got.error());
  alone_.truncate(*got);
  if (*got == size) return alone_.view();
  return fail(ErrorCode::corrupt,
              "segment " + segment_name(at.segment()) + " of " + directory_.path() +
                  " ends before offset " + std::to_string(at.offset() + size));
}

/// The block, if it is here with at least its first `needed` bytes.
BlockReader::Block* BlockReader::find(Position begin, std::size_t needed) {
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& b) {
    return b.begin == begin && b.bytes.size() >= needed;
  });
  return found == blocks_.end() ? nullptr : &*found;
}

void BlockReader::forget(std::uint32_t segment) {
  std::erase_if(blocks_, [&](const Block& b) { return b.begin.segment() == segment; });
  std::erase_if(files_, [&](const OpenFile& f) { return f.segment == segment; });
}

/// A block with at least its first `needed` bytes. One that was read while the segment was shorter
/// is read again.
Result<BlockReader::Block*> BlockReader::block(Position begin,
                                               std::size_t needed,
                                               std::uint32_t written_end) {
  ++uses_;
  const auto found = std::find_if(
      blocks_.begin(), blocks_.end(), [&](const Block& b) { return b.begin == begin; });
  if (found != blocks_.end() && found->bytes.size() >= needed) {
    found->last_use = uses_;
    return &*found;
  }
  const Result<io::File*> from = file(begin.segment());
  if (!from) return tl::unexpected<Error>(from.error());
  Block& block = found != blocks_.end() ? *found : oldest_of(blocks_, blocks_max);
  block.begin = Position();  // Position 0 is a segment header's: never asked for.
  block.bytes.clear();
  const std::size_t wanted = std::min(block_bytes, written_end - begin.offset());
  const Result<std::size_t> got =
      (*from)->read_at(begin.offset(), block.bytes.extend(wanted), wanted);
  if (!got) {
    block.bytes.clear();
    return tl::unexpected<Error>(got.error());
  }
  block.bytes.truncate(*got);
  if (*got < needed) {
    return fail(ErrorCode::corrupt,
                "segment " + segment_name(begin.segment()) + " of " + directory_.path() +
                    " ends at offset " + std::to_string(begin.offset() + *got) +
                    ", before a record that is in use");
  }
  block.begin = begin;
  block.last_use = uses_;
  return &block;
}

Result<io::File*> BlockReader::file(std::uint32_t segment) {
  ++uses_;
  const auto found = std::find_if(
      files_.begin(), files_.end(), [&](const OpenFile& f) { return f.segment == segment; });
  if (found != files_.end()) {
    found->last_use = uses_;
    return found->file.get();
  }
  Result<std::unique_ptr<io::File>> opened =
      directory_.open(segment_name(segment), io::OpenMode::read_only);
  if (!opened) return tl::unexpected<Error>(opened.error());
  OpenFile& entry = oldest_of(files_, files_max);
  entry = OpenFile{segment, std::move(*opened), uses_};
  return entry.file.get();
}

}  // namespace sluice::journal
