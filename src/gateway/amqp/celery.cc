// See celery.h.
#include "gateway/amqp/celery.h"

#include "engine/question.h"
#include "model/header_names.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <memory>

namespace sluice::amqp {
namespace {

namespace json = boost::json;
using model::JobState;

constexpr std::size_t body_bytes_max = 1u << 20;
constexpr std::uint32_t page_jobs = 100;  // Others are served between two pages.
constexpr int restarts_max = 10;          // of a listing whose place is gone
constexpr auto answer_wait_max = std::chrono::seconds(10);

const std::string* properties_of(const model::JobInfo& job) {
  for (const auto& [name, value] : job.headers) {
    if (name == model::properties_header) return &value;
  }
  return nullptr;
}

/// Looks through the queues for tasks.
class Search {
 public:
  Search(engine::Port& port, const Vhost& vhost, const std::vector<std::string>& tasks)
      : question_(port), vhost_(vhost), tasks_(tasks) {}

  void run() {
    const auto* queues = ask<model::QueueList>(model::ListQueues{});
    if (queues == nullptr) return;
    // The answers that follow take its place.
    const std::vector<model::QueueInfo> all = queues->queues;
    for (const model::QueueInfo& queue : all) {
      if (!queue.name.starts_with(vhost_.inside(""))) continue;
      for (const JobState state : {JobState::ready, JobState::scheduled, JobState::retry}) {
        if (queue.jobs[static_cast<std::size_t>(state)] > 0) look_through(queue.name, state);
      }
    }
  }

 private:
  template <class T>
  const T* ask(model::Command command, engine::RequestBatch batch = {}) {
    std::optional<model::Answer> answer =
        question_.ask(std::move(command), answer_wait_max, std::move(batch));
    if (!answer) return nullptr;
    answer_ = std::move(*answer);
    const auto* found = std::get_if<std::unique_ptr<T>>(&answer_);
    return found == nullptr ? nullptr : found->get();
  }

  void look_through(const std::string& queue, JobState state) {
    model::ListJobs list;
    list.queue = queue;
    list.state = state;
    list.count = page_jobs;
    int restarts = 0;
    for (;;) {
      const auto* page = ask<model::JobList>(list);
      if (page == nullptr) {
        // The job at the cursor has gone on; what was seen is looked at again.
        if (list.cursor == model::JobId() || ++restarts > restarts_max) return;
        list.cursor = {};
        continue;
      }
      list.cursor = page->cursor;
      for (const model::JobInfo& job : page->jobs) {
        if (is_wanted(job)) cancel(job.id, *properties_of(job));
      }
      if (list.cursor == model::JobId()) return;
    }
  }

  bool is_wanted(const model::JobInfo& job) const {
    const std::string* raw = properties_of(job);
    if (raw == nullptr) return false;
    const Parsed<Properties> properties = decode_properties(*raw);
    if (!properties || !properties->headers || !properties->headers->find("task")) return false;
    const std::optional<Value> id = properties->headers->find("id");
    const std::optional<ByteView> text = id ? id->text() : std::nullopt;
    return text && std::find(tasks_.begin(), tasks_.end(), *text) != tasks_.end();
  }

  void cancel(model::JobId id, const std::string& raw) {
    question_.ask(model::Cancel{id}, answer_wait_max);
    const Parsed<Properties> properties = decode_properties(raw);
    if (!properties || !properties->reply_to || !properties->correlation_id) return;
    tell(properties->reply_to->bytes, properties->correlation_id->bytes);
  }

  /// The result of a revoked task.
  void tell(ByteView reply_to, ByteView task) {
    json::object exception;
    exception["exc_type"] = "TaskRevokedError";
    exception["exc_message"] = json::array{"revoked"};
    exception["exc_module"] = "celery.exceptions";
    json::object result;
    result["task_id"] = json::string_view(task.data(), task.size());
    result["status"] = "REVOKED";
    result["result"] = std::move(exception);
    result["traceback"] = nullptr;
    result["children"] = json::array();
    engine::RequestBatch batch;
    const std::string& body = batch.strings.emplace_front(json::serialize(result));
    Properties properties;
    properties.content_type = ShortString{"application/json"};
    properties.content_encoding = ShortString{"utf-8"};
    properties.correlation_id = ShortString{task};
    properties.delivery_mode = std::uint8_t{2};
    Buffer raw;
    append_properties(raw, properties);
    model::PushOptions& options = batch.options.emplace_back();
    options.headers.emplace_back(model::properties_header, batch.strings.emplace_front(raw.view()));
    model::Publish publish;
    publish.key = batch.strings.emplace_front(vhost_.inside(reply_to));
    publish.job = model::Push{{}, "message", body, &options};
    question_.ask(publish, answer_wait_max, std::move(batch));
  }

  engine::Question question_;
  const Vhost& vhost_;
  const std::vector<std::string>& tasks_;
  model::Answer answer_;
};

}  // namespace

std::vector<std::string> revoked_tasks(ByteView body) {
  std::vector<std::string> tasks;
  if (body.size() > body_bytes_max) return tasks;
  boost::system::error_code problem;
  const json::value message = json::parse(json::string_view(body.data(), body.size()), problem);
  const json::object* fields = problem ? nullptr : message.if_object();
  const json::value* method = fields == nullptr ? nullptr : fields->if_contains("method");
  if (method == nullptr || *method != "revoke") return tasks;
  const json::value* arguments = fields->if_contains("arguments");
  if (arguments == nullptr || !arguments->is_object()) return tasks;
  const json::value* ids = arguments->get_object().if_contains("task_id");
  if (ids == nullptr) return tasks;
  if (ids->is_string()) tasks.emplace_back(ids->get_string());
  if (const json::array* list = ids->if_array()) {
    for (const json::value& id : *list) {
      if (id.is_string()) tasks.emplace_back(id.get_string());
    }
  }
  return tasks;
}

void cancel_tasks(engine::Port& port, const Vhost& vhost, const std::vector<std::string>& tasks) {
  Search(port, vhost, tasks).run();
}

}  // namespace sluice::amqp
