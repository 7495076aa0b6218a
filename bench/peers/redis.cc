// Redis as a queue, through hiredis.
//
// --kind list    RPUSH; LMOVE to a processing list; LREM as the acknowledgement (reliable pattern)
// --kind simple  RPUSH; BLMPOP, nothing to acknowledge (at most once)
// `reset` instead of a mode empties both lists.
#include "load.h"

#include <algorithm>
#include <utility>

#include <hiredis/hiredis.h>
#include <poll.h>

namespace peers {
namespace {

struct Server {
  int port = 0;
  bool is_simple = false;
};

redisContext* open(const Server& server) {
  redisContext* const context = redisConnect("127.0.0.1", server.port);
  if (context == nullptr || context->err != 0) die("cannot connect to Redis");
  return context;
}

void append_bulk(std::string& out, const char* bytes, std::size_t size) {
  out += '$' + std::to_string(size) + "\r\n";
  out.append(bytes, size);
  out += "\r\n";
}

void append_bulk(std::string& out, const std::string& text) {
  append_bulk(out, text.data(), text.size());
}

redisReply* checked(redisContext* context, void* raw, int status) {
  if (status != REDIS_OK) die(context->errstr);
  auto* const reply = static_cast<redisReply*>(raw);
  if (reply != nullptr && reply->type == REDIS_REPLY_ERROR) die(reply->str);
  return reply;
}

redisReply* next_reply(redisContext* context) {
  void* raw = nullptr;
  const int status = redisGetReply(context, &raw);
  return checked(context, raw, status);
}

class RedisProducer : public Producer {
 public:
  explicit RedisProducer(const Server& server) : context_(open(server)) {}

  ~RedisProducer() override { redisFree(context_); }

  void post(const char* payload, std::size_t bytes) override {
    batch_ += "*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n";
    append_bulk(batch_, payload, bytes);
    ++posted_;
  }

  void flush() override {
    redisAppendFormattedCommand(context_, batch_.data(), batch_.size());
    batch_.clear();
    outstanding_ += std::exchange(posted_, 0);
    for (int is_done = 0; is_done == 0;) {
      if (redisBufferWrite(context_, &is_done) != REDIS_OK) die(context_->errstr);
    }
  }

  void settle(std::size_t most) override {
    for (; outstanding_ > most; --outstanding_)
      freeReplyObject(next_reply(context_));
  }

  void poll() override {
    pollfd input{context_->fd, POLLIN, 0};
    while (outstanding_ > 0) {
      void* raw = nullptr;
      const int status = redisGetReplyFromReader(context_, &raw);
      if (redisReply* const reply = checked(context_, raw, status)) {
        freeReplyObject(reply);
        --outstanding_;
      } else if (::poll(&input, 1, 0) <= 0) {
        return;
      } else if (redisBufferRead(context_) != REDIS_OK) {
        die(context_->errstr);
      }
    }
  }

 private:
  redisContext* context_;
  std::string batch_;
  std::size_t posted_ = 0;
  std::size_t outstanding_ = 0;
};

class RedisConsumer : public Consumer {
 public:
  explicit RedisConsumer(const Server& server)
      : context_(open(server)), is_simple_(server.is_simple) {}

  ~RedisConsumer() override { redisFree(context_); }

  std::size_t fetch(std::size_t most, int timeout_ms, const OnJob& on_job) override {
    const std::string timeout = std::to_string(timeout_ms / 1000.0);
    return is_simple_ ? fetch_simple(most, timeout, on_job) : fetch_list(most, timeout, on_job);
  }

  void finish() override {
    send(std::exchange(acks_, {}));
    take_acks();
  }

 private:
  void send(const std::string& commands) {
    if (!commands.empty()) redisAppendFormattedCommand(context_, commands.data(), commands.size());
  }

  void take_acks() {
    for (; acks_sent_ > 0; --acks_sent_)
      freeReplyObject(next_reply(context_));
  }

  std::size_t fetch_simple(std::size_t most, const std::string& timeout, const OnJob& on_job) {
    std::string command = "*7\r\n";
    for (const std::string& word : {std::string("BLMPOP"),
                                    timeout,
                                    std::string("1"),
                                    std::string("q"),
                                    std::string("LEFT"),
                                    std::string("COUNT"),
                                    std::to_string(most)}) {
      append_bulk(command, word);
    }
    send(command);
    redisReply* const reply = next_reply(context_);
    std::size_t jobs = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
      const redisReply* const list = reply->element[1];
      jobs = list->elements;
      for (std::size_t i = 0; i < jobs; ++i)
        on_job(list->element[i]->str, list->element[i]->len);
    }
    freeReplyObject(reply);
    return jobs;
  }

  /// The acknowledgements of the batch before travel with this one's moves. How many moves are
  /// asked for follows how many gave something; an idle queue is waited for with BLMOVE.
  std::size_t fetch_list(std::size_t most, const std::string& timeout, const OnJob& on_job) {
    std::size_t asked = std::min(most, last_ * 2);
    std::string commands = std::exchange(acks_, {});
    if (asked <= 2) {
      asked = 1;
      commands += "*6\r\n$6\r\nBLMOVE\r\n$1\r\nq\r\n$1\r\np\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n";
      append_bulk(commands, timeout);
    } else {
      for (std::size_t i = 0; i < asked; ++i) {
        commands += "*5\r\n$5\r\nLMOVE\r\n$1\r\nq\r\n$1\r\np\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n";
      }
    }
    send(commands);
    take_acks();
    std::size_t jobs = 0;
    for (std::size_t i = 0; i < asked; ++i) {
      redisReply* const reply = next_reply(context_);
      if (reply->type == REDIS_REPLY_STRING) {
        on_job(reply->str, reply->len);
        acks_ += "*4\r\n$4\r\nLREM\r\n$1\r\np\r\n$1\r\n1\r\n";
        append_bulk(acks_, reply->str, reply->len);
        ++acks_sent_;
        ++jobs;
      }
      freeReplyObject(reply);
    }
    const bool has_more = jobs == 1 && asked == 1;
    last_ = std::max<std::size_t>(1, has_more ? std::min<std::size_t>(most, 2) : jobs);
    return jobs;
  }

  redisContext* context_;
  bool is_simple_;
  std::string acks_;
  std::size_t acks_sent_ = 0;
  std::size_t last_ = 1;
};

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments(argc, argv);
  peers::Server server;
  server.port = static_cast<int>(arguments.number("port", 0));
  server.is_simple = arguments.text("kind", "list") == "simple";
  if (arguments.mode() == "reset") {
    redisContext* const context = peers::open(server);
    freeReplyObject(redisCommand(context, "DEL q p"));
    redisFree(context);
    return 0;
  }
  return peers::drive(
      arguments,
      [&] { return std::make_unique<peers::RedisProducer>(server); },
      [&] { return std::make_unique<peers::RedisConsumer>(server); });
}
