// JobTable: where jobs live and how they are found by id.
//
// Jobs never move. The directory from id to slot is a hash of pages of 64 ids:
// ids are drawn from a counter, so neighbours share a page, a job costs four bytes of directory,
// and the hash grows by one entry in 64 jobs (a rehash of ten million jobs takes milliseconds).
#pragma once

#include "base/check.h"
#include "core/job.h"
#include "core/pool.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <memory>
#include <vector>

namespace sluice::core {

class JobTable {
 public:
  /// A new job with this id and no details. Requires that the id is not in use.
  Slot add(model::JobId id);
  /// Frees the job and its details.
  void remove(Slot slot);
  /// no_slot if there is none.
  Slot find(model::JobId id);

  // Slots come from here.
  [[gnu::always_inline]] Job& operator[](Slot slot) { return jobs_[slot]; }

  [[gnu::always_inline]] const Job& operator[](Slot slot) const { return jobs_[slot]; }

  /// The job's details, made if it has none.
  [[gnu::always_inline]] Details& details(Slot slot) {
    Job& job = (*this)[slot];
    if (job.details == no_details) [[unlikely]]
      job.details = new_details();
    return details_at(job.details);
  }

  /// Null if it has none.
  [[gnu::always_inline]] Details* details_if_any(Slot slot) {
    const std::uint32_t index = (*this)[slot].details;
    return index == no_details ? nullptr : &details_at(index);
  }

  [[gnu::always_inline]] const Details* details_if_any(Slot slot) const {
    const std::uint32_t index = (*this)[slot].details;
    return index == no_details ? nullptr : &details_at(index);
  }

  std::size_t size() const { return jobs_.size(); }

  /// What jobs, directory and details cost; heap memory of details is counted by the caller.
  std::size_t memory_bytes() const {
    return jobs_.size() * sizeof(Job) + pages_.size() * (sizeof(Page) + 32) +
           (next_details_ - free_details_.size()) * sizeof(Details);
  }

  /// Calls `visit(slot)` for every job in ascending order of id. Jobs must not be added or removed
  /// meanwhile.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const std::uint64_t key : sorted_page_keys()) {
      const Page& page = pages_[directory_.find(key)->second];
      for (const Slot slot : page.slots) {
        if (slot != no_slot) visit(slot);
      }
    }
  }

 private:
  static constexpr std::size_t page_ids = 64;
  static constexpr std::size_t details_chunk = 256;

  struct Page {
    std::array<Slot, page_ids> slots;
    std::uint32_t used = 0;
  };

  [[gnu::always_inline]] Details& details_at(std::uint32_t index) const {
    return details_chunks_.data()[index / details_chunk].get()[index % details_chunk];
  }

  std::uint32_t new_details();
  Page* page_of(model::JobId id);
  std::vector<std::uint64_t> sorted_page_keys() const;

  Pool<Job> jobs_;
  Pool<Page> pages_;
  std::vector<std::unique_ptr<Details[]>> details_chunks_;
  std::vector<std::uint32_t> free_details_;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> directory_;  ///< id / 64 → page.
  std::uint64_t last_key_ = UINT64_MAX;  ///< The page found last; neighbours come in runs.
  std::uint32_t last_page_ = 0;
  std::uint32_t next_details_ = 0;
};

}  // namespace sluice::core
