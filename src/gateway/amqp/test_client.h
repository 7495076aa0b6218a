// For tests: a blocking AMQP client that speaks in whole methods and hides nothing.
#pragma once

#include "gateway/test_socket.h"
#include "wire/amqp/frame.h"
#include "wire/amqp/method.h"
#include "wire/amqp/octets.h"
#include "wire/amqp/table_writer.h"
#include "wire/amqp/writer.h"

#include <cstdint>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace sluice::amqp {

/// A frame that the server sent, with bytes of its own.
struct Received {
  FrameType type{};
  std::uint16_t channel = 0;
  std::string payload;

  template <class M>
  bool is() const {
    return type == FrameType::method && method_id(payload) == M::id;
  }

  /// Its arguments.
  OctetReader arguments() const { return OctetReader(ByteView(payload).substr(sizeof(MethodId))); }
};

/// A message as it came.
struct Message {
  std::uint64_t tag = 0;
  bool is_redelivered = false;
  std::string properties;
  std::string body;
};

class TestClient : public gateway::TestSocket {
 public:
  using TestSocket::TestSocket;

  /// The next frame; nothing when the server has closed or says nothing for long. Heartbeats are
  /// left out.
  std::optional<Received> receive() {
    for (;;) {
      if (input_.size() >= frame_overhead_bytes) {
        const auto size = load_big<std::uint32_t>(input_.data() + 3);
        if (input_.size() >= frame_overhead_bytes + size) {
          Received frame{static_cast<FrameType>(input_[0]),
                         load_big<std::uint16_t>(input_.data() + 1),
                         input_.substr(frame_head_bytes, size)};
          input_.erase(0, frame_overhead_bytes + size);
          if (frame.type == FrameType::heartbeat) continue;
          return frame;
        }
      }
      if (!TestSocket::receive(input_)) return std::nullopt;
    }
  }

  template <class M>
  void send_method(std::uint16_t channel, const M& method) {
    Buffer bytes;
    append_method(bytes, channel, method);
    send(bytes.view());
  }

  /// Sends the method; what comes next has to be `Reply`.
  template <class Reply, class M>
  Received ask(std::uint16_t channel, const M& method) {
    send_method(channel, method);
    return expect<Reply>();
  }

  template <class Reply>
  Received expect() {
    std::optional<Received> reply = receive();
    if (!reply) {
      ADD_FAILURE() << "no " << Reply::name;
      return {};
    }
    EXPECT_TRUE(reply->template is<Reply>())
        << "not " << Reply::name << " but " << method_name(method_id(reply->payload)) << ' '
        << reply->payload.substr(sizeof(MethodId));
    return *std::move(reply);
  }

  /// Up to Connection.Tune; false: refused.
  bool log_in(ByteView user = "guest", ByteView password = "guest") {
    send(protocol_header);
    expect<ConnectionStart>();
    ConnectionStartOk start;
    start.mechanism.bytes = "PLAIN";
    const std::string secret = '\0' + std::string(user) + '\0' + std::string(password);
    start.response.bytes = secret;
    start.locale.bytes = "en_US";
    Buffer properties;
    TableWriter table(properties);
    table.name("capabilities").open_table();
    for (const ByteView each :
         {"authentication_failure_close", "consumer_cancel_notify", "connection.blocked"}) {
      table.name(each).boolean(true);
    }
    table.close();
    table.finish();
    start.client_properties = Table{properties.view().substr(sizeof(std::uint32_t))};
    send_method(0, start);
    const std::optional<Received> reply = receive();
    return reply && reply->is<ConnectionTune>();
  }

  /// A connection with channel 1 open.
  void open(ByteView user = "guest", ByteView password = "guest") {
    ASSERT_TRUE(log_in(user, password));
    send_method(0, ConnectionTuneOk{2047, 131072, 0});
    ConnectionOpen open;
    open.virtual_host.bytes = "/";
    ask<ConnectionOpenOk>(0, open);
    ask<ChannelOpenOk>(1, ChannelOpen{});
  }

  void declare(ByteView queue, Table arguments = {}) {
    QueueDeclare declare;
    declare.queue.bytes = queue;
    declare.durable = true;
    declare.arguments = arguments;
    ask<QueueDeclareOk>(1, declare);
  }

  void publish(ByteView key, ByteView body, const Properties& properties, ByteView exchange = "") {
    BasicPublish publish;
    publish.exchange.bytes = exchange;
    publish.routing_key.bytes = key;
    Buffer raw;
    append_properties(raw, properties);
    Buffer bytes;
    append_method(bytes, 1, publish);
    append_content(bytes, 1, {raw.view(), body}, 131072);
    send(bytes.view());
  }

  void publish(ByteView key, ByteView body) {
    Properties durable;
    durable.delivery_mode = std::uint8_t{2};
    publish(key, body, durable);
  }

  /// Waits until so many publishes are confirmed.
  void await_confirms(std::uint64_t last) {
    for (std::uint64_t confirmed = 0; confirmed < last;) {
      const std::optional<Received> frame = receive();
      ASSERT_TRUE(frame && frame->is<BasicAck>());
      confirmed = frame->arguments().number<std::uint64_t>();
    }
  }

  void consume(ByteView queue, std::uint16_t prefetch, ByteView tag = "c") {
    ask<BasicQosOk>(1, BasicQos{0, prefetch, false});
    BasicConsume consume;
    consume.queue.bytes = queue;
    consume.consumer_tag.bytes = tag;
    ask<BasicConsumeOk>(1, consume);
  }

  /// The next delivery.
  std::optional<Message> next_message() {
    const std::optional<Received> deliver = receive();
    if (!deliver || !deliver->is<BasicDeliver>()) return std::nullopt;
    Message message;
    OctetReader in = deliver->arguments();
    in.short_string();
    message.tag = in.number<std::uint64_t>();
    message.is_redelivered = in.number<std::uint8_t>() != 0;
    return content(std::move(message));
  }

  /// Nothing: the queue is empty.
  std::optional<Message> get(ByteView queue) {
    BasicGet get;
    get.queue.bytes = queue;
    send_method(1, get);
    const std::optional<Received> reply = receive();
    if (!reply || !reply->is<BasicGetOk>()) return std::nullopt;
    Message message;
    OctetReader in = reply->arguments();
    message.tag = in.number<std::uint64_t>();
    message.is_redelivered = in.number<std::uint8_t>() != 0;
    return content(std::move(message));
  }

  void ack(std::uint64_t tag, bool multiple = false) { send_method(1, BasicAck{tag, multiple}); }

 private:
  std::optional<Message> content(Message message) {
    const std::optional<Received> header = receive();
    if (!header || header->type != FrameType::header) return std::nullopt;
    const Parsed<ContentHeader> parsed = decode_content_header(header->payload);
    if (!parsed) return std::nullopt;
    message.properties = std::string(parsed->properties);
    while (message.body.size() < parsed->body_bytes) {
      const std::optional<Received> body = receive();
      if (!body || body->type != FrameType::body) return std::nullopt;
      message.body += body->payload;
    }
    return message;
  }

  std::string input_;
};

}  // namespace sluice::amqp
