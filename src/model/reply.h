// Reply: what the core answers to a command, as plain values that own what they hold. A gateway
// turns them into its protocol.
#pragma once

#include "base/position.h"
#include "base/result.h"
#include "model/command.h"

#include <array>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace sluice::model {

struct Done {};

/// PULL found nothing within its wait.
struct Nothing {};

/// PUSH. `is_new` is false when the unique key named an existing job.
struct Pushed {
  JobId id;
  bool is_new = true;
};

/// PUBLISH: the jobs that were pushed, one in each queue.
struct Routed {
  JobId first;                                 ///< 0: no queue was chosen.
  std::unique_ptr<std::vector<JobId>> others;  ///< Null: none.
};

/// EXTEND: until when the lease holds. (A worker whose job was cancelled gets STALE, with the
/// reason.)
struct Extended {
  Time deadline;
};

/// PURGE, REDRIVE, DELETE: how many jobs. Large ones are done in steps, so that nobody else waits:
/// while there is `more`, the engine applies the same command again and adds up.
struct Counted {
  std::uint64_t count = 0;
  bool more = false;
};

/// One leased job. The core fills the facts of the lease; the engine reads the record at `home` and
/// fills the rest before the reply reaches a gateway. `record` keeps the bytes alive.
struct Delivery {
  JobId id;
  LeaseToken token;
  std::uint16_t attempt = 0;
  Time deadline;
  ByteView queue;  ///< Lives as long as the reply (points into `record` or the queue's name copy).
  Position home;
  std::uint32_t record_bytes = 0;
  // Filled by the engine from the record.
  ByteView type;
  ByteView payload;
  ByteView headers;  ///< Encoded; iterate with model/headers.h.
};

struct Delivered {
  std::vector<Delivery> jobs;
  std::string bytes;  ///< What the views of `jobs` point into once the engine has filled them.
  std::uint32_t unused = 0;  ///< Of a pull that stays, if it does not any more: of its count.
};

/// Everything known of one job.
struct JobInfo {
  JobId id;
  std::string queue;
  std::string type;
  JobState state{};
  std::uint8_t priority = 0;
  std::uint16_t attempt = 0;
  std::uint32_t max_attempts = 0;
  Time created;
  std::optional<Time> due;     ///< When it becomes ready, or its lease, ttl or keep ends.
  std::optional<WallTime> at;  ///< Pushed with AT: the calendar time.
  std::string worker;          ///< Of the current or last lease.
  std::string error;           ///< Of the last failure.
  std::string result;
  bool has_result = false;
  Position result_at;  ///< For the engine, which reads the result from the log.
  std::uint32_t result_bytes = 0;
  std::uint8_t progress_percent = 0;
  std::string progress_note;
  std::string unique_key;
  std::vector<Dependency> after;  ///< Still waited for.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload;
  std::vector<JobEvent> history;
  // For the engine, which reads type, headers, payload and created from the record.
  Position home;
  std::uint32_t record_bytes = 0;
};

struct QueueInfo {
  std::string name;
  QueuePolicy policy;
  std::array<std::uint64_t, job_state_count> jobs{};  ///< By state.
  std::uint64_t pushed_total = 0;                     ///< Since the server started.
  std::uint64_t pulled_total = 0;
  std::uint64_t succeeded_total = 0;
  std::uint64_t failed_total = 0;
  std::uint64_t dead_total = 0;
  std::uint64_t waiting_pulls = 0;  ///< Workers that wait for a job right now.
  Duration oldest_ready{0};         ///< Age of the job at the head.
  // For the engine, which reads from the record when that job was pushed.
  Position oldest_ready_at;
  std::uint32_t oldest_ready_bytes = 0;
  Time now;
};

struct JobList {
  std::vector<JobInfo> jobs;
  JobId cursor;  ///< Pass on to go on; 0: that was all.
  // For the engine: what the core could not filter by, because it is in the records.
  std::string type;
  Time created_from;
  Time created_to;
};

struct QueueList {
  std::vector<QueueInfo> queues;
};

struct BindingInfo {
  std::string destination;
  bool is_to_exchange = false;
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
  bool is_any_enough = false;
  std::string arguments;
};

struct ExchangeInfo {
  std::string name;
  Exchange exchange;
  std::uint64_t binding_count = 0;
  std::vector<BindingInfo> bindings;  ///< For GetExchange: the first list_examined_max.
};

struct ExchangeList {
  std::vector<ExchangeInfo> exchanges;
};

/// Facts about the core for INFO and metrics; the engine adds its own (engine/port.h).
struct Stats {
  std::uint64_t epoch = 0;
  std::uint64_t queues = 0;
  std::array<std::uint64_t, job_state_count> jobs{};
  std::uint64_t memory_bytes = 0;
  std::uint64_t live_bytes = 0;  ///< Journal bytes that cleaning would have to keep.
  std::uint64_t pushed_total = 0;
  std::uint64_t pulled_total = 0;
  std::uint64_t succeeded_total = 0;
  std::uint64_t failed_total = 0;
  std::uint64_t dead_total = 0;
  std::uint64_t expired_leases_total = 0;
};

using Answer = std::variant<Done,
                            Nothing,
                            Pushed,
                            Routed,
                            Extended,
                            Counted,
                            std::unique_ptr<Delivered>,
                            std::unique_ptr<JobInfo>,
                            std::unique_ptr<JobList>,
                            std::unique_ptr<QueueInfo>,
                            std::unique_ptr<QueueList>,
                            std::unique_ptr<ExchangeInfo>,
                            std::unique_ptr<ExchangeList>,
                            std::unique_ptr<Stats>,
                            std::unique_ptr<Error>>;

struct Reply {
  Ticket ticket;
  Answer answer;
  /// What the answer says is durable once the log's durable end lies beyond this position; zero: it
  /// may be said at once.
  Position needs;
};

}  // namespace sluice::model
