// Link: one ordered way to a server: a TCP connection that is made again when it breaks
// (tcp_link.cc), or a conversation with the engine in this process (embedded.cc). The calls under
// way and their deadlines are the same for both and live here. All functions on the executor's
// thread.
#pragma once

#include "client/pipeline.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace sluice::client {

class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(const boost::asio::any_io_executor& executor, std::size_t reply_bytes_max, Error why_unsent)
      : pipeline_(reply_bytes_max), why_unsent_(std::move(why_unsent)), deadline_(executor) {}

  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Once closed, every call ends at once with the error that closed it.
  void submit(std::shared_ptr<Call> call);
  /// The caller left; finish() is not called any more.
  void abandon(const Call& call);
  /// Ends every call with `error` and the link with them. Idempotent.
  void close(const Error& error);

  /// No call is under way.
  bool is_idle() const { return pipeline_.is_empty(); }

  std::size_t outstanding_bytes() const { return pipeline_.outstanding_bytes(); }

  std::uint64_t connections_total() const { return connections_total_; }

 protected:
  /// There is output in the pipeline.
  virtual void wake() = 0;
  /// Makes the server forget what was asked and not answered; then pipeline_.on_break().
  virtual void drop() = 0;
  /// After the calls have ended.
  virtual void closed() = 0;
  /// A call ended at its deadline before its reply came, some time ago if look_again() was called;
  /// the others go on.
  virtual void late() = 0;
  void look_again(SteadyTime at);

  Pipeline pipeline_;
  Error why_unsent_;  ///< Why calls are still queued.
  std::uint64_t connections_total_ = 0;
  bool is_closed_ = false;

 private:
  void arm(SteadyTime at);
  void on_deadline();

  bool is_waiting_ = false;  ///< Carries one waiting call at a time, and nothing else.
  boost::asio::steady_timer deadline_;
  std::optional<SteadyTime> armed_;
  std::optional<SteadyTime> again_;  ///< When late() is to be called again.
};

}  // namespace sluice::client
