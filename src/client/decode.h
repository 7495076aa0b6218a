// Replies to values of the public API. Maps may come as RESP3 maps or as flat arrays; unknown
// fields are skipped, so that a newer server can say more.
#pragma once

#include "wire/resp/value.h"

#include <sluice/job.h>
#include <sluice/options.h>
#include <sluice/queue.h>
#include <sluice/value.h>

#include <map>
#include <string>
#include <vector>

namespace sluice::client {

/// Each takes from `reply` what it needs. Error: `protocol` when it is of another shape; an error
/// reply has been turned into the Result's error before.
Result<void> decode_done(resp::Value& reply);
Result<JobId> decode_pushed(resp::Value& reply);
Result<JobInfo> decode_job(resp::Value& reply);
/// {cursor, jobs} or a plain array of jobs.
Result<JobPage> decode_page(resp::Value& reply);
/// Null is no job.
Result<std::vector<Job>> decode_pulled(resp::Value& reply);
Result<SystemTime> decode_deadline(resp::Value& reply);
Result<std::uint64_t> decode_count(resp::Value& reply);
Result<QueueInfo> decode_queue(resp::Value& reply);
Result<std::vector<QueueInfo>> decode_queues(resp::Value& reply);
Result<std::map<std::string, std::string>> decode_info(resp::Value& reply);
Result<BackupInfo> decode_backup(resp::Value& reply);
Result<Value> decode_value(resp::Value& reply);

/// "NOJOB there is no job 17" → {no_job, "there is no job 17"}. A code that is not in the catalogue
/// stays in the message.
Error error_of_line(std::string_view line);

}  // namespace sluice::client
