// Verbs: see verbs.h.
#include "gateway/native/verbs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace sluice::native {
namespace {

struct Entry {
  ByteView syntax;
  std::size_t min;  ///< Arguments with the name.
  std::size_t max;
};

constexpr std::size_t any_count = SIZE_MAX;

/// In the order of Verb.
constexpr std::array<Entry, verb_count> entries{{
    {"PUSH queue type payload [DELAY d | AT unix-ms] [PRIORITY n] [ATTEMPTS n] [BACKOFF spec] "
     "[TIMEOUT d] [TTL d] [UNIQUE key [WINDOW d] [ONCONFLICT existing|replace|reject]] [KEEP d] "
     "[AFTER id]... [AFTER_ANY [id]]... [HEADER key value]...",
     4,
     any_count},
    {"PULL queue [queue ...] [COUNT n] [WAIT d] [LEASE d] [AS worker]", 2, any_count},
    {"ACK id token [RESULT bytes]", 3, 5},
    {"FAIL id token message [RETRY d | DEAD]", 4, 6},
    {"RELEASE id token [DELAY d]", 3, 5},
    {"EXTEND id token d", 4, 4},
    {"PROGRESS id token percent [note]", 4, 5},
    {"CANCEL id", 2, 2},
    {"JOB id", 2, 2},
    {"AWAIT id d", 3, 3},
    {"JOBS queue [STATE s] [TYPE t] [OLDER d] [NEWER d] [CURSOR id] [COUNT n]", 2, any_count},
    {"QUEUE LIST | GET name | SET name field value [field value ...] | PAUSE name | RESUME name | "
     "PURGE name | DELETE name [FORCE]",
     2,
     any_count},
    {"DEAD LIST queue [CURSOR id] [COUNT n] | REDRIVE queue [id ...] | DELETE queue [id ...]",
     3,
     any_count},
    {"PUBLISH exchange key type payload [the options of PUSH]", 5, any_count},
    {"EXCHANGE LIST | GET name | SET name direct|fanout|topic|headers [ALTERNATE exchange] "
     "[TRANSIENT] [AUTODELETE] [INTERNAL] | DELETE name [IFUNUSED]",
     2,
     any_count},
    {"BIND exchange QUEUE|EXCHANGE name [KEY key] [ALL|ANY] [HEADER key value]...", 4, any_count},
    {"UNBIND exchange QUEUE|EXCHANGE name [KEY key] [ALL|ANY] [HEADER key value]...", 4, any_count},
    {"BACKUP directory", 2, 2},
    {"INFO [section ...]", 1, any_count},
    {"PING [message]", 1, 2},
    {"ECHO message", 2, 2},
    {"HELLO [2|3 [AUTH user password] [SETNAME name]]", 1, any_count},
    {"AUTH [user] password", 2, 3},
    {"SELECT 0", 2, 2},
    {"CLIENT SETNAME name | GETNAME | ID | SETINFO attribute value", 2, any_count},
    {"COMMAND [COUNT | DOCS [command ...]]", 1, any_count},
    {"CONFIG GET pattern [pattern ...]", 2, any_count},
    {"QUIT", 1, any_count},
    {"RESET", 1, 1},
}};

/// A name of up to eight letters as a number, upper case.
constexpr std::uint64_t key(ByteView name) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    number |= std::uint64_t{static_cast<unsigned char>(name[i])} << (8 * i);
  }
  return number;
}

/// The names of the verbs, which their syntax begins with.
constexpr std::array<std::uint64_t, verb_count> keys = [] {
  std::array<std::uint64_t, verb_count> all{};
  for (std::size_t verb = 0; verb < verb_count; ++verb) {
    const ByteView usage = entries[verb].syntax;
    all[verb] = key(usage.substr(0, usage.find(' ')));
  }
  return all;
}();

}  // namespace

Verb find_verb(ByteView name) {
  if (name.size() > sizeof(std::uint64_t) || name.empty()) return Verb::unknown;
  std::uint64_t number = 0;
  std::memcpy(&number, name.data(), name.size());
  // Clears the bit that lower-case letters have more; no other byte becomes a letter by it, and
  // bytes that become zero (space, NUL) are found by the length.
  number &= 0xdfdfdfdfdfdfdfdf;
  const auto bits = static_cast<std::size_t>(64 - std::countl_zero(number));
  if ((bits + 7) / 8 != name.size()) return Verb::unknown;
  // The frequent ones are the first.
  return static_cast<Verb>(std::find(keys.begin(), keys.end(), number) - keys.begin());
}

ByteView syntax(Verb verb) {
  if (verb == Verb::unknown) return {};
  return entries[static_cast<std::size_t>(verb)].syntax;
}

Error wrong_count(Verb verb) {
  const ByteView usage = syntax(verb);
  return {ErrorCode::arg,
          fmt::format("wrong number of arguments for '{}'; usage: {}",
                      usage.substr(0, usage.find(' ')),
                      usage)};
}

bool has_right_count(Verb verb, std::size_t count) {
  const Entry& entry = entries[static_cast<std::size_t>(verb)];
  return count >= entry.min && count <= entry.max;
}

}  // namespace sluice::native
