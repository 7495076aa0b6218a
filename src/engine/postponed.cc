// Requests that wait for their turn: see postponed.h.
#include "engine/postponed.h"

#include "base/check.h"

#include <utility>

namespace sluice::engine {

void Postponed::add(SessionId session, BatchRest rest) {
  check(rest.next < rest.batch->requests.size());
  sessions_[session.value].push_back(std::move(rest));
}

std::optional<Postponed::Turn> Postponed::take(
    const std::function<bool(const BatchRest&)>& may_go) {
  auto found = sessions_.upper_bound(last_);
  for (std::size_t looked_at = 0; looked_at < sessions_.size(); ++looked_at, ++found) {
    if (found == sessions_.end()) found = sessions_.begin();
    std::deque<BatchRest>& rests = found->second;
    if (!may_go(rests.front())) continue;
    last_ = found->first;
    Turn turn{SessionId(last_), rests.front()};
    if (++rests.front().next == rests.front().batch->requests.size()) rests.pop_front();
    if (rests.empty()) sessions_.erase(found);
    return turn;
  }
  return std::nullopt;
}

std::deque<BatchRest> Postponed::remove(SessionId session) {
  auto removed = sessions_.extract(session.value);
  return removed.empty() ? std::deque<BatchRest>() : std::move(removed.mapped());
}

}  // namespace sluice::engine
