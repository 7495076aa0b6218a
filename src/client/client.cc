// Client: operations run on a thread of the client's own, which the caller waits for.

#include "client/open.h"
#include "client/reply.h"

#include <sluice/async_client.h>
#include <sluice/client.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <future>
#include <thread>

namespace sluice {
namespace {

namespace asio = boost::asio;
using client::Core;
using client::Operation;
using client::Reply;
using client::Request;

/// A call whose reply wakes the thread that waits for it.
class BlockingCall final : public client::Call {
 public:
  using Call::Call;

  void finish(Reply reply) override { reply_.set_value(std::move(reply)); }

  Reply wait() { return reply_.get_future().get(); }

 private:
  std::promise<Reply> reply_;
};

/// Closing names the first call in its messages; the caller of connect() made none.
Operation<void> first_ping() {
  Operation<void> ping = client::ping();
  ping.request.command.clear();
  return ping;
}

}  // namespace

/// The thread that owns the core, and the way to it.
class Client::Impl {
 public:
  Impl() : io_(1), work_(io_.get_executor()) {}

  ~Impl() {
    asio::post(io_, [this] {
      if (core_ != nullptr) core_->close();
      core_.reset();
    });
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  asio::any_io_executor executor() { return io_.get_executor(); }

  void start(std::shared_ptr<Core> core) {
    core_ = std::move(core);
    thread_ = std::thread([this] { io_.run(); });
  }

  /// Asks the core on its own thread.
  std::shared_ptr<Core> on(const asio::any_io_executor& executor) {
    std::promise<std::shared_ptr<Core>> made;
    asio::post(io_, [&] { made.set_value(core_->on(executor)); });
    return made.get_future().get();
  }

  Reply run(Request request, Duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + request.wait + timeout;
    const auto call = std::make_shared<BlockingCall>(std::move(request), deadline);
    asio::post(io_, [core = core_.get(), call] { core->submit(call); });
    return call->wait();
  }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::shared_ptr<Core> core_;  ///< Of this class alone, on its thread.
  std::thread thread_;
};

Client::Client(std::shared_ptr<Impl> impl, Duration timeout)
    : impl_(std::move(impl)), timeout_(timeout) {}

Result<Client> Client::connect(std::string_view url, const ClientOptions& options) {
  auto impl = std::make_shared<Impl>();
  Result<std::shared_ptr<Core>> core = client::remote_core(impl->executor(), url, options);
  if (!core) return tl::unexpected<Error>(core.error());
  impl->start(std::move(*core));
  Client connected(std::move(impl), options.timeout());
  Result<void> answered = connected.with_timeout(options.connect_timeout()).run(first_ping());
  if (!answered) return tl::unexpected<Error>(std::move(answered.error()));
  return connected;
}

Result<Client> Client::embedded(std::string directory, const EmbeddedOptions& options) {
  auto impl = std::make_shared<Impl>();
  Result<std::shared_ptr<Core>> core = client::embedded_core(impl->executor(), directory, options);
  if (!core) return tl::unexpected<Error>(core.error());
  impl->start(std::move(*core));
  return Client(std::move(impl), options.timeout());
}

AsyncClient AsyncClient::of(const Client& client, asio::any_io_executor executor) {
  return {client.impl_->on(executor), client.timeout_};
}

Client Client::with_timeout(Duration call) const {
  return {impl_, call};
}

template <class T>
Result<T> Client::run(Operation<T> operation) const {
  Reply reply = impl_->run(std::move(operation.request), timeout_);
  return client::result_at<T>(reply, 0, operation.decode);
}

Result<JobId> Client::push(std::string_view queue,
                           const Payload& job,
                           const PushOptions& options) const {
  return run(client::push(queue, job.type(), job.bytes(), options));
}

Result<JobId> Client::push(std::string_view queue,
                           std::string_view type,
                           std::string_view payload,
                           const PushOptions& options) const {
  return run(client::push(queue, type, payload, options));
}

std::vector<Result<JobId>> Client::push_many(const std::vector<PushItem>& items) const {
  std::vector<Result<JobId>> ids;
  ids.reserve(items.size());
  for (std::size_t done = 0; done < items.size();) {
    Request window = client::push_window(items, done);
    const std::size_t count = window.ends.size();
    Reply reply = impl_->run(std::move(window), timeout_);
    client::append_results<JobId>(ids, reply, count, client::decode_pushed);
  }
  return ids;
}

std::vector<Result<void>> Client::ack_many(const std::vector<AckItem>& items) const {
  std::vector<Result<void>> results;
  results.reserve(items.size());
  for (std::size_t done = 0; done < items.size();) {
    Request window = client::ack_window(items, done);
    const std::size_t count = window.ends.size();
    Reply reply = impl_->run(std::move(window), timeout_);
    client::append_results<void>(results, reply, count, client::decode_done);
  }
  return results;
}

Result<void> Client::cancel(JobId id) const {
  return run(client::cancel(id));
}

Result<JobInfo> Client::job(JobId id) const {
  return run(client::job(id));
}

Result<JobInfo> Client::await(JobId id, Duration wait) const {
  return run(client::await(id, wait));
}

Result<JobPage> Client::jobs(std::string_view queue, const JobFilter& filter) const {
  return run(client::jobs(queue, filter));
}

Result<std::vector<Job>> Client::pull(std::string_view queue, const PullOptions& options) const {
  return run(client::pull({std::string(queue)}, options));
}

Result<std::vector<Job>> Client::pull_any(const std::vector<std::string>& queues,
                                          const PullOptions& options) const {
  return run(client::pull(queues, options));
}

Result<void> Client::ack(const Lease& job, std::string_view result) const {
  return run(client::ack(job, result));
}

Result<void> Client::fail(const Lease& job,
                          std::string_view message,
                          const FailOptions& options) const {
  return run(client::fail(job, message, options));
}

Result<void> Client::release(const Lease& job, Duration delay) const {
  return run(client::release(job, delay));
}

Result<SystemTime> Client::extend(const Lease& job, Duration from_now) const {
  return run(client::extend(job, from_now));
}

Result<void> Client::progress(const Lease& job, unsigned percent, std::string_view note) const {
  return run(client::progress(job, percent, note));
}

Result<QueueInfo> Client::queue_get(std::string_view queue) const {
  return run(client::queue_get(queue));
}

Result<std::vector<QueueInfo>> Client::queue_list() const {
  return run(client::queue_list());
}

Result<void> Client::queue_set(std::string_view queue, const QueueChange& change) const {
  return run(client::queue_set(queue, change));
}

Result<void> Client::queue_pause(std::string_view queue) const {
  return run(client::queue_do("PAUSE", queue));
}

Result<void> Client::queue_resume(std::string_view queue) const {
  return run(client::queue_do("RESUME", queue));
}

Result<std::uint64_t> Client::queue_purge(std::string_view queue) const {
  return run(client::queue_purge(queue));
}

Result<void> Client::queue_delete(std::string_view queue) const {
  return run(client::queue_do("DELETE", queue));
}

Result<JobPage> Client::dead_list(std::string_view queue, const JobFilter& page) const {
  return run(client::dead_list(queue, page));
}

Result<std::uint64_t> Client::dead_redrive(std::string_view queue,
                                           const std::vector<JobId>& ids) const {
  return run(client::dead_do("REDRIVE", queue, ids));
}

Result<std::uint64_t> Client::dead_delete(std::string_view queue,
                                          const std::vector<JobId>& ids) const {
  return run(client::dead_do("DELETE", queue, ids));
}

Result<void> Client::ping() const {
  return run(client::ping());
}

Result<std::map<std::string, std::string>> Client::info() const {
  return run(client::info());
}

Result<BackupInfo> Client::backup(std::string_view directory) const {
  return run(client::backup(directory));
}

Result<Value> Client::call(const std::vector<std::string>& words) const {
  return run(client::call(words));
}

}  // namespace sluice
