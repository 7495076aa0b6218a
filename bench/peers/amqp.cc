// AMQP 0-9-1 through librabbitmq, of Sluice and RabbitMQ alike: a durable queue, persistent
// messages, publisher confirms. --kind classic | quorum. Publishes are encoded as whole frames and
// written in batches (librabbitmq itself makes a write per frame), so that the client is not what
// is measured.
//
// Besides the modes of load.h: reset, fill --jobs N, drain --jobs N (takes and acks what fill
// left).
#include "load.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <sys/socket.h>

namespace peers {
namespace {

constexpr amqp_channel_t channel = 1;

struct Target {
  int port = 5672;
  std::string kind;
  std::string queue;
  std::uint16_t prefetch = 1000;
};

class Connection {
 public:
  explicit Connection(const Target& target) : state_(amqp_new_connection()) {
    amqp_socket_t* const socket = amqp_tcp_socket_new(state_);
    if (amqp_socket_open(socket, "127.0.0.1", target.port) != 0) die("cannot connect");
    check(amqp_login(state_, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
    amqp_channel_open(state_, channel);
    check("channel.open");
  }

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ~Connection() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }

  amqp_connection_state_t get() const { return state_; }

  /// Of the last call.
  void check(const char* what) { check(amqp_get_rpc_reply(state_), what); }

  static void check(const amqp_rpc_reply_t& reply, const char* what) {
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die(std::string("refused: ") + what);
  }

  void declare(const Target& target, bool passive) {
    amqp_table_entry_t entry{};
    entry.key = amqp_cstring_bytes("x-queue-type");
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_table_t arguments{};
    if (!passive && target.kind == "quorum") {
      arguments.num_entries = 1;
      arguments.entries = &entry;
    }
    amqp_queue_declare(state_, channel, name_of(target), passive, 1, 0, 0, arguments);
    check("queue.declare");
  }

  static amqp_bytes_t name_of(const Target& target) {
    return amqp_cstring_bytes(target.queue.c_str());
  }

 private:
  amqp_connection_state_t state_;
};

void put(std::string& out, std::uint64_t value, int octets) {
  for (int octet = octets - 1; octet >= 0; --octet)
    out += static_cast<char>(value >> (8 * octet));
}

class AmqpProducer : public Producer {
 public:
  explicit AmqpProducer(const Target& target) : connection_(target), queue_(target.queue) {
    amqp_confirm_select(connection_.get(), channel);
    connection_.check("confirm.select");
  }

  void post(const char* payload, std::size_t bytes) override {
    std::string method;
    put(method, 60, 2);  // basic.publish: class, method, ticket, exchange, key, bits
    put(method, 40, 2);
    put(method, 0, 2);
    put(method, 0, 1);
    put(method, queue_.size(), 1);
    method += queue_;
    put(method, 0, 1);
    frame(1, method);
    std::string header;
    put(header, 60, 2);  // Class, weight, size, flags, delivery mode.
    put(header, 0, 2);
    put(header, bytes, 8);
    put(header, 0x1000, 2);
    put(header, 2, 1);
    frame(2, header);
    frame(3, {payload, bytes});
    ++posted_;
  }

  void flush() override {
    const int fd = amqp_get_sockfd(connection_.get());
    for (std::size_t sent = 0; sent < batch_.size();) {
      const ssize_t count =
          ::send(fd, batch_.data() + sent, batch_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN) die("the broker closed the connection");
      if (count < 0) {
        pollfd room{fd, POLLOUT, 0};
        ::poll(&room, 1, 1000);
        continue;
      }
      sent += static_cast<std::size_t>(count);
    }
    batch_.clear();
    last_ += std::exchange(posted_, 0);
  }

  void settle(std::size_t most) override {
    while (outstanding() > most) {
      if (!take_one({10, 0})) die("no confirm within ten seconds");
    }
  }

  void poll() override {
    while (outstanding() > 0 && take_one({0, 0})) {
    }
  }

 private:
  void frame(int type, const std::string& payload) {
    put(batch_, static_cast<std::uint64_t>(type), 1);
    put(batch_, channel, 2);
    put(batch_, payload.size(), 4);
    batch_ += payload;
    put(batch_, 0xce, 1);
  }

  std::size_t outstanding() const { return last_ - confirmed_; }

  /// RabbitMQ confirms out of order at times; only their number counts.
  bool take_one(timeval timeout) {
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection_.get());
    const int outcome = amqp_simple_wait_frame_noblock(connection_.get(), &frame, &timeout);
    if (outcome == AMQP_STATUS_TIMEOUT) return false;
    if (outcome != AMQP_STATUS_OK) die(amqp_error_string2(outcome));
    if (frame.frame_type != AMQP_FRAME_METHOD) return true;
    if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) die("not confirmed");
    const auto* const ack = static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
    if (ack->multiple) {
      while (below_ <= ack->delivery_tag)
        confirm(below_);
    } else {
      confirm(ack->delivery_tag);
    }
    return true;
  }

