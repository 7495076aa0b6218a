// AsyncClient: operations run by coroutines on the core.

#include "client/open.h"
#include "client/reply.h"

#include <sluice/async_client.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice {
namespace {

namespace asio = boost::asio;
using client::Core;
using client::Operation;
using client::Reply;
using client::Request;

/// A call whose reply resumes a coroutine.
template <class Handler>
class ResumingCall final : public client::Call {
 public:
  ResumingCall(Request what, client::SteadyTime until, const Core& core, Handler handler)
      : Call(std::move(what), until), work_(core.executor()), handler_(std::move(handler)) {}

  void finish(Reply reply) override {
    // A reply and a cancellation may both be on their way; the first one counts.
    if (is_finished_) return;
    is_finished_ = true;
    // Posted, not called: the caller may do anything, and the core is in the middle of something.
    asio::post(work_.get_executor(),
               [handler = std::move(handler_), reply = std::move(reply)]() mutable {
                 asio::get_associated_cancellation_slot(handler).clear();
                 std::move(handler)(std::move(reply));
               });
    work_.reset();
  }

 private:
  asio::executor_work_guard<asio::any_io_executor> work_;  ///< The reply is still to come.
  Handler handler_;
  bool is_finished_ = false;
};

/// Runs a request until its reply, its deadline or the cancellation of the awaiting coroutine.
Awaitable<Reply> await_reply(std::shared_ptr<Core> core, Request request, Duration timeout) {
  const auto initiate =
      [](auto handler, const std::shared_ptr<Core>& on, Request what, Duration limit) {
        const auto deadline = std::chrono::steady_clock::now() + what.wait + limit;
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto call = std::make_shared<ResumingCall<decltype(handler)>>(
            std::move(what), deadline, *on, std::move(handler));
        if (slot.is_connected()) {
          slot.assign([weak_core = std::weak_ptr(on),
                       weak_call = std::weak_ptr(call)](asio::cancellation_type) {
            const auto its_core = weak_core.lock();
            const auto its_call = weak_call.lock();
            if (its_core == nullptr || its_call == nullptr) return;
            its_core->abandon(*its_call);
            its_call->finish({{},
                              Error{ErrorCode::cancelled,
                                    its_call->request.command + " was cancelled by its caller"}});
          });
        }
        on->submit(call);
      };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Reply)>(
      initiate, asio::use_awaitable, core, std::move(request), timeout);
}

template <class T>
Awaitable<Result<T>> run_operation(std::shared_ptr<Core> core,
                                   Operation<T> operation,
                                   Duration timeout) {
  Reply reply = co_await await_reply(std::move(core), std::move(operation.request), timeout);
  co_return client::result_at<T>(reply, 0, operation.decode);
}

}  // namespace

AsyncClient::AsyncClient(std::shared_ptr<Core> core, Duration timeout)
    : core_(std::move(core)), timeout_(timeout) {}

template <class T>
Awaitable<Result<T>> AsyncClient::start(Operation<T> operation) const {
  return run_operation(core_, std::move(operation), timeout_);
}

Result<AsyncClient> AsyncClient::connect(asio::any_io_executor executor,
                                         std::string_view url,
                                         const ClientOptions& options) {
  return client::remote_core(executor, url, options).map([&](std::shared_ptr<Core> core) {
    return AsyncClient(std::move(core), options.timeout());
  });
}

Result<AsyncClient> AsyncClient::embedded(asio::any_io_executor executor,
                                          std::string directory,
                                          const EmbeddedOptions& options) {
  return client::embedded_core(executor, std::move(directory), options)
      .map([&](std::shared_ptr<Core> core) {
        return AsyncClient(std::move(core), options.timeout());
      });
}

void AsyncClient::close() {
  core_->close();
}

AsyncClient AsyncClient::with_timeout(Duration call) const {
  return {core_, call};
}

std::uint64_t AsyncClient::connections_total() const {
  return core_->connections_total();
}

Awaitable<Result<JobId>> AsyncClient::push_payload(std::string_view queue,
                                                   const Payload& job,
                                                   const PushOptions& options) const {
  return start(client::push(queue, job.type(), job.bytes(), options));
}

Awaitable<Result<JobId>> AsyncClient::push(std::string_view queue,
                                           std::string_view type,
                                           std::string_view payload,
                                           const PushOptions& options) const {
  return start(client::push(queue, type, payload, options));
}

