// ContentHeader and Properties: see content.h. Properties are arguments that may be absent.
#include "wire/amqp/content.h"

#include "wire/amqp/arguments.h"
#include "wire/amqp/octets.h"

#include <boost/pfr/core.hpp>
#include <boost/pfr/tuple_size.hpp>

namespace sluice::amqp {
namespace {

constexpr std::uint16_t first_flag = 1u << 15;
constexpr std::size_t property_count = boost::pfr::tuple_size_v<Properties>;
/// The bits below the last property's.
constexpr std::uint16_t unused_flags = (1u << (16 - property_count)) - 1;
static_assert(property_count == 14);

std::optional<Problem> read_properties(ByteView raw, Properties& properties) {
  if (raw.size() < sizeof(std::uint16_t)) {
    return Problem{.code = ReplyCode::syntax_error, .sentence = "property flags are cut short"};
  }
  const auto flags = load_big<std::uint16_t>(raw.data());
  if ((flags & unused_flags) != 0) {
    return Problem{.code = ReplyCode::syntax_error, .sentence = "a property flag has no property"};
  }
  ArgumentReader reader(raw.substr(sizeof flags));
  std::uint16_t flag = first_flag;
  boost::pfr::for_each_field(properties, [&](auto& field) {
    if ((flags & flag) != 0) reader.read(field.emplace());
    flag >>= 1;
  });
  return reader.problem();
}

}  // namespace

Parsed<ContentHeader> decode_content_header(ByteView payload) {
  OctetReader in(payload);
  ContentHeader header;
  header.class_id = in.number<std::uint16_t>();
  const auto weight = in.number<std::uint16_t>();
  header.body_bytes = in.number<std::uint64_t>();
  header.properties = in.octets(in.left());
  if (!in.ok() || header.properties.size() < sizeof(std::uint16_t)) {
    return refuse(ReplyCode::syntax_error, "a content header is cut short");
  }
  if (weight != 0) return refuse(ReplyCode::syntax_error, "a content header has a weight");
  return header;
}

Parsed<Properties> decode_properties(ByteView raw) {
  // All that is returned, so that it is made where the caller has it and not moved there.
  Parsed<Properties> properties;
  if (const auto problem = read_properties(raw, *properties)) [[unlikely]]
    properties = tl::unexpected<Problem>(*problem);
  return properties;
}

void append_properties(Buffer& out, const Properties& properties) {
  std::uint16_t flags = 0;
  std::uint16_t flag = first_flag;
  ArgumentSizes sizes;
  boost::pfr::for_each_field(properties, [&](const auto& field) {
    if (field) {
      flags = static_cast<std::uint16_t>(flags | flag);
      sizes.add(*field);
    }
    flag >>= 1;
  });
  ArgumentWriter writer(out.extend(sizeof flags + sizes.total()));
  writer.put(flags);
  boost::pfr::for_each_field(properties, [&](const auto& field) {
    if (field) writer.put(*field);
  });
}

}  // namespace sluice::amqp
