// Queues as the C++ API shows them: what QUEUE GET tells and what QUEUE SET changes.
#pragma once

#include <sluice/job.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

/// The QUEUE GET map: counts, policy, totals since the server started.
struct QueueInfo {
  std::string name;
  bool paused = false;
  std::array<std::uint64_t, 9> jobs{};  ///< By JobState; read with count().
  // The policy: what its jobs get when they do not say, and the limits of the queue.
  unsigned priority = 0;
  Duration delay{0};
  unsigned max_attempts = 0;  ///< 0: no limit.
  std::string backoff;        ///< A spec; see Backoff.
  Duration timeout{0};
  Duration ttl{0};  ///< 0: never expires.
  Duration keep{0};
  std::uint64_t keep_max = 0;
  std::uint64_t max_length = 0;  ///< 0: only the server's limit.
  std::string overflow;          ///< "reject" or "drop_head".
  std::string dead_letter;       ///< Empty: dead jobs stay in this queue.
  // Since the server started.
  std::uint64_t pushed_total = 0;
  std::uint64_t pulled_total = 0;
  std::uint64_t succeeded_total = 0;
  std::uint64_t failed_total = 0;
  std::uint64_t dead_total = 0;
  std::uint64_t waiting_pulls = 0;  ///< Workers that wait for a job right now.
  Duration oldest_ready{0};         ///< Age of the job at the head.

  QueueInfo() = default;

  std::uint64_t count(JobState state) const { return jobs[static_cast<std::size_t>(state)]; }
};

/// What queue_set() changes; the rest of the policy stays.
class QueueChange {
 public:
  QueueChange& priority(unsigned higher_first);
  QueueChange& delay(Duration until_ready);
  QueueChange& max_attempts(unsigned count);
  QueueChange& backoff(const Backoff& backoff);
  QueueChange& timeout(Duration lease);
  QueueChange& ttl(Duration until_expired);
  QueueChange& keep(Duration after_its_end);
  QueueChange& keep_max(std::uint64_t jobs);
  QueueChange& max_length(std::uint64_t jobs);
  QueueChange& drop_head();    ///< Overflow: the oldest job makes room.
  QueueChange& reject_push();  ///< Overflow: the push is refused with BUSY.
  QueueChange& dead_letter(std::string queue);
  /// A field by its name on the wire, as a user typed it.
  QueueChange& set(std::string field, std::string value);

  const std::vector<std::string>& words() const { return words_; }

 private:
  std::vector<std::string> words_;
};

}  // namespace sluice
