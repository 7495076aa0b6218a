// Encoding and decoding of facts. The format is specified in facts.h.
#include "core/facts.h"

#include "base/check.h"
#include "core/routing/binding_terms.h"
#include "model/limits.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::core {
namespace {

enum RecordFlag : std::uint8_t {
  record_has_headers = 1,
  record_has_details = 2,
  record_is_transient = 4,
};

enum ChangeFlag : std::uint8_t {
  change_has_worker = 1,
  change_has_note = 2,
  change_has_result = 4,
  change_has_queue = 8,
  change_is_event = 16,
  change_is_error = 32,
  change_has_expires = 64,
};

enum ExchangeFlag : std::uint8_t {
  exchange_is_durable = 1,
  exchange_is_auto_delete = 2,
  exchange_is_internal = 4,
};

/// The fixed part of a record as it stands in the journal.
struct RecordHead {
  FactKind kind;
  std::uint8_t flags;
  std::uint8_t state;
  std::uint8_t priority;
  std::uint16_t attempt;
  std::uint8_t type_bytes;
  std::uint8_t zero;
  std::uint32_t hash;
  std::uint32_t record_bytes;
  std::uint64_t id;
  std::uint32_t queue;
  std::uint32_t payload_bytes;
  std::uint64_t order;
  std::int64_t due;
  std::int64_t created;
};

static_assert(sizeof(RecordHead) == 56, "no padding: the struct is the format");
constexpr std::size_t hashed_from = 12;

struct ChangeHead {
  FactKind kind;
  std::uint8_t flags;
  std::uint8_t state;
  std::uint8_t death;  ///< 0: none; otherwise the reason and 1.
  std::uint16_t attempt;
  std::uint16_t zero;
  std::uint64_t id;
  std::int64_t time;
  std::uint64_t order;
  std::int64_t due;
};

static_assert(sizeof(ChangeHead) == 40, "no padding: the struct is the format");

std::uint32_t record_hash(const char* record, std::size_t size) {
  return static_cast<std::uint32_t>(XXH3_64bits(record + hashed_from, size - hashed_from));
}

constexpr std::int64_t ms(Time time) {
  return time.time_since_epoch().count();
}

constexpr Time time_of(std::int64_t milliseconds) {
  return Time(Duration(milliseconds));
}

tl::unexpected<Error> bad(const char* what) {
  return fail(ErrorCode::corrupt, std::string("a fact is malformed: ") + what);
}

Result<JobRecord> decode_record(ByteView bytes) {
  Reader reader(bytes);
  const ByteView fixed = reader.bytes(sizeof(RecordHead));
  if (!reader.ok()) return bad("job record is cut short");
  RecordHead head{};
  std::memcpy(&head, fixed.data(), sizeof head);
  JobRecord record;
  record.id = model::JobId(head.id);
  record.queue = head.queue;
  record.state = static_cast<model::JobState>(head.state);
  record.priority = head.priority;
  record.attempt = head.attempt;
  record.is_transient = (head.flags & record_is_transient) != 0;
  record.order = head.order;
  record.due = time_of(head.due);
  record.created = time_of(head.created);
  record.type = reader.bytes(head.type_bytes);
  record.payload = reader.bytes(head.payload_bytes);
  if ((head.flags & record_has_headers) != 0) record.headers = reader.sized<std::uint32_t>();
  if ((head.flags & record_has_details) != 0) record.details = reader.sized<std::uint32_t>();
  if (!reader.ok()) return bad("job record is cut short");
  if (head.state >= model::job_state_count) return bad("job record has an unknown state");
  if (head.queue >= model::queue_count_max) return bad("job record has an impossible queue");
  record.record_bytes = static_cast<std::uint32_t>(bytes.size() - reader.left());
  if (record.record_bytes != head.record_bytes) return bad("job record has a wrong length");
  return record;
}

Result<Fact> decode_changed(Reader& reader, const char* begin, Position at) {
  const ByteView rest = reader.bytes(sizeof(ChangeHead) - 1);
  if (!reader.ok()) return bad("job_changed is cut short");
  ChangeHead head{};
  std::memcpy(&head, rest.data() - 1, sizeof head);
  if (head.state >= model::job_state_count) return bad("job_changed has an unknown state");
  JobChanged changed;
  changed.id = model::JobId(head.id);
  changed.state = static_cast<model::JobState>(head.state);
  changed.attempt = head.attempt;
  changed.time = time_of(head.time);
  changed.order = head.order;
  changed.due = time_of(head.due);
  if (head.death > model::death_reason_count) return bad("job_changed has an unknown death");
  if (head.death != 0) {
    changed.death = static_cast<model::DeathReason>(head.death - 1);
  }
  changed.is_event = (head.flags & change_is_event) != 0;
  changed.is_error = (head.flags & change_is_error) != 0;
  if ((head.flags & change_has_worker) != 0) changed.worker = reader.sized<std::uint8_t>();
  if ((head.flags & change_has_note) != 0) changed.note = reader.sized<std::uint16_t>();
  if ((head.flags & change_has_result) != 0) {
    changed.has_result = true;
    changed.result = reader.sized<std::uint32_t>();
    changed.result_at = at.plus(static_cast<std::size_t>(changed.result.data() - begin));
  }
  if ((head.flags & change_has_queue) != 0) changed.queue = reader.number<std::uint32_t>();
  if ((head.flags & change_has_expires) != 0) {
    changed.expires = time_of(reader.number<std::int64_t>());
  }
  if (!reader.ok()) return bad("job_changed is cut short");
  if (changed.queue.value_or(0) >= model::queue_count_max) {
    return bad("job_changed has an impossible queue");
  }
  return Fact(changed);
}

Result<Fact> decode_exchange(Reader& reader) {
  ExchangePut put;
  put.index = reader.number<std::uint32_t>();
  const auto kind = reader.number<std::uint8_t>();
  const auto flags = reader.number<std::uint8_t>();
  put.name = reader.sized<std::uint8_t>();
  put.exchange.alternate = std::string(reader.sized<std::uint8_t>());
  put.exchange.arguments = std::string(reader.sized<std::uint16_t>());
  if (kind >= model::exchange_kind_count) return bad("exchange_put has an unknown kind");
  if (put.index >= model::exchange_count_max) return bad("exchange_put has an impossible number");
  if (reader.ok() && put.name.empty()) return bad("exchange_put has no name");
  put.exchange.kind = static_cast<model::ExchangeKind>(kind);
  put.exchange.is_durable = (flags & exchange_is_durable) != 0;
  put.exchange.is_auto_delete = (flags & exchange_is_auto_delete) != 0;
  put.exchange.is_internal = (flags & exchange_is_internal) != 0;
  return Fact(std::move(put));
}

Result<Fact> decode_binding_fact(FactKind kind, Reader& reader) {
  const auto exchange = reader.number<std::uint32_t>();
  const ByteView terms = reader.sized<std::uint32_t>();
  if (!reader.ok()) return bad("a binding is cut short");
  if (exchange >= model::exchange_count_max) return bad("a binding has an impossible exchange");
  if (Result<BindingTerms> read = decode_binding(terms); !read) {
    return tl::unexpected<Error>(read.error());
  }
  if (kind == FactKind::binding_put) return Fact(BindingPut{exchange, terms});
  return Fact(BindingGone{exchange, terms});
}

/// The kinds without a layout of their own. `reader` stands behind the kind.
Result<Fact> decode_small(FactKind kind, Reader& reader) {
  switch (kind) {
    case FactKind::job_gone:
      return Fact(JobGone{model::JobId(reader.number<std::uint64_t>())});
    case FactKind::queue_put: {
      QueuePut put;
      put.queue = reader.number<std::uint32_t>();
      put.name = reader.sized<std::uint8_t>();
      Result<model::QueuePolicy> policy = read_policy(reader.sized<std::uint16_t>());
      if (!policy) return tl::unexpected<Error>(policy.error());
      put.policy = std::move(*policy);
      if (put.queue >= model::queue_count_max) return bad("queue_put has an impossible queue");
      return Fact(std::move(put));
    }
    case FactKind::queue_gone:
      return Fact(QueueGone{reader.number<std::uint32_t>()});
    case FactKind::key_held: {
      KeyHeld held;
      held.queue = reader.number<std::uint32_t>();
      held.key = reader.sized<std::uint16_t>();
      held.job = model::JobId(reader.number<std::uint64_t>());
      held.until = time_of(reader.number<std::int64_t>());
      return Fact(held);
    }
    case FactKind::key_gone: {
      KeyGone gone;
      gone.queue = reader.number<std::uint32_t>();
      gone.key = reader.sized<std::uint16_t>();
      return Fact(gone);
    }
    case FactKind::meta: {
      Meta meta;
      meta.epoch = reader.number<std::uint64_t>();
      meta.next_sequence = reader.number<std::uint64_t>();
      meta.time = time_of(reader.number<std::int64_t>());
      return Fact(meta);
    }
    case FactKind::dependency_met: {
      DependencyMet met;
      met.job = model::JobId(reader.number<std::uint64_t>());
      met.dependency = model::JobId(reader.number<std::uint64_t>());
      return Fact(met);
    }
    case FactKind::exchange_put:
      return decode_exchange(reader);
    case FactKind::exchange_gone:
      return Fact(ExchangeGone{reader.number<std::uint32_t>()});
    case FactKind::binding_put:
    case FactKind::binding_gone:
      return decode_binding_fact(kind, reader);
    case FactKind::job_put:
    case FactKind::job_changed:
      break;
  }
  return fail(ErrorCode::corrupt,
              "a fact has kind " + std::to_string(static_cast<int>(kind)) +
                  ", which this version does not know; was the data written by a newer sluice?");
}

}  // namespace

