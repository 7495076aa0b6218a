// Answers: reading records back and copying out of them what the client gets.
#include "engine/answers.h"

#include "base/check.h"
#include "core/facts.h"
#include "model/headers.h"

#include <utility>

namespace sluice::engine {
namespace {

/// Appends to `bytes`, which has room, and returns where the copy stands.
ByteView copy(std::string& bytes, ByteView what) {
  const std::size_t at = bytes.size();
  check(at + what.size() <= bytes.capacity());
  bytes.append(what);
  return ByteView(bytes).substr(at);
}

/// Valid until the log is read again, or as long as `copies`, to which it is appended first.
Result<core::JobRecord> read(journal::Log& log,
                             Position home,
                             std::uint32_t size,
                             std::string* copies = nullptr) {
  Result<ByteView> bytes = log.read(home, size);
  if (!bytes) return tl::unexpected<Error>(bytes.error());
  return core::read_record(copies == nullptr ? *bytes : copy(*copies, *bytes));
}

}  // namespace

Answers::Answers(journal::Log& log, std::function<void(const std::string&)> on_event)
    : log_(log), on_event_(std::move(on_event)) {}

void Answers::complete(model::Answer& answer) {
  if (auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer)) {
    complete(**delivered);
  } else if (auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&answer)) {
    complete(**info, true);
  } else if (auto* jobs = std::get_if<std::unique_ptr<model::JobList>>(&answer)) {
    complete(**jobs);
  } else if (auto* queue = std::get_if<std::unique_ptr<model::QueueInfo>>(&answer)) {
    complete(**queue);
  } else if (auto* queues = std::get_if<std::unique_ptr<model::QueueList>>(&answer)) {
    for (model::QueueInfo& each : (*queues)->queues)
      complete(each);
  }
}

Charge Answers::charge(const model::Answer& answer) const {
  std::uint64_t bytes = 0;
  if (const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer)) {
    bytes = (*delivered)->bytes.capacity();
  } else if (const auto* info = std::get_if<std::unique_ptr<model::JobInfo>>(&answer)) {
    bytes = (*info)->payload.capacity() + (*info)->result.capacity();
  } else if (const auto* jobs = std::get_if<std::unique_ptr<model::JobList>>(&answer)) {
    bytes = (*jobs)->jobs.capacity() * sizeof(model::JobInfo);
  }
  return bytes == 0 ? Charge() : Charge(held_, bytes);
}

void Answers::complete(model::Delivered& delivered) {
  // Views into `bytes` must not move: reserve what all of it can need at most.
  std::size_t bytes = 0;
  for (const model::Delivery& job : delivered.jobs)
    bytes += job.record_bytes + job.queue.size();
  delivered.bytes.reserve(bytes);
  ByteView queue;  // Of the job before, and its copy: mostly all are of one.
  ByteView copied_queue;
  std::erase_if(delivered.jobs, [&](model::Delivery& job) {
    const Result<core::JobRecord> record = read(log_, job.home, job.record_bytes, &delivered.bytes);
    if (!record) {
      report(job.id, record.error());
      return true;
    }
    if (job.queue.data() != queue.data()) {
      queue = job.queue;
      copied_queue = copy(delivered.bytes, queue);
    }
    job.queue = copied_queue;
    job.type = record->type;
    job.payload = record->payload;
    job.headers = record->headers;
    return false;
  });
}

void Answers::complete(model::JobInfo& info, bool with_payload) {
  const Result<core::JobRecord> record = read(log_, info.home, info.record_bytes);
  if (!record) {
    report(info.id, record.error());
    info.error = "its record cannot be read: " + record.error().message;
    return;
  }
  info.type = std::string(record->type);
  info.created = record->created;
  model::JobEvent pushed{record->created, model::JobState::ready, 0, "", "pushed"};
  info.history.insert(info.history.begin(), std::move(pushed));
  model::for_each_header(record->headers, [&info](ByteView key, ByteView value) {
    info.headers.emplace_back(key, value);
  });
  if (!with_payload) {
    info.has_result = false;  // Lists leave out what may be large: payload and result.
    return;
  }
  info.payload = std::string(record->payload);
  if (!info.has_result) return;
  const Result<ByteView> result = log_.read(info.result_at, info.result_bytes);
  if (result) {
    info.result = std::string(*result);
  } else {
    report(info.id, result.error());
    info.error = "its result cannot be read: " + result.error().message;
  }
}

void Answers::complete(model::JobList& list) {
  std::erase_if(list.jobs, [&](model::JobInfo& info) {
    complete(info, false);
    return (!list.type.empty() && info.type != list.type) || info.created < list.created_from ||
           info.created > list.created_to;
  });
}

void Answers::complete(model::QueueInfo& info) {
  if (info.oldest_ready_bytes == 0) return;
  const Result<core::JobRecord> record = read(log_, info.oldest_ready_at, info.oldest_ready_bytes);
  if (record) info.oldest_ready = std::max(info.now - record->created, Duration{0});
}

void Answers::report(model::JobId id, const Error& error) {
  if (on_event_) {
    on_event_("event=record_unreadable level=error job=" + model::id_text(id) + " reason=\"" +
              error.message + "\"");
  }
}

}  // namespace sluice::engine
