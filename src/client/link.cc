// Link: what all links do with calls.

#include "client/link.h"

namespace sluice::client {

void Link::submit(std::shared_ptr<Call> call) {
  if (is_closed_) {
    call->finish({{}, why_unsent_});
    return;
  }
  const SteadyTime deadline = call->deadline;
  is_waiting_ = call->request.lane == Lane::waiting;
  pipeline_.submit(std::move(call));
  arm(deadline);
  wake();
}

void Link::abandon(const Call& call) {
  // The server goes on waiting for a caller who left, and would lease jobs to nobody: tell it.
  if (pipeline_.abandon(call) && is_waiting_) drop();
}

void Link::close(const Error& error) {
  if (is_closed_) return;
  is_closed_ = true;
  why_unsent_ = error;
  pipeline_.finish_all(error);
  deadline_.cancel();
  closed();
}

/// One timer for all calls: mostly it stands at the deadline of a call that was answered long ago,
/// and looks for the next one when it fires. A timer per call would cost more than the call.
void Link::arm(SteadyTime at) {
  if (is_closed_ || at == SteadyTime::max()) return;
  if (armed_.has_value() && *armed_ <= at) return;
  armed_ = at;
  deadline_.expires_at(at);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& problem) {
    const std::shared_ptr<Link> self = weak.lock();
    if (self != nullptr && !problem && !self->is_closed_) self->on_deadline();
  });
}

void Link::look_again(SteadyTime at) {
  again_ = at;
  arm(at);
}

void Link::on_deadline() {
  armed_.reset();
  const SteadyTime now = std::chrono::steady_clock::now();
  const bool was_sent = pipeline_.expire(now, why_unsent_);
  const bool is_again = again_.has_value() && *again_ <= now;
  if (is_again) again_.reset();
  if (was_sent && is_waiting_) drop();
  if ((was_sent || is_again) && !is_waiting_) late();
  if (const auto next = pipeline_.next_deadline()) arm(*next);
  if (again_.has_value()) arm(*again_);
}

}  // namespace sluice::client
