// Tests of the client with the real engine: embedded on a directory, and over a socket with the
// server's own gateway in this process.

#include "engine/engine.h"
#include "gateway/native/gateway.h"
#include "io/posix.h"

#include <sluice/async_client.h>
#include <sluice/client.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// A directory that goes with the test.
class Scratch : public testing::Test {
 protected:
  Scratch() {
    char name[] = "/tmp/sluice-client-XXXXXX";
    root_ = ::mkdtemp(name);
  }

  ~Scratch() override { std::filesystem::remove_all(root_); }

  std::string directory() const { return root_ + "/data"; }

  std::string root_;
};

/// The server's engine and gateway, without its process.
class Server {
 public:
  explicit Server(const std::string& directory, std::uint16_t port = 0)
      : directory_(io::open_directory(directory).value()),
        engine_(engine::Engine::open(*directory_, clock_, {}).value()),
        gateway_(*engine_, native::GatewayOptions{}) {
    const Result<void> started = gateway_.start("127.0.0.1", port);
    EXPECT_TRUE(started) << started.error().message;
  }

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  ~Server() {
    gateway_.stop(Duration{0});
    engine_->stop();
  }

  std::uint16_t port() const { return gateway_.port(); }

  std::string url() const { return "sluice://" + gateway_.address(); }

 private:
  std::unique_ptr<io::Directory> directory_;
  io::SystemClock clock_;
  std::unique_ptr<engine::Engine> engine_;
  native::Gateway gateway_;
};

class Embedded : public Scratch {
 protected:
  Client open() const {
    auto client = Client::embedded(directory());
    EXPECT_TRUE(client) << client.error().message;
    return *client;
  }
};

enum class Way : std::uint8_t { embedded, socket };

/// What holds for both: there is one meaning of every command.
class BothWays : public Scratch, public testing::WithParamInterface<Way> {
 protected:
  Client open() {
    if (GetParam() == Way::socket) server_ = std::make_unique<Server>(directory());
    auto client =
        GetParam() == Way::socket ? Client::connect(server_->url()) : Client::embedded(directory());
    EXPECT_TRUE(client) << client.error().message;
    return *client;
  }

  std::unique_ptr<Server> server_;
};

INSTANTIATE_TEST_SUITE_P(Client,
                         BothWays,
                         testing::Values(Way::embedded, Way::socket),
                         [](const auto& way) {
                           return way.param == Way::embedded ? "Embedded" : "Socket";
                         });

TEST_P(BothWays, AJobGoesFromPushToItsResult) {
  const Client client = open();
  const auto id = client.push("mail", "welcome", "ada", PushOptions().header("trace", "t1"));
  ASSERT_TRUE(id) << id.error().message;
  const auto jobs = client.pull("mail", PullOptions().as("worker-1"));
  ASSERT_TRUE(jobs) << jobs.error().message;
  ASSERT_EQ(jobs->size(), 1u);
  const Job& job = jobs->front();
  EXPECT_EQ(job.id, *id);
  EXPECT_EQ(job.payload, "ada");
  EXPECT_EQ(job.header("trace"), "t1");
  EXPECT_EQ(job.attempt, 1u);
  EXPECT_TRUE(client.progress(job, 50, "half"));
  const auto deadline = client.extend(job, 1min);
  ASSERT_TRUE(deadline) << deadline.error().message;
  EXPECT_GT(*deadline, std::chrono::system_clock::now() + 50s);
  ASSERT_TRUE(client.ack(job, "sent"));
  const auto info = client.await(*id, 1s);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->state, JobState::succeeded);
  EXPECT_EQ(info->result, "sent");
  EXPECT_EQ(info->worker, "worker-1");
  EXPECT_FALSE(info->history.empty());
  const auto late = client.ack(job);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::stale);
}

