// The wire side of `sluice bench`: a blocking connection and hand-encoded RESP.
//
// The load generator shares the machine with the server, so it does not use the client library:
// batches are encoded once and patched in place, replies are counted by walking their lengths.
// Only what the benchmark sends and expects is understood; anything else ends the run.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sluice::cli::bench {

struct Endpoint {
  std::string host = "127.0.0.1";
  std::string port = "7770";
};

/// Nanoseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_ns();

/// Appends one command of these arguments.
void append_command(std::string& out, std::span<const ByteView> arguments);

/// What a job of a PULL reply needs to be measured and acknowledged. Views into the connection's
/// input: valid until the next receive.
struct PulledJob {
  ByteView id;       ///< As a RESP bulk string, header included, ready to be sent back.
  ByteView token;    ///< Likewise.
  ByteView payload;  ///< Bare.
};

/// A blocking TCP connection. Throws Exit when the peer is gone, an error is replied or the reply
/// is not what was expected. One thread at a time.
class Connection {
 public:
  explicit Connection(const Endpoint& server);
  Connection(Connection&& other) = delete;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  void send(ByteView bytes);
  /// Waits until there is more input than before.
  void receive();
  /// Takes what has arrived already. False: nothing new.
  bool try_receive();

  /// Drops up to `most` whole scalar replies (bulk, simple, integer) from the input; how many.
  std::size_t drop_replies(std::size_t most);
  /// Drops `count` scalar replies, waiting for them.
  void await_replies(std::size_t count);

  /// Waits for the head of a PULL reply: how many jobs follow. Each is then taken by next_job().
  std::size_t await_jobs();
  PulledJob next_job();

  /// Sends one command and returns its reply as raw RESP text; throws Exit at an error reply.
  std::string call(std::span<const ByteView> arguments);

 private:
  void make_room();
  [[noreturn]] void reject_reply(const char* at);

  const char* head() const { return input_.data() + begin_; }

  const char* tail() const { return input_.data() + end_; }

  int socket_ = -1;
  std::vector<char> input_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// Past the value that starts at `at`, or null when it is not whole before `end`. Any RESP2 or
/// RESP3 value; throws Exit at a byte that starts none.
const char* skip_value(const char* at, const char* end);

/// A batch of PUSH commands, encoded once. Each job has its own copy of the payload, whose first 16
/// bytes are the time it was due (ns) and its number.
class PushBatch {
 public:
  struct Shape {
    std::string queue;
    std::size_t payload_bytes = 100;
    bool has_delay = false;  ///< With a DELAY argument, to be set by delay().
  };

  PushBatch(const Shape& shape, std::size_t jobs, std::uint64_t seed);

  std::size_t jobs() const { return jobs_; }

  void stamp(std::size_t index, std::uint64_t due_ns, std::uint64_t number);
  void delay(std::size_t index, std::uint64_t milliseconds);

  /// The first `jobs` commands.
  ByteView bytes(std::size_t jobs) const { return {encoded_.data(), jobs * stride_}; }

 private:
  std::string encoded_;
  std::size_t jobs_;
  std::size_t stride_ = 0;
  std::size_t payload_offset_ = 0;
  std::size_t delay_offset_ = 0;
};

inline constexpr std::size_t stamp_bytes = 16;
/// When the job was due, from its payload.
std::uint64_t stamped_due(ByteView payload);

}  // namespace sluice::cli::bench