std::uint32_t put_job(Buffer& out, const JobRecord& record) {
  std::size_t size = sizeof(RecordHead) + record.type.size() + record.payload.size();
  if (!record.headers.empty()) size += sizeof(std::uint32_t) + record.headers.size();
  if (!record.details.empty()) size += sizeof(std::uint32_t) + record.details.size();
  check(record.type.size() <= model::type_bytes_max);
  check(size <= UINT32_MAX);
  const std::size_t start = out.size();
  RecordHead head{.kind = FactKind::job_put,
                  .flags = 0,
                  .state = static_cast<std::uint8_t>(record.state),
                  .priority = record.priority,
                  .attempt = record.attempt,
                  .type_bytes = static_cast<std::uint8_t>(record.type.size()),
                  .zero = 0,
                  .hash = 0,
                  .record_bytes = static_cast<std::uint32_t>(size),
                  .id = record.id.value,
                  .queue = record.queue,
                  .payload_bytes = static_cast<std::uint32_t>(record.payload.size()),
                  .order = record.order,
                  .due = ms(record.due),
                  .created = ms(record.created)};
  if (!record.headers.empty()) head.flags |= record_has_headers;
  if (!record.details.empty()) head.flags |= record_has_details;
  if (record.is_transient) head.flags |= record_is_transient;
  out.append_raw(head);
  out.append(record.type);
  out.append(record.payload);
  if (!record.headers.empty()) put_sized<std::uint32_t>(out, record.headers);
  if (!record.details.empty()) put_sized<std::uint32_t>(out, record.details);
  check(out.size() - start == size);
  const std::uint32_t hash = record_hash(out.data() + start, size);
  std::memcpy(out.data() + start + offsetof(RecordHead, hash), &hash, sizeof hash);
  return static_cast<std::uint32_t>(size);
}

