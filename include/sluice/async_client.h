// AsyncClient: the coroutine form of <sluice/client.h>, on Boost.Asio.
//
//   sluice::Result<sluice::AsyncClient> client =
//       sluice::AsyncClient::connect(io.get_executor(), "sluice://127.0.0.1:7770");
//   sluice::Result<sluice::JobId> id = co_await client->push("mail", mail);
//
// Use it on the thread that runs its executor (one thread; or a strand). Any number of coroutines
// may call at once; their calls share one connection and are pipelined: what is called in one turn
// of the executor leaves in one write. Arguments are encoded before a function returns, so views
// and temporaries need not outlive the call expression. Copies are handles of one client; the last
// one to go closes it.
//
// Cancelling the awaiting coroutine ends a call with `cancelled`: whether it happened is unknown,
// except that jobs of a cancelled pull go back to their queue. Errors and commands are those of
// <sluice/client.h>.
#pragma once

#include <sluice/job.h>
#include <sluice/options.h>
#include <sluice/payload.h>
#include <sluice/queue.h>
#include <sluice/value.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <concepts>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sluice {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

class Client;

namespace client {
class Core;
template <class T>
struct Operation;
}  // namespace client

/// Whether a T may be created within a co_await expression. GCC 12 destroys the temporary of an
/// aggregate such as `SendMail{to}` twice there; give the struct a constructor, or name it above.
template <class T>
inline constexpr bool is_await_safe =
    std::is_lvalue_reference_v<T> || !std::is_aggregate_v<std::remove_cvref_t<T>>;

class AsyncClient {
 public:
  /// Gives a client at once; it connects with its first call, and again whenever the connection
  /// breaks. `executor` outlives it. Error: `arg` (not an address).
  static Result<AsyncClient> connect(boost::asio::any_io_executor executor,
                                     std::string_view url,
                                     const ClientOptions& options = {});
  /// As Client::embedded. Blocks while the journal is read.
  static Result<AsyncClient> embedded(boost::asio::any_io_executor executor,
                                      std::string directory,
                                      const EmbeddedOptions& options = {});

  /// The server of another client, or the engine of an embedded one, for use on `executor`, which
  /// outlives it. Closing one leaves the other. Any thread.
  static AsyncClient of(const Client& client, boost::asio::any_io_executor executor);

  AsyncClient(const AsyncClient&) = default;
  AsyncClient(AsyncClient&&) noexcept = default;
  AsyncClient& operator=(const AsyncClient&) = default;
  AsyncClient& operator=(AsyncClient&&) noexcept = default;
  ~AsyncClient() = default;

  /// Ends every call under way with `cancelled` and all later ones with `closed`. Idempotent.
  void close();
  /// The same client with another deadline for its calls.
  AsyncClient with_timeout(Duration call) const;
  /// Connections made so far, the first included: a change means that the server was away.
  std::uint64_t connections_total() const;

  // -- Jobs. -----------------------------------------------------------------------------------

  /// A described struct (or a Payload): push("mail", mail).
  template <class T>
    requires std::convertible_to<const std::remove_cvref_t<T>&, Payload>
  Awaitable<Result<JobId>> push(std::string_view queue,
                                T&& job,
                                const PushOptions& options = {}) const {
    static_assert(is_await_safe<T>,
                  "give this struct a constructor or name the value on the line above: GCC 12 "
                  "destroys a braced aggregate in a co_await expression twice");
    return push_payload(queue, Payload(job), options);
  }

  Awaitable<Result<JobId>> push(std::string_view queue,
                                std::string_view type,
                                std::string_view payload,
                                const PushOptions& options = {}) const;
  /// Sends in windows, so that items of any number cost bounded memory. `items` by value: it is
  /// awaited piecemeal.
  Awaitable<std::vector<Result<JobId>>> push_many(std::vector<PushItem> items) const;
  Awaitable<Result<void>> cancel(JobId id) const;
  Awaitable<Result<JobInfo>> job(JobId id) const;
  Awaitable<Result<JobInfo>> await(JobId id, Duration wait) const;
  Awaitable<Result<JobPage>> jobs(std::string_view queue, const JobFilter& filter = {}) const;

  // -- Work. -----------------------------------------------------------------------------------

  Awaitable<Result<std::vector<Job>>> pull(std::string_view queue,
                                           const PullOptions& options = {}) const;
  Awaitable<Result<std::vector<Job>>> pull_any(const std::vector<std::string>& queues,
                                               const PullOptions& options = {}) const;
  Awaitable<Result<void>> ack(const Lease& job, std::string_view result = {}) const;
  Awaitable<std::vector<Result<void>>> ack_many(std::vector<AckItem> items) const;
  Awaitable<Result<void>> fail(const Lease& job,
                               std::string_view message,
                               const FailOptions& options = {}) const;
  Awaitable<Result<void>> release(const Lease& job, Duration delay = Duration{0}) const;
  Awaitable<Result<SystemTime>> extend(const Lease& job, Duration from_now) const;
  Awaitable<Result<void>> progress(const Lease& job,
                                   unsigned percent,
                                   std::string_view note = {}) const;

  // -- Queues. ---------------------------------------------------------------------------------

  Awaitable<Result<QueueInfo>> queue_get(std::string_view queue) const;
  Awaitable<Result<std::vector<QueueInfo>>> queue_list() const;
  Awaitable<Result<void>> queue_set(std::string_view queue, const QueueChange& change) const;
  Awaitable<Result<void>> queue_pause(std::string_view queue) const;
  Awaitable<Result<void>> queue_resume(std::string_view queue) const;
  Awaitable<Result<std::uint64_t>> queue_purge(std::string_view queue) const;
  Awaitable<Result<void>> queue_delete(std::string_view queue) const;
  Awaitable<Result<JobPage>> dead_list(std::string_view queue, const JobFilter& page = {}) const;
  Awaitable<Result<std::uint64_t>> dead_redrive(std::string_view queue,
                                                const std::vector<JobId>& ids = {}) const;
  Awaitable<Result<std::uint64_t>> dead_delete(std::string_view queue,
                                               const std::vector<JobId>& ids = {}) const;

  // -- The server. -----------------------------------------------------------------------------

  Awaitable<Result<void>> ping() const;
  Awaitable<Result<std::map<std::string, std::string>>> info() const;
  Awaitable<Result<BackupInfo>> backup(std::string_view directory) const;
  Awaitable<Result<Value>> call(const std::vector<std::string>& words) const;

 private:
  AsyncClient(std::shared_ptr<client::Core> core, Duration timeout);
  Awaitable<Result<JobId>> push_payload(std::string_view queue,
                                        const Payload& job,
                                        const PushOptions& options) const;
  template <class T>
  Awaitable<Result<T>> start(client::Operation<T> operation) const;

  std::shared_ptr<client::Core> core_;  ///< Shared by the handles; closed by the last one.
  Duration timeout_;
};

}  // namespace sluice
