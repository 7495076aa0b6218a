// The gateway over real sockets: first with a port that answers as told, then with the real engine.
#include "gateway/native/fake_port.h"
#include "gateway/native/gateway.h"
#include "gateway/native/test_client.h"
#include "gateway/test_server.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::native {
namespace {

using gateway::comes_true;
using std::chrono::seconds;

/// Answers each push with the next id, everything else with OK; leaves waiting pulls alone.
std::optional<model::Answer> obliging(const model::Command& command) {
  static std::uint64_t last_id = 0;
  if (std::holds_alternative<model::Push>(command)) return model::Pushed{model::JobId(++last_id)};
  if (const auto* pull = std::get_if<model::Pull>(&command); pull && pull->wait.count() > 0) {
    return std::nullopt;
  }
  if (std::holds_alternative<model::GetStats>(command)) return std::make_unique<model::Stats>();
  return model::Done{};
}

/// Length of the payload in a JOB's reply.
std::size_t text_bytes(const resp::Value& job) {
  const resp::Value* payload = job.find("payload");
  return payload == nullptr ? 0 : payload->text.size();
}

/// A gateway with a fake port, stopped in the end.
class World {
 public:
  explicit World(FakePort::Script script = obliging, GatewayOptions options = {})
      : port(std::move(script)), gateway(port, std::move(options)) {
    const Result<void> started = gateway.start("127.0.0.1", 0);
    EXPECT_TRUE(started) << started.error().message;
  }

  ~World() { gateway.stop(Duration(0)); }

  FakePort port;
  Gateway gateway;
};

TEST(NativeGateway, AnswersOverASocket) {
  World world;
  TestClient client(world.gateway.port());
  EXPECT_EQ(client.ask({"PING"}).text, "PONG");
  EXPECT_EQ(client.ask({"PUSH", "q", "t", "p"}).kind, resp::Kind::bulk);
  EXPECT_EQ(client.ask({"NONSENSE"}).text.substr(0, 3), "ERR");
  EXPECT_EQ(client.ask({"ACK", "1", "2"}).text, "OK");
  EXPECT_EQ(world.gateway.counters().connections.load(), 1u);
}

TEST(NativeGateway, SpreadsConnectionsOverItsThreads) {
  GatewayOptions options;
  options.io_threads = 3;
  World world(obliging, std::move(options));
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 9; ++i)
    clients.push_back(std::make_unique<TestClient>(world.gateway.port()));
  for (int round = 0; round < 20; ++round) {
    for (const auto& client : clients)
      client->send_command({"PUSH", "q", "t", "p"});
    for (const auto& client : clients)
      EXPECT_EQ(client->receive()->kind, resp::Kind::bulk);
  }
}

TEST(NativeGateway, AnswersAPipelineLongerThanItsLimitCompletely) {
  GatewayOptions options;
  options.outstanding_max = 100;
  World world(obliging, std::move(options));
  TestClient client(world.gateway.port());
  constexpr int count = 20'000;
  std::thread sender([&client] {
    Buffer bytes;
    for (int i = 0; i < count; ++i)
      resp::append_command(bytes, {"PUSH", "q", "t", "payload"});
    client.send(bytes.view());
  });
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(client.receive()->kind, resp::Kind::bulk) << i;
  sender.join();
}

TEST(NativeGateway, DoesNotReadBeyondTheLimitOfOutstandingRequests) {
  GatewayOptions options;
  options.outstanding_max = 4;
  World world([](const model::Command&) { return std::nullopt; }, std::move(options));
  TestClient client(world.gateway.port());
  for (int i = 0; i < 10; ++i)
    client.send_command({"PUSH", "q", "t", "p"});
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 4; }));
  for (std::uint64_t id = 1; id <= 10; ++id) {
    ASSERT_TRUE(
        comes_true([&] { return world.port.answer_oldest(model::Pushed{model::JobId(id)}); }));
    EXPECT_EQ(client.receive()->text, std::to_string(id));
    EXPECT_LE(world.port.waiting(), 4u);
  }
}

