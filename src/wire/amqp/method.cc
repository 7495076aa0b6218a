// ClientMethod: see method.h. The lists of the two variants are the only tables.
#include "wire/amqp/method.h"

#include "wire/amqp/arguments.h"
#include "wire/amqp/octets.h"

#include <cstddef>
#include <optional>
#include <variant>

namespace sluice::amqp {
namespace {

constexpr std::size_t id_bytes = 4;

template <class Methods>
struct List;

template <Method... M>
struct List<std::variant<M...>> {
  /// True: `id` is one of them; then `into` is that one, unless there is a problem.
  static bool read(MethodId id,
                   ByteView arguments,
                   std::variant<M...>& into,
                   std::optional<Problem>& problem) {
    return (
        (id == M::id && (problem = read_arguments(arguments, into.template emplace<M>()), true)) ||
        ...);
  }

  /// Empty if `id` is none of them.
  static ByteView name(MethodId id) {
    ByteView found;
    (void)((id == M::id && (found = M::name, true)) || ...);
    return found;
  }
};

std::optional<Problem> read_method(ByteView payload, ClientMethod& method) {
  if (payload.size() < id_bytes) {
    return Problem{.code = ReplyCode::frame_error,
                   .sentence = "a method frame has no room for a method"};
  }
  const MethodId id = method_id(payload);
  std::optional<Problem> problem;
  if (List<ClientMethod>::read(id, payload.substr(id_bytes), method, problem)) return problem;
  if (!List<ServerMethod>::name(id).empty()) {
    return Problem{.code = ReplyCode::command_invalid,
                   .sentence = "only a server sends this method"};
  }
  return Problem{.code = ReplyCode::not_implemented, .sentence = "there is no such method"};
}

}  // namespace

Parsed<ClientMethod> decode_method(ByteView payload) {
  // All that is returned, so that it is made where the caller has it and not moved there.
  Parsed<ClientMethod> method;
  if (const auto problem = read_method(payload, *method)) [[unlikely]]
    method = tl::unexpected<Problem>(*problem);
  return method;
}

MethodId method_id(ByteView payload) {
  OctetReader in(payload.substr(0, id_bytes));
  MethodId id;
  id.class_id = in.number<std::uint16_t>();
  id.method_id = in.number<std::uint16_t>();
  return in.ok() ? id : MethodId{};
}

ByteView method_name(MethodId id) {
  ByteView found = List<ClientMethod>::name(id);
  if (found.empty()) found = List<ServerMethod>::name(id);
  return found.empty() ? "unknown" : found;
}

}  // namespace sluice::amqp
