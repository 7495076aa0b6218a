// Facts: what is now true of one object, as it stands in the journal. This file is the normative
// format of a frame's payload; journal/format.h has the frame around it.
//
// A frame's payload is a sequence of facts. Each begins with its kind (u8); numbers are
// little-endian; times are milliseconds; `sizedN` is a length of N bits and so many bytes.
//
//   job_put      whole record of a job: its home. Layout below at JobRecord.
//   job_changed  u8 kind, u8 flags, u8 state, u8 zero, u16 attempt, u64 id, i64 time, u64 order,
//                i64 due, then as the flags say: sized8 worker, sized16 note, sized32 result,
//                u32 queue, i64 expires
//   job_gone     u8 kind, u64 id
//   queue_put    u8 kind, u32 queue, sized8 name, sized16 policy (tagged fields)
//   queue_gone   u8 kind, u32 queue
//   key_held     u8 kind, u32 queue, sized16 key, u64 job, i64 until (never: as long as the job)
//   key_gone     u8 kind, u32 queue, sized16 key
//   meta         u8 kind, u64 epoch, u64 next sequence, i64 time
//   dependency_met  u8 kind, u64 job, u64 dependency that it no longer waits for
//   exchange_put   u8 kind, u32 exchange, u8 exchange kind, u8 flags (1: durable, 2: auto-delete,
//                  4: internal), sized8 name, sized8 alternate, sized16 arguments
//   exchange_gone  u8 kind, u32 exchange; with it all bindings from it and to it
//   binding_put    u8 kind, u32 exchange, sized32 terms (core/routing/binding_terms.h)
//   binding_gone   u8 kind, u32 exchange, sized32 terms
//
// Compatibility: a reader refuses a kind it does not know (it could not skip it); inside a record
// and a policy unknown tagged fields are skipped, and a known one may become longer, not shorter.
// New kinds raise the version in journal/format.h.
#pragma once

#include "base/bytes.h"
#include "base/codec.h"
#include "base/position.h"
#include "base/result.h"
#include "model/death.h"
#include "model/job.h"
#include "model/queue_policy.h"
#include "model/routing.h"

#include <variant>

namespace sluice::core {

enum class FactKind : std::uint8_t {
  job_put = 1,
  job_changed = 2,
  job_gone = 3,
  queue_put = 4,
  queue_gone = 5,
  key_held = 6,
  key_gone = 7,
  meta = 8,
  dependency_met = 9,
  exchange_put = 10,
  exchange_gone = 11,
  binding_put = 12,
  binding_gone = 13,
};

using QueueIndex = std::uint32_t;

/// The whole record of a job. Encoded:
///   u8 kind, u8 flags (1: headers, 2: details, 4: transient), u8 state, u8 priority, u16 attempt,
///   u8 type length, u8 zero, u32 XXH3 of everything behind it (so that a record read back alone
///   can be trusted), u32 record length, u64 id, u32 queue, u32 payload length, u64 order, i64 due,
///   i64 created, type, payload, [sized32 headers], [sized32 details]
/// Details are tagged fields (core/details.h). `due` and `order` mean what core/job.h says.
struct JobRecord {
  model::JobId id;
  QueueIndex queue = 0;
  model::JobState state{};
  std::uint8_t priority = 0;
  std::uint16_t attempt = 0;
  bool is_transient = false;
  std::uint64_t order = 0;
  Time due = never;
  Time created;
  ByteView type;
  ByteView payload;
  ByteView headers;
  ByteView details;
  std::uint32_t record_bytes = 0;  ///< Set by decode.
};

struct JobChanged {
  model::JobId id;
  model::JobState state{};
  std::uint16_t attempt = 0;
  Time time;
  std::uint64_t order = 0;
  Time due = never;
  bool is_event = true;   ///< Goes into the job's history.
  bool is_error = false;  ///< `note` is the job's last error.
  ByteView worker;
  ByteView note;
  bool has_result = false;
  ByteView result;
  std::optional<QueueIndex> queue;  ///< Moved there.
  std::optional<Time> expires;      ///< Its ttl ends then.
  std::optional<model::DeathReason> death;
  Position result_at;  ///< Set by decode.
};

struct JobGone {
  model::JobId id;
};

struct QueuePut {
  QueueIndex queue = 0;
  ByteView name;
  model::QueuePolicy policy;
};

struct QueueGone {
  QueueIndex queue = 0;
};

struct KeyHeld {
  QueueIndex queue = 0;
  ByteView key;
  model::JobId job;
  Time until = never;
};

struct KeyGone {
  QueueIndex queue = 0;
  ByteView key;
};

struct Meta {
  std::uint64_t epoch = 0;
  std::uint64_t next_sequence = 0;
  Time time;
};

struct DependencyMet {
  model::JobId job;
  model::JobId dependency;
};

struct ExchangePut {
  std::uint32_t index = 0;
  ByteView name;
  model::Exchange exchange;
};

struct ExchangeGone {
  std::uint32_t index = 0;
};

struct BindingPut {
  std::uint32_t exchange = 0;
  ByteView terms;
};

struct BindingGone {
  std::uint32_t exchange = 0;
  ByteView terms;
};

using Fact = std::variant<JobRecord,
                          JobChanged,
                          JobGone,
                          QueuePut,
                          QueueGone,
                          KeyHeld,
                          KeyGone,
                          Meta,
                          DependencyMet,
                          ExchangePut,
                          ExchangeGone,
                          BindingPut,
                          BindingGone>;

/// Each appends one fact. put_job returns the length of the record.
std::uint32_t put_job(Buffer& out, const JobRecord& record);
/// Returns where in `out` the result's bytes begin (0 if there is none).
std::size_t put_changed(Buffer& out, const JobChanged& changed);
void put_gone(Buffer& out, model::JobId id);
void put_queue(Buffer& out, QueueIndex queue, ByteView name, const model::QueuePolicy& policy);
void put_queue_gone(Buffer& out, QueueIndex queue);
void put_key(Buffer& out, const KeyHeld& held);
void put_key_gone(Buffer& out, QueueIndex queue, ByteView key);
void put_meta(Buffer& out, const Meta& meta);
void put_dependency_met(Buffer& out, const DependencyMet& met);
void put_exchange(Buffer& out, std::uint32_t index, ByteView name, const model::Exchange& exchange);
void put_exchange_gone(Buffer& out, std::uint32_t index);
void put_binding(Buffer& out, const BindingPut& binding);
void put_binding_gone(Buffer& out, const BindingGone& binding);

/// Reads facts of one frame, one after the other. `at` is the position of the payload's first byte.
class FactReader {
 public:
  FactReader(ByteView payload, Position at) : payload_(payload), at_(at) {}

  bool at_end() const { return offset_ == payload_.size(); }

  /// Position of the fact that next() will read.
  Position position() const { return at_.plus(offset_); }

  /// Error `corrupt` names what could not be understood. Requires !at_end().
  Result<Fact> next();

 private:
  ByteView payload_;
  Position at_;
  std::size_t offset_ = 0;
};

/// A record read back alone (for a delivery): checks its hash, then decodes.
Result<JobRecord> read_record(ByteView bytes);

void put_policy(Buffer& out, const model::QueuePolicy& policy);
Result<model::QueuePolicy> read_policy(ByteView bytes);
void put_backoff(Buffer& out, const model::Backoff& backoff);
model::Backoff read_backoff(Reader& reader);

}  // namespace sluice::core
