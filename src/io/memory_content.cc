// MemoryContent: sparse pages with a cached and a durable side.
#include "io/memory_content.h"

#include <algorithm>

namespace sluice::io {
namespace {

bool is_zero(ByteView bytes) {
  static constexpr std::array<char, MemoryContent::page_bytes> zeros{};
  return bytes == ByteView(zeros.data(), bytes.size());
}

/// What power loss makes of one unsynced sector: kept, dropped, torn in two, or torn byte by byte.
void lose_sector_power(const char* cached, char* durable, std::mt19937_64& random) {
  constexpr std::size_t size = MemoryContent::sector_bytes;
  const std::uint64_t fate = random() % 10;
  if (fate < 4) {
    std::copy_n(cached, size, durable);
  } else if (fate < 5) {
    std::copy_n(cached, random() % size, durable);
  } else if (fate < 6) {
    for (std::size_t i = 0; i < size; ++i) {
      if (durable[i] != cached[i]) durable[i] = static_cast<char>(random());
    }
  }
}

}  // namespace

MemoryContent::Page& MemoryContent::page(std::uint64_t number) {
  if (number >= pages_.size()) pages_.resize(number + 1);
  if (pages_[number] == nullptr) pages_[number] = std::make_unique<Page>();
  return *pages_[number];
}

void MemoryContent::mark_dirty(std::uint64_t number, std::size_t at, std::size_t count) {
  Page& marked = page(number);
  if (marked.dirty == 0) dirty_pages_.push_back(number);
  for (std::size_t s = at / sector_bytes; s <= (at + count - 1) / sector_bytes; ++s) {
    marked.dirty = static_cast<std::uint8_t>(marked.dirty | (1u << s));
  }
}

void MemoryContent::write(std::uint64_t offset, ByteView bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const std::uint64_t number = (offset + done) / page_bytes;
    const std::size_t within = (offset + done) % page_bytes;
    const std::size_t count = std::min(page_bytes - within, bytes.size() - done);
    const ByteView piece = bytes.substr(done, count);
    const bool is_there = number < pages_.size() && pages_[number] != nullptr;
    if (is_there || !is_zero(piece)) {
      std::copy_n(piece.data(), count, page(number).cached.data() + within);
      mark_dirty(number, within, count);
    }
    done += count;
  }
  grow(offset + bytes.size());
}

std::size_t MemoryContent::read(std::uint64_t offset, char* to, std::size_t wanted) const {
  if (offset >= size_) return 0;
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, size_ - offset));
  for (std::size_t done = 0; done < count;) {
    const std::uint64_t number = (offset + done) / page_bytes;
    const std::size_t within = (offset + done) % page_bytes;
    const std::size_t step = std::min(page_bytes - within, count - done);
    if (number >= pages_.size() || pages_[number] == nullptr) {
      std::fill_n(to + done, step, '\0');
    } else {
      std::copy_n(pages_[number]->cached.data() + within, step, to + done);
    }
    done += step;
  }
  return count;
}

void MemoryContent::grow(std::uint64_t to) {
  size_ = std::max(size_, to);
  allocated_ = std::max(allocated_, size_);
}

void MemoryContent::cut(std::uint64_t to) {
  for (std::uint64_t at = to; at < size_;) {
    const std::size_t within = at % page_bytes;
    const std::size_t count = std::min<std::uint64_t>(page_bytes - within, size_ - at);
    const std::uint64_t number = at / page_bytes;
    if (number < pages_.size() && pages_[number] != nullptr) {
      std::fill_n(pages_[number]->cached.data() + within, count, '\0');
      mark_dirty(number, within, count);
    }
    at += count;
  }
  size_ = to;
  allocated_ = to;
}

void MemoryContent::make_durable() {
  for (const std::uint64_t number : dirty_pages_) {
    if (number >= pages_.size() || pages_[number] == nullptr) continue;
    Page& dirty = *pages_[number];
    for (std::size_t s = 0; s < sectors_per_page; ++s) {
      if ((dirty.dirty >> s & 1) == 0) continue;
      std::copy_n(dirty.cached.data() + s * sector_bytes,
                  sector_bytes,
                  dirty.durable.data() + s * sector_bytes);
    }
    dirty.dirty = 0;
  }
  dirty_pages_.clear();
  durable_size_ = size_;
}

