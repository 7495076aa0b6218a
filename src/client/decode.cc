// Replies to values of the public API.

#include "client/decode.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice::client {
namespace {

using resp::Kind;
using resp::Value;

tl::unexpected<Error> unexpected_reply(std::string_view wanted) {
  return sluice::fail(ErrorCode::protocol,
                      "the server's reply is not what this client understands: expected " +
                          std::string(wanted) + "; is it a Sluice server of this version?");
}

std::uint64_t number_of(const Value& value) {
  if (!value.is_text()) return static_cast<std::uint64_t>(value.integer);
  std::uint64_t number = 0;
  std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
  return number;
}

unsigned small_number_of(const Value& value) {
  return static_cast<unsigned>(number_of(value));
}

Duration duration_of(const Value& value) {
  return Duration{static_cast<Duration::rep>(number_of(value))};
}

SystemTime time_of(const Value& value) {
  return SystemTime(duration_of(value));
}

std::string text_of(Value& value) {
  if (value.kind == Kind::integer) return std::to_string(value.integer);
  return std::move(value.text);
}

/// Calls `use(name, value)` for each field of a map or of a flat name, value, … array.
template <class Use>
bool each_field(Value& value, const Use& use) {
  const bool is_map = value.kind == Kind::map || value.kind == Kind::array;
  if (!is_map || value.items.size() % 2 != 0) return false;
  for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
    if (value.items[i].is_text()) use(std::string_view(value.items[i].text), value.items[i + 1]);
  }
  return true;
}

/// Fields of a T by name: a table of captureless functions keeps each decoder flat.
template <class T>
struct Field {
  std::string_view name;
  void (*set)(T&, Value&);
};

template <class T, std::size_t count>
bool fill(T& to, Value& reply, const std::array<Field<T>, count>& table) {
  return each_field(reply, [&](std::string_view name, Value& value) {
    const auto found = std::find_if(
        table.begin(), table.end(), [name](const Field<T>& field) { return field.name == name; });
    if (found != table.end()) found->set(to, value);
  });
}

Headers headers_of(Value& value) {
  Headers headers;
  each_field(value, [&headers](std::string_view key, Value& text) {
    headers.emplace_back(std::string(key), text_of(text));
  });
  return headers;
}

JobState state_of(const Value& value) {
  return job_state(value.text).value_or(JobState{});
}

const std::array<Field<Job>, 8> job_fields = {{
    {"id", [](Job& job, Value& v) { job.id = JobId(number_of(v)); }},
    {"token", [](Job& job, Value& v) { job.token = LeaseToken(number_of(v)); }},
    {"queue", [](Job& job, Value& v) { job.queue = text_of(v); }},
    {"type", [](Job& job, Value& v) { job.type = text_of(v); }},
    {"attempt", [](Job& job, Value& v) { job.attempt = small_number_of(v); }},
    {"payload", [](Job& job, Value& v) { job.payload = text_of(v); }},
    {"headers", [](Job& job, Value& v) { job.headers = headers_of(v); }},
    {"deadline", [](Job& job, Value& v) { job.deadline = time_of(v); }},
}};

const std::array<Field<JobEvent>, 5> event_fields = {{
    {"time", [](JobEvent& event, Value& v) { event.time = time_of(v); }},
    {"state", [](JobEvent& event, Value& v) { event.state = state_of(v); }},
    {"attempt", [](JobEvent& event, Value& v) { event.attempt = small_number_of(v); }},
    {"worker", [](JobEvent& event, Value& v) { event.worker = text_of(v); }},
    {"note", [](JobEvent& event, Value& v) { event.note = text_of(v); }},
}};

void fill_history(JobInfo& job, Value& value) {
  for (Value& item : value.items) {
    JobEvent event;
    if (fill(event, item, event_fields)) job.history.push_back(std::move(event));
  }
}

void fill_after(JobInfo& job, const Value& value) {
  for (const Value& id : value.items)
    job.after.emplace_back(number_of(id));
}

