// JobTable: slots, pages and the pool of details.
#include "core/job_table.h"

#include <algorithm>

namespace sluice::core {

Slot JobTable::add(model::JobId id) {
  Page* page = page_of(id);
  if (page == nullptr) {
    last_key_ = id.value / page_ids;
    last_page_ = pages_.add();
    directory_.emplace(last_key_, last_page_);
    page = &pages_[last_page_];
    page->slots.fill(no_slot);
  }
  Slot& entry = page->slots[id.value % page_ids];
  check(entry == no_slot);
  entry = jobs_.add();
  jobs_[entry].id = id;
  ++page->used;
  return entry;
}

void JobTable::remove(Slot slot) {
  const Job& job = jobs_[slot];
  if (job.details != no_details) {
    details_at(job.details).reset();
    free_details_.push_back(job.details);
  }
  Page* page = page_of(job.id);
  check(page != nullptr);
  page->slots[job.id.value % page_ids] = no_slot;
  if (--page->used == 0) {
    directory_.erase(job.id.value / page_ids);
    pages_.remove(last_page_);
    last_key_ = UINT64_MAX;
  }
  jobs_.remove(slot);
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
