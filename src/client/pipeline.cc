// Pipeline: calls in order, replies matched to them, breaks and deadlines.

#include "client/pipeline.h"

#include "base/check.h"

#include <algorithm>

namespace sluice::client {
namespace {

Error unanswered(const Request& request, ErrorCode code, const std::string& why) {
  return {code, why + "; whether " + request.command + " happened is unknown"};
}

Error unsent(const Call& call, const Error& why) {
  if (call.is_repeated) return unanswered(call.request, ErrorCode::timed_out, why.message);
  if (call.request.command.empty()) return why;
  return {why.code, call.request.command + " was not sent: " + why.message};
}

/// A lease's answer that counted the first time makes its repeat stale.
void explain_repeat(resp::Value& value) {
  if (!value.is_error() || !value.text.starts_with(name(ErrorCode::stale))) return;
  value.text += " (said again after the connection broke; the first time may have counted)";
}

/// Calls for jobs of replies that nobody wants are not waited for.
class Unheard final : public Call {
 public:
  using Call::Call;

  void finish(Reply) override {}
};

}  // namespace

void Pipeline::submit(std::shared_ptr<Call> call) {
  Slot slot;
  slot.left = call->request.ends.size();
  slot.bytes = call->request.bytes.size();
  slot.leases_jobs = call->request.leases_jobs;
  slot.call = std::move(call);
  outstanding_bytes_ += slot.bytes;
  slots_.push_back(std::move(slot));
}

void Pipeline::take_output(std::string& out, SteadyTime now) {
  for (; sent_ < slots_.size(); ++sent_) {
    Slot& slot = slots_[sent_];
    Request& request = slot.call->request;
    out += request.bytes;
    slot.sent = now;
    // What is not repeated is not needed any more.
    if (request.on_break == OnBreak::report) std::string().swap(request.bytes);
  }
}

Result<void> Pipeline::feed(std::string_view bytes) {
  const bool has_rest = !input_.empty();
  if (has_rest) {
    input_ += bytes;
    if (input_.size() < decoder_->needed()) return {};
    bytes = input_;
  }
  std::size_t done = 0;
  for (;;) {
    resp::Value value;
    const resp::Decoded outcome = decoder_->next(bytes.substr(done), value);
    done += decoder_->consumed();
    if (outcome == resp::Decoded::broken) {
      return sluice::fail(ErrorCode::protocol,
                          "the server's reply is malformed: " + std::string(decoder_->problem()));
    }
    if (outcome == resp::Decoded::incomplete) break;
    if (Result<void> taken = take(std::move(value)); !taken) return taken;
  }
  if (has_rest) {
    input_.erase(0, done);
  } else {
    input_ = bytes.substr(done);
  }
  return {};
}

Result<void> Pipeline::take(resp::Value value) {
  if (value.kind == resp::Kind::push) return {};  // Out of band; this client asked for none.
  if (sent_ == 0) {
    return sluice::fail(ErrorCode::protocol, "the server sent a reply that no command asked for");
  }
  Slot& slot = slots_.front();
  if (slot.call == nullptr) {
    if (slot.leases_jobs) give_back(value);
  } else {
    if (slot.call->is_repeated) explain_repeat(value);
    slot.call->values.push_back(std::move(value));
  }
  // give_back() may have moved the slots.
  Slot& front = slots_.front();
  if (--front.left > 0) return {};
  const std::shared_ptr<Call> call = std::move(front.call);
  forget(front);
  slots_.pop_front();
  --sent_;
  if (call != nullptr) call->finish({std::move(call->values), std::nullopt});
  return {};
}

void Pipeline::give_back(const resp::Value& value) {
  Request request = client::give_back(value);
  if (request.ends.empty()) return;
  submit(std::make_shared<Unheard>(std::move(request), SteadyTime::max()));
}

void Pipeline::on_break(const Error& why, SteadyTime now) {
  std::deque<Slot> before;
  before.swap(slots_);
  const std::size_t sent = sent_;
  reset();
  for (std::size_t i = 0; i < before.size(); ++i) {
    Slot& slot = before[i];
    forget(slot);
    if (slot.call == nullptr) continue;
    const bool may_repeat = slot.call->request.on_break == OnBreak::repeat;
    if (i < sent && !may_repeat) {
      Error error = unanswered(slot.call->request, ErrorCode::closed, why.message);
      slot.call->finish({std::move(slot.call->values), std::move(error)});
      continue;
    }
    if (i < sent) renew(*slot.call, slot.left, now);
    submit(std::move(slot.call));
  }
}

void Pipeline::renew(Call& call, std::size_t left, SteadyTime now) {
  call.is_repeated = true;
  Request& request = call.request;
  if (request.with_wait) {
    // The call's timeout lies on top of its wait, and is for the way, not for the waiting.
    const auto remaining = std::chrono::duration_cast<Duration>(call.deadline - now);
    request.bytes = request.with_wait(std::clamp(remaining, Duration{1}, request.wait));
    request.ends = {request.bytes.size()};
    return;
  }
  const std::size_t answered = request.ends.size() - left;
  if (answered == 0) return;
  const std::size_t cut = request.ends[answered - 1];
  request.bytes.erase(0, cut);
  request.ends.erase(request.ends.begin(),
                     request.ends.begin() + static_cast<std::ptrdiff_t>(answered));
  for (std::size_t& end : request.ends)
    end -= cut;
}

void Pipeline::finish_all(const Error& error) {
  std::deque<Slot> before;
  before.swap(slots_);
  reset();
  for (Slot& slot : before) {
    forget(slot);
    if (slot.call != nullptr) slot.call->finish({std::move(slot.call->values), error});
  }
}

bool Pipeline::expire(SteadyTime now, const Error& why_unsent) {
  bool was_sent = false;
  for (std::size_t i = 0; i < slots_.size();) {
    Slot& slot = slots_[i];
    if (slot.call == nullptr || slot.call->deadline > now) {
      ++i;
      continue;
    }
    const std::shared_ptr<Call> call = std::move(slot.call);
    Reply reply{std::move(call->values), std::nullopt};
    if (i < sent_) {
      was_sent = true;
      reply.problem = unanswered(
          call->request, ErrorCode::timed_out, "no reply to " + call->request.command + " in time");
      ++i;
    } else {
      reply.problem = unsent(*call, why_unsent);
      forget(slot);
      slots_.erase(slots_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    call->finish(std::move(reply));
  }
  return was_sent;
}

std::optional<SteadyTime> Pipeline::next_deadline() const {
  std::optional<SteadyTime> earliest;
  for (const Slot& slot : slots_) {
    if (slot.call == nullptr) continue;
    if (!earliest.has_value() || slot.call->deadline < *earliest) earliest = slot.call->deadline;
  }
  return earliest;
}

std::optional<SteadyTime> Pipeline::silent_since() const {
  if (sent_ == 0) return std::nullopt;
  return std::max(slots_.front().sent, last_heard_);
}

bool Pipeline::abandon(const Call& call) {
  const auto found = std::find_if(
      slots_.begin(), slots_.end(), [&call](const Slot& slot) { return slot.call.get() == &call; });
  if (found == slots_.end()) return false;
  found->call.reset();
  if (static_cast<std::size_t>(found - slots_.begin()) < sent_) return true;
  forget(*found);
  slots_.erase(found);
  return false;
}

void Pipeline::reset() {
  sent_ = 0;
  input_.clear();
  decoder_.emplace(resp::DecoderLimits{.text_bytes_max = reply_bytes_max_});
}

void Pipeline::forget(Slot& slot) {
  check(outstanding_bytes_ >= slot.bytes);
  outstanding_bytes_ -= slot.bytes;
  slot.bytes = 0;
}

}  // namespace sluice::client
