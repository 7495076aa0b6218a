// Lists of jobs stay in ascending order, wherever jobs are put into them.
#include "core/job_list.h"

#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class List : public testing::Test {
 protected:
  Slot job(std::uint64_t order) {
    const Slot slot = jobs_.add(model::JobId(order));
    jobs_[slot].order = order;
    return slot;
  }

  void merge(const std::vector<std::uint64_t>& orders) {
    std::vector<Slot> slots;
    for (const std::uint64_t order : orders)
      slots.push_back(job(order));
    list_.merge(jobs_, slots);
  }

  /// The orders from head to tail; the way back must be the same.
  std::vector<std::uint64_t> orders() const {
    std::vector<std::uint64_t> found;
    Slot previous = no_slot;
    for (Slot slot = list_.head(); slot != no_slot; slot = jobs_[slot].next) {
      EXPECT_EQ(jobs_[slot].previous, previous);
      found.push_back(jobs_[slot].order);
      previous = slot;
    }
    EXPECT_EQ(list_.tail(), previous);
    EXPECT_EQ(list_.size(), found.size());
    return found;
  }

  JobTable jobs_;
  JobList list_;
};

using Orders = std::vector<std::uint64_t>;

TEST_F(List, MergesJobsInFrontBetweenAndBehind) {
  list_.push_back(jobs_, job(10));
  list_.push_back(jobs_, job(20));
  merge({25, 15, 30, 5, 12});
  EXPECT_EQ(orders(), (Orders{5, 10, 12, 15, 20, 25, 30}));
}

TEST_F(List, MergesIntoNothing) {
  merge({2, 1});
  EXPECT_EQ(orders(), (Orders{1, 2}));
}

TEST_F(List, AcceptsOnlyWhatComesBehindItsTail) {
  EXPECT_TRUE(list_.accepts(jobs_, job(9)));
  list_.push_back(jobs_, job(10));
  EXPECT_FALSE(list_.accepts(jobs_, jobs_.find(model::JobId(9))));
  EXPECT_TRUE(list_.accepts(jobs_, job(11)));
}

}  // namespace
}  // namespace sluice::core
