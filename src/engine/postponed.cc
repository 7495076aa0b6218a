// Requests that wait for their turn: see postponed.h.
#include "engine/postponed.h"

#include "base/check.h"

#include <utility>

namespace sluice::engine {

void Postponed::add(SessionId session, BatchRest rest) {
  check(rest.next < rest.batch->requests.size());
  sessions_[session.value].push_back(std::move(rest));
}

Postponed::Turn Postponed::take() {
  check(!sessions_.empty());
  auto found = sessions_.upper_bound(last_);
  if (found == sessions_.end()) found = sessions_.begin();
  last_ = found->first;
  std::deque<BatchRest>& rests = found->second;
  Turn turn{SessionId(last_), rests.front()};
  if (++rests.front().next == rests.front().batch->requests.size()) rests.pop_front();
  if (rests.empty()) sessions_.erase(found);
  return turn;
}

std::deque<BatchRest> Postponed::remove(SessionId session) {
  auto removed = sessions_.extract(session.value);
  return removed.empty() ? std::deque<BatchRest>() : std::move(removed.mapped());
}

}  // namespace sluice::engine
