// Exchanges and bindings: see exchange_arguments.h.
#include "gateway/amqp/exchange_arguments.h"

#include "gateway/amqp/message.h"

namespace sluice::amqp {
namespace {

constexpr ByteView delayed_type = "x-delayed-message";

bool is_delayed(const model::Exchange& exchange) {
  return exchange.arguments == delayed_type;
}

std::string type_of(const model::Exchange& exchange) {
  return std::string(is_delayed(exchange) ? delayed_type : model::name(exchange.kind));
}

}  // namespace

Allowed<model::Exchange> exchange_of(const ExchangeDeclare& declare) {
  model::Exchange exchange;
  ByteView type = declare.type.bytes;
  if (type == delayed_type) {
    const std::optional<Value> inner = declare.arguments.find("x-delayed-type");
    const std::optional<ByteView> text = inner ? inner->text() : std::nullopt;
    if (!text || *text == delayed_type || !model::exchange_kind(*text)) {
      return forbid(ReplyCode::precondition_failed,
                    "Invalid argument, 'x-delayed-type' must be an existing exchange type");
    }
    type = *text;
    exchange.arguments = std::string(delayed_type);
  }
  const std::optional<model::ExchangeKind> kind = model::exchange_kind(type);
  if (!kind) {
    return forbid(ReplyCode::command_invalid, fmt::format("unknown exchange type '{}'", type));
  }
  exchange.kind = *kind;
  exchange.is_durable = declare.durable;
  exchange.is_auto_delete = declare.auto_delete;
  exchange.is_internal = declare.internal;
  if (const std::optional<Value> alternate = declare.arguments.find("alternate-exchange")) {
    const std::optional<ByteView> name = alternate->text();
    if (!name || name->size() > 255) {
      return forbid(ReplyCode::precondition_failed,
                    fmt::format("invalid arg 'alternate-exchange' for {}: a name is wanted",
                                in_vhost("exchange", declare.exchange.bytes)));
    }
    exchange.alternate = std::string(*name);
  }
  return exchange;
}

Allowed<void> check_equivalent(ByteView exchange,
                               const model::Exchange& is,
                               const model::Exchange& asked) {
  const auto differs = [exchange](
                           ByteView name, const std::string& received, const std::string& current) {
    return forbid(ReplyCode::precondition_failed,
                  fmt::format("inequivalent arg '{}' for {}: received {} but current is {}",
                              name,
                              in_vhost("exchange", exchange),
                              received,
                              current));
  };
  const auto quoted = [](const std::string& text) { return fmt::format("'{}'", text); };
  const auto flag = [](bool value) { return std::string(value ? "'true'" : "'false'"); };
  if (type_of(is) != type_of(asked)) {
    return differs("type", quoted(type_of(asked)), quoted(type_of(is)));
  }
  if (is.kind != asked.kind) {
    return differs("x-delayed-type",
                   quoted(std::string(model::name(asked.kind))),
                   quoted(std::string(model::name(is.kind))));
  }
  if (is.is_durable != asked.is_durable) {
    return differs("durable", flag(asked.is_durable), flag(is.is_durable));
  }
  if (is.is_auto_delete != asked.is_auto_delete) {
    return differs("auto_delete", flag(asked.is_auto_delete), flag(is.is_auto_delete));
  }
  if (is.is_internal != asked.is_internal) {
    return differs("internal", flag(asked.is_internal), flag(is.is_internal));
  }
  if (is.alternate != asked.alternate) {
    const auto shown = [](const std::string& name) {
      return name.empty() ? std::string("none")
                          : fmt::format("the value '{}' of type 'longstr'", name);
    };
    return differs("alternate-exchange", shown(asked.alternate), shown(is.alternate));
  }
  return {};
}

Allowed<BindingMatch> binding_match(Table arguments) {
  BindingMatch match;
  bool has_all_names = false;
  if (const std::optional<Value> how = arguments.find("x-match")) {
    const std::optional<ByteView> text = how->text();
    const bool is_known = text && (*text == "all" || *text == "any" || *text == "all-with-x" ||
                                   *text == "any-with-x");
    if (!is_known) {
      return forbid(ReplyCode::precondition_failed,
                    fmt::format("Invalid x-match field value {}; expected all, any, all-with-x, or "
                                "any-with-x",
                                text.value_or("")));
    }
    match.is_any_enough = text->starts_with("any");
    has_all_names = text->ends_with("-with-x");
  }
  for (const auto& [name, value] : arguments) {
    if (name == "x-match" || (!has_all_names && name.starts_with("x-"))) continue;
    match.headers.emplace_back(name, match_value(value));
  }
  return match;
}

}  // namespace sluice::amqp
