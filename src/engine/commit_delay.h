// CommitDelay: until when the next sync is best put off, so that more requests share it.
//
//   if (!delay.synced(end, took, answered)) …   // a sync has ended, and answers so many requests
//   … what came during it is handed over: `waiting` requests …
//   sleep_until(delay.not_before(waiting));     // … and here, the replies have been sent
//
// PostgreSQL's commit_delay and commit_siblings, but decided anew behind each sync. Clients that
// wait for their answers send no more before they have them, and a delay would only hold them up;
// others go on sending. What is outstanding when a sync ends, answered by it or come meanwhile,
// tells them apart: as much as ever lately, and all that can come has come; less, and more is on
// its way. docs/adr/0005 has what it costs and what it saves.
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice::engine {

/// For one thread at a time.
class CommitDelay {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// At most so long behind a sync, and three quarters of what it took; 0: never.
  explicit CommitDelay(std::chrono::microseconds max) : max_(max) {}

  /// False: not_before() need not be asked. A lone client is spared the look at the sockets, and
  /// everybody where nothing is ever put off.
  bool synced(TimePoint end, std::chrono::microseconds took, std::size_t answered);

  /// Once behind each synced(), with what came during the sync; else, and if nothing is to be put
  /// off: the beginning of time.
  TimePoint not_before(std::size_t waiting);

 private:
  void remember(std::size_t outstanding);

  /// With fewer, a sync that is saved is not worth what they wait.
  static constexpr std::size_t outstanding_min = 3;
  /// What was outstanding is forgotten after so many syncs, or twice as many.
  static constexpr std::size_t memory = 32;

  std::chrono::microseconds max_;
  TimePoint end_;
  std::chrono::microseconds took_{0};
  std::size_t answered_ = 0;     ///< 0: not_before() has looked at it.
  std::size_t most_ = 0;         ///< Outstanding at once, in the last `remembered_` syncs, …
  std::size_t most_before_ = 0;  ///< … and in `memory` syncs before those.
  std::size_t remembered_ = 0;
};

}  // namespace sluice::engine
