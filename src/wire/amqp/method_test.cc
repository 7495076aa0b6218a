// Methods: every one of them round-trips, the bytes are those that a client (pika 1.2.0) writes,
// and what is malformed gets its code.
#include "wire/amqp/method.h"

#include "wire/amqp/events.h"
#include "wire/amqp/table_writer.h"

#include <boost/pfr/ops.hpp>

#include <string>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

namespace sluice::amqp {
namespace {

constexpr ByteView some_table{
    "\1a"
    "t\1\1b"
    "I\0\0\0\7",
    11};

/// Gives every field a value of its own.
class Sampler {
 public:
  void fill(bool& field) { field = turn_++ % 2 == 0; }

  template <Number T>
  void fill(T& field) {
    field = static_cast<T>(0x0102030405060708u * ++turn_);
  }

  void fill(ShortString& field) { field.bytes = ByteView("abcdefghij").substr(0, ++turn_); }

  void fill(LongString& field) { field.bytes = ByteView("ABCDEFGHIJ").substr(0, ++turn_); }

  void fill(Table& field) { field.entries = some_table; }

 private:
  unsigned turn_ = 0;
};

template <Method M>
M sample() {
  M method;
  Sampler sampler;
  boost::pfr::for_each_field(method, [&](auto& field) { sampler.fill(field); });
  return method;
}

std::string payload_of(const std::string& frame) {
  return frame.substr(frame_head_bytes, frame.size() - frame_overhead_bytes);
}

template <class Methods, class Check>
void for_each_method(const Check& check_one) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (check_one(sample<std::variant_alternative_t<I, Methods>>()), ...);
  }(std::make_index_sequence<std::variant_size_v<Methods>>());
}

std::string refusal(ByteView payload) {
  const Parsed<ClientMethod> method = decode_method(payload);
  EXPECT_FALSE(method.has_value());
  return method ? "" : reply_text(method.error());
}

template <Method M>
void expect_bytes(std::uint16_t channel, const M& method, ByteView hex) {
  const std::string frame = encoded(channel, method);
  EXPECT_EQ(to_hex(frame), hex) << M::name;
  const std::string payload = payload_of(frame);
  M read;
  ASSERT_FALSE(read_arguments(ByteView(payload).substr(4), read)) << M::name;
  const std::string again = encoded(channel, read);
  EXPECT_EQ(again, frame) << M::name;
}

TEST(Method, EveryClientMethodRoundTrips) {
  for_each_method<ClientMethod>([]<Method M>(const M& method) {
    const std::string payload = payload_of(encoded(1, method));
    const Parsed<ClientMethod> read = decode_method(payload);
    ASSERT_TRUE(read.has_value()) << M::name;
    ASSERT_TRUE(std::holds_alternative<M>(*read)) << M::name;
    EXPECT_TRUE(boost::pfr::eq(std::get<M>(*read), method)) << M::name;
    EXPECT_EQ(method_id(payload), M::id);
    EXPECT_EQ(method_name(M::id), M::name);
  });
}

TEST(Method, EveryServerMethodRoundTripsAndIsRefusedFromAClient) {
  for_each_method<ServerMethod>([]<Method M>(const M& method) {
    const std::string payload = payload_of(encoded(1, method));
    M read;
    ASSERT_FALSE(read_arguments(ByteView(payload).substr(4), read)) << M::name;
    EXPECT_TRUE(boost::pfr::eq(read, method)) << M::name;
    EXPECT_EQ(refusal(payload), "COMMAND_INVALID - only a server sends this method");
    EXPECT_EQ(method_name(M::id), M::name);
  });
}

TEST(Method, EveryCutOfEveryMethodIsRefused) {
  for_each_method<ClientMethod>([]<Method M>(const M& method) {
    const std::string payload = payload_of(encoded(1, method));
    for (std::size_t size = 4; size < payload.size(); ++size) {
      const std::string problem = refusal(ByteView(payload).substr(0, size));
      EXPECT_EQ(problem, "SYNTAX_ERROR - arguments are cut short") << M::name << " " << size;
    }
    EXPECT_EQ(refusal(payload + '\0'), "SYNTAX_ERROR - octets follow the arguments");
  });
}

TEST(Method, WithoutANumberIsAFrameError) {
  for (const ByteView payload : {"", "\0", "\0\x3c", "\0\x3c\0"}) {
    EXPECT_EQ(refusal(payload), "FRAME_ERROR - a method frame has no room for a method");
  }
  EXPECT_EQ(method_id("abc"), MethodId{});
}

TEST(Method, UnknownOnesAreNotImplemented) {
  for (const ByteView payload : {ByteView("\0\x3c\0\0", 4),
                                 ByteView("\0\x3c\0\x7a", 4),
                                 ByteView("\0\0\0\0", 4),
                                 ByteView("\xff\xff\xff\xff", 4),
                                 ByteView("\0\x46\0\x0a", 4)}) {  // The class file of 0-8.
    EXPECT_EQ(refusal(payload), "NOT_IMPLEMENTED - there is no such method");
    EXPECT_EQ(method_name(method_id(payload)), "unknown");
  }
}