  void confirm(std::uint64_t tag) {
    if (is_confirmed_.size() <= tag) is_confirmed_.resize(tag * 2 + 1024);
    if (!is_confirmed_[tag]) ++confirmed_;
    is_confirmed_[tag] = true;
    while (below_ < is_confirmed_.size() && is_confirmed_[below_])
      ++below_;
  }

  Connection connection_;
  const std::string queue_;
  std::string batch_;
  std::size_t posted_ = 0;
  std::size_t last_ = 0;
  std::size_t confirmed_ = 0;
  std::uint64_t below_ = 1;  ///< All tags below are confirmed.
  std::vector<bool> is_confirmed_;
};

class AmqpConsumer : public Consumer {
 public:
  explicit AmqpConsumer(const Target& target) : connection_(target), target_(target) {
    amqp_basic_qos(connection_.get(), channel, 0, target.prefetch, 0);
    connection_.check("basic.qos");
    const amqp_bytes_t queue = Connection::name_of(target);
    amqp_basic_consume(
        connection_.get(), channel, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    connection_.check("basic.consume");
  }

  std::size_t fetch(std::size_t most, int timeout_ms, const OnJob& on_job) override {
    std::size_t count = 0;
    std::uint64_t tag = 0;
    amqp_maybe_release_buffers(connection_.get());
    while (count < most) {
      amqp_envelope_t envelope;
      timeval timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
      if (count > 0) timeout = {0, 0};
      const amqp_rpc_reply_t reply =
          amqp_consume_message(connection_.get(), &envelope, &timeout, 0);
      const bool is_late = reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
                           reply.library_error == AMQP_STATUS_TIMEOUT;
      if (is_late) break;
      Connection::check(reply, "consume");
      const amqp_bytes_t& body = envelope.message.body;
      on_job(static_cast<const char*>(body.bytes), body.len);
      tag = envelope.delivery_tag;
      amqp_destroy_envelope(&envelope);
      ++count;
    }
    if (count > 0) amqp_basic_ack(connection_.get(), channel, tag, count > 1);
    return count;
  }

  /// An ack has no answer; that of a later method comes behind it.
  void finish() override { connection_.declare(target_, true); }

 private:
  Connection connection_;
  const Target target_;
};

void fill(const Arguments& arguments, const Target& target) {
  const std::size_t jobs = arguments.size("jobs", 200'000);
  const std::string payload(std::max<std::size_t>(arguments.size("size", 100), 16), 'x');
  AmqpProducer producer(target);
  for (std::size_t sent = 0; sent < jobs; sent += 500) {
    for (std::size_t each = 0; each < std::min<std::size_t>(500, jobs - sent); ++each)
      producer.post(payload.data(), payload.size());
    producer.flush();
    producer.settle(500);
  }
  producer.settle(0);
}

/// Rate of taking and acking a backlog.
int drain(const Arguments& arguments, const Target& target) {
  const std::size_t jobs = arguments.size("jobs", 200'000);
  const std::size_t batch = arguments.size("batch", 100);
  Report report;
  AmqpConsumer consumer(target);
  std::size_t taken = 0;
  const auto on_job = [](const char*, std::size_t) {};
  const Meter meter(static_cast<pid_t>(arguments.number("server-pid", 0)));
  while (taken < jobs)
    taken += consumer.fetch(batch, 5000, on_job);
  consumer.finish();
  meter.finish(report, taken);
  report.print();
  return 0;
}

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  using namespace peers;
  const Arguments arguments(argc, argv);
  Target target;
  target.port = static_cast<int>(arguments.number("port", target.port));
  target.kind = arguments.text("kind", "classic");
  target.queue = "bench-" + target.kind;
  target.prefetch = static_cast<std::uint16_t>(arguments.size("prefetch", target.prefetch));
  {
    Connection connection(target);
    if (arguments.mode() == "reset") {
      amqp_queue_delete(connection.get(), channel, Connection::name_of(target), 0, 0);
      connection.check("queue.delete");
      return 0;
    }
    connection.declare(target, false);
  }
  if (arguments.mode() == "fill") {
    fill(arguments, target);
    return 0;
  }
  if (arguments.mode() == "drain") return drain(arguments, target);
  return drive(
      arguments,
      [&target] { return std::make_unique<AmqpProducer>(target); },
      [&target] { return std::make_unique<AmqpConsumer>(target); });
}
