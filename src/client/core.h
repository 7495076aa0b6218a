// Core: one client's links. A shared one for calls that are answered at once, a few more for calls
// that wait at the server. All functions on the thread of its executor.
#pragma once

#include "client/link.h"

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace sluice::client {

struct CoreLimits {
  std::size_t waiting_max = 256;
  std::size_t outstanding_bytes_max = std::size_t{64} << 20;
};

class Core {
 public:
  /// A link on this executor, to what the core is for.
  using MakeLink = std::function<std::shared_ptr<Link>(const boost::asio::any_io_executor&)>;

  Core(boost::asio::any_io_executor executor, MakeLink make_link, CoreLimits limits)
      : executor_(std::move(executor)), make_link_(std::move(make_link)), limits_(limits) {}

  ~Core() { close(); }

  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const boost::asio::any_io_executor& executor() const { return executor_; }

  /// Another core for the same server or engine, on another executor. Closing one leaves the other.
  std::shared_ptr<Core> on(const boost::asio::any_io_executor& executor) const;

  /// finish() of the call is called once, perhaps before this returns.
  void submit(const std::shared_ptr<Call>& call);
  /// The caller left; finish() is not called any more.
  void abandon(const Call& call);
  /// Ends the calls under way with `cancelled` and later ones with `closed`.
  void close();
  /// Ends the calls under way and all later ones with `error`: the engine cannot go on.
  void fail(const Error& error);
  std::uint64_t connections_total() const;

 private:
  void stop(const Error& under_way, Error later);
  Link* link_for(const Request& request);

  boost::asio::any_io_executor executor_;
  MakeLink make_link_;
  CoreLimits limits_;
  std::shared_ptr<Link> shared_;  ///< Shared with its own coroutine, as the others are.
  std::vector<std::shared_ptr<Link>> waiting_;
  std::optional<Error> why_closed_;
};

}  // namespace sluice::client
