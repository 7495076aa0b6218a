// The worker against a real engine and gateway in this process: outcomes, heartbeats, cancellation,
// draining, restarts of the server, ten thousand jobs in flight.
#include "worker/test_server.h"

#include <sluice/async.h>
#include <sluice/worker.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/describe/class.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::worker {

struct Sum {
  int a = 0;
  int b = 0;
};
BOOST_DESCRIBE_STRUCT(Sum, (), (a, b))

struct Answer42 {
  int value = 0;
};
BOOST_DESCRIBE_STRUCT(Answer42, (), (value))

namespace {

using namespace std::chrono_literals;

/// Collects the events of a worker; a test can wait for one.
class Events {
 public:
  std::function<void(const WorkerEvent&)> hook() {
    return [this](const WorkerEvent& event) {
      const std::scoped_lock lock(mutex_);
      seen_.push_back(event);
      changed_.notify_all();
    };
  }

  /// The first event of this name; waits for it. An empty one after a minute.
  WorkerEvent wait_for(const std::string& name) {
    std::unique_lock lock(mutex_);
    WorkerEvent found;
    changed_.wait_for(lock, 60s, [&] {
      for (const WorkerEvent& event : seen_) {
        if (event.name == name) found = event;
      }
      return !found.name.empty();
    });
    return found;
  }

  bool has(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    for (const WorkerEvent& event : seen_) {
      if (event.name == name) return true;
    }
    return false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<WorkerEvent> seen_;
};

/// A worker that runs on a thread of its own until it is stopped, at the latest here.
class WorkerRun {
 public:
  explicit WorkerRun(Worker& worker)
      : worker_(worker), thread_([this] { result_ = worker_.run(); }) {}

  ~WorkerRun() { stop(); }

  WorkerRun(const WorkerRun&) = delete;
  WorkerRun& operator=(const WorkerRun&) = delete;

  void stop() {
    worker_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::thread::id thread() const { return thread_.get_id(); }

  const Result<void>& result() const { return result_; }

 private:
  Worker& worker_;
  Result<void> result_;
  std::thread thread_;
};

/// A server and a client.
class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : client(server.client()) {}

  WorkerOptions options() {
    return WorkerOptions()
        .url(server.url())
        .queue("q")
        .handle_signals(false)
        .on_event(events.hook());
  }

  JobId push(const Payload& job, const PushOptions& asked = {}) {
    const Result<JobId> id = client.push("q", job, asked);
    EXPECT_TRUE(id.has_value()) << id.error().message;
    return *id;
  }

  JobInfo final_state(JobId id) {
    const Result<JobInfo> job = client.await(id, 60s);
    EXPECT_TRUE(job.has_value()) << job.error().message;
    return *job;
  }

