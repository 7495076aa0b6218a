// Commands as bytes: one builder per command of docs/protocol.md.

#include "client/operation.h"

#include "client/decode.h"
#include "wire/resp/writer.h"

#include <algorithm>
#include <initializer_list>

namespace sluice::client {
namespace {

/// A window of push_many() ends after this many commands or bytes: long enough that the round trip
/// and the sync between two windows do not count, short enough to stay in caches and limits.
constexpr std::size_t window_items_max = 16384;
constexpr std::size_t window_bytes_max = std::size_t{4} << 20;

/// Collects the words of one command; views live until add_to().
class Words {
 public:
  Words(std::initializer_list<std::string_view> words) : words_(words) {}

  void add(std::string_view word) { words_.push_back(word); }

  void add(std::string_view word, std::string_view value) {
    words_.push_back(word);
    words_.push_back(value);
  }

  void add_all(const std::vector<std::string>& words) {
    words_.insert(words_.end(), words.begin(), words.end());
  }

  void add_to(Request& request) const {
    if (request.command.empty() && !words_.empty()) request.command = words_.front();
    std::size_t bytes_max = resp::bulk_frame_max;
    for (const std::string_view word : words_)
      bytes_max += word.size() + resp::bulk_frame_max;
    std::string& bytes = request.bytes;
    const std::size_t before = bytes.size();
    bytes.resize(before + bytes_max);
    char* end = resp::put_header(bytes.data() + before, '*', words_.size());
    for (const std::string_view word : words_)
      end = resp::put_bulk(end, word);
    bytes.resize(static_cast<std::size_t>(end - bytes.data()));
    request.ends.push_back(bytes.size());
  }

  Request request() const {
    Request request;
    add_to(request);
    return request;
  }

