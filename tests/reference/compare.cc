// Pair: comparing what the two sides say and hold.
#include "model/headers.h"
#include "reference/pair.h"

#include <algorithm>

namespace sluice::reference {
namespace {

void same_text(const std::string& core,
               const std::string& reference,
               const char* what,
               std::uint64_t which = 0) {
  const bool is_same = reference == some_text ? !core.empty() : core == reference;
  if (!is_same) differ(std::string(what) + ": \"" + core + "\", not \"" + reference + "\"", which);
}

template <class T>
void same_number(T core, T reference, const char* what, std::uint64_t which = 0) {
  if (core == reference) return;
  differ(std::string(what) + ": " + std::to_string(core) + ", not " + std::to_string(reference),
         which);
}

void same(const model::QueueInfo& core, const model::QueueInfo& reference) {
  same_text(core.name, reference.name, "name of a queue");
  require(core.policy == reference.policy, "policy");
  for (std::size_t state = 0; state < model::job_state_count; ++state)
    same_number(core.jobs[state], reference.jobs[state], "jobs of a queue in state", state);
  same_number(core.pushed_total, reference.pushed_total, "pushed");
  same_number(core.pulled_total, reference.pulled_total, "pulled");
  same_number(core.succeeded_total, reference.succeeded_total, "succeeded");
  same_number(core.failed_total, reference.failed_total, "failed");
  same_number(core.dead_total, reference.dead_total, "dead in total");
  same_number(core.waiting_pulls, reference.waiting_pulls, "waiting pulls");
}

void same(const model::Stats& core, const model::Stats& reference) {
  same_number(core.epoch, reference.epoch, "epoch");
  same_number(core.queues, reference.queues, "queues");
  for (std::size_t state = 0; state < model::job_state_count; ++state)
    same_number(core.jobs[state], reference.jobs[state], "jobs in state", state);
  same_number(core.pushed_total, reference.pushed_total, "pushed");
  same_number(core.pulled_total, reference.pulled_total, "pulled");
  same_number(core.succeeded_total, reference.succeeded_total, "succeeded");
  same_number(core.failed_total, reference.failed_total, "failed");
  same_number(core.dead_total, reference.dead_total, "dead in total");
  same_number(core.expired_leases_total, reference.expired_leases_total, "expired leases");
}

void same(const model::ExchangeInfo& core, const model::ExchangeInfo& reference) {
  same_text(core.name, reference.name, "exchange");
  require(core.exchange == reference.exchange, "the exchange is as it was declared");
  same_number(core.binding_count, reference.binding_count, "bindings");
}

/// Whether the command's answer promises that something is durable.
bool is_promise(const model::Answer& answer) {
  return std::holds_alternative<model::Pushed>(answer) ||
         std::holds_alternative<model::Routed>(answer) ||
         std::holds_alternative<model::Done>(answer) ||
         std::holds_alternative<model::Counted>(answer);
}

bool is_view(const model::Answer& answer) {
  return std::holds_alternative<std::unique_ptr<model::JobInfo>>(answer) ||
         std::holds_alternative<std::unique_ptr<model::JobList>>(answer) ||
         std::holds_alternative<std::unique_ptr<model::QueueInfo>>(answer);
}

}  // namespace

void Pair::compare(std::vector<model::Reply> replies) {
  const std::vector<model::Reply> expected = std::exchange(reference_.replies, {});
  same_number(replies.size(), expected.size(), "replies");
  for (std::size_t index = 0; index < replies.size(); ++index) {
    const model::Reply& reply = replies[index];
    same_number(reply.ticket.value, expected[index].ticket.value, "ticket");
    const std::uint64_t which = reply.ticket.value;
    same_number(reply.answer.index(), expected[index].answer.index(), "kind of answer", which);
    // What is said is true once the frame that made it true is durable.
    if (is_promise(reply.answer) && has_written_) {
      require(reply.needs == expected[index].needs, "needs", which);
    }
    if (is_view(reply.answer)) require(reply.needs >= last_facts_, "needs what it shows", which);
    compare_one(reply, expected[index]);
  }
}

void Pair::compare_one(const model::Reply& core, const model::Reply& reference) {
  if (const auto* pushed = std::get_if<model::Pushed>(&core.answer)) {
    const auto& expected = std::get<model::Pushed>(reference.answer);
    same_number(pushed->id.value, expected.id.value, "id");
    require(pushed->is_new == expected.is_new, "is new");
  } else if (const auto* routed = std::get_if<model::Routed>(&core.answer)) {
    const auto& expected = std::get<model::Routed>(reference.answer);
    same_number(routed->first.value, expected.first.value, "id of the first");
    require((routed->others == nullptr) == (expected.others == nullptr), "there are others");
    if (routed->others != nullptr) require(*routed->others == *expected.others, "the others");
  } else if (const auto* exchange =
                 std::get_if<std::unique_ptr<model::ExchangeInfo>>(&core.answer)) {
    same(**exchange, *std::get<std::unique_ptr<model::ExchangeInfo>>(reference.answer));
    same_number((*exchange)->bindings.size(), (*exchange)->binding_count, "bindings shown");
  } else if (const auto* exchanges =
                 std::get_if<std::unique_ptr<model::ExchangeList>>(&core.answer)) {
    const auto& expected = *std::get<std::unique_ptr<model::ExchangeList>>(reference.answer);
    same_number((*exchanges)->exchanges.size(), expected.exchanges.size(), "exchanges");
    for (std::size_t index = 0; index < expected.exchanges.size(); ++index)
      same((*exchanges)->exchanges[index], expected.exchanges[index]);
  } else if (const auto* extended = std::get_if<model::Extended>(&core.answer)) {
    require(extended->deadline == std::get<model::Extended>(reference.answer).deadline, "deadline");
  } else if (const auto* counted = std::get_if<model::Counted>(&core.answer)) {
    same_number(counted->count, std::get<model::Counted>(reference.answer).count, "count");
    require(!counted->more, "few jobs are done in one step");
  } else if (const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&core.answer)) {
    compare(**delivered, *std::get<std::unique_ptr<model::Delivered>>(reference.answer));
    for (const model::Delivery& job : (*delivered)->jobs) {
      const Job* expected = reference_.find(job.id);
      if (expected == nullptr || expected->is_transient) continue;
      require(core.needs >= job.home, "a delivery needs the job's push");
      require(core.needs >= expected->ready_since, "… and what made it ready");
    }
  } else if (const auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&core.answer)) {
    compare(**info, *std::get<std::unique_ptr<model::JobInfo>>(reference.answer));
  } else if (const auto* list = std::get_if<std::unique_ptr<model::JobList>>(&core.answer)) {
    const auto& expected = *std::get<std::unique_ptr<model::JobList>>(reference.answer);
    same_number((*list)->jobs.size(), expected.jobs.size(), "listed");
    same_number((*list)->cursor.value, expected.cursor.value, "cursor");
    for (std::size_t index = 0; index < expected.jobs.size(); ++index)
      compare((*list)->jobs[index], expected.jobs[index]);
  } else if (const auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&core.answer)) {
    same(**queue, *std::get<std::unique_ptr<model::QueueInfo>>(reference.answer));
  } else if (const auto* error = std::get_if<std::unique_ptr<Error>>(&core.answer)) {
    const auto& expected = *std::get<std::unique_ptr<Error>>(reference.answer);
    if ((*error)->code != expected.code) differ("error: " + (*error)->message, core.ticket.value);
  }
}