TEST(Method, BitsFillAnOctetFromItsLowestBit) {
  ExchangeDeclare method;
  method.durable = true;
  method.no_wait = true;
  const std::string payload = payload_of(encoded(1, method));
  EXPECT_EQ(to_hex(payload),
            "0028000a"
            "0000"
            "00"
            "00"
            "12"
            "00000000");
  // Bits that mean nothing are ignored, as RabbitMQ does.
  std::string strange = payload;
  strange[8] = '\xF2';
  const Parsed<ClientMethod> read = decode_method(strange);
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(boost::pfr::eq(std::get<ExchangeDeclare>(*read), method));
}

TEST(Method, AMalformedTableIsASyntaxError) {
  QueueDeclare method;
  method.arguments.entries = ByteView("\1a?", 3);
  EXPECT_EQ(refusal(payload_of(encoded(1, method))),
            "SYNTAX_ERROR - a table has a value of an unknown type");
}

TEST(Method, ShortStringsMayHave255BytesAndNoMore) {
  const std::string longest(255, 'k');
  const std::string payload = payload_of(encoded(1, BasicPublish{.exchange = {longest}}));
  const Parsed<ClientMethod> read = decode_method(payload);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(std::get<BasicPublish>(*read).exchange.bytes, longest);
  const std::string longer(256, 'k');
  EXPECT_DEATH(encoded(1, BasicPublish{.exchange = {longer}}), "invariant");
}

TEST(Method, HandshakeHasTheBytesOfPika) {
  Buffer server_properties;
  TableWriter server(server_properties);
  server.name("product").text("RabbitMQ");
  server.name("version").text("3.10.8");
  server.name("capabilities").open_table();
  server.name("publisher_confirms").boolean(true);
  server.name("exchange_exchange_bindings").boolean(true);
  server.name("basic.nack").boolean(true);
  server.close();
  server.finish();
  Buffer client_properties;
  TableWriter client(client_properties);
  client.name("product").text("Pika Python Client Library");
  client.name("connection_name").nothing();
  client.finish();
  expect_bytes(0,
               ConnectionStart{.version_major = 0,
                               .version_minor = 9,
                               .server_properties = {server_properties.view().substr(4)},
                               .mechanisms = {"PLAIN AMQPLAIN"},
                               .locales = {"en_US"}},
               "0100000000009e000a000a0009000000790770726f6475637453000000085261626269744d510776"
               "657273696f6e5300000006332e31302e380c6361706162696c6974696573460000003f127075626c"
               "69736865725f636f6e6669726d7374011a65786368616e67655f65786368616e67655f62696e6469"
               "6e677374010a62617369632e6e61636b74010000000e504c41494e20414d51504c41494e00000005"
               "656e5f5553ce");
  expect_bytes(0,
               ConnectionStartOk{.client_properties = {client_properties.view().substr(4)},
                                 .mechanism = {"PLAIN"},
                                 .response = {ByteView("\0guest\0guest", 12)},
                                 .locale = {"en_US"}},
               "0100000000005c000a000b000000380770726f64756374530000001a50696b6120507974686f6e20"
               "436c69656e74204c6962726172790f636f6e6e656374696f6e5f6e616d655605504c41494e000000"
               "0c00677565737400677565737405656e5f5553ce");
  expect_bytes(0,
               ConnectionTune{.channel_max = 2047, .frame_max = 131072, .heartbeat = 60},
               "0100000000000c000a001e07ff00020000003cce");
  expect_bytes(0,
               ConnectionTuneOk{.channel_max = 2047, .frame_max = 131072, .heartbeat = 60},
               "0100000000000c000a001f07ff00020000003cce");
  expect_bytes(0,
               ConnectionOpen{.virtual_host = {"/"}, .capabilities = {}, .insist = true},
               "01000000000008000a0028012f0001ce");
  expect_bytes(0, ConnectionOpenOk{}, "01000000000005000a002900ce");
  expect_bytes(0,
               ConnectionClose{.reply_code = 200, .reply_text = {"Normal shutdown"}},
               "0100000000001a000a003200c80f4e6f726d616c2073687574646f776e00000000ce");
  expect_bytes(0, ConnectionCloseOk{}, "01000000000004000a0033ce");
  expect_bytes(0,
               ConnectionBlocked{.reason = {"low on memory"}},
               "01000000000012000a003c0d6c6f77206f6e206d656d6f7279ce");
  expect_bytes(1, ChannelOpen{}, "010001000000050014000a00ce");
  expect_bytes(1, ChannelOpenOk{}, "010001000000080014000b00000000ce");
  expect_bytes(1, ChannelFlow{.active = true}, "010001000000050014001401ce");
  expect_bytes(1,
               ChannelClose{.reply_code = 406,
                            .reply_text = {"PRECONDITION_FAILED - unknown delivery tag 9"},
                            .class_id = 60,
                            .method_id = 80},
               "010001000000370014002801962c505245434f4e444954494f4e5f4641494c4544202d20756e6b6e"
               "6f776e2064656c6976657279207461672039003c0050ce");
}