 private:
  std::vector<std::string_view> words_;
};

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

std::string milliseconds(Duration duration) {
  return std::to_string(duration.count());
}

template <class T>
Operation<T> operation(Request request, OnBreak on_break, Result<T> (*decode)(resp::Value&)) {
  request.on_break = on_break;
  return {std::move(request), decode};
}

void add_push(Request& request,
              std::string_view queue,
              std::string_view type,
              std::string_view payload,
              const PushOptions& options) {
  const std::vector<std::string> asked = options.words();
  Words words{"PUSH", queue, type, payload};
  words.add_all(asked);
  words.add_to(request);
}

/// JOB id token …: the commands that answer for a lease. All may be repeated: the token counts
/// once.
template <class T>
Operation<T> lease_operation(std::string_view name,
                             const Lease& job,
                             const std::vector<std::string>& rest,
                             Result<T> (*decode)(resp::Value&)) {
  const std::string id = number(job.id.value);
  const std::string token = number(job.token.value);
  Words words{name, id, token};
  words.add_all(rest);
  return operation(words.request(), OnBreak::repeat, decode);
}

}  // namespace

Operation<JobId> push(std::string_view queue,
                      std::string_view type,
                      std::string_view payload,
                      const PushOptions& options) {
  Request request;
  add_push(request, queue, type, payload, options);
  return operation(std::move(request),
                   options.is_repeatable() ? OnBreak::repeat : OnBreak::report,
                   decode_pushed);
}

Request push_window(const std::vector<PushItem>& items, std::size_t& first) {
  Request request;
  request.on_break = OnBreak::repeat;
  const std::size_t last = std::min(items.size(), first + window_items_max);
  for (; first < last && request.bytes.size() < window_bytes_max; ++first) {
    const PushItem& item = items[first];
    add_push(request, item.queue, item.payload.type(), item.payload.bytes(), item.options);
    if (!item.options.is_repeatable()) request.on_break = OnBreak::report;
  }
  return request;
}

Operation<void> cancel(JobId id) {
  const std::string text = number(id.value);
  return operation(Words{"CANCEL", text}.request(), OnBreak::report, decode_done);
}

Operation<JobInfo> job(JobId id) {
  const std::string text = number(id.value);
  return operation(Words{"JOB", text}.request(), OnBreak::repeat, decode_job);
}

Operation<JobInfo> await(JobId id, Duration wait) {
  const auto encode = [id](Duration left) {
    const std::string text = number(id.value);
    const std::string limit = milliseconds(left);
    return Words{"AWAIT", text, limit}.request();
  };
  auto waiting = operation(encode(wait), OnBreak::repeat, decode_job);
  if (wait > Duration{0}) {
    waiting.request.lane = Lane::waiting;
    waiting.request.wait = wait;
    waiting.request.with_wait = [encode](Duration left) { return encode(left).bytes; };
  }
  return waiting;
}

Operation<JobPage> jobs(std::string_view queue, const JobFilter& filter) {
  Words words{"JOBS", queue};
  words.add_all(filter.words());
  return operation(words.request(), OnBreak::repeat, decode_page);
}

Operation<std::vector<Job>> pull(const std::vector<std::string>& queues,
                                 const PullOptions& options) {
  const std::string count = number(options.count());
  const std::string wait = milliseconds(options.wait());
  const std::string lease = milliseconds(options.lease().value_or(Duration{0}));
  Words words{"PULL"};
  words.add_all(queues);
  words.add("COUNT", count);
  if (options.wait() > Duration{0}) words.add("WAIT", wait);
  if (options.lease().has_value()) words.add("LEASE", lease);
  if (!options.worker().empty()) words.add("AS", options.worker());
  auto pulled = operation(words.request(), OnBreak::report, decode_pulled);
  pulled.request.leases_jobs = true;
  if (options.wait() > Duration{0}) {
    pulled.request.lane = Lane::waiting;
    pulled.request.wait = options.wait();
  }
  return pulled;
}

Operation<void> ack(const Lease& job, std::string_view result) {
  std::vector<std::string> rest;
  if (!result.empty()) rest = {"RESULT", std::string(result)};
  return lease_operation("ACK", job, rest, decode_done);
}

Request ack_window(const std::vector<AckItem>& items, std::size_t& first) {
  Request request;
  request.on_break = OnBreak::repeat;
  const std::size_t last = std::min(items.size(), first + window_items_max);
  for (; first < last && request.bytes.size() < window_bytes_max; ++first) {
    const AckItem& item = items[first];
    const std::string id = number(item.lease.id.value);
    const std::string token = number(item.lease.token.value);
    Words words{"ACK", id, token};
    if (!item.result.empty()) words.add("RESULT", item.result);
    words.add_to(request);
  }
  return request;
}

Operation<void> fail(const Lease& job, std::string_view message, const FailOptions& options) {
  std::vector<std::string> rest = {std::string(message)};
  if (options.is_dead()) {
    rest.emplace_back("DEAD");
  } else if (options.retry().has_value()) {
    rest.emplace_back("RETRY");
    rest.push_back(milliseconds(*options.retry()));
  }
  return lease_operation("FAIL", job, rest, decode_done);
}

Operation<void> release(const Lease& job, Duration delay) {
  std::vector<std::string> rest;
  if (delay > Duration{0}) rest = {"DELAY", milliseconds(delay)};
  return lease_operation("RELEASE", job, rest, decode_done);
}

Operation<SystemTime> extend(const Lease& job, Duration from_now) {
  return lease_operation("EXTEND", job, {milliseconds(from_now)}, decode_deadline);
}

Operation<void> progress(const Lease& job, unsigned percent, std::string_view note) {
  std::vector<std::string> rest = {number(percent)};
  if (!note.empty()) rest.emplace_back(note);
  return lease_operation("PROGRESS", job, rest, decode_done);
}

Operation<QueueInfo> queue_get(std::string_view queue) {
  return operation(Words{"QUEUE", "GET", queue}.request(), OnBreak::repeat, decode_queue);
}

Operation<std::vector<QueueInfo>> queue_list() {
  return operation(Words{"QUEUE", "LIST"}.request(), OnBreak::repeat, decode_queues);
}

Operation<void> queue_set(std::string_view queue, const QueueChange& change) {
  Words words{"QUEUE", "SET", queue};
  words.add_all(change.words());
  return operation(words.request(), OnBreak::repeat, decode_done);
}

Operation<void> queue_do(std::string_view what, std::string_view queue) {
  // A repeated DELETE would answer that there is no such queue; PAUSE and RESUME only say it twice.
  const OnBreak on_break = what == "DELETE" ? OnBreak::report : OnBreak::repeat;
  return operation(Words{"QUEUE", what, queue}.request(), on_break, decode_done);
}

Operation<std::uint64_t> queue_purge(std::string_view queue) {
  return operation(Words{"QUEUE", "PURGE", queue}.request(), OnBreak::report, decode_count);
}

Operation<JobPage> dead_list(std::string_view queue, const JobFilter& page) {
  Words words{"DEAD", "LIST", queue};
  words.add_all(page.words());
  return operation(words.request(), OnBreak::repeat, decode_page);
}

Operation<std::uint64_t> dead_do(std::string_view what,
                                 std::string_view queue,
                                 const std::vector<JobId>& ids) {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const JobId id : ids)
    texts.push_back(number(id.value));
  Words words{"DEAD", what, queue};
  words.add_all(texts);
  return operation(words.request(), OnBreak::report, decode_count);
}

Operation<void> ping() {
  return operation(Words{"PING"}.request(), OnBreak::repeat, decode_done);
}

Operation<std::map<std::string, std::string>> info() {
  return operation(Words{"INFO"}.request(), OnBreak::repeat, decode_info);
}

Operation<BackupInfo> backup(std::string_view directory) {
  auto copied = operation(Words{"BACKUP", directory}.request(), OnBreak::report, decode_backup);
  copied.request.lane = Lane::waiting;
  copied.request.wait = std::chrono::hours(1);  // Copies at disk speed; may be many gigabytes.
  return copied;
}

Operation<sluice::Value> call(const std::vector<std::string>& words) {
  Words command{};
  command.add_all(words);
  return operation(command.request(), OnBreak::report, decode_value);
}

Request give_back(const resp::Value& reply) {
  Request request;
  request.on_break = OnBreak::repeat;
  for (const resp::Value& job : reply.items) {
    const resp::Value* id = job.find("id");
    const resp::Value* token = job.find("token");
    if (id == nullptr || token == nullptr) continue;
    Words{"RELEASE", id->text, token->text}.add_to(request);
  }
  return request;
}

std::string hello(const std::string& user, const std::string& password, const std::string& name) {
  Words words{"HELLO", "3"};
  const std::string_view login = user.empty() ? std::string_view("default") : user;
  if (!password.empty()) {
    words.add("AUTH");
    words.add(login, password);
  }
  if (!name.empty()) words.add("SETNAME", name);
  return words.request().bytes;
}

}  // namespace sluice::client
