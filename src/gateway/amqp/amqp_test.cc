// The AMQP gateway over real sockets on the real engine: what connections have to do with each
// other, and how they end. What clients see of each method is tested in tests/amqp.
#include "gateway/amqp/gateway.h"
#include "gateway/amqp/test_client.h"
#include "gateway/test_server.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

using gateway::comes_true;
using Server = gateway::TestServer<Gateway, GatewayOptions>;

GatewayOptions two_threads() {
  GatewayOptions options;
  options.io_threads = 2;
  return options;
}

/// What the server says when it ends the connection.
std::uint16_t close_code(TestClient& client) {
  while (const std::optional<Received> frame = client.receive()) {
    if (frame->is<ConnectionClose>()) return frame->arguments().number<std::uint16_t>();
  }
  return 0;
}

TEST(AmqpGateway, AMessageFromPublisherToConsumer) {
  Server server;
  TestClient client(server.port());
  client.open();
  client.declare("mail");
  client.ask<ConfirmSelectOk>(1, ConfirmSelect{});
  client.publish("mail", std::string(300'000, 'x'));  // Three frames.
  client.await_confirms(1);
  client.consume("mail", 10);
  const std::optional<Message> message = client.next_message();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, std::string(300'000, 'x'));
  EXPECT_FALSE(message->is_redelivered);
  client.ack(message->tag);
  client.ask<ConnectionCloseOk>(0, ConnectionClose{});
  EXPECT_FALSE(client.receive());
}

TEST(AmqpGateway, ManyPublishersAndConsumersAtOnceLoseAndDoubleNothing) {
  constexpr int clients = 4;
  constexpr int messages = 500;
  Server server(two_threads());
  {
    TestClient first(server.port());
    first.open();
    first.declare("work");
  }
  std::atomic<int> taken{0};
  std::vector<std::set<std::string>> seen(clients);
  std::vector<std::thread> threads;
  for (int number = 0; number < clients; ++number) {
    threads.emplace_back([&server, number] {
      TestClient client(server.port());
      client.open();
      client.ask<ConfirmSelectOk>(1, ConfirmSelect{});
      for (int each = 0; each < messages; ++each)
        client.publish("work", std::to_string(number) + "-" + std::to_string(each));
      client.await_confirms(messages);
    });
    threads.emplace_back([&, number] {
      TestClient client(server.port());
      client.open();
      client.consume("work", 20);
      while (taken.load() < clients * messages) {
        const std::optional<Message> message = client.next_message();
        if (!message) break;  // Cancelled: all is done.
        seen[static_cast<std::size_t>(number)].insert(message->body);
        client.ack(message->tag);
        if (++taken == clients * messages) {
          TestClient other(server.port());
          other.open();
          QueueDelete remove;
          remove.queue.bytes = "work";
          other.ask<QueueDeleteOk>(1, remove);
        }
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  std::set<std::string> all;
  std::size_t deliveries = 0;
  for (const std::set<std::string>& each : seen) {
    deliveries += each.size();
    all.insert(each.begin(), each.end());
  }
  EXPECT_EQ(deliveries, static_cast<std::size_t>(clients * messages));
  EXPECT_EQ(all.size(), static_cast<std::size_t>(clients * messages));
}

TEST(AmqpGateway, WhatAConsumerHadWhenItLeftGoesToTheNext) {
  Server server(two_threads());
  TestClient publisher(server.port());
  publisher.open();
  publisher.declare("mail");
  publisher.ask<ConfirmSelectOk>(1, ConfirmSelect{});
  publisher.publish("mail", "one");
  publisher.await_confirms(1);
  {
    TestClient first(server.port());
    first.open();
    first.consume("mail", 10);
    ASSERT_TRUE(first.next_message());
  }
  TestClient second(server.port());
  second.open();
  second.consume("mail", 10);
  const std::optional<Message> again = second.next_message();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->body, "one");
  EXPECT_TRUE(again->is_redelivered);
}

TEST(AmqpGateway, WhatWasOnItsWayToAClientThatLeftIsNotLost) {
  Server server(two_threads());
  TestClient publisher(server.port());
  publisher.open();
  publisher.declare("mail");
  publisher.ask<ConfirmSelectOk>(1, ConfirmSelect{});
  std::uint64_t published = 0;
  for (int round = 0; round < 20; ++round) {
    TestClient leaving(server.port());
    leaving.open();
    leaving.consume("mail", 100);
    for (int each = 0; each < 10; ++each)
      publisher.publish("mail", std::to_string(published++));
    leaving.leave();
    publisher.await_confirms(published);
  }
  TestClient last(server.port());
  last.open();
  last.consume("mail", 0);
  std::set<std::string> bodies;
  while (bodies.size() < published) {
    const std::optional<Message> message = last.next_message();
    ASSERT_TRUE(message) << bodies.size();
    bodies.insert(message->body);
  }
}

TEST(AmqpGateway, ExclusiveQueuesAreTheirConnectionsAloneAndEndWithIt) {
  Server server(two_threads());
  TestClient other(server.port());
  other.open();
  {
    TestClient owner(server.port());
    owner.open();
    QueueDeclare declare;
    declare.queue.bytes = "own";
    declare.exclusive = true;
    owner.ask<QueueDeclareOk>(1, declare);
    QueueDeclare passive;
    passive.queue.bytes = "own";
    passive.passive = true;
    const Received refused = other.ask<ChannelClose>(1, passive);
    EXPECT_EQ(refused.arguments().number<std::uint16_t>(), 405);
    other.send_method(1, ChannelCloseOk{});
  }
  EXPECT_TRUE(comes_true([&] {
    other.ask<ChannelOpenOk>(1, ChannelOpen{});
    QueueDeclare passive;
    passive.queue.bytes = "own";
    passive.passive = true;
    const Received refused = other.ask<ChannelClose>(1, passive);
    other.send_method(1, ChannelCloseOk{});
    return refused.arguments().number<std::uint16_t>() == 404;
  }));
}

TEST(AmqpGateway, ASingleActiveConsumerIsFollowedByTheNextOneOfAnotherThread) {
  Server server(two_threads());
  Buffer arguments;
  TableWriter table(arguments);
  table.name("x-single-active-consumer").boolean(true);
  table.finish();
  TestClient first(server.port());
  first.open();
  first.declare("sac", Table{arguments.view().substr(sizeof(std::uint32_t))});
  first.consume("sac", 1);
  TestClient second(server.port());
  second.open();
  second.consume("sac", 1);
  TestClient publisher(server.port());
  publisher.open();
  publisher.publish("sac", "a");
  publisher.publish("sac", "b");
  ASSERT_TRUE(first.next_message());
  first.leave();
  const std::optional<Message> again = second.next_message();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->body, "a");
}

TEST(AmqpGateway, AsksForUsersOnAThreadOfItsOwn) {
  GatewayOptions options = two_threads();
  options.connection.login = [](const std::string& user, const std::string& password) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const bool is_ada = user == "ada" && password == "engine";
    return is_ada ? std::vector<std::string>{"/"} : std::vector<std::string>();
  };
  Server server(std::move(options));
  std::vector<std::thread> threads;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back([&server, number] {
      TestClient client(server.port());
      const bool is_ada = number % 2 == 0;
      EXPECT_EQ(client.log_in(is_ada ? "ada" : "eve", "engine"), is_ada);
      if (number == 2) client.leave();
    });
  }
  // One that leaves while it is being asked for.
  threads.emplace_back([&server] {
    TestClient hasty(server.port());
    hasty.send(protocol_header);
    hasty.expect<ConnectionStart>();
    ConnectionStartOk start;
    start.mechanism.bytes = "PLAIN";
    start.response.bytes = ByteView("\0ada\0engine", 11);
    hasty.send_method(0, start);
  });
  for (std::thread& thread : threads)
    thread.join();
}

/// A message as Celery sends a task.
void publish_task(TestClient& client, const std::string& id, ByteView reply_to) {
  Buffer headers;
  TableWriter table(headers);
  table.name("task").text("shop.send_mail");
  table.name("id").text(id);
  table.finish();
  Properties properties;
  properties.delivery_mode = std::uint8_t{2};
  properties.headers = Table{headers.view().substr(sizeof(std::uint32_t))};
  properties.reply_to = ShortString{reply_to};
  properties.correlation_id = ShortString{id};
  client.publish("celery", "[]", properties);
}

TEST(AmqpGateway, CancelsRevokedTasksWhereverTheyAreInTheirQueue) {
  constexpr int tasks = 250;  // More than two pages.
  Server server(two_threads());
  TestClient client(server.port());
  client.open();
  client.declare("celery");
  client.declare("results");
  ExchangeDeclare control;
  control.exchange.bytes = "celery.pidbox";
  control.type.bytes = "fanout";
  client.ask<ExchangeDeclareOk>(1, control);
  client.ask<ConfirmSelectOk>(1, ConfirmSelect{});
  for (int number = 0; number < tasks; ++number)
    publish_task(client, "task-" + std::to_string(number), "results");
  client.await_confirms(tasks);
  client.publish(
      "",
      R"({"method": "revoke", "arguments": {"task_id": ["task-0", "task-123", "task-249"]}})",
      {},
      "celery.pidbox");
  client.await_confirms(tasks + 1);
  std::set<std::string> told;
  client.consume("results", 0);
  while (told.size() < 3) {
    const std::optional<Message> result = client.next_message();
    ASSERT_TRUE(result);
    EXPECT_NE(result->body.find(R"("status":"REVOKED")"), std::string::npos) << result->body;
    told.insert(std::string(decode_properties(result->properties)->correlation_id->bytes));
  }
  EXPECT_EQ(told, (std::set<std::string>{"task-0", "task-123", "task-249"}));
  TestClient other(server.port());
  other.open();
  const std::optional<Message> next = other.get("celery");
  ASSERT_TRUE(next);
  const Parsed<Properties> properties = decode_properties(next->properties);
  EXPECT_EQ(properties->correlation_id->bytes, "task-1");
}

TEST(AmqpGateway, SaysGoodbyeWhenTheServerStops) {
  Server server(two_threads());
  TestClient resting(server.port());
  resting.open();
  TestClient consuming(server.port());
  consuming.open();
  consuming.declare("mail");
  consuming.consume("mail", 10);
  std::thread stopper([&server] { server.stop(); });
  EXPECT_EQ(close_code(resting), 320);
  EXPECT_EQ(close_code(consuming), 320);
  stopper.join();
}

TEST(AmqpGateway, AChannelMayEndWhileAMessageIsHalfReceived) {
  Server server;
  TestClient client(server.port());
  client.open();
  Buffer bytes;
  for (const ByteView exchange : {"missing", ""}) {
    append_method(bytes, 1, BasicPublish{.exchange = {exchange}, .routing_key = {"mail"}});
    append_content(bytes, 1, {.properties = ByteView("\0\0", 2), .body = "hello"}, frame_max_min);
  }
  const ByteView body_frame = bytes.view().substr(bytes.size() - frame_overhead_bytes - 5);
  client.send(bytes.view().substr(0, bytes.size() - body_frame.size()));
  EXPECT_EQ(client.expect<ChannelClose>().arguments().number<std::uint16_t>(), 404);
  client.send(body_frame);  // Of a message that is no longer wanted.
  client.ask<ChannelOpenOk>(2, ChannelOpen{});
  client.send_method(1, ChannelCloseOk{});
  client.ask<ChannelOpenOk>(1, ChannelOpen{});
  client.declare("mail");
  client.publish("mail", "again");
  const std::optional<Message> message = client.get("mail");
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, "again");
}

TEST(AmqpGateway, CutsOffBrokenFramesWithAReason) {
  Server server;
  TestClient client(server.port());
  client.open();
  client.send(ByteView("\x01\0\x01\0\0\0\x04\0\x14\0\x28X", 12));  // No frame end.
  EXPECT_EQ(close_code(client), 501);
}

TEST(AmqpGateway, TellsOtherProtocolsWhatItSpeaks) {
  Server server;
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  std::string said;
  while (client.TestSocket::receive(said)) {
  }
  EXPECT_EQ(said, protocol_header);
}

}  // namespace
}  // namespace sluice::amqp
