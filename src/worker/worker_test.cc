// The worker against a real engine and gateway in this process: what handlers get, what becomes of
// what they return, heartbeats, cancellation. Draining and restarts: worker_life_test.cc.
#include "worker/worker_fixture.h"

#include <boost/asio/error.hpp>
#include <boost/describe/class.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <set>

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

TEST_F(WorkerTest, AnUnknownTypeDiesOrGoesBackIfAsked) {
  for (const UnknownType what : {UnknownType::dead, UnknownType::release}) {
    Worker worker(options().unknown_type(what));
    worker.handle<Sum>([](Context&, Sum) -> Awaitable<void> { co_return; });
    const WorkerRun run(worker);
    const JobId id = push(Payload("Other", ""));
    EXPECT_TRUE(reaches(id, what == UnknownType::dead ? JobState::dead : JobState::scheduled));
    EXPECT_TRUE(client.cancel(id).has_value() || what == UnknownType::dead);
  }
}

TEST_F(WorkerTest, AnExceptionOfAnyTypeIsAFailedAttempt) {
  Worker worker(options());
  worker.handle("odd", [](Context&) -> Awaitable<void> {
    throw 42;  // NOLINT(hicpp-exception-baseclass): that is the point.
    co_return;
  });
  const WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("odd", ""), PushOptions().max_attempts(1)));
  EXPECT_EQ(job.error, "the handler threw something that is no std::exception");
}

TEST_F(WorkerTest, AResultThatIsTooLargeFailsTheAttempt) {
  Worker worker(options());
  worker.handle("large", [](Context&) -> Awaitable<std::string> {
    co_return std::string((16u << 20) + 1, 'x');
  });
  const WorkerRun run(worker);
  const JobInfo job = final_state(push(Payload("large", ""), PushOptions().max_attempts(1)));
  EXPECT_EQ(job.state, JobState::dead);
  EXPECT_NE(job.error.find("refused the result"), std::string::npos) << job.error;
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

TEST_F(WorkerTest, SaysWhatIsMissing) {
  Worker no_queue(WorkerOptions().url(server.url()).handle_signals(false));
  no_queue.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  EXPECT_EQ(no_queue.run().error().code, ErrorCode::arg);
  Worker no_handler(options());
  EXPECT_EQ(no_handler.run().error().code, ErrorCode::arg);
  Worker bad_url(options().url("http://nowhere"));
  bad_url.handle("x", [](Context&) -> Awaitable<void> { co_return; });
  EXPECT_EQ(bad_url.run().error().code, ErrorCode::arg);
  Worker bad_queue(options().queue("no\ncontrol characters"));
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