TEST(NativeGateway, ALargePayloadArrivesWholeAndATooLargeOneIsSkipped) {
  const std::string limit(16u << 20, 'x');
  std::size_t seen = 0;
  World world([&seen](const model::Command& command) -> std::optional<model::Answer> {
    seen = std::get<model::Push>(command).payload.size();
    return model::Pushed{model::JobId(1)};
  });
  TestClient client(world.gateway.port());
  EXPECT_EQ(client.ask({"PUSH", "q", "t", limit}).text, "1");
  EXPECT_EQ(seen, limit.size());
  EXPECT_EQ(client.ask({"PUSH", "q", "t", limit + "x"}).text,
            "TOOBIG payload: 16777217 bytes (limit 16777216)");
  EXPECT_EQ(client.ask({"PING"}).text, "PONG");
}

TEST(NativeGateway, TurnsAwayTooManyConnections) {
  GatewayOptions options;
  options.connections_max = 1;
  World world(obliging, std::move(options));
  TestClient first(world.gateway.port());
  EXPECT_EQ(first.ask({"PING"}).text, "PONG");
  TestClient second(world.gateway.port());
  EXPECT_EQ(second.receive()->text, "BUSY max connections reached: 1");
  EXPECT_FALSE(second.receive().has_value());
  EXPECT_EQ(world.gateway.counters().rejected_connections_total.load(), 1u);
  first.leave();
  ASSERT_TRUE(comes_true([&] { return world.gateway.counters().connections.load() == 0; }));
  TestClient third(world.gateway.port());
  EXPECT_EQ(third.ask({"PING"}).text, "PONG");
}

TEST(NativeGateway, AClientThatLeavesIsDetached) {
  World world;
  TestClient client(world.gateway.port());
  client.send_command({"PULL", "q", "WAIT", "1h"});
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 1; }));
  client.leave();
  // What remains is the gateway's own session.
  EXPECT_TRUE(comes_true([&] { return world.port.sessions() == 1; }));
}

TEST(NativeGateway, AClientThatWillSendNoMoreGetsItsReplies) {
  World world([](const model::Command&) { return std::nullopt; });
  TestClient client(world.gateway.port());
  client.send("PULL q WAIT 1h\r\nPUSH q t p\r\n");
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 2; }));
  client.finish();
  world.port.forget_oldest();  // The pull waits on.
  EXPECT_TRUE(world.port.answer_oldest(model::Pushed{model::JobId(5)}));
  EXPECT_TRUE(client.receive()->is_null());
  EXPECT_EQ(client.receive()->text, "5");
  EXPECT_FALSE(client.receive().has_value());
  EXPECT_TRUE(comes_true([&] { return world.port.sessions() == 1; }));
}

TEST(NativeGateway, LeasesForAClientThatLeftAreReleased) {
  World world;
  TestClient client(world.gateway.port());
  client.send_command({"PULL", "q", "WAIT", "1h"});
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 1; }));
  // The engine is about to answer when the client leaves.
  std::shared_ptr<engine::Session> session = world.port.last_session();
  client.leave();
  ASSERT_TRUE(comes_true([&] { return world.port.sessions() == 1; }));
  std::vector<engine::SessionReply> replies;
  replies.push_back({0, delivered(7, 9, "hi")});
  session->on_replies(std::move(replies));
  session.reset();
  ASSERT_TRUE(comes_true([&] { return !world.port.released().empty(); }));
  EXPECT_EQ(world.port.released()[0].id.value, 7u);
  EXPECT_EQ(world.port.released()[0].token.value, 9u);
}

/// Answers each request with a job of 256 KiB.
std::optional<model::Answer> generous(const model::Command&) {
  auto job = std::make_unique<model::JobInfo>();
  job->payload.assign(256u << 10, 'x');
  return job;
}

