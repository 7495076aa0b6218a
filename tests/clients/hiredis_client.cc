// A program that uses Sluice through hiredis, as a C or C++ application with a Redis client would:
// push, pull, ack, a pipeline, an error. Usage: hiredis_client PORT. Exit code 0: all as expected.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <hiredis/hiredis.h>

namespace {

struct FreeContext {
  void operator()(redisContext* context) const { redisFree(context); }
};

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

using Context = std::unique_ptr<redisContext, FreeContext>;
using Reply = std::unique_ptr<redisReply, FreeReply>;

void expect(bool claim, const char* what) {
  if (claim) return;
  std::fprintf(stderr, "hiredis_client: %s\n", what);
  std::exit(1);
}

template <class... Words>
Reply command(const Context& context, const char* format, Words... words) {
  Reply reply(static_cast<redisReply*>(redisCommand(context.get(), format, words...)));
  expect(reply != nullptr, "no reply");
  return reply;
}

std::string text(const redisReply& reply) {
  return std::string(reply.str, reply.len);
}

/// A field of a flat name, value, ... array.
std::string field(const redisReply& map, const std::string& name) {
  for (std::size_t i = 0; i + 1 < map.elements; i += 2) {
    if (text(*map.element[i]) == name) return text(*map.element[i + 1]);
  }
  expect(false, "a field is missing");
  return {};
}

void one_job(const Context& context) {
  const std::string payload("\0\xff", 2);
  const Reply pushed = command(context, "PUSH hired welcome %b", payload.data(), payload.size());
  expect(pushed->type == REDIS_REPLY_STRING, "PUSH does not answer with an id");
  const Reply pulled = command(context, "PULL hired AS hiredis");
  expect(pulled->type == REDIS_REPLY_ARRAY && pulled->elements == 1, "PULL gave not one job");
  const redisReply& job = *pulled->element[0];
  expect(field(job, "id") == text(*pushed), "PULL gave another job");
  expect(field(job, "payload") == payload, "the payload changed");
  const Reply acked =
      command(context, "ACK %s %s", field(job, "id").c_str(), field(job, "token").c_str());
  expect(acked->type == REDIS_REPLY_STATUS, "ACK did not answer OK");
  const Reply again =
      command(context, "ACK %s %s", field(job, "id").c_str(), field(job, "token").c_str());
  expect(again->type == REDIS_REPLY_ERROR && text(*again).rfind("STALE ", 0) == 0, "no -STALE");
}

void pipeline(const Context& context) {
  constexpr int count = 5000;
  for (int i = 0; i < count; ++i) {
    expect(redisAppendCommand(context.get(), "PUSH hired-pipe t %d", i) == REDIS_OK, "append");
  }
  for (int i = 0; i < count; ++i) {
    void* raw = nullptr;
    expect(redisGetReply(context.get(), &raw) == REDIS_OK, "a pipelined reply is missing");
    const Reply reply(static_cast<redisReply*>(raw));
    expect(reply->type == REDIS_REPLY_STRING, "a pipelined push failed");
  }
  const Reply none = command(context, "PULL hired-nothing WAIT 20ms");
  expect(none->type == REDIS_REPLY_NIL, "PULL of an empty queue is not nil");
}

}  // namespace

int main(int argc, char** argv) {
  expect(argc == 2, "usage: hiredis_client PORT");
  const Context context(redisConnect("127.0.0.1", std::atoi(argv[1])));
  expect(context != nullptr && context->err == 0, "cannot connect");
  one_job(context);
  pipeline(context);
  return 0;
}