std::size_t put_changed(Buffer& out, const JobChanged& changed) {
  ChangeHead head{.kind = FactKind::job_changed,
                  .flags = 0,
                  .state = static_cast<std::uint8_t>(changed.state),
                  .death = static_cast<std::uint8_t>(
                      changed.death ? static_cast<unsigned>(*changed.death) + 1 : 0),
                  .attempt = changed.attempt,
                  .zero = 0,
                  .id = changed.id.value,
                  .time = ms(changed.time),
                  .order = changed.order,
                  .due = ms(changed.due)};
  const auto flag = [&head](bool has, ChangeFlag which) {
    if (has) head.flags = static_cast<std::uint8_t>(head.flags | which);
  };
  flag(!changed.worker.empty(), change_has_worker);
  flag(!changed.note.empty(), change_has_note);
  flag(changed.has_result, change_has_result);
  flag(changed.queue.has_value(), change_has_queue);
  flag(changed.is_event, change_is_event);
  flag(changed.is_error, change_is_error);
  flag(changed.expires.has_value(), change_has_expires);
  out.append_raw(head);
  if (!changed.worker.empty()) put_sized<std::uint8_t>(out, changed.worker);
  if (!changed.note.empty()) put_sized<std::uint16_t>(out, changed.note);
  std::size_t result_offset = 0;
  if (changed.has_result) {
    result_offset = out.size() + sizeof(std::uint32_t);
    put_sized<std::uint32_t>(out, changed.result);
  }
  if (changed.queue) out.append_raw(*changed.queue);
  if (changed.expires) out.append_raw(ms(*changed.expires));
  return result_offset;
}

