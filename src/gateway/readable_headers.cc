// See readable_headers.h.
#include "gateway/readable_headers.h"

#include "model/death.h"
#include "model/header_names.h"
#include "model/headers.h"
#include "wire/amqp/content.h"
#include "wire/amqp/table.h"

#include <fmt/format.h>

#include <iterator>

namespace sluice::gateway {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;
using amqp::Value;
using amqp::ValueType;

std::string deaths_text(ByteView encoded) {
  std::string text;
  for (const model::Death& death : model::decode_deaths(encoded)) {
    fmt::format_to(std::back_inserter(text),
                   "{}{} {} {}",
                   text.empty() ? "" : ", ",
                   death.queue,
                   model::name(death.reason),
                   death.count);
  }
  return text;
}

void append_json_string(std::string& out, ByteView text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '"' || byte == '\\') out += '\\';
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

/// At most amqp::table_depth_max levels deep: the table was validated when it came.
void append_json(std::string& out, const Value& value) {
  if (const auto text = value.text()) return append_json_string(out, *text);
  if (const auto number = value.integer()) {
    out += std::to_string(*number);
  } else if (const auto flag = value.boolean()) {
    out += *flag ? "true" : "false";
  } else if (const auto seconds = value.timestamp()) {
    out += std::to_string(*seconds);
  } else if (const auto real = value.real()) {
    fmt::format_to(std::back_inserter(out), "{}", *real);
  } else if (const auto table = value.table()) {
    out += '{';
    for (const auto& [name, inner] : *table) {
      if (out.back() != '{') out += ',';
      append_json_string(out, name);
      out += ':';
      append_json(out, inner);
    }
    out += '}';
  } else if (const auto array = value.array()) {
    out += '[';
    for (const Value& inner : *array) {
      if (out.back() != '[') out += ',';
      append_json(out, inner);
    }
    out += ']';
  } else {
    out += "null";
  }
}

std::string text_of(const Value& value) {
  if (const auto text = value.text()) return std::string(*text);
  std::string out;
  append_json(out, value);
  return out;
}

Headers readable_properties(ByteView raw) {
  Headers headers;
  const amqp::Parsed<amqp::Properties> properties = amqp::decode_properties(raw);
  if (!properties) return headers;
  const auto add = [&headers](const char* name, const std::optional<amqp::ShortString>& value) {
    if (value) headers.emplace_back(name, value->bytes);
  };
  if (properties->headers) {
    for (const auto& [name, value] : *properties->headers) {
      const bool looks_reserved = model::is_reserved_header(name);
      headers.emplace_back((looks_reserved ? ":" : "") + std::string(name), text_of(value));
    }
  }
  add(":content-type", properties->content_type);
  add(":content-encoding", properties->content_encoding);
  add(":correlation-id", properties->correlation_id);
  add(":reply-to", properties->reply_to);
  add(":message-id", properties->message_id);
  if (properties->timestamp) {
    headers.emplace_back(":timestamp", std::to_string(*properties->timestamp));
  }
  add(":user-id", properties->user_id);
  add(":app-id", properties->app_id);
  return headers;
}

}  // namespace

Headers readable_header(ByteView name, ByteView value) {
  if (name == model::properties_header) return readable_properties(value);
  if (name == model::deaths_header) return {{std::string(name), deaths_text(value)}};
  return {{std::string(name), std::string(value)}};
}

std::string readable_headers(ByteView encoded) {
  Buffer out;
  model::for_each_header(encoded, [&out](ByteView name, ByteView value) {
    for (const auto& [shown_name, shown_value] : readable_header(name, value))
      model::put_header(out, shown_name, shown_value);
  });
  return std::string(out.view());
}

}  // namespace sluice::gateway
