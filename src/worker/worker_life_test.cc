// The worker's life: draining, restarts of the server, ten thousand jobs in flight, other
// io_contexts, the engine in the process.
#include "worker/worker_fixture.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <set>

#include <stdlib.h>
#include <unistd.h>

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;

TEST_F(WorkerTest, DrainLetsRunningJobsEnd) {
  Worker worker(options());
  std::atomic<bool> is_running{false};
  worker.handle("job", [&](Context&) -> Awaitable<std::string> {
    is_running = true;
    co_await sleep_for(200ms);
    co_return "ended";
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  run.stop();
  EXPECT_TRUE(run.result().has_value());
  EXPECT_EQ(final_state(id).result, "ended");
}

TEST_F(WorkerTest, DrainReleasesWhatDoesNotEndInItsGrace) {
  Worker worker(options().grace(20ms));
  std::atomic<bool> is_running{false};
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    is_running = true;
    co_await sleep_for(1h);
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  run.stop();
  EXPECT_TRUE(reaches(id, JobState::ready));
  EXPECT_EQ(client.job(id)->attempt, 0u);
  EXPECT_EQ(worker.counters().released, 1u);
}

TEST_F(WorkerTest, DrainReleasesTheJobOfAHandlerThatIgnoresItsCancellation) {
  Worker worker(options().grace(10ms).patience(300ms));
  std::atomic<bool> is_running{false};
  std::atomic<bool> may_end{false};
  worker.handle("job", [&](Context&) {
    is_running = true;
    while (!may_end)
      std::this_thread::yield();
    return "nobody wants to know";
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  worker.stop();
  events.wait_for("handler_stuck");
  EXPECT_TRUE(reaches(id, JobState::ready));
  may_end = true;
  run.stop();
  EXPECT_EQ(client.job(id)->state, JobState::ready);
}

TEST_F(WorkerTest, ASecondStopEndsTheGrace) {
  Worker worker(options().grace(1h));
  std::atomic<bool> is_running{false};
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    is_running = true;
    co_await sleep_for(1h);
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  worker.stop();
  events.wait_for("drain_started");
  run.stop();
  EXPECT_TRUE(reaches(id, JobState::ready));
}

TEST_F(WorkerTest, ASignalDrains) {
  Worker worker(options().handle_signals(true));
  worker.handle("job", [](Context&) -> Awaitable<void> {
    co_await sleep_for(50ms);
    ::kill(::getpid(), SIGTERM);
    co_await sleep_for(50ms);
  });
  const JobId id = push(Payload("job", ""));
  EXPECT_TRUE(worker.run().has_value());
  EXPECT_EQ(final_state(id).state, JobState::succeeded);
}

TEST_F(WorkerTest, ARestartOfTheServerIsSurvivedByRunningJobs) {
  Worker worker(options().lease(20s));
  std::atomic<bool> is_running{false};
  std::atomic<bool> may_end{false};
  worker.handle("job", [&](Context&) -> Awaitable<std::string> {
    is_running = true;
    while (!may_end)
      co_await sleep_for(1ms);
    co_return "ran through it";
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  server.down();
  events.wait_for("server_away");
  may_end = true;  // Its outcome cannot be sent now: it is kept.
  events.wait_for("job_succeeded");
  server.up();
  client = server.client();
  const JobInfo job = final_state(id);
  EXPECT_EQ(job.state, JobState::succeeded);
  EXPECT_EQ(job.result, "ran through it");
  EXPECT_EQ(job.attempt, 1u);
  EXPECT_EQ(final_state(push(Payload("job", ""))).state, JobState::succeeded);
}

TEST_F(WorkerTest, StartsBeforeItsServer) {
  server.down();
  Worker worker(options());
  worker.handle("job", [](Context&) -> Awaitable<void> { co_return; });
  WorkerRun run(worker);
  events.wait_for("server_away");
  server.up();
  client = server.client();
  EXPECT_EQ(final_state(push(Payload("job", ""))).state, JobState::succeeded);
}

TEST_F(WorkerTest, ALostLeaseIsNoticedWhenTheOutcomeIsSent) {
  Worker worker(options().lease(1h));
  std::atomic<bool> may_end{false};
  std::atomic<bool> is_running{false};
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    is_running = true;
    while (!may_end)
      co_await sleep_for(1ms);
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("job", ""));
  while (!is_running)
    std::this_thread::yield();
  EXPECT_TRUE(client.cancel(id).has_value());
  may_end = true;
  EXPECT_EQ(events.wait_for("outcome_refused").job, id);
}

TEST_F(WorkerTest, TenThousandJobsAreInFlightOnOneThread) {
  constexpr int jobs = 10'000;
  Worker worker(options().concurrency(jobs));
  std::atomic<int> inside{0};
  std::set<std::thread::id> threads;
  worker.handle("wait", [&](Context&) -> Awaitable<void> {
    threads.insert(std::this_thread::get_id());
    ++inside;
    while (inside < jobs)
      co_await sleep_for(20ms);  // Ends only if all run at once.
  });
  std::vector<PushItem> items;
  for (int i = 0; i < jobs; ++i)
    items.emplace_back("q", Payload("wait", ""));
  for (const Result<JobId>& id : client.push_many(items))
    ASSERT_TRUE(id.has_value());
  WorkerRun run(worker);
  for (int i = 0; i < 6000 && worker.counters().succeeded < jobs; ++i) {
    std::this_thread::sleep_for(10ms);
  }
  run.stop();
  EXPECT_EQ(worker.counters().succeeded, static_cast<std::uint64_t>(jobs));
  EXPECT_EQ(client.queue_get("q")->count(JobState::succeeded), static_cast<std::uint64_t>(jobs));
  EXPECT_EQ(threads.size(), 1u);
}

TEST_F(WorkerTest, RunsWithinAnotherIoContext) {
  asio::io_context io(1);
  Worker worker(options());
  worker.handle("job", [](Context&) -> Awaitable<void> { co_return; });
  const JobId id = push(Payload("job", ""));
  bool has_ended = false;
  asio::co_spawn(io, worker.async_run(), [&](const std::exception_ptr& error, Result<void> ended) {
    EXPECT_FALSE(error);
    EXPECT_TRUE(ended.has_value());
    has_ended = true;
  });
  std::thread other([&] {
    final_state(id);
    worker.stop();
  });
  io.run();
  other.join();
  EXPECT_TRUE(has_ended);
}

TEST_F(WorkerTest, WorksForTheServerOfAClient) {
  Worker worker(client, options().url("sluice://not.used:1"));
  worker.handle("job", [](Context&) -> Awaitable<void> { co_return; });
  WorkerRun run(worker);
  EXPECT_EQ(final_state(push(Payload("job", ""))).state, JobState::succeeded);
}

TEST(EmbeddedWorker, SharesTheEngineWithItsClient) {
  std::string path = "/tmp/sluice_worker_test.XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  {
    const auto client = Client::embedded(path + "/data");
    ASSERT_TRUE(client.has_value()) << client.error().message;
    Worker worker(*client, WorkerOptions().queue("q").handle_signals(false));
    worker.handle("first", [](Context& context) -> Awaitable<std::string> {
      const Result<JobId> id = co_await context.client().push("q", "second", "x");
      co_return id->text();
    });
    worker.handle("second", [](Context&) { return "from the pool"; });
    WorkerRun run(worker);
    const auto first = client->await(*client->push("q", "first", "x"), 60s);
    ASSERT_TRUE(first.has_value());
    const auto second = client->await(*JobId::parse(first->result.value()), 60s);
    EXPECT_EQ(second->result, "from the pool");
  }
  std::filesystem::remove_all(path);
}

TEST_F(WorkerTest, IsDestroyedWithItsIoContextWhileJobsRun) {
  Worker worker(options());
  std::atomic<bool> is_running{false};
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    is_running = true;
    co_await sleep_for(1h);
  });
  push(Payload("job", ""));
  {
    asio::io_context io(1);
    asio::co_spawn(io, worker.async_run(), [](const std::exception_ptr&, const Result<void>&) {});
    while (!is_running)
      io.run_one();
  }
}

}  // namespace
}  // namespace sluice::worker
