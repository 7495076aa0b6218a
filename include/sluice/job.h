// The nouns of the C++ API: ids, what a push may ask for, a leased job, what is known of a job.
//
//   client.push("mail", SendMail{"ada@example.org"},
//               sluice::PushOptions().delay(30s).max_attempts(5).unique("welcome:42"));
//
// Option types are classes with chained setters, never aggregates: GCC 12 destroys braced
// temporaries in a co_await expression twice. All types here are plain values: copy, move and use
// them on any thread, one thread at a time.
#pragma once

#include <sluice/error.h>

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

using Duration = std::chrono::milliseconds;
/// A time of the calendar, in milliseconds since 1970.
using SystemTime = std::chrono::sys_time<Duration>;

/// A number with a name: no conversion and no arithmetic. Travels and prints as a decimal string.
template <class Tag>
struct Id {
  std::uint64_t value = 0;

  constexpr Id() = default;

  constexpr explicit Id(std::uint64_t v) : value(v) {}

  /// "281474976710657". Empty for none (0).
  std::string text() const { return value == 0 ? std::string() : std::to_string(value); }

  /// Error: `arg` when `text` is not a decimal number from 1 to 2^64-1.
  static Result<Id> parse(std::string_view text);
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
};
/// Names a job for ever; ids of later pushes are greater.
using JobId = Id<struct JobIdName>;
/// A worker's exclusive right to run a job. Only grows, across restarts of the server too: pass it
/// to other systems to fence what an older attempt might still do there.
using LeaseToken = Id<struct LeaseTokenName>;

enum class JobState : std::uint8_t {
  scheduled,
  waiting,
  ready,
  leased,
  retry,
  succeeded,
  dead,
  cancelled,
  expired,
};
std::string_view name(JobState state);
std::optional<JobState> job_state(std::string_view name);

/// A job in a final state never runs again unless a person redrives it.
constexpr bool is_final(JobState state) {
  return state >= JobState::succeeded;
}

/// The delay before the next attempt.
///   Backoff::exponential(1s).cap(10min).jitter(20)   Backoff::fixed(5s)   Backoff::list({1s,
///   1min})
class Backoff {
 public:
  static Backoff exponential(Duration base);
  static Backoff fixed(Duration delay);
  static Backoff linear(Duration step);
  /// One delay per attempt; the last one repeats.
  static Backoff list(const std::vector<Duration>& delays);
  /// As the protocol writes it: "exponential 1s cap 10m jitter 20%". Checked by the server.
  static Backoff parse(std::string spec);
  Backoff& cap(Duration longest);
  Backoff& jitter(unsigned percent);

  const std::string& spec() const { return spec_; }

 private:
  explicit Backoff(std::string spec) : spec_(std::move(spec)) {}

  std::string spec_;
};

enum class OnConflict : std::uint8_t {
  existing,  ///< Answer with the id of the job that holds the key.
  replace,   ///< Take the place of the job that holds the key, if it has not started.
  reject,    ///< Error EXISTS.
};

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What a push may ask for; what is not set is as the queue's policy says.
class PushOptions {
 public:
  PushOptions& delay(Duration until_ready);
  PushOptions& at(std::chrono::system_clock::time_point when);
  PushOptions& priority(unsigned higher_first);  ///< 0–255.
  PushOptions& max_attempts(unsigned count);
  PushOptions& backoff(const Backoff& backoff);
  PushOptions& timeout(Duration lease);
  PushOptions& ttl(Duration until_expired);
  PushOptions& keep(Duration after_its_end);
  /// While the key is held, a second push with it is the same job.
  PushOptions& unique(std::string key);
  PushOptions& window(Duration key_is_held);
  PushOptions& on_conflict(OnConflict what);
  /// Runs when that job has succeeded; dies if that one dies. Any number of times.
  PushOptions& after(JobId id);
  /// Runs when that job has ended, however it ended.
  PushOptions& after_any(JobId id);
  PushOptions& header(std::string key, std::string value);
  /// A word and its value of a newer protocol, or as a user typed it: ("DELAY", "30s").
  PushOptions& set(std::string word, std::string value);

  /// The words behind `PUSH queue type payload`.
  std::vector<std::string> words() const;
  /// Whether a push with these options may be sent twice and is still one job.
  bool is_repeatable() const;

 private:
  std::vector<std::string> words_;
  std::string unique_key_;
  std::string window_;
  std::optional<OnConflict> on_conflict_;
};

/// A job that this worker has leased. Answer with ack, fail or release before `deadline`.
struct Job {
  JobId id;
  LeaseToken token;
  std::string queue;
  std::string type;
  unsigned attempt = 0;  ///< 1-based.
  std::string payload;
  Headers headers;
  SystemTime deadline;  ///< When the lease ends, unless extended.

  Job() = default;
  /// The first header with this key; empty if there is none.
  std::string_view header(std::string_view key) const;
};

/// What ack, fail, extend … need of a job.
struct Lease {
  JobId id;
  LeaseToken token;

  Lease(JobId job, LeaseToken lease) : id(job), token(lease) {}

  Lease(const Job& job) : id(job.id), token(job.token) {}  // NOLINT(google-explicit-constructor)
};

/// One change in the life of a job.
struct JobEvent {
  SystemTime time;
  JobState state{};      ///< The state it went to.
  unsigned attempt = 0;  ///< 0 before the first lease.
  std::string worker;
  std::string note;  ///< Reason or error.

  JobEvent() = default;
};

/// Everything known of a job: the JOB command's map.
struct JobInfo {
  JobId id;
  std::string queue;
  std::string type;
  JobState state{};
  unsigned priority = 0;
  unsigned attempt = 0;
  unsigned max_attempts = 0;  ///< 0: no limit.
  SystemTime created;
  std::optional<SystemTime> due;      ///< When it becomes ready, or its lease, ttl or keep ends.
  std::string worker;                 ///< Of the current or last lease.
  std::string error;                  ///< Of the last failure.
  std::optional<std::string> result;  ///< What ack was given.
  unsigned progress = 0;              ///< Percent.
  std::string note;                   ///< Given with the progress.
  std::string unique;
  std::vector<JobId> after;  ///< Still waited for.
  Headers headers;
  std::string payload;
  std::vector<JobEvent> history;

  JobInfo() = default;
};

/// A page of a long list of jobs, without their payloads.
struct JobPage {
  std::vector<JobInfo> jobs;
  JobId cursor;  ///< Pass on for the next page; 0: that was all.

  JobPage() = default;
};

/// Which jobs Client::jobs() lists.
class JobFilter {
 public:
  JobFilter& state(JobState only);
  JobFilter& type(std::string only);
  JobFilter& older(Duration age_min);
  JobFilter& newer(Duration age_max);
  JobFilter& cursor(JobId from);  ///< JobPage::cursor of the page before.
  JobFilter& count(unsigned jobs_max);

  const std::vector<std::string>& words() const { return words_; }

 private:
  JobFilter& set(std::string word, std::string value);
  std::vector<std::string> words_;
};

}  // namespace sluice

template <class Tag>
struct std::hash<sluice::Id<Tag>> {
  std::size_t operator()(const sluice::Id<Tag>& id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
