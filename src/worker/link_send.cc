// Link: outcomes and progress on their way to the server.
#include "worker/link.h"

#include <sluice/async/combine.h>
#include <sluice/async/retry.h>

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

/// The server keeps this much of a failure's text and cuts the rest.
constexpr std::size_t reason_bytes_max = 4096;
/// Progress of one job is sent no more often than this.
constexpr Duration report_pause = 100ms;

std::string shortened(const std::string& reason) {
  return reason.substr(0, reason_bytes_max);
}

bool is_done(const Outcome& outcome) {
  return outcome.kind() == Outcome::Kind::done;
}

}  // namespace

Awaitable<void> Link::send_loop(std::vector<Answer> answers) {
  const Retry pause = Retry().delay(50ms).cap(2s);
  for (std::uint32_t failures = 1; !answers.empty(); ++failures) {
    if (failures > 1) co_await sleep_for(pause.delay_after(failures - 1));
    std::vector<Result<void>> results(answers.size());
    std::vector<Awaitable<void>> calls;
    calls.push_back(send_acks(answers, results));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (!is_done(*answers[i].outcome)) calls.push_back(send_one(answers[i], results[i]));
    }
    if (calls.size() == 1) {
      co_await std::move(calls.front());
    } else {
      co_await gather(std::move(calls));
    }
    std::vector<Answer> again;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (!settle(answers[i], results[i])) again.push_back(std::move(answers[i]));
    }
    const std::size_t settled = answers.size() - again.size();
    unsent_ -= settled;
    monitor_.unsent -= settled;
    if (settled > 0) slot_bell_.ring();
    answers = std::move(again);
  }
  if (unsent_ == 0) close_bell_.ring();
}

Awaitable<void> Link::send_acks(const std::vector<Answer>& answers,
                                std::vector<Result<void>>& results) {
  std::vector<AckItem> items;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!is_done(*answers[i].outcome)) continue;
    items.emplace_back(Lease(answers[i].job->job), answers[i].outcome->text());
    places.push_back(i);
  }
  if (items.empty()) co_return;
  std::vector<Result<void>> acked = co_await client_->ack_many(std::move(items));
  for (std::size_t i = 0; i < places.size(); ++i)
    results[places[i]] = std::move(acked[i]);
}

Awaitable<void> Link::send_one(const Answer& answer, Result<void>& result) {
  const Lease lease(answer.job->job);
  const Outcome& outcome = *answer.outcome;
  if (outcome.kind() == Outcome::Kind::released) {
    result = co_await client_->release(lease, outcome.delay());
    co_return;
  }
  FailOptions options;
  if (outcome.kind() == Outcome::Kind::retry) options.retry(outcome.delay());
  if (outcome.kind() == Outcome::Kind::dead) options.dead();
  const std::string reason = shortened(outcome.text());
  result = co_await client_->fail(lease, reason, options);
}

bool Link::settle(Answer& answer, const Result<void>& result) {
  const Job& job = answer.job->job;
  if (result) {
    note(nullptr);
    return true;
  }
  const Error& error = result.error();
  switch (error.code) {
    case ErrorCode::stale:
    case ErrorCode::no_job:
      ++monitor_.lost;
      monitor_.event(EventLevel::warning, "outcome_refused", error.message, &job);
      return true;
    case ErrorCode::too_big:
    case ErrorCode::arg:
      if (is_done(*answer.outcome)) {
        // The work is done but its result cannot be kept: without an answer it would be done again.
        answer.outcome = Outcome::failed("the server refused the result: " + error.message);
        return false;
      }
      [[fallthrough]];
    case ErrorCode::unknown:
    case ErrorCode::corrupt:
    case ErrorCode::exists:
    case ErrorCode::no_queue:
    case ErrorCode::no_exchange:
      monitor_.event(EventLevel::error, "outcome_refused", error.message, &job);
      return true;
    case ErrorCode::busy:
    case ErrorCode::no_auth:
    case ErrorCode::no_perm:
    case ErrorCode::closed:
    case ErrorCode::timed_out:
    case ErrorCode::cancelled:
    case ErrorCode::protocol:
    case ErrorCode::io:
      note(&error);
      return false;
  }
  return true;
}

Awaitable<void> Link::report_loop(RunningPtr job) {
  job->is_reporting = true;
  while (job->progress && job->is_leased) {
    const std::pair<unsigned, std::string> latest = *std::exchange(job->progress, std::nullopt);
    const Lease lease(job->job);
    const Result<void> sent = co_await client_->progress(lease, latest.first, latest.second);
    if (!sent && sent.error().code == ErrorCode::stale) lose(job, sent.error().message);
    co_await sleep_for(report_pause);
  }
  job->is_reporting = false;
}

}  // namespace sluice::worker