  /// Polls the server until the job is in this state.
  bool reaches(JobId id, JobState state) {
    for (int i = 0; i < 6000; ++i) {
      const Result<JobInfo> job = client.job(id);
      if (job && job->state == state) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  TestServer server;
  Client client;
  Events events;
};

TEST_F(WorkerTest, TypedHandlerGetsItsArgumentsAndItsResultIsJson) {
  Worker worker(options());
  worker.handle<Sum>([](Context&, Sum sum) -> Awaitable<Answer42> {
    co_await sleep_for(1ms);
    Answer42 answer;
    answer.value = sum.a + sum.b;
    co_return answer;
  });
  WorkerRun run(worker);
  const JobInfo job = final_state(push(Sum{40, 2}));
  EXPECT_EQ(job.state, JobState::succeeded);
  EXPECT_EQ(job.result, R"({"value":42})");
}

TEST_F(WorkerTest, OutcomesBecomeWhatTheySay) {
  Worker worker(options());
  worker.handle("job", [](Context& context) -> Awaitable<Outcome> {
    const std::string& what = context.payload();
    if (what == "done") co_return Outcome::done("result");
    if (what == "dead") co_return Outcome::dead("cannot");
    if (what == "retry") co_return Outcome::retry_after(1h, "later");
    if (what == "release") co_return Outcome::release(1h);
    if (what == "throw") throw std::runtime_error("thrown");
    co_return Outcome::failed("failed");
  });
  WorkerRun run(worker);
  const auto at = [&](const char* what, const PushOptions& asked = {}) {
    return push(Payload("job", what), asked);
  };
  const JobInfo done = final_state(at("done"));
  EXPECT_EQ(done.state, JobState::succeeded);
  EXPECT_EQ(done.result, "result");
  const JobInfo dead = final_state(at("dead"));
  EXPECT_EQ(dead.state, JobState::dead);
  EXPECT_EQ(dead.error, "cannot");
  const JobInfo thrown = final_state(at("throw", PushOptions().max_attempts(1)));
  EXPECT_EQ(thrown.state, JobState::dead);
  EXPECT_EQ(thrown.error, "thrown");
  const JobInfo failed =
      final_state(at("failed", PushOptions().max_attempts(2).backoff(Backoff::fixed(1ms))));
  EXPECT_EQ(failed.state, JobState::dead);
  EXPECT_EQ(failed.attempt, 2u);
  const JobId retried = at("retry");
  EXPECT_TRUE(reaches(retried, JobState::retry));
  const JobId released = at("release");
  EXPECT_TRUE(reaches(released, JobState::scheduled));
}

TEST_F(WorkerTest, BlockingHandlersRunOnThePoolBesideEachOther) {
  Worker worker(options().blocking_threads(2));
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> inside{0};
  worker.handle("block", [&](Context& context) {
    ++inside;
    while (inside < 2)
      std::this_thread::yield();
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
    return "did " + context.payload();
  });
  WorkerRun run(worker);
  const JobId a = push(Payload("block", "a"));
  const JobId b = push(Payload("block", "b"));
  EXPECT_EQ(final_state(a).result, "did a");
  EXPECT_EQ(final_state(b).result, "did b");
  EXPECT_EQ(threads.size(), 2u);
  EXPECT_FALSE(threads.contains(run.thread()));
}

TEST_F(WorkerTest, APayloadThatDoesNotDecodeIsDead) {
  Worker worker(options());
  worker.handle<Sum>([](Context&, Sum) -> Awaitable<void> { co_return; });
  WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("Sum", "not json")));
  EXPECT_EQ(job.state, JobState::dead);
  EXPECT_NE(job.error.find("JSON"), std::string::npos) << job.error;
}

TEST_F(WorkerTest, AnUnknownTypeFailsWithAMessageThatHelps) {
  Worker worker(options().name("w1"));
  worker.handle<Sum>([](Context&, Sum) -> Awaitable<void> { co_return; });
  WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("Other", ""), PushOptions().max_attempts(1)));
  EXPECT_EQ(job.error, "worker \"w1\" has no handler for type \"Other\"; add one, or handle_any()");
}

TEST_F(WorkerTest, HandleAnyTakesWhatNobodyElseDoes) {
  Worker worker(options());
  worker.handle_any([](Context& context) -> Awaitable<std::string> { co_return context.type(); });
  WorkerRun run(worker);
  EXPECT_EQ(final_state(push(Payload("Whatever", ""))).result, "Whatever");
}

