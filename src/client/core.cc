// Core: which link a call goes to, and the limits on both kinds.

#include "client/core.h"

#include <algorithm>

namespace sluice::client {

std::shared_ptr<Core> Core::on(const boost::asio::any_io_executor& executor) const {
  auto core = std::make_shared<Core>(executor, make_link_, limits_);
  core->why_closed_ = why_closed_;
  return core;
}

void Core::submit(const std::shared_ptr<Call>& call) {
  const Request& request = call->request;
  if (why_closed_.has_value()) {
    call->finish({{}, *why_closed_});
    return;
  }
  if (Link* link = link_for(request)) {
    link->submit(call);
    return;
  }
  const std::string limit =
      request.lane == Lane::waiting
          ? std::to_string(limits_.waiting_max) + " calls may wait at the server; raise waiting_max"
          : std::to_string(limits_.outstanding_bytes_max) +
                " bytes may wait for their answers; raise outstanding_bytes_max";
  call->finish(
      {{},
       Error{ErrorCode::busy,
             request.command + " was not sent: only " + limit + ", or let some end first"}});
}

Link* Core::link_for(const Request& request) {
  if (request.lane == Lane::shared) {
    if (shared_ == nullptr) shared_ = make_link_(executor_);
    const std::size_t outstanding = shared_->outstanding_bytes();
    // One call may be larger than the limit when it is alone: payloads have limits of their own.
    const bool fits =
        outstanding == 0 || outstanding + request.bytes.size() <= limits_.outstanding_bytes_max;
    return fits ? shared_.get() : nullptr;
  }
  const auto idle = std::find_if(
      waiting_.begin(), waiting_.end(), [](const auto& link) { return link->is_idle(); });
  if (idle != waiting_.end()) return idle->get();
  if (waiting_.size() >= limits_.waiting_max) return nullptr;
  waiting_.push_back(make_link_(executor_));
  return waiting_.back().get();
}

void Core::abandon(const Call& call) {
  if (call.request.lane == Lane::shared) {
    if (shared_ != nullptr) shared_->abandon(call);
    return;
  }
  for (const std::shared_ptr<Link>& link : waiting_)
    link->abandon(call);
}

void Core::close() {
  stop({ErrorCode::cancelled, "the client was closed"},
       {ErrorCode::closed, "this client is closed; make a new one"});
}

void Core::fail(const Error& error) {
  stop(error, error);
}

void Core::stop(const Error& under_way, Error later) {
  if (why_closed_.has_value()) return;
  why_closed_ = std::move(later);
  if (shared_ != nullptr) shared_->close(under_way);
  for (const std::shared_ptr<Link>& link : waiting_)
    link->close(under_way);
  shared_.reset();
  waiting_.clear();
  make_link_ = nullptr;
}

std::uint64_t Core::connections_total() const {
  return shared_ == nullptr ? 0 : shared_->connections_total();
}

}  // namespace sluice::client
