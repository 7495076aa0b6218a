// librabbitmq (rabbitmq-c): what a program does with it. Usage: librabbitmq_client PORT
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <amqp.h>
#include <amqp_tcp_socket.h>

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "librabbitmq: %s\n", what);
  std::exit(1);
}

void check(amqp_connection_state_t connection, const char* what) {
  require(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, what);
}

amqp_bytes_t bytes(const char* text) {
  return amqp_cstring_bytes(text);
}

}  // namespace

int main(int, char** argv) {
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t* const socket = amqp_tcp_socket_new(connection);
  require(amqp_socket_open(socket, "127.0.0.1", std::atoi(argv[1])) == 0, "connect");
  const amqp_rpc_reply_t login =
      amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  require(login.reply_type == AMQP_RESPONSE_NORMAL, "login");
  amqp_channel_open(connection, 1);
  check(connection, "channel.open");
  amqp_queue_declare(connection, 1, bytes("librabbitmq"), 0, 1, 0, 0, amqp_empty_table);
  check(connection, "queue.declare");
  amqp_exchange_declare(
      connection, 1, bytes("librabbitmq-x"), bytes("direct"), 0, 0, 1, 0, amqp_empty_table);
  check(connection, "exchange.declare");
  amqp_queue_bind(
      connection, 1, bytes("librabbitmq"), bytes("librabbitmq-x"), bytes("k"), amqp_empty_table);
  check(connection, "queue.bind");
  amqp_confirm_select(connection, 1);
  check(connection, "confirm.select");

  // A body of several frames, confirmed.
  const std::string body(300'000, 'b');
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG;
  properties.delivery_mode = 2;
  properties.content_type = bytes("text/plain");
  const amqp_bytes_t payload{body.size(), const_cast<char*>(body.data())};
  require(amqp_basic_publish(
              connection, 1, bytes("librabbitmq-x"), bytes("k"), 0, 0, &properties, payload) ==
              AMQP_STATUS_OK,
          "basic.publish");
  amqp_frame_t frame;
  require(amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK, "confirm");
  require(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "basic.ack");

  amqp_basic_qos(connection, 1, 0, 5, 0);
  check(connection, "basic.qos");
  amqp_basic_consume(
      connection, 1, bytes("librabbitmq"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check(connection, "basic.consume");
  amqp_envelope_t envelope;
  timeval timeout{10, 0};
  require(
      amqp_consume_message(connection, &envelope, &timeout, 0).reply_type == AMQP_RESPONSE_NORMAL,
      "basic.deliver");
  require(envelope.message.body.len == body.size(), "size of the body");
  require(std::memcmp(envelope.message.body.bytes, body.data(), body.size()) == 0, "the body");
  require(envelope.message.properties.delivery_mode == 2, "delivery mode");
  amqp_basic_ack(connection, 1, envelope.delivery_tag, 0);
  amqp_destroy_envelope(&envelope);

  amqp_queue_delete(connection, 1, bytes("librabbitmq"), 0, 0);
  check(connection, "queue.delete");
  amqp_channel_close(connection, 1, AMQP_REPLY_SUCCESS);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
  std::puts("librabbitmq: fine");
}
