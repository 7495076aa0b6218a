// JobTable: slots, pages and the pool of details.
#include "core/job_table.h"

#include <algorithm>

namespace sluice::core {

Slot JobTable::add(model::JobId id) {
  Page* page = page_of(id);
  if (page == nullptr) {
    std::uint32_t index = 0;
    if (free_pages_.empty()) {
      index = static_cast<std::uint32_t>(pages_.size());
      pages_.emplace_back();
    } else {
      index = free_pages_.back();
      free_pages_.pop_back();
    }
    page = &pages_[index];
    page->slots.fill(no_slot);
    page->used = 0;
    last_key_ = id.value / page_ids;
    last_page_ = index;
    directory_.emplace(last_key_, index);
  }
  Slot& entry = page->slots[id.value % page_ids];
  check(entry == no_slot);
  if (free_slots_.empty()) {
    if (next_slot_ % chunk_jobs == 0) chunks_.push_back(std::make_unique<Job[]>(chunk_jobs));
    entry = next_slot_++;
  } else {
    entry = free_slots_.back();
    free_slots_.pop_back();
  }
  ++page->used;
  ++size_;
  Job& job = (*this)[entry];
  job = Job();
  job.id = id;
  return entry;
}

void JobTable::remove(Slot slot) {
  Job& job = (*this)[slot];
  if (job.details != no_details) {
    details(slot).reset();
    free_details_.push_back(job.details);
    job.details = no_details;
  }
  Page* page = page_of(job.id);
  check(page != nullptr);
  page->slots[job.id.value % page_ids] = no_slot;
  if (--page->used == 0) {
    directory_.erase(job.id.value / page_ids);
    free_pages_.push_back(last_page_);
    last_key_ = UINT64_MAX;
  }
  free_slots_.push_back(slot);
  --size_;
}

Slot JobTable::find(model::JobId id) {
  const Page* page = page_of(id);
  return page == nullptr ? no_slot : page->slots[id.value % page_ids];
}

/// Leaves last_key_ and last_page_ at the page it found.
inline JobTable::Page* JobTable::page_of(model::JobId id) {
  const std::uint64_t key = id.value / page_ids;
  if (key != last_key_) {
    const auto found = directory_.find(key);
    if (found == directory_.end()) return nullptr;
    last_key_ = key;
    last_page_ = found->second;
  }
  return &pages_[last_page_];
}

std::uint32_t JobTable::new_details() {
  if (!free_details_.empty()) {
    const std::uint32_t index = free_details_.back();
    free_details_.pop_back();
    return index;
  }
  if (next_details_ % details_chunk == 0) {
    details_chunks_.push_back(std::make_unique<Details[]>(details_chunk));
  }
  return next_details_++;
}

std::vector<std::uint64_t> JobTable::sorted_page_keys() const {
  std::vector<std::uint64_t> keys;
  keys.reserve(directory_.size());
  for (const auto& [key, page] : directory_)
    keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace sluice::core
