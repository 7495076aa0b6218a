// The chunks of the tail: lookup, merging of small ones, eviction.
#include "journal/tail.h"

#include "base/check.h"

#include <algorithm>
#include <utility>

namespace sluice::journal {
namespace {

/// Small batches are collected in blocks of this size, so that a batch of one frame does not hold a
/// buffer of many.
constexpr std::size_t block_bytes_max = 256u << 10;
constexpr std::size_t block_bytes_min = 4u << 10;
constexpr std::size_t blocks_in_cache_min = 8;
/// A chunk that fills at least this part of its memory is kept as it is.
constexpr std::size_t wasteful_factor = 4;
constexpr std::size_t free_chunks_max = 4;

}  // namespace

std::shared_ptr<Chunk> Tail::add(std::uint32_t segment, std::uint32_t offset) {
  std::shared_ptr<Chunk> chunk = fresh();
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

void Tail::retire(const std::shared_ptr<Chunk>& chunk) {
  const auto at = std::lower_bound(
      chunks_.begin(),
      chunks_.end(),
      chunk->begin(),
      [](const std::shared_ptr<Chunk>& c, Position begin) { return c->begin() < begin; });
  check(at != chunks_.end());
  check(*at == chunk);
  check(!chunk->is_retired);
  chunk->is_retired = true;
  retired_bytes_ += chunk->bytes.capacity();
  if (chunk->bytes.size() * wasteful_factor < chunk->bytes.capacity()) merge(at);
  evict();
}

std::optional<ByteView> Tail::find(Position at, std::size_t size) {
  const auto holds = [&](const Chunk& chunk) {
    return chunk.segment == at.segment() && chunk.offset <= at.offset() &&
           at.offset() + size <= chunk.end_offset();
  };
  if (last_found_ == nullptr || !holds(*last_found_)) {
    const auto behind = std::upper_bound(
        chunks_.begin(), chunks_.end(), at, [](Position position, const std::shared_ptr<Chunk>& c) {
          return position < c->begin();
        });
    if (behind == chunks_.begin()) return std::nullopt;
    Chunk* const chunk = std::prev(behind)->get();
    if (!holds(*chunk)) return std::nullopt;
    last_found_ = chunk;
  }
  return ByteView(last_found_->bytes.data() + (at.offset() - last_found_->offset), size);
}

std::shared_ptr<Chunk> Tail::fresh() {
  if (free_.empty()) return std::make_shared<Chunk>();
  std::shared_ptr<Chunk> chunk = std::move(free_.back());
  free_.pop_back();
  return chunk;
}

void Tail::reuse(std::shared_ptr<Chunk> chunk) {
  if (last_found_ == chunk.get()) last_found_ = nullptr;
  if (free_.size() == free_chunks_max) return;
  chunk->bytes.clear();
  chunk->is_retired = false;
  chunk->is_block = false;
  free_.push_back(std::move(chunk));
}

/// Copies a chunk that wastes its memory into the block before it, or into a new block.
void Tail::merge(const Chunks::iterator& small) {
  std::shared_ptr<Chunk> chunk = *small;
  const std::size_t size = chunk->bytes.size();
  Chunk* block = small == chunks_.begin() ? nullptr : std::prev(small)->get();
  retired_bytes_ -= chunk->bytes.capacity();
  if (block != nullptr && block->is_block && block->is_retired &&
      block->segment == chunk->segment && block->end_offset() == chunk->offset &&
      block->bytes.size() + size <= block->bytes.capacity()) {
    block->bytes.append(chunk->bytes.view());
    chunks_.erase(small);
  } else {
    auto made = std::make_shared<Chunk>();
    made->segment = chunk->segment;
    made->offset = chunk->offset;
    const std::size_t reserved =
        std::clamp(bytes_max_ / blocks_in_cache_min, block_bytes_min, block_bytes_max);
    made->bytes.reserve(std::max(reserved, size));
    made->bytes.append(chunk->bytes.view());
    made->is_retired = true;
    made->is_block = true;
    retired_bytes_ += made->bytes.capacity();
    *small = std::move(made);
  }
  reuse(std::move(chunk));
}

void Tail::evict() {
  while (retired_bytes_ > bytes_max_ && chunks_.front()->is_retired) {
    std::shared_ptr<Chunk> chunk = std::move(chunks_.front());
    chunks_.pop_front();
    retired_bytes_ -= chunk->bytes.capacity();
    reuse(std::move(chunk));
  }
}

}  // namespace sluice::journal