const std::array<Field<JobInfo>, 19> info_fields = {{
    {"id", [](JobInfo& job, Value& v) { job.id = JobId(number_of(v)); }},
    {"queue", [](JobInfo& job, Value& v) { job.queue = text_of(v); }},
    {"type", [](JobInfo& job, Value& v) { job.type = text_of(v); }},
    {"state", [](JobInfo& job, Value& v) { job.state = state_of(v); }},
    {"priority", [](JobInfo& job, Value& v) { job.priority = small_number_of(v); }},
    {"attempt", [](JobInfo& job, Value& v) { job.attempt = small_number_of(v); }},
    {"max_attempts", [](JobInfo& job, Value& v) { job.max_attempts = small_number_of(v); }},
    {"created", [](JobInfo& job, Value& v) { job.created = time_of(v); }},
    {"due", [](JobInfo& job, Value& v) { job.due = time_of(v); }},
    {"worker", [](JobInfo& job, Value& v) { job.worker = text_of(v); }},
    {"error", [](JobInfo& job, Value& v) { job.error = text_of(v); }},
    {"result", [](JobInfo& job, Value& v) { job.result = text_of(v); }},
    {"progress", [](JobInfo& job, Value& v) { job.progress = small_number_of(v); }},
    {"note", [](JobInfo& job, Value& v) { job.note = text_of(v); }},
    {"unique", [](JobInfo& job, Value& v) { job.unique = text_of(v); }},
    {"after", [](JobInfo& job, Value& v) { fill_after(job, v); }},
    {"headers", [](JobInfo& job, Value& v) { job.headers = headers_of(v); }},
    {"payload", [](JobInfo& job, Value& v) { job.payload = text_of(v); }},
    {"history", [](JobInfo& job, Value& v) { fill_history(job, v); }},
}};

using Q = QueueInfo;
const std::array<Field<Q>, 20> queue_fields = {{
    {"name", [](Q& queue, Value& v) { queue.name = text_of(v); }},
    {"paused", [](Q& queue, Value& v) { queue.paused = number_of(v) != 0; }},
    {"priority", [](Q& queue, Value& v) { queue.priority = small_number_of(v); }},
    {"delay", [](Q& queue, Value& v) { queue.delay = duration_of(v); }},
    {"max_attempts", [](Q& queue, Value& v) { queue.max_attempts = small_number_of(v); }},
    {"backoff", [](Q& queue, Value& v) { queue.backoff = text_of(v); }},
    {"timeout", [](Q& queue, Value& v) { queue.timeout = duration_of(v); }},
    {"ttl", [](Q& queue, Value& v) { queue.ttl = duration_of(v); }},
    {"keep", [](Q& queue, Value& v) { queue.keep = duration_of(v); }},
    {"keep_max", [](Q& queue, Value& v) { queue.keep_max = number_of(v); }},
    {"max_length", [](Q& queue, Value& v) { queue.max_length = number_of(v); }},
    {"overflow", [](Q& queue, Value& v) { queue.overflow = text_of(v); }},
    {"dead_letter", [](Q& queue, Value& v) { queue.dead_letter = text_of(v); }},
    {"pushed_total", [](Q& queue, Value& v) { queue.pushed_total = number_of(v); }},
    {"pulled_total", [](Q& queue, Value& v) { queue.pulled_total = number_of(v); }},
    {"succeeded_total", [](Q& queue, Value& v) { queue.succeeded_total = number_of(v); }},
    {"failed_total", [](Q& queue, Value& v) { queue.failed_total = number_of(v); }},
    {"dead_total", [](Q& queue, Value& v) { queue.dead_total = number_of(v); }},
    {"waiting_pulls", [](Q& queue, Value& v) { queue.waiting_pulls = number_of(v); }},
    {"oldest_ready_ms", [](Q& queue, Value& v) { queue.oldest_ready = duration_of(v); }},
}};

/// A reply as the public tree.
sluice::Value public_value(Value& value) {
  using Public = sluice::Value;
  switch (value.kind) {
    case Kind::null:
      return {};
    case Kind::simple:
    case Kind::bulk:
    case Kind::big_number:
    case Kind::verbatim:
      return Public(std::move(value.text));
    case Kind::error:
      return Public(error_of_line(value.text));
    case Kind::integer:
      return Public(value.integer);
    case Kind::boolean:
      return Public(value.integer != 0);
    case Kind::real:
      return Public(value.real);
    case Kind::array:
    case Kind::set:
    case Kind::push: {
      Public::Array items;
      items.reserve(value.items.size());
      for (Value& item : value.items)
        items.push_back(public_value(item));
      return Public(std::move(items));
    }
    case Kind::map: {
      Public::Map fields;
      for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
        fields.emplace_back(public_value(value.items[i]), public_value(value.items[i + 1]));
      }
      return Public(std::move(fields));
    }
  }
  return {};
}

}  // namespace

Result<void> decode_done(Value&) {
  return {};
}