namespace {

Awaitable<std::vector<Result<JobId>>> push_windows(std::shared_ptr<Core> core,
                                                   std::vector<PushItem> items,
                                                   Duration timeout) {
  std::vector<Result<JobId>> ids;
  ids.reserve(items.size());
  for (std::size_t done = 0; done < items.size();) {
    Request window = client::push_window(items, done);
    const std::size_t count = window.ends.size();
    Reply reply = co_await await_reply(core, std::move(window), timeout);
    client::append_results<JobId>(ids, reply, count, client::decode_pushed);
  }
  co_return ids;
}

Awaitable<std::vector<Result<void>>> ack_windows(std::shared_ptr<Core> core,
                                                 std::vector<AckItem> items,
                                                 Duration timeout) {
  std::vector<Result<void>> results;
  results.reserve(items.size());
  for (std::size_t done = 0; done < items.size();) {
    Request window = client::ack_window(items, done);
    const std::size_t count = window.ends.size();
    Reply reply = co_await await_reply(core, std::move(window), timeout);
    client::append_results<void>(results, reply, count, client::decode_done);
  }
  co_return results;
}

}  // namespace

Awaitable<std::vector<Result<JobId>>> AsyncClient::push_many(std::vector<PushItem> items) const {
  return push_windows(core_, std::move(items), timeout_);
}

Awaitable<std::vector<Result<void>>> AsyncClient::ack_many(std::vector<AckItem> items) const {
  return ack_windows(core_, std::move(items), timeout_);
}

Awaitable<Result<void>> AsyncClient::cancel(JobId id) const {
  return start(client::cancel(id));
}

Awaitable<Result<JobInfo>> AsyncClient::job(JobId id) const {
  return start(client::job(id));
}

Awaitable<Result<JobInfo>> AsyncClient::await(JobId id, Duration wait) const {
  return start(client::await(id, wait));
}

Awaitable<Result<JobPage>> AsyncClient::jobs(std::string_view queue,
                                             const JobFilter& filter) const {
  return start(client::jobs(queue, filter));
}

Awaitable<Result<std::vector<Job>>> AsyncClient::pull(std::string_view queue,
                                                      const PullOptions& options) const {
  return start(client::pull({std::string(queue)}, options));
}

Awaitable<Result<std::vector<Job>>> AsyncClient::pull_any(const std::vector<std::string>& queues,
                                                          const PullOptions& options) const {
  return start(client::pull(queues, options));
}

Awaitable<Result<void>> AsyncClient::ack(const Lease& job, std::string_view result) const {
  return start(client::ack(job, result));
}

Awaitable<Result<void>> AsyncClient::fail(const Lease& job,
                                          std::string_view message,
                                          const FailOptions& options) const {
  return start(client::fail(job, message, options));
}

Awaitable<Result<void>> AsyncClient::release(const Lease& job, Duration delay) const {
  return start(client::release(job, delay));
}

Awaitable<Result<SystemTime>> AsyncClient::extend(const Lease& job, Duration from_now) const {
  return start(client::extend(job, from_now));
}

Awaitable<Result<void>> AsyncClient::progress(const Lease& job,
                                              unsigned percent,
                                              std::string_view note) const {
  return start(client::progress(job, percent, note));
}

Awaitable<Result<QueueInfo>> AsyncClient::queue_get(std::string_view queue) const {
  return start(client::queue_get(queue));
}

Awaitable<Result<std::vector<QueueInfo>>> AsyncClient::queue_list() const {
  return start(client::queue_list());
}

Awaitable<Result<void>> AsyncClient::queue_set(std::string_view queue,
                                               const QueueChange& change) const {
  return start(client::queue_set(queue, change));
}

Awaitable<Result<void>> AsyncClient::queue_pause(std::string_view queue) const {
  return start(client::queue_do("PAUSE", queue));
}

Awaitable<Result<void>> AsyncClient::queue_resume(std::string_view queue) const {
  return start(client::queue_do("RESUME", queue));
}

Awaitable<Result<std::uint64_t>> AsyncClient::queue_purge(std::string_view queue) const {
  return start(client::queue_purge(queue));
}

Awaitable<Result<void>> AsyncClient::queue_delete(std::string_view queue) const {
  return start(client::queue_do("DELETE", queue));
}

Awaitable<Result<JobPage>> AsyncClient::dead_list(std::string_view queue,
                                                  const JobFilter& page) const {
  return start(client::dead_list(queue, page));
}

Awaitable<Result<std::uint64_t>> AsyncClient::dead_redrive(std::string_view queue,
                                                           const std::vector<JobId>& ids) const {
  return start(client::dead_do("REDRIVE", queue, ids));
}

Awaitable<Result<std::uint64_t>> AsyncClient::dead_delete(std::string_view queue,
                                                          const std::vector<JobId>& ids) const {
  return start(client::dead_do("DELETE", queue, ids));
}

Awaitable<Result<void>> AsyncClient::ping() const {
  return start(client::ping());
}

Awaitable<Result<std::map<std::string, std::string>>> AsyncClient::info() const {
  return start(client::info());
}

Awaitable<Result<BackupInfo>> AsyncClient::backup(std::string_view directory) const {
  return start(client::backup(directory));
}

Awaitable<Result<Value>> AsyncClient::call(const std::vector<std::string>& words) const {
  return start(client::call(words));
}

}  // namespace sluice
