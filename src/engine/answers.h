// Answers: completes what the core replies with what is in the journal's records: type, payload,
// headers and time of creation of a job, and the result.
#pragma once

#include "journal/log.h"
#include "model/reply.h"

#include <functional>
#include <string>

namespace sluice::engine {

class Answers {
 public:
  /// `log` outlives this. `on_event` gets a line about each record that cannot be read.
  Answers(journal::Log& log, std::function<void(const std::string&)> on_event);

  /// Fills the answer in place. A job whose record cannot be read is left out of a delivery and
  /// reported (RELIABILITY S5): it is never delivered wrong, and comes back when its lease ends.
  void complete(model::Answer& answer);

 private:
  void complete(model::Delivered& delivered);
  void complete(model::JobInfo& info, bool with_payload);
  void complete(model::JobList& list);
  void complete(model::QueueInfo& info);
  void report(model::JobId id, const Error& error);

  journal::Log& log_;
  std::function<void(const std::string&)> on_event_;
};

}  // namespace sluice::engine
