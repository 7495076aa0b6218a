// Details of a job: pooling, history, and their tagged encoding within a record.
#include "base/check.h"
#include "core/job.h"
#include "model/limits.h"

namespace sluice::core {
namespace {

// Numbers are final; a removed field's number is never used again.
enum class Field : std::uint8_t {
  max_attempts = 1,
  backoff = 2,
  timeout = 3,
  keep = 4,
  ttl = 5,
  at = 6,
  delay = 7,
  unique_key = 8,
  waits_for = 9,
  expires = 10,
  event = 11,
  worker = 12,
  error = 13,
  result = 14,  ///< The last one of a record.
  payload_bytes = 16,
  death = 17,
};

template <class T>
void put_number(Buffer& out, Field field, T value) {
  out.append_raw(field);
  out.append_raw(static_cast<std::uint32_t>(sizeof value));
  out.append_raw(value);
}

void put_bytes(Buffer& out, Field field, ByteView bytes) {
  out.append_raw(field);
  put_sized<std::uint32_t>(out, bytes);
}

void put_event(Buffer& out, const model::JobEvent& event) {
  Buffer encoded;
  encoded.append_raw(std::int64_t{event.time.time_since_epoch().count()});
  encoded.append_raw(static_cast<std::uint8_t>(event.state));
  encoded.append_raw(event.attempt);
  put_sized<std::uint8_t>(encoded, event.worker);
  put_sized<std::uint16_t>(encoded, event.note);
  put_bytes(out, Field::event, encoded.view());
}

void read_event(Reader& reader, Details& details) {
  model::JobEvent event;
  event.time = Time(Duration(reader.number<std::int64_t>()));
  event.state = static_cast<model::JobState>(reader.number<std::uint8_t>());
  event.attempt = reader.number<std::uint16_t>();
  event.worker = std::string(reader.sized<std::uint8_t>());
  event.note = std::string(reader.sized<std::uint16_t>());
  details.history.push_back(std::move(event));
}

void read_waits(Reader& reader, Details& details) {
  while (!reader.at_end()) {
    model::Dependency dependency;
    dependency.id = model::JobId(reader.number<std::uint64_t>());
    dependency.any_outcome = reader.number<std::uint8_t>() != 0;
    details.waits_for.push_back(dependency);
  }
}

/// False: the bytes are too few for the field's value, which is not to be used then.
bool read_field(Field field, ByteView bytes, Position at, Details& details) {
  Reader reader(bytes);
  const auto duration = [&reader] { return Duration(reader.number<std::int64_t>()); };
  switch (field) {
    case Field::max_attempts:
      details.max_attempts = reader.number<std::uint32_t>();
      break;
    case Field::backoff:
      details.backoff = read_backoff(reader);
      break;
    case Field::timeout:
      details.timeout = duration();
      break;
    case Field::keep:
      details.keep = duration();
      break;
    case Field::ttl:
      details.ttl = duration();
      break;
    case Field::at:
      details.at = WallTime(duration());
      break;
    case Field::delay:
      details.delay = duration();
      break;
    case Field::unique_key:
      details.unique_key = std::string(bytes);
      break;
    case Field::waits_for:
      read_waits(reader, details);
      break;
    case Field::expires:
      details.expires = Time(duration());
      break;
    case Field::event:
      read_event(reader, details);
      break;
    case Field::worker:
      details.worker = std::string(bytes);
      break;
    case Field::error:
      details.error = std::string(bytes);
      break;
    case Field::result:
      details.has_result = true;
      details.result_at = at;
      details.result_bytes = static_cast<std::uint32_t>(bytes.size());
      break;
    case Field::payload_bytes:
      details.payload_bytes = reader.number<std::uint32_t>();
      break;
    case Field::death:
      details.death = static_cast<model::DeathReason>(reader.number<std::uint8_t>() %
                                                      model::death_reason_count);
      break;
  }
  return reader.ok();
}

}  // namespace

void Details::reset() {
  max_attempts.reset();
  backoff.reset();
  timeout.reset();
  keep.reset();
  ttl = Duration{0};
  at.reset();
  delay = Duration{0};
  unique_key.clear();
  waits_for.clear();
  expires = never;
  payload_bytes = 0;
  death.reset();
  history.clear();
  worker.clear();
  error.clear();
  result_at = Position();
  result_bytes = 0;
  has_result = false;
  progress_percent = 0;
  progress_note.clear();
  ready_since = Position();
  heap_bytes = 0;
}

void Details::count_heap() {
  heap_bytes = unique_key.capacity() + worker.capacity() + error.capacity() +
               progress_note.capacity() + waits_for.capacity() * sizeof(model::Dependency) +
               history.capacity() * sizeof(model::JobEvent);
  for (const model::JobEvent& event : history)
    heap_bytes += event.note.capacity();
}

void add_event(Details& details, model::JobEvent event) {
  if (details.history.size() == model::history_max) {
    details.history.erase(details.history.begin() + 1);
  }
  details.history.push_back(std::move(event));
}

void put_details(Buffer& out, const Details& details, ByteView result) {
  if (details.max_attempts) put_number(out, Field::max_attempts, *details.max_attempts);
  if (details.backoff) {
    Buffer encoded;
    put_backoff(encoded, *details.backoff);
    put_bytes(out, Field::backoff, encoded.view());
  }
  const auto put_duration = [&out](Field field, Duration value) {
    put_number(out, field, std::int64_t{value.count()});
  };
  if (details.timeout) put_duration(Field::timeout, *details.timeout);
  if (details.keep) put_duration(Field::keep, *details.keep);
  if (details.ttl.count() != 0) put_duration(Field::ttl, details.ttl);
  if (details.at) put_duration(Field::at, details.at->time_since_epoch());
  if (details.delay.count() != 0) put_duration(Field::delay, details.delay);
  if (!details.unique_key.empty()) put_bytes(out, Field::unique_key, details.unique_key);
  if (!details.waits_for.empty()) {
    Buffer encoded;
    for (const model::Dependency& dependency : details.waits_for) {
      encoded.append_raw(dependency.id.value);
      encoded.append_raw(static_cast<std::uint8_t>(dependency.any_outcome));
    }
    put_bytes(out, Field::waits_for, encoded.view());
  }
  if (details.expires != never) put_duration(Field::expires, details.expires.time_since_epoch());
  if (details.payload_bytes != 0) put_number(out, Field::payload_bytes, details.payload_bytes);
  if (details.death) put_number(out, Field::death, static_cast<std::uint8_t>(*details.death));
  for (const model::JobEvent& event : details.history)
    put_event(out, event);
  if (!details.worker.empty()) put_bytes(out, Field::worker, details.worker);
  if (!details.error.empty()) put_bytes(out, Field::error, details.error);
  if (details.has_result) put_bytes(out, Field::result, result);
}

Result<void> read_details(ByteView bytes, Position at, Details& details) {
  Reader reader(bytes);
  while (!reader.at_end()) {
    const auto field = static_cast<Field>(reader.number<std::uint8_t>());
    const ByteView value = reader.sized<std::uint32_t>();
    const Position value_at = at.plus(bytes.size() - reader.left() - value.size());
    if (!reader.ok() || !read_field(field, value, value_at, details)) {
      return fail(ErrorCode::corrupt, "the details of a job record are cut short");
    }
  }
  return {};
}

}  // namespace sluice::core
