// Tests of Client and AsyncClient against a scripted server: pipelining, breaks, deadlines, limits.

#include "client/scripted_server.h"

#include <sluice/async_client.h>
#include <sluice/client.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/describe/class.hpp>

#include <future>
#include <set>
#include <thread>

#include <gtest/gtest.h>

namespace sluice {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using client::ScriptedConnection;
using client::ScriptedServer;

struct SendMail {
  std::string to;
  int copies = 1;

  SendMail() = default;

  explicit SendMail(std::string whom) : to(std::move(whom)) {}
};
BOOST_DESCRIBE_STRUCT(SendMail, (), (to, copies))

namespace {

/// Runs the server's side beside the test's.
template <class Script>
std::future<void> play(Script script) {
  return std::async(std::launch::async, std::move(script));
}

template <class T>
T awaited(asio::io_context& io, asio::awaitable<T> work) {
  auto result = asio::co_spawn(io, std::move(work), asio::use_future);
  io.run();
  io.restart();
  return result.get();
}

TEST(Client, PushesATypedJobAndReadsItsId) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_client();
    EXPECT_EQ(connection.command(),
              R"(PUSH mail SendMail {"to":"ada@example.org","copies":1} DELAY 30000)");
    connection.send("$2\r\n17\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client) << client.error().message;
  const Result<JobId> id =
      client->push("mail", SendMail("ada@example.org"), PushOptions().delay(30s));
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(id->text(), "17");
  script.get();
}

TEST(Client, TurnsErrorRepliesIntoErrorsOfTheCatalogue) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_client();
    connection.command();
    connection.send("-NOJOB there is no job 5\r\n");
    connection.command();
    connection.send("-WHATEVER new in version 9\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  const Result<JobInfo> unknown = client->job(JobId(5));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_job);
  EXPECT_EQ(unknown.error().message, "there is no job 5");
  const Result<JobInfo> other = client->job(JobId(5));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::unknown);
  EXPECT_EQ(other.error().message, "WHATEVER new in version 9");
  script.get();
}

TEST(Client, PipelinesTheCallsOfManyThreadsOverOneConnection) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_client();
    std::vector<std::string> commands;
    for (int i = 0; i < 8; ++i)
      commands.push_back(connection.command());  // None answered yet.
    for (const std::string& command : commands) {
      connection.send("$" + std::to_string(command.size()) + "\r\n" + command + "\r\n");
    }
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const std::string word = std::to_string(i);
      const Result<Value> echoed = client->call({"ECHO", word});
      ASSERT_TRUE(echoed) << echoed.error().message;
      EXPECT_EQ(*echoed->text(), "ECHO " + word);
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  script.get();
}

TEST(Client, AWaitingCallHasAConnectionOfItsOwnAndDelaysNobody) {
  ScriptedServer server;
  auto script = play([&] {
    auto shared = server.accept_client();
    auto waiting = server.accept();
    EXPECT_EQ(waiting.command(), "AWAIT 7 5000");
    EXPECT_EQ(shared.command(), "JOB 8");
    shared.send("%1\r\n+id\r\n+8\r\n");
    waiting.send("%2\r\n+id\r\n+7\r\n+state\r\n+succeeded\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  auto awaited_job = std::async(std::launch::async, [&] { return client->await(JobId(7), 5s); });
  const Result<JobInfo> job = client->job(JobId(8));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id, JobId(8));
  const Result<JobInfo> ended = awaited_job.get();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->state, JobState::succeeded);
  script.get();
}

TEST(Client, SaysWhoIsNotThereAndWhatToTry) {
  std::string url;
  {
    const ScriptedServer gone;
    url = gone.url();
  }
  const auto client = Client::connect(url, ClientOptions().connect_timeout(150ms));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::closed);
  EXPECT_EQ(client.error().message,
            "cannot connect to " + url.substr(9) +
                ": Connection refused; is `sluice serve` running there?");
}

TEST(Client, ReportsARefusedLoginAtOnce) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_silent();
    EXPECT_EQ(connection.command(), "HELLO 3 AUTH ada secret SETNAME shop");
    connection.send("-WRONGPASS no such user or wrong password\r\n");
  });
  const std::string url = "sluice://ada:secret@127.0.0.1:" + std::to_string(server.port());
  const auto client = Client::connect(url, ClientOptions().name("shop"));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::no_auth);
  script.get();
}

