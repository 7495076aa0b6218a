// How lists of jobs look; shared by `sluice jobs` and `sluice dead`.
#pragma once

#include <sluice/job.h>

#include <boost/json/object.hpp>

#include <vector>

namespace sluice::cli {

/// What a job's due time means in this state.
const char* due_label(JobState state);
/// A table on stdout.
void print_jobs(const std::vector<JobInfo>& jobs);
boost::json::object jobs_json(const std::vector<JobInfo>& jobs);

}  // namespace sluice::cli