TEST_F(Embedded, WhatWasPushedIsThereAfterReopening) {
  JobId id;
  {
    const Client client = open();
    id = client.push("mail", "welcome", "ada").value();
    ASSERT_TRUE(client.queue_set("mail", QueueChange().max_attempts(3)));
  }
  const Client client = open();
  EXPECT_EQ(client.job(id).value().payload, "ada");
  EXPECT_EQ(client.queue_get("mail").value().max_attempts, 3u);
  EXPECT_EQ(client.queue_get("mail").value().count(JobState::ready), 1u);
}

TEST_F(Embedded, ASecondOwnerOfTheDirectoryIsToldWhoHasIt) {
  const Client client = open();
  const auto second = Client::embedded(directory());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_NE(second.error().message.find("in use by process " + std::to_string(::getpid())),
            std::string::npos)
      << second.error().message;
}

TEST_P(BothWays, PullWaitsForAPushOfAnotherThread) {
  const Client client = open();
  auto pulled =
      std::async(std::launch::async, [&] { return client.pull("mail", PullOptions().wait(20s)); });
  // The pull waits at the engine, or comes later: both must get the job.
  const JobId id = client.push("mail", "welcome", "ada").value();
  const auto jobs = pulled.get();
  ASSERT_TRUE(jobs) << jobs.error().message;
  ASSERT_EQ(jobs->size(), 1u);
  EXPECT_EQ(jobs->front().id, id);
}

TEST_P(BothWays, PullGivesNothingWhenNothingCame) {
  const Client client = open();
  EXPECT_TRUE(client.pull("mail").value().empty());
  EXPECT_TRUE(client.pull("mail", PullOptions().wait(20ms)).value().empty());
}

