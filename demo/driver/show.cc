// The bursts, the outages and the count at the end.
#include "driver/show.h"

#include "shop/jobs.h"

#include <sluice/async.h>

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <unistd.h>

namespace orders {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// How long the server stays away: long enough to be seen in the response times.
constexpr auto down_time = 500ms;
constexpr auto look_every = 50ms;
/// No job of the demo may take longer without a sign of progress.
constexpr auto stuck_after = 60s;

}  // namespace

Show::Show(const DemoOptions& options, Stage& stage, sluice::AsyncClient client)
    : options_(options),
      stage_(stage),
      client_(std::move(client)),
      has_terminal_(::isatty(STDOUT_FILENO) == 1) {}

asio::awaitable<sluice::Result<Report>> Show::run() {
  announce(fmt::format("{} orders by {} customers, everything inside the request:",
                       options_.orders,
                       options_.customers));
  const auto show_sync = [this](const BurstResult& so_far) {
    progress(fmt::format("{}/{} orders answered, {} failed",
                         so_far.response_times.size(),
                         options_.orders,
                         so_far.failed.size()));
  };
  const Burst sync{"/orders/sync", options_.orders, options_.customers, options_.pause};
  report_.sync = co_await run_burst(stage_.api_port(), sync, show_sync);

  announce(fmt::format("the same {} orders, handed over to Sluice{}:",
                       options_.orders,
                       options_.has_chaos ? ", whose server is killed twice" : ""));
  const auto queued = [this](sluice::TaskGroup& group) -> asio::awaitable<void> {
    co_await burst_queued(group);
    co_await wait_until_done(group);
  };
  co_await sluice::with_group(queued);
  if (!failure_.empty()) co_return sluice::fail(sluice::ErrorCode::io, failure_);
  const auto examined = co_await examine();
  if (!examined) co_return tl::unexpected(examined.error());
  progress("");
  co_return report_;
}

asio::awaitable<void> Show::burst_queued(sluice::TaskGroup& group) {
  queued_since_ = steady_clock::now();
  const auto on_answer = [this, &group](const BurstResult& so_far) {
    progress(fmt::format("{}/{} orders answered, {} failed",
                         so_far.response_times.size(),
                         options_.orders,
                         so_far.failed.size()));
    const bool is_half = so_far.response_times.size() == (options_.orders + 1) / 2;
    if (is_half && options_.has_chaos) {
      stage_.kill_server();
      group.spawn(outage("in the middle of the burst"));
    }
  };
  const Burst queued{"/orders", options_.orders, options_.customers, options_.pause};
  report_.queued = co_await run_burst(stage_.api_port(), queued, on_answer);
  announce(fmt::format("customers have their answers after {} ms; the work goes on:",
                       report_.queued.duration.count() / 1000));
}

asio::awaitable<void> Show::wait_until_done(sluice::TaskGroup& group) {
  const std::uint64_t expected = report_.queued.accepted.size() * 3;
  bool may_kill = options_.has_chaos;
  Jobs last;
  auto last_change = steady_clock::now();
  while (failure_.empty()) {
    const Jobs jobs = co_await count_jobs();
    const auto now = steady_clock::now();
    if (jobs.done != last.done) last_change = now;
    last = jobs;
    progress(fmt::format("{}/{} jobs done", jobs.done, expected));
    // Of orders that were answered with an error some jobs may be there; they end too.
    if (jobs.done + jobs.dead >= std::max(expected, jobs.known)) break;
    if (may_kill && jobs.done >= expected / 2) {
      may_kill = false;
      stage_.kill_server();
      group.spawn(outage("in the middle of the work"));
    }
    if (now - last_change > stuck_after) {
      failure_ = fmt::format(
          "no job was done for {} s: {} of {} are", stuck_after.count(), jobs.done, expected);
    }
    // Looking too often would be load of our own; the queues' counts cannot be awaited.
    co_await sluice::sleep_for(look_every);
  }
  report_.jobs_done = last.done;
  report_.jobs_dead = last.dead;
  report_.queued_done =
      std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - queued_since_);
}

/// The server has been killed. Starts it again after a while and waits until it answers.
asio::awaitable<void> Show::outage(std::string moment) {
  const auto killed = steady_clock::now();
  announce(fmt::format("kill -9 of the server {}", moment));
  co_await sluice::sleep_for(down_time);
  const auto started = stage_.start_server();
  if (!started) {
    failure_ = started.error().message;
    co_return;
  }
  const auto answered = co_await client_.ping();
  if (!answered) {
    failure_ = "the server did not come back: " + answered.error().message + "\n" +
               tail(stage_.logs() / "server.log");
    co_return;
  }
  Outage outage{std::move(moment), {}};
  outage.down = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - killed);
  report_.outages.push_back(std::move(outage));
}

asio::awaitable<Show::Jobs> Show::count_jobs() {
  Jobs jobs;
  const auto queues = co_await client_.queue_list();
  if (!queues) {
    const std::string fallen = stage_.fallen();
    failure_ = fallen.empty() ? "cannot read the queues: " + queues.error().message
                              : fallen + " has ended; its log is in " + stage_.logs().string();
    co_return jobs;
  }
  for (const sluice::QueueInfo& queue : *queues) {
    if (std::ranges::find(queue_names, queue.name) == queue_names.end()) continue;
    jobs.done += queue.count(sluice::JobState::succeeded);
    jobs.dead += queue.count(sluice::JobState::dead);
    for (const std::uint64_t count : queue.jobs)
      jobs.known += count;
  }
  co_return jobs;
}

asio::awaitable<std::uint64_t> Show::count_failed_attempts() {
  std::uint64_t failed = 0;
  for (const char* queue : queue_names) {
    sluice::JobFilter filter;
    filter.count(1000);
    for (;;) {
      const auto page = co_await client_.jobs(queue, filter);
      if (!page) break;  // No such queue: nothing was accepted.
      for (const sluice::JobInfo& job : page->jobs)
        failed += job.attempt > 1 ? job.attempt - 1 : 0;
      if (page->cursor == sluice::JobId()) break;
      filter = sluice::JobFilter().count(1000).cursor(page->cursor);
    }
  }
  co_return failed;
}

asio::awaitable<sluice::Result<void>> Show::examine() {
  const auto audit = co_await Audit::read(stage_);
  if (!audit) co_return tl::unexpected(audit.error());
  report_.attempts_failed = co_await count_failed_attempts();
  report_.sync_accepted = audit->of(report_.sync.accepted);
  report_.sync_failed = audit->of(report_.sync.failed);
  report_.queued_accepted = audit->of(report_.queued.accepted);
  report_.queued_failed = audit->of(report_.queued.failed);
  co_return sluice::Result<void>();
}

void Show::announce(const std::string& text) {
  fmt::print("{}{}\n", has_terminal_ ? "\r\x1b[K" : "", text);
  std::fflush(stdout);
}

/// The live line; an empty text removes it. Files and pipes do not get it.
void Show::progress(const std::string& text) {
  if (!has_terminal_) return;
  const auto now = steady_clock::now();
  if (!text.empty() && now - shown_at_ < look_every) return;
  shown_at_ = now;
  fmt::print("\r\x1b[K{}{}", text.empty() ? "" : "  ", text);
  std::fflush(stdout);
}

}  // namespace orders
