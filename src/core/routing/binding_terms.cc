// BindingTerms: see binding_terms.h.
#include "core/routing/binding_terms.h"

#include "base/codec.h"

namespace sluice::core {
namespace {

enum Flag : std::uint8_t { to_exchange = 1, any_is_enough = 2 };

}  // namespace

std::string encode(const BindingTerms& terms) {
  Buffer out;
  unsigned flags = 0;
  if (terms.to.is_exchange) flags |= to_exchange;
  if (terms.is_any_enough) flags |= any_is_enough;
  out.append_raw(static_cast<std::uint8_t>(flags));
  out.append_raw(terms.to.index);
  put_sized<std::uint8_t>(out, terms.key);
  out.append_raw(static_cast<std::uint16_t>(terms.headers.size()));
  for (const auto& [name, value] : terms.headers) {
    put_sized<std::uint16_t>(out, name);
    put_sized<std::uint16_t>(out, value);
  }
  put_sized<std::uint16_t>(out, terms.arguments);
  return std::string(out.view());
}

Result<BindingTerms> decode_binding(ByteView bytes) {
  Reader reader(bytes);
  BindingTerms terms;
  const auto flags = reader.number<std::uint8_t>();
  terms.to.is_exchange = (flags & to_exchange) != 0;
  terms.is_any_enough = (flags & any_is_enough) != 0;
  terms.to.index = reader.number<std::uint32_t>();
  terms.key = reader.sized<std::uint8_t>();
  const auto count = reader.number<std::uint16_t>();
  for (unsigned index = 0; index < count && reader.ok(); ++index) {
    const ByteView name = reader.sized<std::uint16_t>();
    terms.headers.emplace_back(name, reader.sized<std::uint16_t>());
  }
  terms.arguments = reader.sized<std::uint16_t>();
  if (!reader.ok() || !reader.at_end()) {
    return fail(ErrorCode::corrupt, "a binding is cut short, or longer than it says");
  }
  return terms;
}

}  // namespace sluice::core
