// Postponed: requests that wait: until clients have taken what was read for them before, or until
// there is room for what they bring. The order within a session is kept; sessions take turns, so
// that one that asks for much does not hold up the others.
#pragma once

#include "engine/port.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace sluice::engine {

/// Requests of a batch, from `next` on. The batch keeps alive what their commands view.
struct BatchRest {
  std::shared_ptr<RequestBatch> batch;
  std::size_t next = 0;
};

/// For the engine's turn only.
class Postponed {
 public:
  bool empty() const { return sessions_.empty(); }

  bool has(SessionId session) const { return sessions_.contains(session.value); }

  /// Behind all that the session has here already. The rest is not empty.
  void add(SessionId session, BatchRest rest);

  struct Turn {
    SessionId session;
    BatchRest rest;  ///< rest.next is the request to apply now.
  };

  /// The next request of the session whose turn it is, among those whose next one may be applied.
  std::optional<Turn> take(const std::function<bool(const BatchRest&)>& may_go);

  /// Visits what each session would have applied next.
  template <class Visit>
  void for_each_next(Visit visit) const {
    for (const auto& [session, rests] : sessions_)
      visit(rests.front());
  }

  /// Everything of a session that left.
  std::deque<BatchRest> remove(SessionId session);

  void clear() { sessions_.clear(); }

 private:
  std::map<std::uint32_t, std::deque<BatchRest>> sessions_;
  std::uint32_t last_ = 0;  ///< Whose turn it was.
};

}  // namespace sluice::engine
