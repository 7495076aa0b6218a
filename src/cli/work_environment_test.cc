// What a command is told of its job.
#include "cli/work_environment.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

Job job_with(Headers headers) {
  Job job;
  job.id = JobId(42);
  job.token = LeaseToken(7);
  job.queue = "mail";
  job.type = "welcome";
  job.attempt = 3;
  job.headers = std::move(headers);
  return job;
}

TEST(JobEnvironment, TellsTheFactsOfTheJob) {
  const std::vector<std::string> expected{"SLUICE_JOB_ID=42",
                                          "SLUICE_QUEUE=mail",
                                          "SLUICE_TYPE=welcome",
                                          "SLUICE_ATTEMPT=3",
                                          "SLUICE_TOKEN=7",
                                          "SLUICE_URL=sluice://h:1"};
  EXPECT_EQ(job_environment(job_with({}), "sluice://h:1"), expected);
}

TEST(JobEnvironment, NamesHeadersInCapitals) {
  const auto environment = job_environment(job_with({{"x-trace.id", "a=b"}}), "");
  EXPECT_EQ(environment.back(), "SLUICE_HEADER_X_TRACE_ID=a=b");
}

TEST(JobEnvironment, KeepsTheFirstOfTwoWithOneName) {
  const auto environment = job_environment(job_with({{"a-b", "1"}, {"A_B", "2"}}), "");
  EXPECT_EQ(environment.back(), "SLUICE_HEADER_A_B=1");
  EXPECT_EQ(environment.size(), 7u);
}

TEST(JobEnvironment, LeavesOutWhatAnEnvironmentCannotHold) {
  const auto environment =
      job_environment(job_with({{"nul", std::string("a\0b", 3)},
                                {"long", std::string(environment_value_bytes_max + 1, 'x')},
                                {"fits", std::string(environment_value_bytes_max, 'x')}}),
                      "");
  EXPECT_EQ(environment.size(), 7u);
  EXPECT_TRUE(environment.back().starts_with("SLUICE_HEADER_FITS="));
}

}  // namespace
}  // namespace sluice::cli
