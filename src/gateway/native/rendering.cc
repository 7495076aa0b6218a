// Answers as RESP: see rendering.h. Pushed, Done and Delivered are the hot ones; a delivered job is
// written with one check of the buffer's room and field names that were encoded at compile time.
#include "gateway/native/rendering.h"

#include "gateway/readable_headers.h"
#include "gateway/text.h"
#include "model/header_names.h"
#include "model/headers.h"

#include <array>
#include <string>
#include <variant>

namespace sluice::native {
namespace {

using resp::Version;
using resp::Writer;

template <std::size_t N>
struct Literal {
  char text[N]{};

  // NOLINTNEXTLINE(google-explicit-constructor): so that field<"id"> can be written.
  consteval Literal(const char (&from)[N]) {
    for (std::size_t i = 0; i < N; ++i)
      text[i] = from[i];
  }
};

/// The bulk string of a field's name: field<"id"> is "$2\r\nid\r\n".
template <Literal name>
constexpr auto encoded_field = [] {
  constexpr std::size_t size = sizeof name.text - 1;
  constexpr std::size_t digits = size < 10 ? 1 : 2;
  std::array<char, size + digits + 5> out{};
  std::size_t at = 0;
  out[at++] = '$';
  if (digits == 2) out[at++] = static_cast<char>('0' + size / 10);
  out[at++] = static_cast<char>('0' + size % 10);
  out[at++] = '\r';
  out[at++] = '\n';
  for (std::size_t i = 0; i < size; ++i)
    out[at++] = name.text[i];
  out[at++] = '\r';
  out[at++] = '\n';
  return out;
}();

template <Literal name>
constexpr ByteView field{encoded_field<name>.data(), encoded_field<name>.size()};

void put_field(Writer& out, ByteView encoded_name) {
  out.buffer().append(encoded_name);
}

void put(Writer& out, ByteView encoded_name, ByteView value) {
  put_field(out, encoded_name);
  out.bulk(value);
}

void put(Writer& out, ByteView encoded_name, std::uint64_t value) {
  put_field(out, encoded_name);
  out.integer(static_cast<std::int64_t>(value));
}

void put(Writer& out, ByteView encoded_name, Duration value) {
  put(out, encoded_name, static_cast<std::uint64_t>(value.count()));
}

/// All framing of one delivered job but its headers: fields, lengths, numbers.
constexpr std::size_t delivery_frame_max = 512;
constexpr std::size_t delivery_fields = 8;

void render_delivery(Writer& out, const model::Delivery& job, const Calendar& calendar) {
  std::size_t header_count = 0;
  bool has_reserved = false;
  const auto count = [&](ByteView name, ByteView) {
    ++header_count;
    has_reserved = has_reserved || model::is_reserved_header(name);
  };
  ByteView headers = job.headers;
  model::for_each_header(headers, count);
  std::string readable;
  if (has_reserved) {
    readable = gateway::readable_headers(headers);
    headers = readable;
    header_count = 0;
    model::for_each_header(headers, count);
  }
  // A header is stored behind two lengths of four bytes each, and written as two bulk strings.
  const std::size_t room = delivery_frame_max + job.queue.size() + job.type.size() +
                           job.payload.size() + headers.size() +
                           header_count * 2 * resp::bulk_frame_max;
  Buffer& buffer = out.buffer();
  const bool has_maps = out.version() == Version::resp3;
  char* at = buffer.extend(room);
  at = has_maps ? resp::put_header(at, '%', delivery_fields)
                : resp::put_header(at, '*', delivery_fields * 2);
  at = resp::put_bulk_decimal(resp::put_text(at, field<"id">), job.id.value);
  at = resp::put_bulk_decimal(resp::put_text(at, field<"token">), job.token.value);
  at = resp::put_bulk(resp::put_text(at, field<"queue">), job.queue);
  at = resp::put_bulk(resp::put_text(at, field<"type">), job.type);
  at = resp::put_header(resp::put_text(at, field<"attempt">), ':', job.attempt);
  at = resp::put_bulk(resp::put_text(at, field<"payload">), job.payload);
  at = resp::put_text(at, field<"headers">);
  at = has_maps ? resp::put_header(at, '%', header_count)
                : resp::put_header(at, '*', header_count * 2);
  model::for_each_header(headers, [&](ByteView key, ByteView value) {
    at = resp::put_bulk(resp::put_bulk(at, key), value);
  });
  at = resp::put_text(at, field<"deadline">);
  at = resp::put_header(at, ':', static_cast<std::uint64_t>(calendar.unix_ms(job.deadline)));
  buffer.truncate(static_cast<std::size_t>(at - buffer.data()));
}

void render_history(Writer& out,
                    const std::vector<model::JobEvent>& history,
                    const Calendar& calendar) {
  out.array(history.size());
  for (const model::JobEvent& event : history) {
    out.map(5);
    put(out, field<"time">, static_cast<std::uint64_t>(calendar.unix_ms(event.time)));
    put(out, field<"state">, model::name(event.state));
    put(out, field<"attempt">, std::uint64_t{event.attempt});
    put(out, field<"worker">, event.worker);
    put(out, field<"note">, event.note);
  }
}

/// 0: no limit.
std::uint64_t shown_attempts(std::uint32_t max) {
  return max == model::attempts_unlimited ? 0 : max;
}

enum class Detail : std::uint8_t { full, listed };

/// How many fields render_job() writes.
std::size_t field_count(const model::JobInfo& job, Detail detail) {
  std::size_t count = 8;
  if (job.due) ++count;
  if (job.at) ++count;
  if (!job.worker.empty()) ++count;
  if (!job.error.empty()) ++count;
  if (job.has_result) ++count;
  if (job.progress_percent != 0 || !job.progress_note.empty()) ++count;
  if (!job.progress_note.empty()) ++count;
  if (!job.unique_key.empty()) ++count;
  if (!job.after.empty()) ++count;
  if (!job.headers.empty()) ++count;
  if (detail == Detail::full) count += 2;
  return count;
}

void render_job(Writer& out, const model::JobInfo& job, const Calendar& calendar, Detail detail) {
  out.map(field_count(job, detail));
  put_field(out, field<"id">);
  out.bulk_decimal(job.id.value);
  put(out, field<"queue">, job.queue);
  put(out, field<"type">, job.type);
  put(out, field<"state">, model::name(job.state));
  put(out, field<"priority">, std::uint64_t{job.priority});
  put(out, field<"attempt">, std::uint64_t{job.attempt});
  put(out, field<"max_attempts">, shown_attempts(job.max_attempts));
  put(out, field<"created">, static_cast<std::uint64_t>(calendar.unix_ms(job.created)));
  if (job.due) put(out, field<"due">, static_cast<std::uint64_t>(calendar.unix_ms(*job.due)));
  if (job.at) {
    put(out, field<"at">, static_cast<std::uint64_t>(job.at->time_since_epoch().count()));
  }
  if (!job.worker.empty()) put(out, field<"worker">, job.worker);
  if (!job.error.empty()) put(out, field<"error">, job.error);
  if (job.has_result) put(out, field<"result">, job.result);
  if (job.progress_percent != 0 || !job.progress_note.empty()) {
    put(out, field<"progress">, std::uint64_t{job.progress_percent});
  }
  if (!job.progress_note.empty()) put(out, field<"note">, job.progress_note);
  if (!job.unique_key.empty()) put(out, field<"unique">, job.unique_key);
  if (!job.after.empty()) {
    put_field(out, field<"after">);
    out.array(job.after.size());
    for (const model::Dependency& dependency : job.after)
      out.bulk_decimal(dependency.id.value);
  }
  if (!job.headers.empty()) {
    std::vector<std::pair<std::string, std::string>> headers;
    for (const auto& [key, value] : job.headers) {
      for (auto& shown : gateway::readable_header(key, value))
        headers.push_back(std::move(shown));
    }
    put_field(out, field<"headers">);
    out.map(headers.size());
    for (const auto& [key, value] : headers) {
      out.bulk(key);
      out.bulk(value);
    }
  }
  if (detail == Detail::listed) return;
  put(out, field<"payload">, job.payload);
  put_field(out, field<"history">);
  render_history(out, job.history, calendar);
}

void render_queue(Writer& out, const model::QueueInfo& queue) {
  const model::QueuePolicy& policy = queue.policy;
  out.map(2 + model::job_state_count + 11 + 7);
  put(out, field<"name">, queue.name);
  put(out, field<"paused">, std::uint64_t{policy.paused ? 1u : 0u});
  for (std::size_t i = 0; i < model::job_state_count; ++i) {
    out.bulk(model::name(static_cast<model::JobState>(i)));
    out.integer(static_cast<std::int64_t>(queue.jobs[i]));
  }
  put(out, field<"priority">, std::uint64_t{policy.priority});
  put(out, field<"delay">, policy.delay);
  put(out, field<"max_attempts">, shown_attempts(policy.max_attempts));
  put(out, field<"backoff">, gateway::format_backoff(policy.backoff));
  put(out, field<"timeout">, policy.timeout);
  put(out, field<"ttl">, policy.ttl);
  put(out, field<"keep">, policy.keep);
  put(out, field<"keep_max">, std::uint64_t{policy.keep_max});
  put(out, field<"max_length">, policy.max_length);
  put(out,
      field<"overflow">,
      policy.overflow == model::Overflow::reject ? ByteView("reject") : ByteView("drop_head"));
  put(out, field<"dead_letter">, policy.dead_letter);
  put(out, field<"pushed_total">, queue.pushed_total);
  put(out, field<"pulled_total">, queue.pulled_total);
  put(out, field<"succeeded_total">, queue.succeeded_total);
  put(out, field<"failed_total">, queue.failed_total);
  put(out, field<"dead_total">, queue.dead_total);
  put(out, field<"waiting_pulls">, queue.waiting_pulls);
  put(out, field<"oldest_ready_ms">, queue.oldest_ready);
}

void put_flag(Writer& out, ByteView encoded_name, bool value) {
  put_field(out, encoded_name);
  out.integer(value ? 1 : 0);
}

void render_binding(Writer& out, const model::BindingInfo& binding) {
  out.map(5);
  put(out, field<"to">, binding.is_to_exchange ? ByteView("exchange") : ByteView("queue"));
  put(out, field<"name">, binding.destination);
  put(out, field<"key">, binding.key);
  put(out, field<"match">, binding.is_any_enough ? ByteView("any") : ByteView("all"));
  put_field(out, field<"headers">);
  out.map(binding.headers.size());
  for (const auto& [name, value] : binding.headers) {
    out.bulk(name);
    out.bulk(value);
  }
}

void render_exchange(Writer& out, const model::ExchangeInfo& info, Detail detail) {
  out.map(detail == Detail::full ? 8 : 7);
  put(out, field<"name">, info.name);
  put(out, field<"kind">, model::name(info.exchange.kind));
  put_flag(out, field<"durable">, info.exchange.is_durable);
  put_flag(out, field<"auto_delete">, info.exchange.is_auto_delete);
  put_flag(out, field<"internal">, info.exchange.is_internal);
  put(out, field<"alternate">, info.exchange.alternate);
  put(out, field<"binding_count">, info.binding_count);
  if (detail != Detail::full) return;
  put_field(out, field<"bindings">);
  out.array(info.bindings.size());
  for (const model::BindingInfo& binding : info.bindings)
    render_binding(out, binding);
}

struct Renderer {
  Writer& out;
  const Calendar& calendar;