TEST(Method, ExchangesAndQueuesHaveTheBytesOfPika) {
  Buffer queue_arguments;
  TableWriter arguments(queue_arguments);
  arguments.name("x-expires").integer32(10000);
  arguments.name("x-message-ttl").integer32(300000);
  arguments.finish();
  expect_bytes(3,
               ExchangeDeclare{.exchange = {"celeryev"}, .type = {"topic"}, .durable = true},
               "0100030000001a0028000a00000863656c657279657605746f7069630200000000ce");
  expect_bytes(3, ExchangeUnbindOk{}, "0100030000000400280033ce");
  expect_bytes(1,
               QueueDeclare{.queue = {"cap_pika"}, .durable = true, .no_wait = true},
               "010001000000140032000a0000086361705f70696b611200000000ce");
  expect_bytes(2,
               QueueDeclare{.queue = {"a.reply.celery.pidbox"},
                            .auto_delete = true,
                            .arguments = {queue_arguments.view().substr(4)}},
               "010002000000430032000a000015612e7265706c792e63656c6572792e706964626f780800000022"
               "09782d6578706972657349000027100d782d6d6573736167652d74746c49000493e0ce");
  expect_bytes(1,
               QueueDeclareOk{.queue = {"cap_pika"}, .message_count = 3, .consumer_count = 1},
               "010001000000150032000b086361705f70696b610000000300000001ce");
  expect_bytes(1,
               QueueBind{.queue = {"celery"}, .exchange = {"celery"}, .routing_key = {"celery"}},
               "010001000000200032001400000663656c6572790663656c6572790663656c6572790000000000ce");
  expect_bytes(1,
               QueueUnbind{.queue = {"q"}, .exchange = {"e"}, .routing_key = {"k"}},
               "0100010000001000320032000001710165016b00000000ce");
  expect_bytes(1,
               QueueDelete{.queue = {"cap_pika"}, .if_unused = true, .no_wait = true},
               "01000100000010003200280000086361705f70696b6105ce");
}

TEST(Method, MessagesHaveTheBytesOfPika) {
  expect_bytes(
      1, BasicQos{.prefetch_count = 10, .global = true}, "0100010000000b003c000a00000000000a01ce");
  expect_bytes(1,
               BasicConsume{.queue = {"cap_pika"}, .consumer_tag = {"ctag1.4f"}, .no_ack = true},
               "0100010000001d003c00140000086361705f70696b610863746167312e34660200000000ce");
  expect_bytes(1, BasicCancel{.consumer_tag = {"None3"}}, "0100010000000b003c001e054e6f6e653300ce");
  expect_bytes(
      1,
      BasicPublish{.exchange = {"celery.pidbox"}, .routing_key = {"cap"}, .mandatory = true},
      "01000100000019003c002800000d63656c6572792e706964626f780363617001ce");
  expect_bytes(1,
               BasicReturn{.reply_code = 312,
                           .reply_text = {"NO_ROUTE"},
                           .exchange = {},
                           .routing_key = {"nowhere"}},
               "01000100000018003c00320138084e4f5f524f55544500076e6f7768657265ce");
  expect_bytes(1,
               BasicDeliver{.consumer_tag = {"ctag1.4f"},
                            .delivery_tag = 1,
                            .redelivered = true,
                            .exchange = {},
                            .routing_key = {"cap_pika"}},
               "01000100000020003c003c0863746167312e346600000000000000010100086361705f70696b61ce");
  expect_bytes(1, BasicGet{.queue = {"q"}, .no_ack = true}, "01000100000009003c00460000017101ce");
  expect_bytes(
      1,
      BasicGetOk{.delivery_tag = 258, .exchange = {"e"}, .routing_key = {"k"}, .message_count = 4},
      "01000100000015003c00470000000000000102000165016b00000004ce");
  expect_bytes(1, BasicGetEmpty{}, "01000100000005003c004800ce");
  expect_bytes(65535,
               BasicAck{.delivery_tag = 72623859790382856, .multiple = true},
               "01ffff0000000d003c0050010203040506070801ce");
  expect_bytes(1,
               BasicReject{.delivery_tag = 5, .requeue = true},
               "0100010000000d003c005a000000000000000501ce");
  expect_bytes(1,
               BasicNack{.delivery_tag = 5, .requeue = true},
               "0100010000000d003c0078000000000000000502ce");
  expect_bytes(1, BasicRecover{.requeue = true}, "01000100000005003c006e01ce");
  expect_bytes(1, ConfirmSelect{}, "010001000000050055000a00ce");
  expect_bytes(1, ConfirmSelectOk{}, "010001000000040055000bce");
  expect_bytes(1, TxCommit{}, "01000100000004005a0014ce");
  expect_bytes(1,
               AccessRequest{.realm = {"/data"}, .passive = true, .active = true, .read = true},
               "0100010000000b001e000a052f6461746116ce");
}

}  // namespace
}  // namespace sluice::amqp
