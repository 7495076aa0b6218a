// ClientMethod: see method.h. The lists of the two variants are the only tables.
#include "wire/amqp/method.h"

#include "wire/amqp/arguments.h"
#include "wire/amqp/octets.h"

#include <cstddef>

namespace sluice::amqp {
namespace {

constexpr std::size_t id_bytes = 4;

template <class Methods>
struct List;

template <Method... M>
struct List<std::variant<M...>> {
  /// True: `id` is one of them, and `into` has it or why not.
  static bool decode(MethodId id, ByteView arguments, Parsed<ClientMethod>& into) {
    return ((id == M::id && (into = read_arguments<M>(arguments), true)) || ...);
  }

  /// Empty if `id` is none of them.
  static ByteView name(MethodId id) {
    ByteView found;
    (void)((id == M::id && (found = M::name, true)) || ...);
    return found;
  }
};

}  // namespace

Parsed<ClientMethod> decode_method(ByteView payload) {
  if (payload.size() < id_bytes) {
    return refuse(ReplyCode::frame_error, "a method frame has no room for a method");
  }
  const MethodId id = method_id(payload);
  Parsed<ClientMethod> method;
  if (List<ClientMethod>::decode(id, payload.substr(id_bytes), method)) [[likely]]
    return method;
  if (!List<ServerMethod>::name(id).empty()) {
    return refuse(ReplyCode::command_invalid, "only a server sends this method");
  }
  return refuse(ReplyCode::not_implemented, "there is no such method");
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
