// Answers: completes what the core replies with what is in the journal's records: type, payload,
// headers and time of creation of a job, and the result.
#pragma once

#include "base/charge.h"
#include "journal/log.h"
#include "model/reply.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sluice::engine {

class Answers {
 public:
  /// `log` outlives this. `on_event` gets a line about each record that cannot be read.
  Answers(journal::Log& log, std::function<void(const std::string&)> on_event);

  /// Fills the answer in place. A job whose record cannot be read is left out of a delivery and
  /// reported (RELIABILITY S5): it is never delivered wrong, and comes back when its lease ends.
  void complete(model::Answer& answer);

  /// How much of what complete() read is not destroyed yet.
  std::uint64_t held_bytes() const { return held_->load(std::memory_order_relaxed); }

  /// Counts a completed answer into held_bytes() for as long as the charge lives.
  Charge charge(const model::Answer& answer) const;

 private:
  void complete(model::Delivered& delivered);
  void complete(model::JobInfo& info, bool with_payload);
  void complete(model::JobList& list);
  void complete(model::QueueInfo& info);
  void report(model::JobId id, const Error& error);

  journal::Log& log_;
  std::function<void(const std::string&)> on_event_;
  std::shared_ptr<HeldBytes> held_ = std::make_shared<HeldBytes>(0);
};

}  // namespace sluice::engine