Result<JobId> decode_pushed(Value& reply) {
  if (!reply.is_text()) return unexpected_reply("a job id");
  return JobId::parse(reply.text);
}

Result<JobInfo> decode_job(Value& reply) {
  JobInfo job;
  if (!fill(job, reply, info_fields)) return unexpected_reply("the map of a job");
  return job;
}

Result<JobPage> decode_page(Value& reply) {
  JobPage page;
  Value* jobs = &reply;
  const bool is_map = reply.kind == Kind::map || (!reply.items.empty() && reply.items[0].is_text());
  if (is_map) {
    each_field(reply, [&](std::string_view name, Value& value) {
      if (name == "cursor") page.cursor = JobId(number_of(value));
      if (name == "jobs") jobs = &value;
    });
  }
  if (jobs->kind != Kind::array) return unexpected_reply("a list of jobs");
  for (Value& item : jobs->items) {
    Result<JobInfo> job = decode_job(item);
    if (!job) return tl::unexpected<Error>(std::move(job.error()));
    page.jobs.push_back(std::move(*job));
  }
  return page;
}

Result<std::vector<Job>> decode_pulled(Value& reply) {
  std::vector<Job> jobs;
  if (reply.is_null()) return jobs;
  if (reply.kind != Kind::array) return unexpected_reply("an array of jobs");
  jobs.reserve(reply.items.size());
  for (Value& item : reply.items) {
    Job job;
    if (!fill(job, item, job_fields)) return unexpected_reply("the map of a job");
    jobs.push_back(std::move(job));
  }
  return jobs;
}

Result<SystemTime> decode_deadline(Value& reply) {
  if (number_of(reply) == 0) return unexpected_reply("the new deadline");
  return time_of(reply);
}

Result<std::uint64_t> decode_count(Value& reply) {
  if (reply.kind != Kind::integer) return unexpected_reply("a number of jobs");
  return number_of(reply);
}

Result<QueueInfo> decode_queue(Value& reply) {
  QueueInfo queue;
  if (!fill(queue, reply, queue_fields)) return unexpected_reply("the map of a queue");
  each_field(reply, [&queue](std::string_view name, Value& value) {
    if (const auto state = job_state(name)) {
      queue.jobs[static_cast<std::size_t>(*state)] = number_of(value);
    }
  });
  return queue;
}

Result<std::vector<QueueInfo>> decode_queues(Value& reply) {
  if (reply.kind != Kind::array) return unexpected_reply("an array of queues");
  std::vector<QueueInfo> queues;
  for (Value& item : reply.items) {
    Result<QueueInfo> queue = decode_queue(item);
    if (!queue) return tl::unexpected<Error>(std::move(queue.error()));
    queues.push_back(std::move(*queue));
  }
  return queues;
}

Result<std::map<std::string, std::string>> decode_info(Value& reply) {
  if (!reply.is_text()) return unexpected_reply("name:value lines");
  std::map<std::string, std::string> facts;
  std::string_view rest = reply.text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string_view::npos) continue;
    facts.emplace(line.substr(0, colon), line.substr(colon + 1));
  }
  return facts;
}

Result<BackupInfo> decode_backup(Value& reply) {
  BackupInfo done;
  const bool is_map = each_field(reply, [&done](std::string_view name, Value& value) {
    if (name == "bytes") done.bytes = number_of(value);
    if (name == "segments") done.segments = number_of(value);
  });
  if (!is_map) return unexpected_reply("the size of the backup");
  return done;
}

Result<sluice::Value> decode_value(Value& reply) {
  return public_value(reply);
}

Error error_of_line(std::string_view line) {
  constexpr std::array codes = {ErrorCode::stale,
                                ErrorCode::no_job,
                                ErrorCode::no_queue,
                                ErrorCode::busy,
                                ErrorCode::too_big,
                                ErrorCode::no_auth,
                                ErrorCode::no_perm,
                                ErrorCode::arg,
                                ErrorCode::exists,
                                ErrorCode::unknown,
                                ErrorCode::io,
                                ErrorCode::corrupt};
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  const auto found = std::find_if(
      codes.begin(), codes.end(), [word](ErrorCode code) { return sluice::name(code) == word; });
  if (found == codes.end() || space == std::string_view::npos) {
    const ErrorCode code = word == "WRONGPASS" ? ErrorCode::no_auth : ErrorCode::unknown;
    return {code, std::string(line)};
  }
  return {*found, std::string(line.substr(space + 1))};
}

}  // namespace sluice::client
