// See work_environment.h.
#include "cli/work_environment.h"

#include <algorithm>

namespace sluice::cli {
namespace {

std::string variable_name(std::string_view header) {
  std::string name = "SLUICE_HEADER_";
  for (const char c : header) {
    if (c >= 'a' && c <= 'z') {
      name += static_cast<char>(c - 'a' + 'A');
    } else if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
      name += c;
    } else {
      name += '_';
    }
  }
  return name;
}

}  // namespace

std::vector<std::string> job_environment(const Job& job, const std::string& url) {
  std::vector<std::string> environment;
  const auto add = [&](const std::string& name, std::string_view value) {
    const bool is_known =
        std::any_of(environment.begin(), environment.end(), [&](const std::string& entry) {
          return entry.starts_with(name + "=");
        });
    if (is_known || value.size() > environment_value_bytes_max) return;
    if (value.find('\0') != std::string_view::npos) return;
    environment.push_back(name + "=" + std::string(value));
  };
  add("SLUICE_JOB_ID", job.id.text());
  add("SLUICE_QUEUE", job.queue);
  add("SLUICE_TYPE", job.type);
  add("SLUICE_ATTEMPT", std::to_string(job.attempt));
  add("SLUICE_TOKEN", job.token.text());
  add("SLUICE_URL", url);
  for (const auto& [key, value] : job.headers)
    add(variable_name(key), value);
  return environment;
}

}  // namespace sluice::cli
