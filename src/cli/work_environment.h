// The environment of a command that `sluice work` runs for a job.
#pragma once

#include <sluice/job.h>

#include <string>
#include <vector>

namespace sluice::cli {

/// NAME=value: SLUICE_JOB_ID, SLUICE_QUEUE, SLUICE_TYPE, SLUICE_ATTEMPT, SLUICE_TOKEN, SLUICE_URL
/// and one SLUICE_HEADER_<NAME> per header (letters upper case, all but letters and digits as '_';
/// the first of two with one name wins). What an environment cannot hold, a NUL byte or more than
/// environment_value_bytes_max, is left out.
std::vector<std::string> job_environment(const Job& job, const std::string& url);

/// Linux takes 128 KiB per string (MAX_ARG_STRLEN).
inline constexpr std::size_t environment_value_bytes_max = 100'000;

}  // namespace sluice::cli
