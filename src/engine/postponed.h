// Postponed: requests that wait until clients have taken what was read for them before. The order
// within a session is kept; sessions take turns, so that one that asks for much does not hold up
// the others.
#pragma once

#include "engine/port.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>

namespace sluice::engine {

/// Requests of a batch, from `next` on. The batch keeps alive what their commands view.
struct BatchRest {
  std::shared_ptr<RequestBatch> batch;
  std::size_t next = 0;
};

/// Engine's thread only.
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

  /// The next request of the session whose turn it is. Requires !empty().
  Turn take();

  /// Everything of a session that left.
  std::deque<BatchRest> remove(SessionId session);

  void clear() { sessions_.clear(); }

 private:
  std::map<std::uint32_t, std::deque<BatchRest>> sessions_;
  std::uint32_t last_ = 0;  ///< Whose turn it was.
};

}  // namespace sluice::engine