void MemoryContent::lose_dirty_marks() {
  for (const std::unique_ptr<Page>& each : pages_) {
    if (each != nullptr) each->dirty = 0;
  }
  dirty_pages_.clear();
}

void MemoryContent::forget_clean(std::uint64_t bytes) {
  const std::size_t whole_pages = std::min<std::uint64_t>(bytes / page_bytes, pages_.size());
  for (std::size_t page = 0; page < whole_pages; ++page) {
    const std::unique_ptr<Page>& each = pages_[page];
    if (each == nullptr) continue;
    for (std::size_t s = 0; s < sectors_per_page; ++s) {
      if ((each->dirty >> s & 1) != 0) continue;
      std::copy_n(each->durable.data() + s * sector_bytes,
                  sector_bytes,
                  each->cached.data() + s * sector_bytes);
    }
  }
}

void MemoryContent::lose_power(std::mt19937_64& random) {
  for (const std::unique_ptr<Page>& each : pages_) {
    if (each == nullptr) continue;
    for (std::size_t s = 0; s < sectors_per_page; ++s) {
      if ((each->dirty >> s & 1) == 0) continue;
      const std::size_t at = s * sector_bytes;
      lose_sector_power(each->cached.data() + at, each->durable.data() + at, random);
    }
    each->dirty = 0;
    each->cached = each->durable;
  }
  dirty_pages_.clear();
  if (size_ != durable_size_ && random() % 2 == 0) durable_size_ = size_;
  size_ = durable_size_;
  allocated_ = size_;
  zero_behind_end();
}

/// Sectors behind the end are gone, so that growing again shows zeros.
void MemoryContent::zero_behind_end() {
  const std::uint64_t pages = (size_ + page_bytes - 1) / page_bytes;
  if (pages < pages_.size()) pages_.resize(pages);
  const std::size_t keep = size_ % page_bytes;
  if (keep == 0 || pages > pages_.size() || pages_[pages - 1] == nullptr) return;
  Page& last = *pages_[pages - 1];
  std::fill_n(last.cached.data() + keep, page_bytes - keep, '\0');
  last.durable = last.cached;
}

std::optional<std::uint64_t> MemoryContent::unsynced_sector(std::mt19937_64& random) const {
  std::vector<std::uint64_t> found;
  for (const std::uint64_t number : dirty_pages_) {
    if (number >= pages_.size() || pages_[number] == nullptr) continue;
    const Page& dirty = *pages_[number];
    for (std::size_t s = 0; s < sectors_per_page; ++s) {
      const char* const cached = dirty.cached.data() + s * sector_bytes;
      const bool is_dirty = (dirty.dirty >> s & 1) != 0;
      if (is_dirty &&
          !std::equal(cached, cached + sector_bytes, &dirty.durable[s * sector_bytes])) {
        found.push_back(number * sectors_per_page + s);
      }
    }
  }
  if (found.empty()) return std::nullopt;
  return found[random() % found.size()];
}

std::array<char, MemoryContent::sector_bytes> MemoryContent::skip_sector(std::uint64_t sector) {
  Page& dirty = page(sector / sectors_per_page);
  const std::size_t s = sector % sectors_per_page;
  dirty.dirty = static_cast<std::uint8_t>(dirty.dirty & ~(1u << s));
  std::array<char, sector_bytes> bytes;
  std::copy_n(dirty.cached.data() + s * sector_bytes, sector_bytes, bytes.data());
  return bytes;
}

void MemoryContent::overwrite_on_device(std::uint64_t sector,
                                        const std::array<char, sector_bytes>& bytes) {
  Page& victim = page(sector / sectors_per_page);
  std::copy_n(
      bytes.data(), sector_bytes, victim.durable.data() + sector % sectors_per_page * sector_bytes);
}

void MemoryContent::flip(std::uint64_t offset, std::uint8_t mask) {
  Page& rotten = page(offset / page_bytes);
  for (auto* side : {&rotten.cached, &rotten.durable}) {
    char& byte = (*side)[offset % page_bytes];
    byte = static_cast<char>(byte ^ static_cast<char>(mask));
  }
}

}  // namespace sluice::io
