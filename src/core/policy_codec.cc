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

template <class T>
void put_field(Buffer& out, PolicyField field, T value) {
  out.append_raw(field);
  out.append_raw(static_cast<std::uint16_t>(sizeof value));
  out.append_raw(value);
}

void put_field(Buffer& out, PolicyField field, ByteView value) {
  out.append_raw(field);
  put_sized<std::uint16_t>(out, value);
}

/// False: the bytes are too few for the field's value, which is not to be used then.
bool read_field(model::QueuePolicy& policy, PolicyField field, ByteView bytes) {
  Reader value(bytes);
  const auto duration = [&value] { return Duration(value.number<std::int64_t>()); };
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
      policy.paused = value.number<std::uint8_t>() != 0;
      break;
  }
  return value.ok();
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
}

Result<model::QueuePolicy> read_policy(ByteView bytes) {
  model::QueuePolicy policy;
  Reader reader(bytes);
  while (!reader.at_end()) {
    const auto field = static_cast<PolicyField>(reader.number<std::uint8_t>());
    const ByteView value = reader.sized<std::uint16_t>();
    if (!reader.ok() || !read_field(policy, field, value)) {
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
