// For the parser's tests and its fuzz target: what a stream of bytes means, as lines of text, when
// it arrives in given pieces. Any cut must give the same lines.
#pragma once

#include "base/check.h"
#include "wire/resp/decoder.h"
#include "wire/resp/parser.h"

#include <cstddef>
#include <string>
#include <vector>

namespace sluice::resp {

/// `pieces` are sizes, used round and round; 0 counts as 1.
inline std::vector<std::string> parser_events(ByteView stream,
                                              const std::vector<std::size_t>& pieces,
                                              ParserLimits limits) {
  CommandParser parser(limits);
  std::vector<std::string> events;
  std::string input;
  std::size_t turn = 0;
  while (!stream.empty()) {
    const std::size_t wanted = pieces[turn++ % pieces.size()];
    const ByteView piece = stream.substr(0, wanted == 0 ? 1 : wanted);
    stream.remove_prefix(piece.size());
    // A fresh block each time: the parser may not keep pointers.
    std::string next = input;
    next += piece;
    input.swap(next);
    for (bool has_more = true; has_more;) {
      const Outcome outcome = parser.next(input.data(), input.size());
      std::string line;
      switch (outcome) {
        case Outcome::command:
          line = "command";
          for (std::size_t i = 0; i < parser.arguments().size(); ++i) {
            line += " [" + std::string(parser.arguments()[i]) + "]";
          }
          break;
        case Outcome::refused:
          line = "refused " + std::to_string(static_cast<int>(parser.refusal().kind)) + " " +
                 std::to_string(parser.refusal().argument) + " " +
                 std::to_string(parser.refusal().value) + " " + parser.refusal().command;
          break;
        case Outcome::broken:
          line = "broken " + std::string(parser.problem());
          break;
        case Outcome::incomplete:
          has_more = false;
          break;
      }
      if (!line.empty()) events.push_back(line);
      if (outcome == Outcome::broken) return events;
      check(parser.consumed() <= input.size());
      if (has_more) check(parser.consumed() > 0);  // Or it would say the same for ever.
      input.erase(0, parser.consumed());
    }
  }
  return events;
}

inline void describe(const Value& value, std::string& out) {
  out += std::to_string(static_cast<int>(value.kind)) + ":" + std::to_string(value.integer) + ":" +
         std::to_string(value.real) + ":" + value.text + "(";
  for (const Value& item : value.items)
    describe(item, out);
  out += ")";
}

inline std::vector<std::string> decoder_events(ByteView stream,
                                               const std::vector<std::size_t>& pieces,
                                               DecoderLimits limits) {
  Decoder decoder(limits);
  std::vector<std::string> events;
  std::string input;
  std::size_t turn = 0;
  while (!stream.empty()) {
    const std::size_t wanted = pieces[turn++ % pieces.size()];
    const ByteView piece = stream.substr(0, wanted == 0 ? 1 : wanted);
    stream.remove_prefix(piece.size());
    input += piece;
    for (;;) {
      Value value;
      const Decoded outcome = decoder.next(input, value);
      check(decoder.consumed() <= input.size());
      input.erase(0, decoder.consumed());
      if (outcome == Decoded::incomplete) break;
      if (outcome == Decoded::broken) {
        events.push_back("broken " + std::string(decoder.problem()));
        return events;
      }
      std::string line;
      describe(value, line);
      events.push_back(line);
    }
  }
  return events;
}

}  // namespace sluice::resp