TEST(NativeGateway, ASlowClientIsClosed) {
  GatewayOptions options;
  options.output_bytes_max = 2u << 20;
  std::string event;
  options.on_event = [&event](const std::string& line) { event = line; };
  World world(generous, std::move(options));
  TestClient client(world.gateway.port());
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += "JOB 1\r\n";
  client.send(many);  // 25 MB of replies, and it reads none.
  const gateway::Counters& counters = world.gateway.counters();
  EXPECT_TRUE(comes_true([&] { return counters.slow_clients_closed_total.load() == 1; }));
  EXPECT_TRUE(comes_true([&] { return counters.connections.load() == 0; }));
  world.gateway.stop(Duration(0));
  EXPECT_EQ(event.substr(0, 24), "event=slow_client_closed");
}

TEST(NativeGateway, TheConnectionThatHoldsMostIsClosedWhenAllHoldTooMuch) {
  GatewayOptions options;
  options.buffers_bytes_max = 4u << 20;
  World world(obliging, std::move(options));
  const gateway::Counters& counters = world.gateway.counters();
  TestClient modest(world.gateway.port());
  TestClient greedy(world.gateway.port());
  const std::string begun = "*4\r\n$4\r\nPUSH\r\n$1\r\nq\r\n$1\r\nt\r\n";
  modest.send(begun + "$1500000\r\n" + std::string(1'000'000, 'x'));
  EXPECT_TRUE(comes_true([&] { return counters.buffered_bytes.load() >= 1'000'000; }));
  EXPECT_EQ(counters.greedy_clients_closed_total.load(), 0u);
  greedy.send(begun + "$8000000\r\n" + std::string(6'000'000, 'x'));
  EXPECT_TRUE(comes_true([&] { return counters.greedy_clients_closed_total.load() == 1; }));
  modest.send(std::string(500'000, 'x') + "\r\n");
  EXPECT_TRUE(modest.receive().has_value());
  // A connection at rest keeps a small buffer; what the two had sent is given back.
  constexpr std::uint64_t at_rest = 64u << 10;
  EXPECT_TRUE(comes_true([&] { return counters.buffered_bytes.load() <= at_rest; }));
  EXPECT_TRUE(comes_true([&] { return counters.connections.load() == 1; }));
}

TEST(NativeGateway, AClientThatReadsGetsMoreThanTheLimitOfUnsentBytes) {
  GatewayOptions options;
  options.output_bytes_max = 2u << 20;
  World world(generous, std::move(options));
  TestClient client(world.gateway.port());
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(text_bytes(client.ask({"JOB", "1"})), 256u << 10);
  }
}

TEST(NativeGateway, ASilentClientIsClosedASpeakingOneIsNot) {
  GatewayOptions options;
  options.silence_max = seconds(1);
  World world(obliging, std::move(options));
  TestClient speaking(world.gateway.port());
  EXPECT_EQ(speaking.ask({"PING"}).text, "PONG");
  TestClient silent(world.gateway.port());
  silent.send("*1\r\n$4\r\nPI");
  EXPECT_FALSE(silent.receive().has_value());
  EXPECT_EQ(world.gateway.counters().silent_clients_closed_total.load(), 1u);
  EXPECT_EQ(speaking.ask({"PING"}).text, "PONG");
}

TEST(NativeGateway, BackupRunsBesideOtherRequests) {
  World world;
  TestClient client(world.gateway.port());
  const resp::Value done = client.ask({"BACKUP", "/new"});
  ASSERT_NE(done.find("bytes"), nullptr);
  EXPECT_EQ(done.find("bytes")->integer, 4096);
  EXPECT_EQ(client.ask({"BACKUP", "/exists"}).text, "ARG /exists exists");
}

TEST(NativeGateway, QuitAndLostFramingClose) {
  World world;
  TestClient quitter(world.gateway.port());
  EXPECT_EQ(quitter.ask({"QUIT"}).text, "OK");
  EXPECT_FALSE(quitter.receive().has_value());
  TestClient liar(world.gateway.port());
  liar.send("*1\r\n$4\r\nPINGxx\r\n");
  EXPECT_EQ(liar.receive()->text, "ERR Protocol error: an argument is not as long as said");
  EXPECT_FALSE(liar.receive().has_value());
}

TEST(NativeGateway, StopAnswersWhatWaitsWithNil) {
  World world;
  TestClient waiting(world.gateway.port());
  waiting.send_command({"PULL", "q", "WAIT", "1h"});
  TestClient resting(world.gateway.port());
  EXPECT_EQ(resting.ask({"PING"}).text, "PONG");
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 1; }));
  world.gateway.stop(seconds(20));
  const std::optional<resp::Value> reply = waiting.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->is_null());
  EXPECT_FALSE(waiting.receive().has_value());
  EXPECT_FALSE(resting.receive().has_value());
  EXPECT_EQ(world.port.sessions(), 0u);
}