TEST_F(WorkerTest, TheContextKnowsItsJob) {
  Worker worker(options().name("w2"));
  worker.handle("facts", [](Context& context) -> Awaitable<std::string> {
    EXPECT_GT(context.deadline().time_since_epoch().count(), 0);
    EXPECT_FALSE(context.is_cancelled());
    co_return context.id().text() + " " + context.queue() + " " +
        std::to_string(context.attempt()) + " " + std::string(context.header("trace"));
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("facts", ""), PushOptions().header("trace", "abc"));
  const JobInfo job = final_state(id);
  EXPECT_EQ(job.result, id.text() + " q 1 abc");
  EXPECT_EQ(job.worker, "w2");
}

TEST_F(WorkerTest, HandlersPushFollowUps) {
  Worker worker(options());
  worker.handle("first", [](Context& context) -> Awaitable<Result<std::string>> {
    const Result<JobId> id = co_await context.client().push("q", "second", "x");
    if (!id) co_return tl::unexpected<Error>(id.error());
    co_return id->text();
  });
  worker.handle("second", [](Context& context) {
    return context.push_and_wait("q", Payload("third", "x"))->text();
  });
  worker.handle("third", [](Context&) -> Awaitable<void> { co_return; });
  WorkerRun run(worker);
  const JobInfo first = final_state(push(Payload("first", "")));
  const JobInfo second = final_state(*JobId::parse(*first.result));
  EXPECT_EQ(final_state(*JobId::parse(*second.result)).state, JobState::succeeded);
}

TEST_F(WorkerTest, ProgressIsSeenByReaders) {
  Worker worker(options());
  std::atomic<bool> may_end{false};
  worker.handle("long", [&](Context& context) -> Awaitable<void> {
    for (unsigned i = 0; i <= 50; ++i)
      context.progress(i, "half way");
    while (!may_end)
      co_await sleep_for(1ms);
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("long", ""));
  JobInfo job;
  for (int i = 0; i < 6000 && job.progress != 50; ++i) {
    job = *client.job(id);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(job.progress, 50u);
  EXPECT_EQ(job.note, "half way");
  may_end = true;
  EXPECT_EQ(final_state(id).state, JobState::succeeded);
}

TEST_F(WorkerTest, HeartbeatsKeepALongJobEvenIfItBlocksItsThread) {
  Worker worker(options().lease(300ms));
  worker.handle("long", [&](Context&) -> Awaitable<void> {
    std::this_thread::sleep_for(1500ms);  // What no coroutine handler should do.
    co_return;
  });
  WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("long", "")));
  EXPECT_EQ(job.state, JobState::succeeded);
  EXPECT_EQ(job.attempt, 1u);
  EXPECT_GE(worker.counters().heartbeats, 5u);
}

TEST_F(WorkerTest, WithoutALeaseOfItsOwnItKeepsTheJobs) {
  Worker worker(options());
  worker.handle("long", [&](Context&) -> Awaitable<void> { co_await sleep_for(1200ms); });
  WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("long", ""), PushOptions().timeout(300ms)));
  EXPECT_EQ(job.state, JobState::succeeded);
  EXPECT_EQ(job.attempt, 1u);
}

TEST_F(WorkerTest, CancelReachesTheHandlerAndItsOutcomeIsDropped) {
  Worker worker(options().lease(300ms));
  std::atomic<bool> was_cancelled{false};
  std::atomic<bool> is_running{false};
  worker.handle("long", [&](Context& context) -> Awaitable<std::string> {
    is_running = true;
    try {
      co_await sleep_for(1h);
    } catch (const boost::system::system_error&) {
      was_cancelled = context.is_cancelled();
    }
    co_return "too late";
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("long", ""));
  while (!is_running)
    std::this_thread::yield();
  EXPECT_TRUE(client.cancel(id).has_value());
  EXPECT_NE(events.wait_for("job_lost").message.find("cancelled"), std::string::npos);
  run.stop();
  EXPECT_TRUE(was_cancelled);
  const JobInfo job = final_state(id);
  EXPECT_EQ(job.state, JobState::cancelled);
  EXPECT_EQ(job.result, std::nullopt);
  EXPECT_EQ(worker.counters().lost, 1u);
  EXPECT_EQ(worker.counters().succeeded, 0u);
}

TEST_F(WorkerTest, CancelReachesABlockingHandlerByItsStopToken) {
  Worker worker(options().lease(300ms));
  std::atomic<bool> is_running{false};
  worker.handle("block", [&](Context& context) {
    is_running = true;
    while (!context.stop_token().stop_requested())
      std::this_thread::yield();
  });
  WorkerRun run(worker);
  const JobId id = push(Payload("block", ""));
  while (!is_running)
    std::this_thread::yield();
  EXPECT_TRUE(client.cancel(id).has_value());
  events.wait_for("job_lost");
  run.stop();
  EXPECT_EQ(final_state(id).state, JobState::cancelled);
}

TEST_F(WorkerTest, AnAttemptThatTakesTooLongHasFailed) {
  Worker worker(options().attempt_timeout(50ms));
  worker.handle("long", [&](Context&) -> Awaitable<void> { co_await sleep_for(1h); });
  worker.handle("block", [&](Context& context) {
    while (!context.is_cancelled())
      std::this_thread::yield();
    throw std::runtime_error("stopped");
  });
  WorkerRun run(worker);
  const JobId slow = push(Payload("long", ""), PushOptions().max_attempts(1));
  EXPECT_EQ(final_state(slow).error, "timed out after 50 ms");
  const JobId block = push(Payload("block", ""), PushOptions().max_attempts(1));
  EXPECT_EQ(final_state(block).state, JobState::dead);
}

TEST_F(WorkerTest, MiddlewareWrapsHandlersFromTheOutside) {
  Worker worker(options());
  std::vector<std::string> order;
  const auto layer = [&order](const char* name) {
    return [&order, name](Context& context, const Handler& next) -> Awaitable<Outcome> {
      order.push_back(std::string(name) + " in");
      Outcome outcome = co_await next(context);
      order.push_back(std::string(name) + " out");
      co_return outcome;
    };
  };
  worker.use(layer("a")).use(layer("b"));
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    order.push_back("handler");
    co_return;
  });
  WorkerRun run(worker);
  final_state(push(Payload("job", "")));
  run.stop();
  EXPECT_EQ(order, (std::vector<std::string>{"a in", "b in", "handler", "b out", "a out"}));
}

