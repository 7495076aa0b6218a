// CommandParser: what a client sends in RESP, cut into commands without copying. Server side.
//
// Two forms, as Redis has them (redis.io/docs/reference/protocol-spec):
//
//   array    *2\r\n$3\r\nJOB\r\n$2\r\n17\r\n      one bulk string per argument
//   inline   JOB 17\r\n                           a line; "…" with \n \r \t \b \a \xHH \" \\, '…'
//
// Empty lines between commands are ignored. The parser is incremental and never parses a byte
// twice: it remembers where in an incomplete command it stands, as offsets from the command's
// start, so the bytes may move in memory between two calls. Declared lengths are compared with
// limits and then only waited for: nothing is allocated because a client announced it (RELIABILITY
// A7).
//
//   for (;;) {
//     const Outcome outcome = parser.next(input + done, size - done);
//     done += parser.consumed();
//     if (outcome != Outcome::command) break;        // see Outcome
//     use(parser.arguments());                       // views into the input
//   }
#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::resp {

struct ParserLimits {
  std::size_t arguments_max = 8192;           ///< Of one command; the longest PUSH has 2,800.
  std::size_t bulk_bytes_max = 16u << 20;     ///< One argument.
  std::size_t command_bytes_max = 20u << 20;  ///< All bytes of one command, framing included.
};

/// One inline command, as in Redis.
inline constexpr std::size_t inline_bytes_max = 64u << 10;
/// Longer announcements are not skipped but end the connection.
inline constexpr std::uint64_t skip_bytes_max = 1ull << 30;
inline constexpr std::int64_t skip_arguments_max = 1 << 20;

/// Where an argument lies, from the start of its command.
struct Span {
  std::uint32_t offset;
  std::uint32_t size;
};

/// The arguments of one command, the command's name first. Valid until the input moves or the next
/// call of next().
class Arguments {
 public:
  Arguments(const char* base, const Span* spans, std::size_t count)
      : base_(base), spans_(spans), count_(count) {}

  std::size_t size() const { return count_; }

  ByteView operator[](std::size_t index) const {
    return {base_ + spans_[index].offset, spans_[index].size};
  }

 private:
  const char* base_;
  const Span* spans_;
  std::size_t count_;
};

enum class Outcome : std::uint8_t {
  command,     ///< arguments() has one.
  incomplete,  ///< Call again when there is more input.
  refused,     ///< refusal() says why; the command has been skipped and the next one can follow.
  broken,      ///< The framing is lost: answer problem() and close.
};

/// Why a command that is framed well was not taken.
struct Refusal {
  enum class Kind : std::uint8_t { argument_bytes, command_bytes, arguments, quotes };
  Kind kind{};
  std::uint64_t value = 0;  ///< What was sent: bytes or arguments.
  std::uint64_t limit = 0;
  std::size_t argument = 0;  ///< Index of the argument; 0 is the command's name.
  char command[16] = {};     ///< Start of the command's name, if it was seen.
};

class CommandParser {
 public:
  /// `command_bytes_max` is below 4 GiB.
  explicit CommandParser(ParserLimits limits);

  /// Looks for one command at the start of `input`. Inline commands are unquoted in place, which is
  /// why the input is not const; bytes behind the command are never changed.
  Outcome next(char* input, std::size_t size);

  /// How many bytes at the start of the last input are done with (for `command`: its own bytes,
  /// which arguments() still views). The next input starts behind them.
  std::size_t consumed() const { return consumed_; }

  /// After `incomplete`: calling again with fewer bytes than this behind consumed() is in vain.
  std::size_t needed() const { return needed_; }

  Arguments arguments() const { return {base_, spans_.data(), spans_.size()}; }

  const Refusal& refusal() const { return refusal_; }

  /// After `broken`: a sentence.
  ByteView problem() const { return problem_; }

 private:
  enum class State : std::uint8_t { start, line, bulks, skipping };

  Outcome step(char* input, std::size_t size);
  Outcome parse_bulks(const char* input, std::size_t size);
  Outcome parse_inline(char* input, std::size_t size);
  Outcome skip(const char* input, std::size_t size);
  Outcome start_array(const char* input, std::size_t size);
  Outcome refuse_argument(const char* input,
                          std::size_t size,
                          std::size_t content,
                          std::uint64_t bytes);
  void refuse(const char* input, Refusal refusal);
  Outcome nothing(std::size_t bytes);
  Outcome incomplete(std::size_t needed);
  Outcome broken(ByteView problem);
  Outcome finished(Outcome outcome, std::size_t bytes);

  ParserLimits limits_;
  State state_ = State::start;
  bool is_nothing_ = false;  ///< The step passed an empty line: go on behind it.
  std::size_t at_ = 0;       ///< Where parsing goes on, from the start of the command.
  std::int64_t left_ = 0;    ///< Arguments still to come.
  std::uint64_t skip_ = 0;   ///< Bytes of a refused argument still to drop.
  std::size_t consumed_ = 0;
  std::size_t needed_ = 1;
  const char* base_ = nullptr;
  std::vector<Span> spans_;
  Refusal refusal_;
  ByteView problem_;
};

}  // namespace sluice::resp