TEST(NativeGateway, StopWaitsForRepliesUpToItsGrace) {
  World world([](const model::Command&) { return std::nullopt; });
  TestClient client(world.gateway.port());
  client.send_command({"PUSH", "q", "t", "p"});
  ASSERT_TRUE(comes_true([&] { return world.port.waiting() == 1; }));
  std::thread stopper([&] { world.gateway.stop(seconds(20)); });
  EXPECT_TRUE(comes_true([&] { return world.port.answer_oldest(model::Pushed{model::JobId(5)}); }));
  EXPECT_EQ(client.receive()->text, "5");
  stopper.join();

  World hasty([](const model::Command&) { return std::nullopt; });
  TestClient cut_off(hasty.gateway.port());
  cut_off.send_command({"PUSH", "q", "t", "p"});
  ASSERT_TRUE(comes_true([&] { return hasty.port.waiting() == 1; }));
  hasty.gateway.stop(Duration(10));
  EXPECT_FALSE(cut_off.receive().has_value());
}

TEST(NativeGateway, AnAddressInUseIsSaid) {
  World world;
  FakePort port;
  Gateway second(port, {});
  const Result<void> started = second.start("127.0.0.1", world.gateway.port());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::io);
  EXPECT_NE(started.error().message.find("Address already in use"), std::string::npos);
  Gateway third(port, {});
  EXPECT_FALSE(third.start("no.such.host.invalid", 1));
}

// ---- With the real engine

using Server = gateway::TestServer<Gateway, GatewayOptions>;

std::string text_of(const resp::Value& map, ByteView key) {
  const resp::Value* found = map.find(key);
  EXPECT_NE(found, nullptr) << key;
  if (found == nullptr) return {};
  return found->kind == resp::Kind::integer ? std::to_string(found->integer) : found->text;
}