TEST(Client, SaysWhenThePeerIsNoSluiceServer) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_silent();
    connection.command();
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  const auto client = Client::connect(server.url());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::protocol);
  script.get();
}

TEST(Client, RepeatsReadsAcksAndUniquePushesWhenTheConnectionBreaks) {
  ScriptedServer server;
  auto script = play([&] {
    {
      auto first = server.accept_client();
      std::set<std::string> sent;
      for (int i = 0; i < 3; ++i)
        sent.insert(first.command());
      EXPECT_EQ(sent.size(), 3u);
    }  // Breaks with three calls in flight.
    auto second = server.accept();
    for (int i = 0; i < 3; ++i) {
      const std::string command = second.command();
      if (command.starts_with("PUSH")) second.send("$1\r\n9\r\n");
      if (command.starts_with("JOB")) second.send("%1\r\n+id\r\n+8\r\n");
      if (command.starts_with("ACK")) second.send("+OK\r\n");
    }
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  auto pushed = std::async(std::launch::async, [&] {
    return client->push("mail", "welcome", "x", PushOptions().unique("u:1"));
  });
  auto acked =
      std::async(std::launch::async, [&] { return client->ack(Lease(JobId(3), LeaseToken(4))); });
  auto read = std::async(std::launch::async, [&] { return client->job(JobId(8)); });
  EXPECT_EQ(pushed.get().value(), JobId(9));
  EXPECT_TRUE(acked.get());
  EXPECT_EQ(read.get().value().id, JobId(8));
  script.get();
}

TEST(Client, ReportsAPushWithoutAKeyAsUnknownWhenTheConnectionBreaks) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_client();
    connection.command();
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  const Result<JobId> id = client->push("mail", "welcome", "x");
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, ErrorCode::closed);
  EXPECT_NE(id.error().message.find("whether PUSH happened is unknown"), std::string::npos)
      << id.error().message;
  script.get();
}

TEST(Client, SendsWhatWasCalledWhileTheServerWasAway) {
  auto server = std::make_unique<ScriptedServer>();
  const std::uint16_t port = server->port();
  auto script = play([&] { server->accept_client(); });
  auto client = Client::connect(server->url(), ClientOptions().reconnect(5ms, 20ms));
  ASSERT_TRUE(client);
  script.get();
  server.reset();  // Nobody listens.
  auto pushed = std::async(std::launch::async, [&] { return client->push("mail", "t", "x"); });
  ScriptedServer restarted(port);
  auto connection = restarted.accept();
  EXPECT_EQ(connection.command(), "PUSH mail t x");
  connection.send("$1\r\n5\r\n");
  EXPECT_EQ(pushed.get().value(), JobId(5));
}

