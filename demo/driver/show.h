// Show: the script of the demo as coroutines: two bursts, the wait for the work, the audit.
#pragma once

#include "driver/demo.h"
#include "driver/report.h"
#include "driver/stage.h"

#include <sluice/async/task_group.h>
#include <sluice/async_client.h>

#include <string>

namespace orders {

class Show {
 public:
  /// Both outlive it. `client` belongs to the executor that runs run().
  Show(const DemoOptions& options, Stage& stage, sluice::AsyncClient client);

  /// The whole script. Errors: what made it impossible to go on.
  asio::awaitable<sluice::Result<Report>> run();

 private:
  /// States of the shop's jobs, summed over its queues.
  struct Jobs {
    std::uint64_t done = 0;
    std::uint64_t dead = 0;
    std::uint64_t known = 0;
  };

  asio::awaitable<void> burst_queued(sluice::TaskGroup& group);
  asio::awaitable<void> wait_until_done(sluice::TaskGroup& group);
  asio::awaitable<void> outage(std::string moment);
  asio::awaitable<Jobs> count_jobs();
  asio::awaitable<std::uint64_t> count_failed_attempts();
  asio::awaitable<sluice::Result<void>> examine();

  void announce(const std::string& text);
  void progress(const std::string& text);

  const DemoOptions& options_;
  Stage& stage_;
  sluice::AsyncClient client_;
  Report report_;
  std::chrono::steady_clock::time_point queued_since_;
  std::chrono::steady_clock::time_point shown_at_;
  bool has_terminal_;
  std::string failure_;  ///< Why it cannot go on; empty while all is well.
};

}  // namespace orders
