// CommitDelay: who is still to come, from what was outstanding behind the last syncs.
#include "engine/commit_delay.h"

#include <algorithm>
#include <utility>

namespace sluice::engine {

bool CommitDelay::synced(TimePoint end, std::chrono::microseconds took, std::size_t answered) {
  end_ = end;
  took_ = took;
  answered_ = answered;
  return max_.count() > 0 && (answered > 1 || std::max(most_, most_before_) > 1);
}

CommitDelay::TimePoint CommitDelay::not_before(std::size_t waiting) {
  if (answered_ == 0) return {};
  const std::size_t outstanding = std::exchange(answered_, 0) + waiting;
  remember(outstanding);
  const bool is_more_to_come = outstanding < std::max(most_, most_before_);
  if (waiting == 0 || outstanding < outstanding_min || !is_more_to_come) return {};
  // With the 50 µs by which Linux wakes a thread late (PR_SET_TIMERSLACK) about as long as it took.
  return end_ + std::min(took_ * 3 / 4, max_);
}

void CommitDelay::remember(std::size_t outstanding) {
  if (remembered_ == memory) {
    most_before_ = std::exchange(most_, 0);
    remembered_ = 0;
  }
  most_ = std::max(most_, outstanding);
  ++remembered_;
}

}  // namespace sluice::engine
