// A job as a line of JSON. Large directories are printed as they are read.
#include "server/check_jobs.h"

#include "cli/output.h"
#include "engine/inspect.h"
#include "gateway/readable_headers.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <string>

namespace sluice::server {
namespace {

namespace json = boost::json;

void put_if(json::object& object, const std::string& key, const std::string& text) {
  if (!text.empty()) cli::put_bytes(object, key, text);
}

json::object to_json(const model::JobInfo& job) {
  json::object object{{"id", model::id_text(job.id)},
                      {"queue", job.queue},
                      {"type", job.type},
                      {"state", model::name(job.state)},
                      {"priority", job.priority},
                      {"attempt", job.attempt},
                      {"max_attempts", job.max_attempts},
                      {"created", job.created.time_since_epoch().count()}};
  if (job.due) object["due"] = job.due->time_since_epoch().count();
  if (job.at) object["at"] = job.at->time_since_epoch().count();
  put_if(object, "worker", job.worker);
  put_if(object, "error", job.error);
  if (job.has_result) object["result_bytes"] = job.result_bytes;
  put_if(object, "unique", job.unique_key);
  if (!job.after.empty()) {
    json::array after;
    for (const model::Dependency& each : job.after)
      after.emplace_back(model::id_text(each.id));
    object["after"] = std::move(after);
  }
  if (!job.headers.empty()) {
    json::object headers;
    for (const auto& [key, value] : job.headers) {
      for (const auto& [name, text] : gateway::readable_header(key, value))
        cli::put_bytes(headers, name, text);
    }
    object["headers"] = std::move(headers);
  }
  cli::put_bytes(object, "payload", job.payload);
  return object;
}

}  // namespace

Result<void> print_jobs(io::Directory& directory) {
  return engine::for_each_job(directory,
                              [](const model::JobInfo& job) { cli::print_json(to_json(job)); });
}

}  // namespace sluice::server
