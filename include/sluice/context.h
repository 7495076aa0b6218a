// Context: what a handler knows of its job and its worker, and what it may ask for meanwhile.
//
//   worker.handle<Resize>([](Context& context, Resize args) -> Awaitable<std::string> {
//     for (std::size_t i = 0; i < args.sizes.size(); ++i) {
//       co_await resize(args.image, args.sizes[i]);
//       context.progress(100 * (i + 1) / args.sizes.size());
//     }
//     auto next = co_await context.client().push("publish", Publish(args.image));
//     if (!next) throw std::runtime_error(next.error().message);
//     co_return "resized";
//   });
//
// Lives until the handler has ended. What a coroutine handler awaits is cancelled when the job is:
// it sees boost::system::system_error (operation_aborted), cleans up and lets it pass.
#pragma once

#include <sluice/async/awaitable.h>
#include <sluice/async_client.h>
#include <sluice/job.h>

#include <boost/asio/thread_pool.hpp>

#include <stop_token>
#include <string>
#include <string_view>

namespace sluice {

namespace worker {
struct Running;
}  // namespace worker

namespace detail {
class StopAlso;
}  // namespace detail

class Context {
 public:
  explicit Context(worker::Running& running) : running_(running) {}

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// Everything that came with the job. Any thread.
  const Job& job() const;

  JobId id() const { return job().id; }

  /// Grows with every lease of any job: pass it on to fence what an older attempt might still do.
  LeaseToken token() const { return job().token; }

  const std::string& queue() const { return job().queue; }

  const std::string& type() const { return job().type; }

  /// 1 for the first.
  unsigned attempt() const { return job().attempt; }

  const std::string& payload() const { return job().payload; }

  const Headers& headers() const { return job().headers; }

  /// Empty if the job has no such header.
  std::string_view header(std::string_view key) const { return job().header(key); }

  /// When the lease ended if the worker did not extend it. It does, so this is no limit to the
  /// handler; WorkerOptions::attempt_timeout is.
  SystemTime deadline() const { return job().deadline; }

  /// Tells how far the job is; readers see it with the job. Returns at once; reports in quick
  /// succession become one. Any thread.
  void progress(unsigned percent, std::string note = {});

  /// The job was cancelled, its lease was lost, its time is over or the worker stops: whatever the
  /// handler returns is not needed. Any thread.
  bool is_cancelled() const;

  /// The same for waiting: blocking handlers poll it or register a std::stop_callback. Any thread.
  std::stop_token stop_token() const;

  /// One line into the worker's event hook, with the job's id. Any thread.
  void log(std::string message);

  /// For coroutine handlers, on their thread: to push follow-ups and read other jobs.
  const AsyncClient& client() const;

  /// For blocking handlers, on the pool: PUSH, and wait for the answer.
  Result<JobId> push_and_wait(std::string queue,
                              Payload job,
                              PushOptions options = PushOptions()) const;

  /// Where coroutine handlers run.
  const asio::any_io_executor& executor() const;

  /// Where blocking handlers run; for offload().
  asio::thread_pool& pool() const;

 private:
  friend class detail::StopAlso;
  worker::Running& running_;
};

}  // namespace sluice
