// Verbs: the commands of the native protocol by name: their syntax, and how many arguments they
// take.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>

namespace sluice::native {

/// The commands, those for the engine first.
enum class Verb : std::uint8_t {
  push,
  pull,
  ack,
  fail,
  release,
  extend,
  progress,
  cancel,
  job,
  await,
  jobs,
  queue,
  dead,
  publish,
  exchange,
  bind,
  unbind,
  // Answered without the engine, or by more than it (conversation.h).
  backup,
  info,
  ping,
  echo,
  hello,
  auth,
  select,
  client,
  command,
  config,
  quit,
  reset,
  unknown,
};

/// The verb of that name in upper or lower case; `unknown` if there is none.
Verb find_verb(ByteView name);

constexpr bool is_for_engine(Verb verb) {
  return verb <= Verb::unbind;
}

/// One line for a person: "ACK id token [RESULT bytes]". Empty for `unknown`.
ByteView syntax(Verb verb);
/// How many commands there are; verbs are numbered from 0.
inline constexpr std::size_t verb_count = static_cast<std::size_t>(Verb::unknown);

/// Whether the command may have `count` arguments, its name among them. Not for `unknown`.
bool has_right_count(Verb verb, std::size_t count);
/// "wrong number of arguments", with the syntax.
Error wrong_count(Verb verb);

}  // namespace sluice::native
