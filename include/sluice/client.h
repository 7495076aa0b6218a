// Client: push jobs, read results, run queues; over the network or with the engine in the process.
// START HERE. The coroutine form of the same is <sluice/async_client.h>, workers <sluice/worker.h>.
//
//   auto client = sluice::Client::connect("sluice://127.0.0.1:7770");
//   if (!client) return complain(client.error().message);
//   auto id = client->push("mail", SendMail{"ada@example.org"}, sluice::PushOptions().delay(30s));
//   auto job = client->await(*id, 10s);               // job->state, job->result
//
// Thread-safe: any number of threads may call at once; their calls share one connection and are
// pipelined. A call blocks its caller until the reply, an error or its deadline. Copies are handles
// of the same client; the last one to go closes it.
//
// Every call may fail with: `timed_out` (the deadline passed: whether it happened is unknown),
// `closed` (the connection broke after the call was sent: unknown too; calls that may be repeated
// are repeated instead: reads, push with a unique key, ack, extend), `busy` (a limit of this client
// or the server), `protocol`. What else a function says is beside it. Command names are those of
// docs/protocol.md.
#pragma once

#include <sluice/job.h>
#include <sluice/options.h>
#include <sluice/payload.h>
#include <sluice/queue.h>
#include <sluice/value.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

namespace client {
template <class T>
struct Operation;
}  // namespace client

class Client {
 public:
  /// Connects to "sluice://[user:password@]host[:port]" (port 7770) and waits until the server has
  /// answered. Errors: `arg` (not such an address), `closed` (nobody there; says what to try).
  static Result<Client> connect(std::string_view url, const ClientOptions& options = {});
  /// Opens the journal in `directory` (created if need be) with the engine in this process: no
  /// server, the same semantics and durability. One process at a time: error `io` names the other
  /// one.
  static Result<Client> embedded(std::string directory, const EmbeddedOptions& options = {});

  Client(const Client&) = default;
  Client(Client&&) noexcept = default;
  Client& operator=(const Client&) = default;
  Client& operator=(Client&&) noexcept = default;
  /// Closes if it is the last handle: waiting calls of other threads end with `cancelled`.
  ~Client() = default;

  /// The same client with another deadline for its calls.
  Client with_timeout(Duration call) const;

  // -- Jobs. -----------------------------------------------------------------------------------

  /// PUSH. Durable when it returns. Errors: `busy`, `too_big`, `arg`, `exists`, `no_job` (after).
  Result<JobId> push(std::string_view queue,
                     const Payload& job,
                     const PushOptions& options = {}) const;
  Result<JobId> push(std::string_view queue,
                     std::string_view type,
                     std::string_view payload,
                     const PushOptions& options = {}) const;
  /// PUSH of many in few round trips. One result per item, in order.
  std::vector<Result<JobId>> push_many(const std::vector<PushItem>& items) const;

  /// CANCEL. A running job is cancelled too: its worker's next answer is refused.
  Result<void> cancel(JobId id) const;
  /// JOB. Error: `no_job`.
  Result<JobInfo> job(JobId id) const;
  /// AWAIT: the job when it is final, or as it is when `wait` is over. Error: `no_job`.
  Result<JobInfo> await(JobId id, Duration wait) const;
  /// JOBS: one page.
  Result<JobPage> jobs(std::string_view queue, const JobFilter& filter = {}) const;

  // -- Work. (sluice::Worker does all this for you.)
  // -----------------------------------------------

  /// PULL: leases up to options.count() jobs; none when nothing came within options.wait().
  Result<std::vector<Job>> pull(std::string_view queue, const PullOptions& options = {}) const;
  /// From several queues; the first that has jobs is served first.
  Result<std::vector<Job>> pull_any(const std::vector<std::string>& queues,
                                    const PullOptions& options = {}) const;
  /// ACK. Error: `stale`: the lease is over; somebody else may run the job, or it was cancelled.
  Result<void> ack(const Lease& job, std::string_view result = {}) const;
  std::vector<Result<void>> ack_many(const std::vector<AckItem>& items) const;
  /// FAIL: retried after its backoff, or dead when its attempts are used up. Error: `stale`.
  Result<void> fail(const Lease& job,
                    std::string_view message,
                    const FailOptions& options = {}) const;
  /// RELEASE: gives it back without counting the attempt. Error: `stale`.
  Result<void> release(const Lease& job, Duration delay = Duration{0}) const;
  /// EXTEND: the lease ends `from_now`; gives the new deadline. Error: `stale`.
  Result<SystemTime> extend(const Lease& job, Duration from_now) const;
  /// PROGRESS, 0–100. Error: `stale`.
  Result<void> progress(const Lease& job, unsigned percent, std::string_view note = {}) const;

  // -- Queues. Error of all but set and list: `no_queue`.
  // --------------------------------------------

  Result<QueueInfo> queue_get(std::string_view queue) const;
  Result<std::vector<QueueInfo>> queue_list() const;
  /// Creates the queue if need be.
  Result<void> queue_set(std::string_view queue, const QueueChange& change) const;
  Result<void> queue_pause(std::string_view queue) const;
  Result<void> queue_resume(std::string_view queue) const;
  /// Removes every job that is not leased; gives their number.
  Result<std::uint64_t> queue_purge(std::string_view queue) const;
  /// Error: `busy` while jobs are leased.
  Result<void> queue_delete(std::string_view queue) const;

  /// DEAD LIST: one page; of the filter only cursor and count.
  Result<JobPage> dead_list(std::string_view queue, const JobFilter& page = {}) const;
  /// Makes dead jobs ready again with fresh attempts; no ids: all. Gives their number.
  Result<std::uint64_t> dead_redrive(std::string_view queue,
                                     const std::vector<JobId>& ids = {}) const;
  Result<std::uint64_t> dead_delete(std::string_view queue,
                                    const std::vector<JobId>& ids = {}) const;

  // -- The server. -------------------------------------------------------------------------------

  Result<void> ping() const;
  /// INFO: name → value.
  Result<std::map<std::string, std::string>> info() const;
  /// BACKUP into an absolute directory of the server's machine that does not exist yet.
  Result<BackupInfo> backup(std::string_view directory) const;
  /// Any command. Sent on the shared connection, never repeated: no command that waits.
  Result<Value> call(const std::vector<std::string>& words) const;

 private:
  friend class AsyncClient;  ///< AsyncClient::of shares what it is connected to.
  class Impl;
  Client(std::shared_ptr<Impl> impl, Duration timeout);
  template <class T>
  Result<T> run(client::Operation<T> operation) const;

  std::shared_ptr<Impl> impl_;  ///< Shared by the handles; the last one closes it.
  Duration timeout_;
};

}  // namespace sluice