TEST_P(BothWays, ThousandsOfJobsPassInWindows) {
  const Client client = open();
  std::vector<PushItem> items;
  for (int i = 0; i < 20'000; ++i)
    items.emplace_back("bulk", Payload("t", std::to_string(i)));
  for (const auto& id : client.push_many(items))
    ASSERT_TRUE(id) << id.error().message;
  std::size_t count = 0;
  for (;;) {
    const auto jobs = client.pull("bulk", PullOptions().count(1000));
    ASSERT_TRUE(jobs) << jobs.error().message;
    if (jobs->empty()) break;
    std::vector<AckItem> acks;
    for (const Job& job : *jobs) {
      EXPECT_EQ(job.payload, std::to_string(count++));
      acks.emplace_back(job);
    }
    for (const auto& acked : client.ack_many(acks))
      ASSERT_TRUE(acked) << acked.error().message;
  }
  EXPECT_EQ(count, 20'000u);
}

TEST_P(BothWays, FailReleaseCancelAndTheDead) {
  const Client client = open();
  const JobId id = client.push("q", "t", "x", PushOptions().max_attempts(1)).value();
  Job job = client.pull("q").value().at(0);
  ASSERT_TRUE(client.release(job));
  job = client.pull("q").value().at(0);
  EXPECT_EQ(job.attempt, 1u);
  ASSERT_TRUE(client.fail(job, "no such mailbox"));
  EXPECT_EQ(client.job(id).value().error, "no such mailbox");
  const auto dead = client.dead_list("q");
  ASSERT_TRUE(dead) << dead.error().message;
  ASSERT_EQ(dead->jobs.size(), 1u);
  EXPECT_EQ(dead->jobs.front().id, id);
  EXPECT_EQ(client.dead_redrive("q").value(), 1u);
  EXPECT_EQ(client.job(id).value().state, JobState::ready);
  ASSERT_TRUE(client.cancel(id));
  EXPECT_EQ(client.job(id).value().state, JobState::cancelled);
  EXPECT_EQ(client.job(JobId(999'999)).error().code, ErrorCode::no_job);
}

TEST_P(BothWays, QueuesAreListedPausedPurgedAndDeleted) {
  const Client client = open();
  EXPECT_EQ(client.queue_get("q").error().code, ErrorCode::no_queue);
  ASSERT_TRUE(client.push("q", "t", "x"));
  ASSERT_TRUE(client.queue_pause("q"));
  EXPECT_TRUE(client.pull("q").value().empty());
  EXPECT_TRUE(client.queue_get("q").value().paused);
  ASSERT_TRUE(client.queue_resume("q"));
  EXPECT_EQ(client.queue_list().value().size(), 1u);
  EXPECT_EQ(client.jobs("q").value().jobs.size(), 1u);
  EXPECT_EQ(client.queue_purge("q").value(), 1u);
  ASSERT_TRUE(client.queue_delete("q"));
  EXPECT_TRUE(client.queue_list().value().empty());
}

TEST_P(BothWays, AUniqueKeyGivesTheSameJobTwice) {
  const Client client = open();
  const auto options = PushOptions().unique("order-1");
  const JobId first = client.push("q", "t", "x", options).value();
  EXPECT_EQ(client.push("q", "t", "x", options).value(), first);
  const auto reject = PushOptions().unique("order-1").on_conflict(OnConflict::reject);
  EXPECT_EQ(client.push("q", "t", "x", reject).error().code, ErrorCode::exists);
}

TEST_P(BothWays, ABackupOpensAsAnotherDirectory) {
  const Client client = open();
  const JobId id = client.push("q", "t", "x").value();
  const std::string copy = root_ + "/copy";
  const auto done = client.backup(copy);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_GT(done->bytes, 0u);
  const auto restored = Client::embedded(copy);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->job(id).value().payload, "x");
}

TEST_P(BothWays, InfoAndRawCalls) {
  const Client client = open();
  EXPECT_TRUE(client.ping());
  const auto info = client.info();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_FALSE(info->empty());
  EXPECT_EQ(*client.call({"ECHO", "hello"}).value().text(), "hello");
  EXPECT_EQ(client.call({"NOSUCH"}).error().code, ErrorCode::unknown);
}

TEST_F(Scratch, AClientSurvivesARestartOfItsServer) {
  auto server = std::make_unique<Server>(directory());
  const std::uint16_t port = server->port();
  const auto client = Client::connect(server->url(), ClientOptions().reconnect(5ms, 50ms));
  ASSERT_TRUE(client) << client.error().message;
  const JobId id = client->push("q", "t", "x").value();
  const Job job = client->pull("q", PullOptions().lease(10min)).value().at(0);
  server.reset();
  auto acked = std::async(std::launch::async, [&] { return client->ack(job, "done"); });
  server = std::make_unique<Server>(directory(), port);
  const Result<void> result = acked.get();
  EXPECT_TRUE(result) << result.error().message;
  EXPECT_EQ(client->job(id).value().result, "done");
}

asio::awaitable<void> abandon_a_pull(AsyncClient client, JobId& leased) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
  auto either =
      co_await (client.pull("q", PullOptions().wait(1h)) || timer.async_wait(asio::use_awaitable));
  EXPECT_EQ(either.index(), 1u);
  // The abandoned pull must not take this job.
  const Result<JobId> id = co_await client.push("q", "t", "x");
  const Result<std::vector<Job>> jobs = co_await client.pull("q", PullOptions().wait(10s));
  EXPECT_TRUE(jobs);
  if (!jobs || jobs->empty()) co_return;
  EXPECT_EQ(jobs->front().id, id.value());
  leased = jobs->front().id;
  client.close();
}

TEST_F(Embedded, ACancelledPullTakesNoJob) {
  asio::io_context io;
  auto client = AsyncClient::embedded(io.get_executor(), directory());
  ASSERT_TRUE(client) << client.error().message;
  JobId leased;
  auto done = asio::co_spawn(io, abandon_a_pull(*client, leased), asio::use_future);
  io.run();
  done.get();
  EXPECT_NE(leased, JobId());
}

}  // namespace
}  // namespace sluice