TEST(Client, EndsACallAtItsDeadlineAndDropsItsLateReply) {
  ScriptedServer server;
  std::promise<void> is_late;
  auto script = play([&] {
    auto connection = server.accept_client();
    connection.command();
    is_late.get_future().get();
    connection.send("$4\r\nlate\r\n");
    connection.command();
    connection.send("$5\r\nright\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  const Result<Value> late = client->with_timeout(50ms).call({"ECHO", "late"});
  is_late.set_value();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::timed_out);
  EXPECT_EQ(late.error().message, "no reply to ECHO in time; whether ECHO happened is unknown");
  const Result<Value> right = client->call({"ECHO", "right"});
  ASSERT_TRUE(right);
  EXPECT_EQ(*right->text(), "right");
  script.get();
}

/// The client's next connection, and what it is for.
void answer_two(ScriptedServer& server) {
  auto next = server.accept();
  EXPECT_EQ(next.command(), "ECHO two");
  next.send("$3\r\ntwo\r\n");
}

void ask_two(const Client& client) {
  const Result<Value> two = client.with_timeout(20s).call({"ECHO", "two"});
  ASSERT_TRUE(two) << two.error().message;
}

TEST(Client, MakesANewConnectionWhenTheOldOneIsSilent) {
  ScriptedServer server;
  auto script = play([&] {
    auto silent = server.accept_client();
    silent.command();
    answer_two(server);
  });
  // Long enough for the script's thread to be there for the handshakes on a busy machine.
  auto client = Client::connect(server.url(), ClientOptions().timeout(2s));
  ASSERT_TRUE(client);
  EXPECT_FALSE(client->call({"ECHO", "one"}));
  ask_two(*client);
  script.get();
}

TEST(Client, LooksAgainWhetherAServerIsSilentThatWasLate) {
  ScriptedServer server;
  std::promise<void> is_left;
  auto script = play([&] {
    auto silent = server.accept_client();
    EXPECT_EQ(silent.command(), "ECHO one");
    EXPECT_EQ(silent.command(), "");  // Nobody asks for anything more, and yet it is left.
    is_left.set_value();
    answer_two(server);
  });
  auto client = Client::connect(server.url(), ClientOptions().timeout(2s));
  ASSERT_TRUE(client);
  EXPECT_FALSE(client->with_timeout(50ms).call({"ECHO", "one"}));
  is_left.get_future().get();
  ask_two(*client);
  script.get();
}

TEST(Client, GivesBackTheJobsOfAPullThatNobodyWaitsForAnyMore) {
  ScriptedServer server;
  std::promise<void> is_late;
  auto script = play([&] {
    auto connection = server.accept_client();
    EXPECT_EQ(connection.command(), "PULL mail COUNT 1");
    is_late.get_future().get();
    connection.send("*1\r\n%2\r\n+id\r\n+3\r\n+token\r\n+4\r\n");
    EXPECT_EQ(connection.command(), "RELEASE 3 4");
    connection.send("+OK\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  const auto jobs = client->with_timeout(50ms).pull("mail");
  EXPECT_FALSE(jobs);
  is_late.set_value();
  script.get();
}

TEST(Client, RefusesCallsBeyondItsLimits) {
  ScriptedServer server;
  std::promise<void> is_pushing;
  std::promise<void> is_pulling;
  std::promise<void> is_refused;
  auto script = play([&] {
    auto connection = server.accept_client();
    connection.command();
    is_pushing.set_value();
    auto waiting = server.accept();
    waiting.command();
    is_pulling.set_value();
    is_refused.get_future().get();
    connection.send("$1\r\n1\r\n");
    waiting.send("_\r\n");
  });
  auto client =
      Client::connect(server.url(), ClientOptions().outstanding_bytes_max(200).waiting_max(1));
  ASSERT_TRUE(client);
  const std::string payload(300, 'x');
  auto pushed = std::async(std::launch::async, [&] { return client->push("q", "t", payload); });
  is_pushing.get_future().get();
  const Result<JobId> second = client->push("q", "t", payload);
  auto pulled =
      std::async(std::launch::async, [&] { return client->pull("q", PullOptions().wait(5s)); });
  is_pulling.get_future().get();
  const auto other = client->pull("q", PullOptions().wait(5s));
  is_refused.set_value();
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_EQ(second.error().message,
            "PUSH was not sent: only 200 bytes may wait for their answers; raise "
            "outstanding_bytes_max, or let some end first");
  EXPECT_EQ(other.error().code, ErrorCode::busy);
  EXPECT_EQ(
      other.error().message,
      "PULL was not sent: only 1 calls may wait at the server; raise waiting_max, or let some "
      "end first");
  EXPECT_TRUE(pushed.get());
  EXPECT_TRUE(pulled.get().value().empty());
  script.get();
}

TEST(Client, PushManyAnswersForEachItemAndKeepsWhatWasAnsweredBeforeABreak) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept_client();
    for (int i = 0; i < 3; ++i)
      connection.command();
    connection.send("$1\r\n1\r\n-BUSY queue \"mail\" is full\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  std::vector<PushItem> items;
  for (int i = 0; i < 3; ++i)
    items.emplace_back("mail", Payload("t", "x"));
  const auto ids = client->push_many(items);
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[0].value(), JobId(1));
  EXPECT_EQ(ids[1].error().code, ErrorCode::busy);
  EXPECT_EQ(ids[2].error().code, ErrorCode::closed);
  script.get();
}

TEST(Client, RepeatsOnlyTheUnansweredRestOfManyAcks) {
  ScriptedServer server;
  auto script = play([&] {
    {
      auto first = server.accept_client();
      for (int i = 0; i < 3; ++i)
        first.command();
      first.send("+OK\r\n");
    }
    auto second = server.accept();
    EXPECT_EQ(second.command(), "ACK 2 20");
    EXPECT_EQ(second.command(), "ACK 3 30 RESULT r");
    second.send("+OK\r\n-STALE the lease is over\r\n");
  });
  auto client = Client::connect(server.url());
  ASSERT_TRUE(client);
  std::vector<AckItem> items;
  items.emplace_back(Lease(JobId(1), LeaseToken(10)));
  items.emplace_back(Lease(JobId(2), LeaseToken(20)));
  items.emplace_back(Lease(JobId(3), LeaseToken(30)), "r");
  const auto results = client->ack_many(items);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_TRUE(results[0]);
  EXPECT_TRUE(results[1]);
  EXPECT_EQ(results[2].error().message,
            "the lease is over (said again after the connection broke; the first time may have "
            "counted)");
  script.get();
}

TEST(Client, ClosesWhenItsLastHandleGoes) {
  ScriptedServer server;
  std::promise<void> is_closed;
  auto script = play([&] {
    auto connection = server.accept_client();
    EXPECT_EQ(connection.command(), "");
    is_closed.set_value();
  });
  {
    auto client = Client::connect(server.url());
    ASSERT_TRUE(client);
    const Client copy = *client;  // NOLINT(performance-unnecessary-copy-initialization)
  }
  is_closed.get_future().get();
  script.get();
}

asio::awaitable<void> push_naturally(AsyncClient client) {
  const Result<JobId> id = co_await client.push(
      "mail",
      SendMail("ada@example.org"),
      PushOptions().delay(30s).unique("a key that is not short").header("k", "v"));
  EXPECT_EQ(id.value(), JobId(17));
  const SendMail mail("bob@example.org");
  EXPECT_EQ((co_await client.push("mail", mail)).value(), JobId(18));
}

TEST(AsyncClient, TakesTemporariesInACoAwaitExpression) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept();
    EXPECT_EQ(connection.command(),
              R"(PUSH mail SendMail {"to":"ada@example.org","copies":1} DELAY 30000 )"
              "HEADER k v UNIQUE a key that is not short");
    connection.send("$2\r\n17\r\n");
    connection.command();
    connection.send("$2\r\n18\r\n");
  });
  asio::io_context io;
  const auto client = AsyncClient::connect(io.get_executor(), server.url());
  ASSERT_TRUE(client);
  auto done = asio::co_spawn(io, push_naturally(*client), asio::use_future);
  std::thread closer([&] {
    done.wait();
    asio::post(io, [copy = *client]() mutable { copy.close(); });
  });
  io.run();
  closer.join();
  done.get();
  script.get();
}

asio::awaitable<bool> cancel_a_pull(AsyncClient client) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor, 50ms);
  auto either = co_await (client.pull("mail", PullOptions().wait(1h)) ||
                          timer.async_wait(asio::use_awaitable));
  client.close();
  co_return either.index() == 1;
}

TEST(AsyncClient, CancellingAWaitingPullClosesItsConnection) {
  ScriptedServer server;
  auto script = play([&] {
    auto connection = server.accept();
    EXPECT_EQ(connection.command(), "PULL mail COUNT 1 WAIT 3600000");
    EXPECT_EQ(connection.command(), "");
  });
  asio::io_context io;
  const auto client = AsyncClient::connect(io.get_executor(), server.url());
  ASSERT_TRUE(client);
  EXPECT_TRUE(awaited(io, cancel_a_pull(*client)));
  script.get();
}

asio::awaitable<ErrorCode> call_closed(AsyncClient client) {
  client.close();
  const Result<void> answered = co_await client.ping();
  co_return answered.error().code;
}

TEST(AsyncClient, RefusesCallsAfterClose) {
  asio::io_context io;
  const auto client = AsyncClient::connect(io.get_executor(), "sluice://127.0.0.1:1");
  ASSERT_TRUE(client);
  EXPECT_EQ(awaited(io, call_closed(*client)), ErrorCode::closed);
}

}  // namespace
}  // namespace sluice
