// Blocking sockets and hand-encoded RESP for the load generator; see bench_wire.h.
#include "cli/bench_wire.h"

#include "cli/exit.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace sluice::cli::bench {
namespace {

constexpr std::size_t input_bytes_initial = 1u << 20;
constexpr std::size_t delay_digits = 10;

/// The line that starts at `at`: past its CRLF, or null when it is not whole.
const char* line_end(const char* at, const char* end) {
  const void* newline = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
  return newline == nullptr ? nullptr : static_cast<const char*>(newline) + 1;
}

/// The number between the type byte and CRLF of a whole line.
long length_of(const char* at, const char* past_line) {
  long length = 0;
  const auto parsed = std::from_chars(at + 1, past_line - 2, length);
  if (parsed.ec != std::errc{}) {
    throw Exit{ExitCode::failed, "the server sent a length that is no number"};
  }
  return length;
}

const char* skip_elements(const char* at, const char* end, long count) {
  for (long i = 0; i < count && at != nullptr; ++i)
    at = skip_value(at, end);
  return at;
}

/// Random printable bytes: what a log compresses or a checksum sees is not all equal.
void fill_printable(char* bytes, std::size_t count, std::uint64_t seed) {
  std::uint64_t state = 88172645463325252ull ^ (seed * 0x9e3779b97f4a7c15ull);
  for (std::size_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    bytes[i] = static_cast<char>('!' + state % 90);
  }
}

int connect_to(const Endpoint& server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(server.host.c_str(), server.port.c_str(), &hints, &found);
  if (failure != 0) {
    throw Exit{ExitCode::unavailable,
               fmt::format("cannot look up \"{}\": {}", server.host, ::gai_strerror(failure))};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int fd = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && ::connect(fd, address->ai_addr, address->ai_addrlen) == 0) return fd;
    reason = errno;
    if (fd >= 0) ::close(fd);
  }
  throw Exit{
      ExitCode::unavailable,
      fmt::format("cannot connect to {}:{}: {}; start it with `sluice serve` or name it with "
                  "--url",
                  server.host,
                  server.port,
                  std::generic_category().message(reason))};
}

}  // namespace

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void append_command(std::string& out, std::span<const ByteView> arguments) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", arguments.size());
  for (const ByteView argument : arguments) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", argument.size());
    out.append(argument);
    out.append("\r\n");
  }
}

const char* skip_value(const char* at, const char* end) {
  const char* const past_line = line_end(at, end);
  if (past_line == nullptr) return nullptr;
  switch (*at) {
    case '+':
    case '-':
    case ':':
    case '_':
    case ',':
    case '#':
    case '(':
      return past_line;
    case '$':
    case '=':
    case '!': {
      const long length = length_of(at, past_line);
      if (length < 0) return past_line;
      return end - past_line < length + 2 ? nullptr : past_line + length + 2;
    }
    case '*':
    case '~':
    case '>':
      return skip_elements(past_line, end, length_of(at, past_line));
    case '%':
      return skip_elements(past_line, end, 2 * length_of(at, past_line));
    default:
      break;
  }
  throw Exit{ExitCode::failed,
             "the server does not speak RESP; --url must name its native port (default 7770)"};
}

