// The chunks of the tail and the blocks that they are copied into: lookup and eviction.
#include "journal/tail.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::journal {
namespace {

constexpr std::size_t blocks_min = 8;
constexpr std::size_t free_chunks_max = 4;

/// Of runs of bytes in log order: the one that begins last at or before `at`, or end.
template <class Runs, class Begin>
auto find_run(const Runs& runs, Position at, Begin begin) {
  const auto behind =
      std::upper_bound(runs.begin(), runs.end(), at, [&](Position position, const auto& run) {
        return position < begin(run);
      });
  return behind == runs.begin() ? runs.end() : std::prev(behind);
}

/// The bytes, if all of them are in this run.
template <class Run>
std::optional<ByteView> part_of(const Run& run, Position at, std::size_t size) {
  const ByteView content = run.content();
  if (run.segment != at.segment() || at.offset() < run.offset) return std::nullopt;
  const std::size_t skipped = at.offset() - run.offset;
  if (skipped + size > content.size()) return std::nullopt;
  return content.substr(skipped, size);
}

}  // namespace

Tail::Tail(std::size_t bytes_max)
    : bytes_max_(bytes_max),
      block_bytes_(std::clamp(bytes_max / blocks_min, page_bytes, huge_page_bytes)) {}

std::shared_ptr<Chunk> Tail::add(std::uint32_t segment, std::uint32_t offset) {
  std::shared_ptr<Chunk> chunk;
  if (free_.empty()) {
    chunk = std::make_shared<Chunk>();
  } else {
    chunk = std::move(free_.back());
    free_.pop_back();
  }
  chunk->segment = segment;
  chunk->offset = offset;
  chunks_.push_back(chunk);
  return chunk;
}

void Tail::drop_last() {
  check(chunks_.back()->bytes.empty());
  std::shared_ptr<Chunk> chunk = std::move(chunks_.back());
  chunks_.pop_back();
  reuse(std::move(chunk));
}

void Tail::retire(std::shared_ptr<Chunk> chunk) {
  check(!chunks_.empty());
  check(chunks_.front() == chunk);
  chunks_.pop_front();
  const ByteView bytes = chunk->bytes.view();
  if (bytes.size() <= bytes_max_) {
    Block& block = block_for(*chunk);
    std::memcpy(block.memory.data() + block.size, bytes.data(), bytes.size());
    block.size += bytes.size();
  }
  reuse(std::move(chunk));
}

std::optional<ByteView> Tail::find(Position at, std::size_t size) {
  if (last_found_ != nullptr) {
    if (const std::optional<ByteView> bytes = part_of(*last_found_, at, size)) return bytes;
  }
  const auto chunk = find_run(chunks_, at, [](const auto& each) { return each->begin(); });
  if (chunk != chunks_.end()) return part_of(**chunk, at, size);
  const auto block = find_run(blocks_, at, [](const Block& each) { return each.begin(); });
  if (block == blocks_.end()) return std::nullopt;
  last_found_ = &*block;
  return part_of(*block, at, size);
}

void Tail::reuse(std::shared_ptr<Chunk> chunk) {
  if (free_.size() == free_chunks_max) return;
  chunk->bytes.clear();
  free_.push_back(std::move(chunk));
}

/// The block in which these bytes come next.
Tail::Block& Tail::block_for(const Chunk& chunk) {
  const std::size_t size = chunk.bytes.size();
  if (!blocks_.empty()) {
    Block& last = blocks_.back();
    const bool goes_on = last.segment == chunk.segment && last.offset + last.size == chunk.offset;
    if (goes_on && last.size + size <= last.memory.size()) return last;
  }
  Pages memory = take_memory(std::max(size, block_bytes_));
  blocks_bytes_ += memory.size();
  blocks_.push_back({chunk.segment, chunk.offset, 0, std::move(memory)});
  return blocks_.back();
}

/// Of the oldest blocks, if the cache is full.
Pages Tail::take_memory(std::size_t bytes) {
  Pages memory;
  while (!blocks_.empty() && blocks_bytes_ + bytes > bytes_max_) {
    if (last_found_ == &blocks_.front()) last_found_ = nullptr;
    Pages oldest = std::move(blocks_.front().memory);
    blocks_.pop_front();
    blocks_bytes_ -= oldest.size();
    if (oldest.size() >= bytes) memory = std::move(oldest);
  }
  if (memory.size() > 0) return memory;
  // What fits into one block costs what it takes.
  return Pages(bytes, blocks_.empty() ? Pages::Kind::ordinary : Pages::Kind::huge);
}

}  // namespace sluice::journal
