// The table at the end, and the same as JSON.
#pragma once

#include "driver/audit.h"
#include "driver/customers.h"

#include <chrono>
#include <string>
#include <vector>

namespace orders {

/// A kill -9 of the server and its restart.
struct Outage {
  std::string moment;  ///< What was going on.
  std::chrono::milliseconds down{};
};

struct Report {
  BurstResult sync;
  BurstResult queued;
  Findings sync_accepted;
  Findings sync_failed;
  Findings queued_accepted;
  Findings queued_failed;
  std::uint64_t jobs_done = 0;
  std::uint64_t jobs_dead = 0;
  std::uint64_t attempts_failed = 0;        ///< Retried by Sluice, unseen by any customer.
  std::chrono::microseconds queued_done{};  ///< First order to last job.
  std::vector<Outage> outages;

  std::size_t double_charges() const;
  /// What is missing or too much; empty when every accepted order is complete.
  std::vector<std::string> faults() const;
};

std::string table(const Report& report);
std::string to_json(const Report& report);

}  // namespace orders