Connection::Connection(const Endpoint& server)
    : socket_(connect_to(server)), input_(input_bytes_initial) {
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection::~Connection() {
  ::close(socket_);
}

void Connection::send(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      throw Exit{ExitCode::unavailable,
                 fmt::format("the server closed the connection: {}",
                             std::generic_category().message(errno))};
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Connection::make_room() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (input_.size() - end_ < input_.size() / 4) {
    std::memmove(input_.data(), head(), end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ > input_.size() / 2) input_.resize(input_.size() * 2);
  }
}

void Connection::receive() {
  make_room();
  ssize_t got = 0;
  do {
    got = ::recv(socket_, input_.data() + end_, input_.size() - end_, 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    throw Exit{ExitCode::unavailable, "the server closed the connection in the middle of the run"};
  }
  end_ += static_cast<std::size_t>(got);
}

bool Connection::try_receive() {
  make_room();
  const ssize_t got = ::recv(socket_, input_.data() + end_, input_.size() - end_, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    throw Exit{ExitCode::unavailable, "the server closed the connection in the middle of the run"};
  }
  end_ += static_cast<std::size_t>(got);
  return true;
}

void Connection::reject_reply(const char* at) {
  const char* past_line = line_end(at, tail());
  while (past_line == nullptr) {
    const auto offset = static_cast<std::size_t>(at - head());
    receive();
    at = head() + offset;
    past_line = line_end(at, tail());
  }
  const std::string text(at, past_line - 2);
  if (text.starts_with("-BUSY")) throw Exit{ExitCode::busy, text.substr(1)};
  throw Exit{ExitCode::failed,
             text.starts_with("-") ? text.substr(1) : "unexpected reply: " + text};
}

std::size_t Connection::drop_replies(std::size_t most) {
  const char* at = head();
  const char* const end = tail();
  std::size_t dropped = 0;
  for (; dropped < most && at != end; ++dropped) {
    if (*at != '$' && *at != '+' && *at != ':') [[unlikely]] {
      begin_ = static_cast<std::size_t>(at - input_.data());
      reject_reply(at);
    }
    const char* const next = skip_value(at, end);
    if (next == nullptr) break;
    at = next;
  }
  begin_ = static_cast<std::size_t>(at - input_.data());
  return dropped;
}

void Connection::await_replies(std::size_t count) {
  while (true) {
    count -= drop_replies(count);
    if (count == 0) return;
    receive();
  }
}

std::size_t Connection::await_jobs() {
  const char* past_line = nullptr;
  while (begin_ == end_ || (past_line = line_end(head(), tail())) == nullptr)
    receive();
  if (*head() != '*' && *head() != '_') reject_reply(head());
  const long count = *head() == '_' ? 0 : length_of(head(), past_line);
  begin_ = static_cast<std::size_t>(past_line - input_.data());
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

PulledJob Connection::next_job() {
  const char* past = nullptr;
  while (begin_ == end_ || (past = skip_value(head(), tail())) == nullptr)
    receive();
  PulledJob job;
  const char* at = line_end(head(), past);
  while (at != past) {
    const char* const name = line_end(at, past);
    const char* const value = skip_value(at, past);
    const char* const next = value == nullptr ? nullptr : skip_value(value, past);
    if (next == nullptr) throw Exit{ExitCode::failed, "the server sent a job that is no map"};
    const ByteView field(name, static_cast<std::size_t>(value - 2 - name));
    const ByteView raw(value, static_cast<std::size_t>(next - value));
    if (field == "id") {
      job.id = raw;
    } else if (field == "token") {
      job.token = raw;
    } else if (field == "payload") {
      const char* const bytes = line_end(value, next);
      job.payload = ByteView(bytes, static_cast<std::size_t>(next - 2 - bytes));
    }
    at = next;
  }
  begin_ = static_cast<std::size_t>(past - input_.data());
  return job;
}

std::string Connection::call(std::span<const ByteView> arguments) {
  std::string command;
  append_command(command, arguments);
  send(command);
  const char* past = nullptr;
  while (begin_ == end_ || (past = skip_value(head(), tail())) == nullptr)
    receive();
  if (*head() == '-') reject_reply(head());
  std::string reply(head(), past);
  begin_ = static_cast<std::size_t>(past - input_.data());
  return reply;
}

PushBatch::PushBatch(const Shape& shape, std::size_t jobs, std::uint64_t seed) : jobs_(jobs) {
  const std::string payload(std::max(shape.payload_bytes, stamp_bytes), '.');
  const std::string delay(delay_digits, '0');
  std::vector<ByteView> arguments{"PUSH", shape.queue, "bench", payload};
  if (shape.has_delay) arguments.insert(arguments.end(), {"DELAY", delay});
  std::string one;
  append_command(one, arguments);
  stride_ = one.size();
  payload_offset_ = one.find(payload);
  delay_offset_ = one.size() - 2 - delay_digits;
  encoded_.reserve(stride_ * jobs);
  for (std::size_t i = 0; i < jobs; ++i) {
    encoded_ += one;
    fill_printable(encoded_.data() + i * stride_ + payload_offset_, payload.size(), seed + i);
  }
}

void PushBatch::stamp(std::size_t index, std::uint64_t due_ns, std::uint64_t number) {
  char* const payload = encoded_.data() + index * stride_ + payload_offset_;
  std::memcpy(payload, &due_ns, sizeof due_ns);
  std::memcpy(payload + sizeof due_ns, &number, sizeof number);
}

void PushBatch::delay(std::size_t index, std::uint64_t milliseconds) {
  char* const digits = encoded_.data() + index * stride_ + delay_offset_;
  for (std::size_t i = delay_digits; i > 0; --i, milliseconds /= 10) {
    digits[i - 1] = static_cast<char>('0' + milliseconds % 10);
  }
}

std::uint64_t stamped_due(ByteView payload) {
  std::uint64_t due = 0;
  if (payload.size() >= sizeof due) std::memcpy(&due, payload.data(), sizeof due);
  return due;
}

}  // namespace sluice::cli::bench