  void operator()(const model::Done&) const { out.buffer().append("+OK\r\n"); }

  void operator()(const model::Nothing&) const { out.null_array(); }

  void operator()(const model::Pushed& pushed) const { out.bulk_decimal(pushed.id.value); }

  void operator()(const model::Routed& routed) const {
    const std::size_t others = routed.others == nullptr ? 0 : routed.others->size();
    out.array(routed.first.value == 0 ? 0 : 1 + others);
    if (routed.first.value == 0) return;
    out.bulk_decimal(routed.first.value);
    if (routed.others == nullptr) return;
    for (const model::JobId id : *routed.others)
      out.bulk_decimal(id.value);
  }

  void operator()(const model::Extended& extended) const {
    out.integer(calendar.unix_ms(extended.deadline));
  }

  void operator()(const model::Counted& counted) const {
    out.integer(static_cast<std::int64_t>(counted.count));
  }

  void operator()(const std::unique_ptr<model::Delivered>& delivered) const {
    out.array(delivered->jobs.size());
    for (const model::Delivery& job : delivered->jobs)
      render_delivery(out, job, calendar);
  }

  void operator()(const std::unique_ptr<model::JobInfo>& job) const {
    render_job(out, *job, calendar, Detail::full);
  }

  void operator()(const std::unique_ptr<model::JobList>& list) const {
    out.map(2);
    put_field(out, field<"cursor">);
    out.bulk_decimal(list->cursor.value);
    put_field(out, field<"jobs">);
    out.array(list->jobs.size());
    for (const model::JobInfo& job : list->jobs)
      render_job(out, job, calendar, Detail::listed);
  }