TEST_F(WorkerTest, MiddlewareMayAnswerForTheHandler) {
  Worker worker(options());
  worker.use([](Context&, const Handler& next) -> Awaitable<Outcome> {
    static_cast<void>(next);
    co_return Outcome::done("from the layer");
  });
  worker.handle("job", [](Context&) -> Awaitable<void> { throw std::logic_error("never called"); });
  WorkerRun run(worker);
  EXPECT_EQ(final_state(push(Payload("job", ""))).result, "from the layer");
}

TEST_F(WorkerTest, NeverRunsMoreThanItsConcurrency) {
  Worker worker(options().concurrency(5));
  int inside = 0;
  int most = 0;
  worker.handle("job", [&](Context&) -> Awaitable<void> {
    most = std::max(most, ++inside);
    co_await sleep_for(1ms);
    --inside;
  });
  std::vector<JobId> ids;
  for (int i = 0; i < 100; ++i)
    ids.push_back(push(Payload("job", "")));
  WorkerRun run(worker);
  for (const JobId id : ids)
    EXPECT_EQ(final_state(id).state, JobState::succeeded);
  run.stop();
  EXPECT_EQ(most, 5);
  EXPECT_EQ(worker.counters().succeeded, 100u);
  EXPECT_EQ(worker.counters().running, 0u);
}

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
  const JobInfo job = *client.job(id);
  EXPECT_EQ(job.state, JobState::ready);
  EXPECT_EQ(job.attempt, 0u);
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
  EXPECT_EQ(client.job(id)->state, JobState::ready);
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

TEST_F(WorkerTest, SaysWhatIsMissing) {
  Worker no_queue(WorkerOptions().url(server.url()).handle_signals(false));
  no_queue.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  EXPECT_EQ(no_queue.run().error().code, ErrorCode::arg);
  Worker no_handler(options());
  EXPECT_EQ(no_handler.run().error().code, ErrorCode::arg);
  Worker bad_url(options().url("http://nowhere"));
  bad_url.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  EXPECT_EQ(bad_url.run().error().code, ErrorCode::arg);
  Worker bad_queue(options().queue("no spaces allowed"));
  bad_queue.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  EXPECT_EQ(bad_queue.run().error().code, ErrorCode::arg);
}

TEST_F(WorkerTest, StopBeforeRunReturnsAtOnce) {
  Worker worker(options());
  worker.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  worker.stop();
  EXPECT_TRUE(worker.run().has_value());
}

TEST(WorkerEventTest, TextIsOneLineOfFields) {
  WorkerEvent event;
  event.name = "job_failed";
  event.queue = "mail";
  event.job = JobId(7);
  event.type = "SendMail";
  event.attempt = 3;
  event.message = "said \"no\"\n";
  EXPECT_EQ(event.text(),
            R"(event=job_failed queue=mail job=7 type=SendMail attempt=3 message="said \"no\"\n")");
}

}  // namespace
}  // namespace sluice::worker