void put_gone(Buffer& out, model::JobId id) {
  out.append_raw(FactKind::job_gone);
  out.append_raw(id.value);
}

void put_queue(Buffer& out, QueueIndex queue, ByteView name, const model::QueuePolicy& policy) {
  Buffer encoded;
  put_policy(encoded, policy);
  out.append_raw(FactKind::queue_put);
  out.append_raw(queue);
  put_sized<std::uint8_t>(out, name);
  put_sized<std::uint16_t>(out, encoded.view());
}

void put_queue_gone(Buffer& out, QueueIndex queue) {
  out.append_raw(FactKind::queue_gone);
  out.append_raw(queue);
}

void put_key(Buffer& out, const KeyHeld& held) {
  out.append_raw(FactKind::key_held);
  out.append_raw(held.queue);
  put_sized<std::uint16_t>(out, held.key);
  out.append_raw(held.job.value);
  out.append_raw(ms(held.until));
}

void put_key_gone(Buffer& out, QueueIndex queue, ByteView key) {
  out.append_raw(FactKind::key_gone);
  out.append_raw(queue);
  put_sized<std::uint16_t>(out, key);
}

void put_meta(Buffer& out, const Meta& meta) {
  out.append_raw(FactKind::meta);
  out.append_raw(meta.epoch);
  out.append_raw(meta.next_sequence);
  out.append_raw(ms(meta.time));
}

void put_dependency_met(Buffer& out, const DependencyMet& met) {
  out.append_raw(FactKind::dependency_met);
  out.append_raw(met.job.value);
  out.append_raw(met.dependency.value);
}

void put_exchange(Buffer& out,
                  std::uint32_t index,
                  ByteView name,
                  const model::Exchange& exchange) {
  unsigned flags = 0;
  if (exchange.is_durable) flags |= exchange_is_durable;
  if (exchange.is_auto_delete) flags |= exchange_is_auto_delete;
  if (exchange.is_internal) flags |= exchange_is_internal;
  out.append_raw(FactKind::exchange_put);
  out.append_raw(index);
  out.append_raw(static_cast<std::uint8_t>(exchange.kind));
  out.append_raw(static_cast<std::uint8_t>(flags));
  put_sized<std::uint8_t>(out, name);
  put_sized<std::uint8_t>(out, exchange.alternate);
  put_sized<std::uint16_t>(out, exchange.arguments);
}

void put_exchange_gone(Buffer& out, std::uint32_t index) {
  out.append_raw(FactKind::exchange_gone);
  out.append_raw(index);
}

void put_binding(Buffer& out, const BindingPut& binding) {
  out.append_raw(FactKind::binding_put);
  out.append_raw(binding.exchange);
  put_sized<std::uint32_t>(out, binding.terms);
}

void put_binding_gone(Buffer& out, const BindingGone& binding) {
  out.append_raw(FactKind::binding_gone);
  out.append_raw(binding.exchange);
  put_sized<std::uint32_t>(out, binding.terms);
}

Result<Fact> FactReader::next() {
  check(!at_end());
  const ByteView rest = payload_.substr(offset_);
  const auto kind = static_cast<FactKind>(rest[0]);
  if (kind == FactKind::job_put) {
    Result<JobRecord> record = decode_record(rest);
    if (!record) return tl::unexpected<Error>(record.error());
    offset_ += record->record_bytes;
    return Fact(*record);
  }
  Reader reader(rest);
  reader.bytes(1);
  Result<Fact> fact = kind == FactKind::job_changed
                          ? decode_changed(reader, rest.data(), position())
                          : decode_small(kind, reader);
  if (fact && !reader.ok()) return bad("it is cut short");
  offset_ = payload_.size() - reader.left();
  return fact;
}

Result<JobRecord> read_record(ByteView bytes) {
  if (bytes.size() < sizeof(RecordHead)) return bad("job record is cut short");
  std::uint32_t hash = 0;
  std::memcpy(&hash, bytes.data() + offsetof(RecordHead, hash), sizeof hash);
  if (hash != record_hash(bytes.data(), bytes.size())) {
    return fail(ErrorCode::corrupt, "a job record does not match its checksum");
  }
  return decode_record(bytes);
}

}  // namespace sluice::core