TEST(NativeServer, AJobsLife) {
  Server server;
  TestClient client(server.port());
  const std::string id =
      client.ask({"PUSH", "mail", "welcome", "{}", "HEADER", "trace", "abc", "PRIORITY", "3"}).text;
  const resp::Value pulled = client.ask({"PULL", "mail", "AS", "w1"});
  ASSERT_EQ(pulled.items.size(), 1u);
  const resp::Value& job = pulled.items[0];
  EXPECT_EQ(text_of(job, "id"), id);
  EXPECT_EQ(text_of(job, "type"), "welcome");
  EXPECT_EQ(text_of(job, "attempt"), "1");
  EXPECT_EQ(text_of(*job.find("headers"), "trace"), "abc");
  const std::string token = text_of(job, "token");
  EXPECT_EQ(client.ask({"EXTEND", id, token, "1m"}).kind, resp::Kind::integer);
  EXPECT_EQ(client.ask({"PROGRESS", id, token, "50", "half"}).text, "OK");
  EXPECT_EQ(client.ask({"ACK", id, "1"}).text.substr(0, 6), "STALE ");
  EXPECT_EQ(client.ask({"ACK", id, token, "RESULT", "sent"}).text, "OK");
  const resp::Value shown = client.ask({"AWAIT", id, "1s"});
  EXPECT_EQ(text_of(shown, "state"), "succeeded");
  EXPECT_EQ(text_of(shown, "result"), "sent");
  EXPECT_EQ(text_of(shown, "worker"), "w1");
  const resp::Value queue = client.ask({"QUEUE", "GET", "mail"});
  EXPECT_EQ(text_of(queue, "succeeded"), "1");
  EXPECT_TRUE(client.ask({"PULL", "mail"}).is_null());
  EXPECT_NE(client.ask({"INFO"}).text.find("succeeded:1\r\n"), std::string::npos);
  EXPECT_EQ(client.ask({"JOB", "424242"}).text.substr(0, 6), "NOJOB ");
}

TEST(NativeServer, AWaitingPullIsServedByALaterPushAndItsReplyKeepsItsPlace) {
  Server server;
  TestClient worker(server.port());
  worker.send_command({"PULL", "q", "WAIT", "1h"});
  worker.send_command({"QUEUE", "GET", "q"});
  TestClient producer(server.port());
  // The QUEUE GET above was executed though its reply waits: the pull is known to wait.
  ASSERT_TRUE(comes_true([&] {
    const resp::Value queue = producer.ask({"QUEUE", "GET", "q"});
    return !queue.is_error() && text_of(queue, "waiting_pulls") == "1";
  }));
  const std::string id = producer.ask({"PUSH", "q", "t", "p"}).text;
  const std::optional<resp::Value> pulled = worker.receive();
  ASSERT_TRUE(pulled.has_value());
  EXPECT_EQ(text_of(pulled->items.at(0), "id"), id);
  EXPECT_EQ(text_of(*worker.receive(), "name"), "q");
}

TEST(NativeServer, AJobForAWorkerThatLeftGoesToTheNext) {
  Server server;
  TestClient producer(server.port());
  TestClient gone(server.port());
  gone.send_command({"PULL", "q", "WAIT", "1h"});
  const auto waiting = [&] {
    const resp::Value queue = producer.ask({"QUEUE", "GET", "q"});
    return queue.is_error() ? std::string() : text_of(queue, "waiting_pulls");
  };
  ASSERT_TRUE(comes_true([&] { return waiting() == "1"; }));
  gone.leave();
  ASSERT_TRUE(comes_true([&] { return waiting() == "0"; }));
  producer.ask({"PUSH", "q", "t", "p"});
  EXPECT_EQ(producer.ask({"PULL", "q", "WAIT", "10s"}).items.size(), 1u);
}

TEST(NativeServer, ManyJobsThroughOnePipeline) {
  Server server;
  TestClient client(server.port());
  constexpr int count = 5'000;
  std::thread sender([&client] {
    Buffer bytes;
    for (int i = 0; i < count; ++i)
      resp::append_command(bytes, {"PUSH", "q", "t", std::to_string(i)});
    client.send(bytes.view());
  });
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(client.receive()->kind, resp::Kind::bulk);
  sender.join();
  int seen = 0;
  while (seen < count) {
    const resp::Value pulled = client.ask({"PULL", "q", "COUNT", "1000"});
    ASSERT_FALSE(pulled.items.empty());
    for (const resp::Value& job : pulled.items) {
      EXPECT_EQ(text_of(job, "payload"), std::to_string(seen++));
      client.send_command({"ACK", text_of(job, "id"), text_of(job, "token")});
    }
    for (std::size_t i = 0; i < pulled.items.size(); ++i)
      ASSERT_EQ(client.receive()->text, "OK");
  }
}

}  // namespace
}  // namespace sluice::native
