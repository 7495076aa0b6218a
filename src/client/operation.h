// Operation<T>: a command as bytes, what may be done with it when the connection breaks, and how
// its reply becomes a T. The sync and the coroutine form of a call are two ways to run the same
// one.
#pragma once

#include "wire/resp/value.h"

#include <sluice/job.h>
#include <sluice/options.h>
#include <sluice/queue.h>
#include <sluice/value.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

/// Where a command goes.
enum class Lane : std::uint8_t {
  shared,   ///< The one connection that all calls share, pipelined.
  waiting,  ///< A connection of its own, because the server answers when it likes.
};

/// What happens to a command that was sent and not answered when the connection broke.
enum class OnBreak : std::uint8_t {
  report,  ///< The call ends with `closed`: whether it happened is unknown.
  repeat,  ///< It is sent again: a read, or a change that counts once however often it is said.
};

/// One or more commands that are sent together and answered in order.
struct Request {
  std::string command;  ///< Name of the first one, for messages.
  std::string bytes;
  std::vector<std::size_t> ends;  ///< Where each command ends in `bytes`.
  Lane lane = Lane::shared;
  OnBreak on_break = OnBreak::report;
  /// How long the server may take on purpose; comes on top of the call's timeout.
  Duration wait{0};
  /// A PULL: jobs of a reply that nobody waits for any more are given back.
  bool leases_jobs = false;
  /// Encodes a waiting command anew for a repeat, with what is left of its wait. May be empty.
  std::function<std::string(Duration)> with_wait;
};

template <class T>
struct Operation {
  Request request;
  Result<T> (*decode)(resp::Value&) = nullptr;
};

Operation<JobId> push(std::string_view queue,
                      std::string_view type,
                      std::string_view payload,
                      const PushOptions& options);
Operation<void> cancel(JobId id);
Operation<JobInfo> job(JobId id);
Operation<JobInfo> await(JobId id, Duration wait);
Operation<JobPage> jobs(std::string_view queue, const JobFilter& filter);
Operation<std::vector<Job>> pull(const std::vector<std::string>& queues,
                                 const PullOptions& options);
Operation<void> ack(const Lease& job, std::string_view result);
Operation<void> fail(const Lease& job, std::string_view message, const FailOptions& options);
Operation<void> release(const Lease& job, Duration delay);
Operation<SystemTime> extend(const Lease& job, Duration from_now);
Operation<void> progress(const Lease& job, unsigned percent, std::string_view note);
Operation<QueueInfo> queue_get(std::string_view queue);
Operation<std::vector<QueueInfo>> queue_list();
Operation<void> queue_set(std::string_view queue, const QueueChange& change);
/// PAUSE, RESUME, DELETE.
Operation<void> queue_do(std::string_view what, std::string_view queue);
Operation<std::uint64_t> queue_purge(std::string_view queue);
Operation<JobPage> dead_list(std::string_view queue, const JobFilter& page);
/// REDRIVE, DELETE.
Operation<std::uint64_t> dead_do(std::string_view what,
                                 std::string_view queue,
                                 const std::vector<JobId>& ids);
Operation<void> ping();
Operation<std::map<std::string, std::string>> info();
Operation<BackupInfo> backup(std::string_view directory);
Operation<Value> call(const std::vector<std::string>& words);

/// Windows of push_many() and ack_many(): items from `first` on until the window is full; `first`
/// moves behind the last one taken.
Request push_window(const std::vector<PushItem>& items, std::size_t& first);
Request ack_window(const std::vector<AckItem>& items, std::size_t& first);
Result<JobId> decode_pushed(resp::Value& reply);
Result<void> decode_done(resp::Value& reply);

/// RELEASE for every job of a PULL's reply. Empty bytes if there is none.
Request give_back(const resp::Value& reply);
/// What a connection says first: HELLO 3 with the login and the client's name, where given.
std::string hello(const std::string& user, const std::string& password, const std::string& name);

}  // namespace sluice::client
