// Queue policies and backoff as they stand in the journal: tagged fields, unknown ones skipped.
#include "core/facts.h"

namespace sluice::core {
namespace {

// Numbers are final; a removed field's number is never used again.
enum class PolicyField : std::uint8_t {
  priority = 1,
  delay = 2,
  max_attempts = 3,
  backoff = 4,
  timeout = 5,
  ttl = 6,
  keep = 7,
  keep_max = 8,
  max_length = 9,
  overflow = 10,
  dead_letter = 11,
  paused = 12,
};

/// Goes on with the numbers. Of these only what differs from the default is written.
enum class ExchangeField : std::uint8_t {
  priority_max = 13,
  ttl_max = 14,
  is_ttl_for_started = 15,
  is_length_of_ready = 16,
  max_bytes = 17,
  dead_letter_exchange = 18,
  dead_letter_key = 19,
  drops_dead = 20,
  expires = 21,
  is_durable = 22,
  is_auto_delete = 23,
  arguments = 24,
};

template <class Field, class T>
void put_field(Buffer& out, Field field, T value) {
  out.append_raw(field);
  out.append_raw(static_cast<std::uint16_t>(sizeof value));
  out.append_raw(value);
}

template <class Field>
void put_field(Buffer& out, Field field, ByteView value) {
  out.append_raw(field);
  put_sized<std::uint16_t>(out, value);
}

/// False: the bytes are too few for the field's value, which is not to be used then.
bool read_field(model::QueuePolicy& policy, PolicyField field, ByteView bytes) {
  Reader value(bytes);
  const auto duration = [&value] { return Duration(value.number<std::int64_t>()); };
  const auto flag = [&value] { return value.number<std::uint8_t>() != 0; };
  switch (field) {
    case PolicyField::priority:
      policy.priority = value.number<std::uint8_t>();
      break;
    case PolicyField::delay:
      policy.delay = duration();
      break;
    case PolicyField::max_attempts:
      policy.max_attempts = value.number<std::uint32_t>();
      break;
    case PolicyField::backoff:
      policy.backoff = read_backoff(value);
      break;
    case PolicyField::timeout:
      policy.timeout = duration();
      break;
    case PolicyField::ttl:
      policy.ttl = duration();
      break;
    case PolicyField::keep:
      policy.keep = duration();
      break;
    case PolicyField::keep_max:
      policy.keep_max = value.number<std::uint32_t>();
      break;
    case PolicyField::max_length:
      policy.max_length = value.number<std::uint64_t>();
      break;
    case PolicyField::overflow:
      policy.overflow = static_cast<model::Overflow>(value.number<std::uint8_t>());
      break;
    case PolicyField::dead_letter:
      policy.dead_letter = std::string(bytes);
      break;
    case PolicyField::paused:
      policy.paused = flag();
      break;
  }
  return value.ok();
}

bool read_field(model::QueuePolicy& policy, ExchangeField field, ByteView bytes) {
  Reader value(bytes);
  const auto duration = [&value] { return Duration(value.number<std::int64_t>()); };
  const auto flag = [&value] { return value.number<std::uint8_t>() != 0; };
  switch (field) {
    case ExchangeField::priority_max:
      policy.priority_max = value.number<std::uint8_t>();
      break;
    case ExchangeField::ttl_max:
      policy.ttl_max = duration();
      break;
    case ExchangeField::is_ttl_for_started:
      policy.is_ttl_for_started = flag();
      break;
    case ExchangeField::is_length_of_ready:
      policy.is_length_of_ready = flag();
      break;
    case ExchangeField::max_bytes:
      policy.max_bytes = value.number<std::uint64_t>();
      break;
    case ExchangeField::dead_letter_exchange:
      policy.dead_letter_exchange = std::string(bytes);
      break;
    case ExchangeField::dead_letter_key:
      policy.dead_letter_key = std::string(bytes);
      break;
    case ExchangeField::drops_dead:
      policy.drops_dead = flag();
      break;
    case ExchangeField::expires:
      policy.expires = duration();
      break;
    case ExchangeField::is_durable:
      policy.is_durable = flag();
      break;
    case ExchangeField::is_auto_delete:
      policy.is_auto_delete = flag();
      break;
    case ExchangeField::arguments:
      policy.arguments = std::string(bytes);
      break;
  }
  return value.ok();
}

/// What only queues of protocols with exchanges have.
void put_exchange_fields(Buffer& out, const model::QueuePolicy& policy) {
  static const model::QueuePolicy usual;
  const auto put_flag = [&out](ExchangeField field, bool value, bool usual_value) {
    if (value != usual_value) put_field(out, field, static_cast<std::uint8_t>(value));
  };
  const auto put_duration = [&out](ExchangeField field, Duration value) {
    if (value.count() != 0) put_field(out, field, std::int64_t{value.count()});
  };
  if (policy.priority_max != usual.priority_max) {
    put_field(out, ExchangeField::priority_max, policy.priority_max);
  }
  put_duration(ExchangeField::ttl_max, policy.ttl_max);
  put_flag(ExchangeField::is_ttl_for_started, policy.is_ttl_for_started, usual.is_ttl_for_started);
  put_flag(ExchangeField::is_length_of_ready, policy.is_length_of_ready, usual.is_length_of_ready);
  if (policy.max_bytes != 0) put_field(out, ExchangeField::max_bytes, policy.max_bytes);
  if (policy.dead_letter_exchange) {
    put_field(out, ExchangeField::dead_letter_exchange, ByteView(*policy.dead_letter_exchange));
  }
  if (policy.dead_letter_key) {
    put_field(out, ExchangeField::dead_letter_key, ByteView(*policy.dead_letter_key));
  }
  put_flag(ExchangeField::drops_dead, policy.drops_dead, usual.drops_dead);
  put_duration(ExchangeField::expires, policy.expires);
  put_flag(ExchangeField::is_durable, policy.is_durable, usual.is_durable);
  put_flag(ExchangeField::is_auto_delete, policy.is_auto_delete, usual.is_auto_delete);
  if (!policy.arguments.empty()) {
    put_field(out, ExchangeField::arguments, ByteView(policy.arguments));
  }
}

}  // namespace

void put_policy(Buffer& out, const model::QueuePolicy& policy) {
  Buffer backoff;
  put_backoff(backoff, policy.backoff);
  put_field(out, PolicyField::priority, policy.priority);
  put_field(out, PolicyField::delay, std::int64_t{policy.delay.count()});
  put_field(out, PolicyField::max_attempts, policy.max_attempts);
  put_field(out, PolicyField::backoff, backoff.view());
  put_field(out, PolicyField::timeout, std::int64_t{policy.timeout.count()});
  put_field(out, PolicyField::ttl, std::int64_t{policy.ttl.count()});
  put_field(out, PolicyField::keep, std::int64_t{policy.keep.count()});
  put_field(out, PolicyField::keep_max, policy.keep_max);
  put_field(out, PolicyField::max_length, policy.max_length);
  put_field(out, PolicyField::overflow, static_cast<std::uint8_t>(policy.overflow));
  put_field(out, PolicyField::dead_letter, ByteView(policy.dead_letter));
  put_field(out, PolicyField::paused, static_cast<std::uint8_t>(policy.paused));
  put_exchange_fields(out, policy);
}

Result<model::QueuePolicy> read_policy(ByteView bytes) {
  model::QueuePolicy policy;
  Reader reader(bytes);
  while (!reader.at_end()) {
    const auto number = reader.number<std::uint8_t>();
    const ByteView value = reader.sized<std::uint16_t>();
    const bool is_read = number < static_cast<std::uint8_t>(ExchangeField::priority_max)
                             ? read_field(policy, static_cast<PolicyField>(number), value)
                             : read_field(policy, static_cast<ExchangeField>(number), value);
    if (!reader.ok() || !is_read) {
      return fail(ErrorCode::corrupt, "a queue's policy is cut short");
    }
  }
  return policy;
}

void put_backoff(Buffer& out, const model::Backoff& backoff) {
  out.append_raw(static_cast<std::uint8_t>(backoff.kind));
  out.append_raw(backoff.jitter_percent);
  out.append_raw(std::int64_t{backoff.base.count()});
  out.append_raw(std::int64_t{backoff.cap.count()});
  out.append_raw(static_cast<std::uint8_t>(backoff.list.size()));
  for (const Duration delay : backoff.list)
    out.append_raw(std::int64_t{delay.count()});
}

model::Backoff read_backoff(Reader& reader) {
  model::Backoff backoff;
  backoff.kind = static_cast<model::Backoff::Kind>(reader.number<std::uint8_t>() & 3);
  backoff.jitter_percent = reader.number<std::uint8_t>();
  backoff.base = Duration(reader.number<std::int64_t>());
  backoff.cap = Duration(reader.number<std::int64_t>());
  const auto count = reader.number<std::uint8_t>();
  for (int index = 0; index < count && reader.ok(); ++index) {
    backoff.list.emplace_back(reader.number<std::int64_t>());
  }
  return backoff;
}

}  // namespace sluice::core