void Pair::compare(const model::Delivered& core, const model::Delivered& reference) {
  same_number(core.jobs.size(), reference.jobs.size(), "delivered jobs");
  for (std::size_t index = 0; index < core.jobs.size(); ++index) {
    const model::Delivery& job = core.jobs[index];
    const model::Delivery& expected = reference.jobs[index];
    const std::uint64_t which = expected.id.value;
    same_number(job.id.value, expected.id.value, "id", which);
    same_number(job.token.value, expected.token.value, "token", which);
    same_number(job.attempt, expected.attempt, "attempt", which);
    require(job.deadline == expected.deadline, "deadline", which);
    if (job.token.value != 0) {
      require(job.token.value > last_token_, "its token is not new", which);
      last_token_ = job.token.value;
      leases_.emplace_back(job.id, job.token);
    }
    const Result<ByteView> bytes = log_.read(job.home, job.record_bytes);
    require(bytes.has_value(), "its record is not where it should be", which);
    const Result<core::JobRecord> record = core::read_record(*bytes);
    const Job* known = reference_.find(job.id);  // None: it is done with being given away.
    require(record && (known == nullptr || record->payload == known->payload), "payload", which);
  }
}

void Pair::compare(const model::JobInfo& core, const model::JobInfo& reference) {
  const std::uint64_t which = reference.id.value;
  same_number(core.id.value, reference.id.value, "id", which);
  same_text(core.queue, reference.queue, "queue", which);
  same_text(std::string(name(core.state)), std::string(name(reference.state)), "state", which);
  same_number(core.priority, reference.priority, "priority", which);
  same_number(core.attempt, reference.attempt, "attempt", which);
  same_number(core.max_attempts, reference.max_attempts, "max_attempts", which);
  require(core.due == reference.due, "due", which);
  require(core.at == reference.at, "at", which);
  same_text(core.worker, reference.worker, "worker", which);
  same_text(core.error, reference.error, "error", which);
  same_number(core.progress_percent, reference.progress_percent, "progress", which);
  same_text(core.progress_note, reference.progress_note, "progress note", which);
  same_text(core.unique_key, reference.unique_key, "unique key", which);
  same_number(core.after.size(), reference.after.size(), "after", which);
  for (std::size_t index = 0; index < core.after.size(); ++index)
    require(core.after[index].id == reference.after[index].id, "after", which);
  same_number(core.history.size(), reference.history.size(), "history", which);
  for (std::size_t index = 0; index < core.history.size(); ++index) {
    const model::JobEvent& event = core.history[index];
    const model::JobEvent& expected = reference.history[index];
    require(event.state == expected.state, "state of an event", which);
    require(event.time == expected.time, "time of an event", which);
    same_number(event.attempt, expected.attempt, "attempt of an event", which);
    same_text(event.worker, expected.worker, "worker of an event", which);
    same_text(event.note, expected.note, "note of an event", which);
  }
  require(core.has_result == reference.has_result, "has a result", which);
  if (core.has_result) {
    const Result<ByteView> result = log_.read(core.result_at, core.result_bytes);
    require(result && *result == reference.result, "result", which);
  }
  const Result<ByteView> bytes = log_.read(core.home, core.record_bytes);
  require(bytes.has_value(), "its record is not where it should be", which);
  const Result<core::JobRecord> record = core::read_record(*bytes);
  require(record.has_value(), "its record is damaged", which);
  require(record->type == reference.type && record->payload == reference.payload, "record", which);
  require(record->created == reference.created, "created", which);
  const Job* const known = reference_.find(reference.id);
  if (known == nullptr) return;  // An AWAIT is told of what is gone by now.
  std::vector<std::pair<std::string, std::string>> headers;
  model::for_each_header(record->headers,
                         [&](ByteView name, ByteView value) { headers.emplace_back(name, value); });
  require(headers == known->headers, "headers", which);
}