  void operator()(const std::unique_ptr<model::QueueInfo>& queue) const {
    render_queue(out, *queue);
  }

  void operator()(const std::unique_ptr<model::QueueList>& list) const {
    out.array(list->queues.size());
    for (const model::QueueInfo& queue : list->queues)
      render_queue(out, queue);
  }

  void operator()(const std::unique_ptr<model::ExchangeInfo>& exchange) const {
    render_exchange(out, *exchange, Detail::full);
  }

  void operator()(const std::unique_ptr<model::ExchangeList>& list) const {
    out.array(list->exchanges.size());
    for (const model::ExchangeInfo& exchange : list->exchanges)
      render_exchange(out, exchange, Detail::listed);
  }

  void operator()(const std::unique_ptr<model::Stats>&) const { out.null(); }

  void operator()(const std::unique_ptr<Error>& error) const {
    out.error(name(error->code), error->message);
  }
};

/// Memory of a job's own strings.
std::size_t held_bytes_of(const model::JobInfo& job) {
  std::size_t bytes = sizeof job + job.result.size() + job.payload.size();
  for (const auto& [key, value] : job.headers)
    bytes += key.size() + value.size();
  return bytes + job.history.size() * sizeof(model::JobEvent);
}

std::size_t held_bytes_of(const model::ExchangeInfo& exchange) {
  std::size_t bytes = sizeof exchange + exchange.exchange.arguments.size();
  for (const model::BindingInfo& binding : exchange.bindings) {
    bytes += sizeof binding + binding.key.size() + binding.arguments.size();
    for (const auto& [name, value] : binding.headers)
      bytes += 2 * sizeof name + name.size() + value.size();
  }
  return bytes;
}

}  // namespace

void render(Writer& out, const model::Answer& answer, const Calendar& calendar) {
  if (const auto* pushed = std::get_if<model::Pushed>(&answer)) [[likely]] {
    out.bulk_decimal(pushed->id.value);
    return;
  }
  std::visit(Renderer{out, calendar}, answer);
}

bool has_times(const model::Answer& answer) {
  return std::holds_alternative<model::Extended>(answer) ||
         std::holds_alternative<std::unique_ptr<model::Delivered>>(answer) ||
         std::holds_alternative<std::unique_ptr<model::JobInfo>>(answer) ||
         std::holds_alternative<std::unique_ptr<model::JobList>>(answer);
}

std::size_t held_bytes(const model::Answer& answer) {
  if (const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer)) {
    return (*delivered)->bytes.size() + (*delivered)->jobs.size() * sizeof(model::Delivery);
  }
  if (const auto* job = std::get_if<std::unique_ptr<model::JobInfo>>(&answer)) {
    return held_bytes_of(**job);
  }
  if (const auto* list = std::get_if<std::unique_ptr<model::JobList>>(&answer)) {
    std::size_t bytes = 0;
    for (const model::JobInfo& job : (*list)->jobs)
      bytes += held_bytes_of(job);
    return bytes;
  }
  if (const auto* exchange = std::get_if<std::unique_ptr<model::ExchangeInfo>>(&answer)) {
    return held_bytes_of(**exchange);
  }
  if (const auto* list = std::get_if<std::unique_ptr<model::ExchangeList>>(&answer)) {
    std::size_t bytes = 0;
    for (const model::ExchangeInfo& exchange : (*list)->exchanges)
      bytes += held_bytes_of(exchange);
    return bytes;
  }
  return 0;
}

}  // namespace sluice::native
