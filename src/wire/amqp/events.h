// For tests and the fuzz target: what a client's stream of bytes means, as lines of text, when it
// arrives in given pieces. Any cut must give the same lines.
#pragma once

#include "base/check.h"
#include "wire/amqp/assembler.h"
#include "wire/amqp/frame.h"
#include "wire/amqp/method.h"
#include "wire/amqp/writer.h"

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::amqp {

inline std::string to_hex(ByteView bytes) {
  constexpr ByteView digits = "0123456789abcdef";
  std::string hex;
  for (const char byte : bytes) {
    hex += digits[static_cast<unsigned char>(byte) >> 4];
    hex += digits[static_cast<unsigned char>(byte) & 15];
  }
  return hex;
}

/// A method as the frame that says it.
template <Method M>
std::string encoded(std::uint16_t channel, const M& method) {
  Buffer out;
  append_method(out, channel, method);
  return std::string(out.view());
}

/// A server without a purpose: reads methods, puts contents together.
class EventReader {
 public:
  EventReader(std::uint32_t frame_max, std::uint64_t body_bytes_max)
      : body_bytes_max_(body_bytes_max) {
    parser_.limit_frames(frame_max);
  }

  /// Takes what is at the start of `input`, and returns how much that was.
  std::size_t read(ByteView input) {
    std::size_t done = 0;
    while (!is_over_) {
      const Outcome outcome = parser_.next(input.substr(done));
      check(parser_.consumed() <= input.size() - done);
      if (outcome == Outcome::incomplete) {
        check(parser_.needed() > input.size() - done);
        break;
      }
      take(outcome);
      if (!is_over_) check(parser_.consumed() > 0);  // Or it would say the same for ever.
      done += parser_.consumed();
    }
    for (auto& [channel, assembler] : assemblers_)
      assembler.keep();
    return done;
  }

  bool is_over() const { return is_over_; }

  std::vector<std::string>& events() { return events_; }

 private:
  void take(Outcome outcome) {
    switch (outcome) {
      case Outcome::opened:
        events_.emplace_back("opened");
        return;
      case Outcome::frame:
        return take_frame(parser_.frame());
      case Outcome::wrong_protocol:
        return end("wrong protocol");
      case Outcome::broken:
        return end("broken " + reply_text(parser_.problem()));
      case Outcome::incomplete:
        return;
    }
  }

  void take_frame(const Frame& frame) {
    if (frame.type == FrameType::heartbeat) {
      events_.emplace_back("heartbeat");
      return;
    }
    auto& assembler = assemblers_.try_emplace(frame.channel, body_bytes_max_).first->second;
    if (assembler.is_busy() || frame.type != FrameType::method) {
      return take_content(frame, assembler);
    }
    const Parsed<ClientMethod> method = decode_method(frame.payload);
    if (!method) return end("refused " + reply_text(method.error()));
    if (const auto* publish = std::get_if<BasicPublish>(&*method)) return assembler.start(*publish);
    std::visit([&](const auto& each) { say(frame.channel, each, ""); }, *method);
  }

  void take_content(const Frame& frame, ContentAssembler& assembler) {
    switch (assembler.next(frame)) {
      case Assembled::more:
        return;
      case Assembled::content:
        say(frame.channel,
            assembler.publish(),
            " " + to_hex(assembler.content().properties) + " " +
                std::string(assembler.content().body));
        assembler.done();
        return;
      case Assembled::refused:
        return end("refused " + reply_text(assembler.problem()));
    }
  }

  template <Method M>
  void say(std::uint16_t channel, const M& method, const std::string& behind) {
    events_.push_back(std::string(M::name) + " " + to_hex(encoded(channel, method)) + behind);
  }

  void end(std::string event) {
    events_.push_back(std::move(event));
    is_over_ = true;
  }

  FrameParser parser_;
  std::uint64_t body_bytes_max_;
  std::map<std::uint16_t, ContentAssembler> assemblers_;
  std::vector<std::string> events_;
  bool is_over_ = false;
};

/// `pieces` are sizes, used round and round; 0 counts as 1.
inline std::vector<std::string> stream_events(ByteView stream,
                                              const std::vector<std::size_t>& pieces,
                                              std::uint32_t frame_max,
                                              std::uint64_t body_bytes_max) {
  EventReader reader(frame_max, body_bytes_max);
  std::string input;
  std::size_t turn = 0;
  while (!stream.empty() && !reader.is_over()) {
    const std::size_t wanted = pieces[turn++ % pieces.size()];
    const ByteView piece = stream.substr(0, wanted == 0 ? 1 : wanted);
    stream.remove_prefix(piece.size());
    // A fresh block each time: nothing may point into the old one.
    std::string next = input;
    next += piece;
    input.swap(next);
    input.erase(0, reader.read(input));
  }
  return std::move(reader.events());
}

}  // namespace sluice::amqp