/// Totals and counts by state, and that nothing vanished without a reason.
void Pair::compare_counts() {
  model::Stats core;
  model::Stats expected;
  const auto replies = on_core([&](core::Output& out) {
    core_->apply(model::GetStats{}, model::Ticket(), now(), out);
    reference_.apply(model::GetStats{}, model::Ticket(), now(), frame_);
  });
  core = *std::get<std::unique_ptr<model::Stats>>(replies.at(0).answer);
  expected = *std::get<std::unique_ptr<model::Stats>>(reference_.replies.at(0).answer);
  reference_.replies.clear();
  same(core, expected);
  std::uint64_t living = 0;
  for (const std::uint64_t count : core.jobs)
    living += count;
  same_number(living + reference_.removed(), reference_.pushed(), "jobs that are or were");
}

/// Every job, every queue, and the bytes that they say they have in the log.
void Pair::compare_all() {
  core_->check_invariants();
  compare_counts();
  std::uint64_t live_bytes = reference_.record_bytes_beside_jobs();
  for (const Job& job : reference_.jobs()) {
    const auto replies = on_core([&](core::Output& out) {
      core_->apply(model::GetJob{job.id}, model::Ticket(), now(), out);
      reference_.apply(model::GetJob{job.id}, model::Ticket(), now(), frame_);
    });
    const auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&replies.at(0).answer);
    require(info != nullptr, "it is gone", job.id.value);
    compare(**info, *std::get<std::unique_ptr<model::JobInfo>>(reference_.replies.at(0).answer));
    reference_.replies.clear();
    live_bytes += (*info)->record_bytes;
  }
  const auto replies = on_core([&](core::Output& out) {
    core_->apply(model::ListQueues{}, model::Ticket(), now(), out);
    reference_.apply(model::ListQueues{}, model::Ticket(), now(), frame_);
    core_->apply(model::GetStats{}, model::Ticket(), now(), out);
  });
  const auto& queues = *std::get<std::unique_ptr<model::QueueList>>(replies.at(0).answer);
  const auto& expected =
      *std::get<std::unique_ptr<model::QueueList>>(reference_.replies.at(0).answer);
  same_number(queues.queues.size(), expected.queues.size(), "queues");
  for (std::size_t index = 0; index < expected.queues.size(); ++index)
    same(queues.queues[index], expected.queues[index]);
  reference_.replies.clear();
  const auto& stats = *std::get<std::unique_ptr<model::Stats>>(replies.at(1).answer);
  same_number(stats.live_bytes, live_bytes, "live bytes");
}

}  // namespace sluice::reference
