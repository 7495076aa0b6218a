// Messages and jobs: see message.h.
#include "gateway/amqp/message.h"

#include "gateway/amqp/death_table.h"
#include "gateway/amqp/instant.h"
#include "gateway/text.h"
#include "model/header_names.h"
#include "model/headers.h"
#include "model/limits.h"
#include "wire/amqp/table_writer.h"

#include <charconv>
#include <utility>

namespace sluice::amqp {
namespace {

constexpr ByteView plain_type = "message";

ByteView kept(std::string text, engine::RequestBatch& batch) {
  return batch.strings.emplace_front(std::move(text));
}

std::optional<std::uint64_t> decimal(ByteView text) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

tl::unexpected<Refusal> bad_header(ByteView name, ByteView wanted) {
  return forbid(ReplyCode::precondition_failed, fmt::format("header '{}': {}", name, wanted));
}

/// What headers say about the job. One pass; most messages have none of them.
class JobHeaders {
 public:
  JobHeaders(model::PushOptions& options, model::Publish& command, engine::RequestBatch& batch)
      : options_(options), command_(command), batch_(batch) {}

  Allowed<void> read(Table headers) {
    model::HeaderList& matched = batch_.header_lists.emplace_front();
    command_.headers = &matched;
    for (const auto& [name, value] : headers) {
      matched.emplace_back(name, match_value(value));
      if (Allowed<void> fine = read_one(name, value); !fine) return fine;
    }
    if (!task_.empty()) {
      if (command_.job.type == plain_type) command_.job.type = task_;
      if (eta_ && !options_.at) options_.at = eta_;
    }
    return {};
  }

  bool has_blind_copies() const { return has_blind_copies_; }

  /// The first so many of the further keys are of CC.
  std::size_t visible_copies() const { return visible_copies_; }

 private:
  Allowed<void> read_one(ByteView name, const Value& value) {
    if (name == "CC" || name == "BCC") return read_copies(name, value);
    if (name == "task") {
      const ByteView task = value.text().value_or(ByteView());
      if (task.size() <= model::type_bytes_max) task_ = task;
      return {};
    }
    if (name == "eta") {
      if (const auto text = value.text()) eta_ = parse_instant(*text);
      return {};
    }
    if (!name.starts_with("x-")) return {};
    if (name == "x-run-at") return read_run_at(name, value);
    if (name == "x-unique-key") return read_unique_key(name, value);
    if (name == "x-on-conflict") return read_conflict(name, value);
    if (name == "x-backoff") return read_backoff(name, value);
    if (name == "x-max-attempts") {
      const std::optional<std::int64_t> count = value.integer();
      if (!count || *count < 1 || *count > model::attempts_max) {
        return bad_header(name, fmt::format("a number from 1 to {}", model::attempts_max));
      }
      options_.max_attempts = static_cast<std::uint32_t>(*count);
      return {};
    }
    if (name == "x-delay")
      return read_duration(name, value, Duration(0), duration_max, options_.delay);
    if (name == "x-unique-window") {
      return read_duration(name, value, Duration(1), duration_max, options_.unique_window);
    }
    if (name == "x-timeout") {
      return read_duration(name, value, Duration(1), model::lease_max, options_.timeout);
    }
    if (name == "x-keep")
      return read_duration(name, value, Duration(0), duration_max, options_.keep);
    return {};
  }

  static Allowed<void> read_duration(ByteView name,
                                     const Value& value,
                                     Duration min,
                                     Duration max,
                                     std::optional<Duration>& field) {
    const std::optional<std::int64_t> number = value.integer();
    // The plugin takes a negative delay for none.
    if (number && *number < 0 && name == "x-delay") return {};
    if (!number || *number < min.count() || *number > max.count()) {
      return bad_header(
          name, fmt::format("a number of milliseconds from {} to {}", min.count(), max.count()));
    }
    field = Duration(*number);
    return {};
  }

  Allowed<void> read_run_at(ByteView name, const Value& value) {
    std::optional<WallTime> at;
    if (value.type == ValueType::timestamp) {
      at = WallTime(std::chrono::seconds(static_cast<std::int64_t>(value.timestamp().value_or(0))));
    } else if (const auto text = value.text()) {
      at = parse_instant(*text);
    } else if (const auto number = value.integer(); number && *number >= 0) {
      at = WallTime(Duration(*number));
    }
    if (!at || at->time_since_epoch() > duration_max * 8) {
      return bad_header(name, "a timestamp, milliseconds since 1970, or ISO 8601 text");
    }
    options_.at = at;
    return {};
  }

  Allowed<void> read_unique_key(ByteView name, const Value& value) {
    const ByteView key = value.text().value_or(ByteView());
    if (key.empty() || key.size() > model::key_bytes_max) {
      return bad_header(name, fmt::format("a string of 1 to {} bytes", model::key_bytes_max));
    }
    options_.unique_key = key;
    return {};
  }

  Allowed<void> read_conflict(ByteView name, const Value& value) {
    const ByteView wanted = value.text().value_or(ByteView());
    if (wanted == "existing") {
      options_.on_conflict = model::OnConflict::existing;
    } else if (wanted == "replace") {
      options_.on_conflict = model::OnConflict::replace;
    } else if (wanted == "reject") {
      options_.on_conflict = model::OnConflict::reject;
    } else {
      return bad_header(name, "one of existing, replace, reject");
    }
    return {};
  }

  Allowed<void> read_backoff(ByteView name, const Value& value) {
    const Result<model::Backoff> backoff =
        gateway::parse_backoff(value.text().value_or(ByteView()));
    if (!backoff) return bad_header(name, backoff.error().message);
    options_.backoff = *backoff;
    return {};
  }

  Allowed<void> read_copies(ByteView name, const Value& value) {
    const std::optional<Array> copies = value.array();
    if (!copies) return bad_header(name, "an array of strings");
    std::vector<ByteView> keys;
    for (const Value& each : *copies) {
      const std::optional<ByteView> key = each.text();
      if (!key) return bad_header(name, "an array of strings");
      keys.push_back(*key);
    }
    if (command_.more_keys == nullptr) command_.more_keys = &batch_.queue_lists.emplace_back();
    auto& all = batch_.queue_lists.back();
    const bool is_blind = name == "BCC";
    has_blind_copies_ = has_blind_copies_ || is_blind;
    // Those that receivers may see stand first.
    all.insert(is_blind ? all.end() : all.begin(), keys.begin(), keys.end());
    if (!is_blind) visible_copies_ = keys.size();
    return {};
  }

  model::PushOptions& options_;
  model::Publish& command_;
  engine::RequestBatch& batch_;
  ByteView task_;
  std::optional<WallTime> eta_;
  bool has_blind_copies_ = false;
  std::size_t visible_copies_ = 0;
};

/// Properties as receivers get them.
std::string rewritten(Properties properties, bool has_blind_copies, ByteView reply_queue) {
  Buffer headers;
  if (has_blind_copies) {
    TableWriter table(headers);
    for (const auto& [name, value] : *properties.headers) {
      if (name != "BCC") table.name(name).value(value);
    }
    table.finish();
    properties.headers = Table{headers.view().substr(sizeof(std::uint32_t))};
  }
  if (properties.reply_to && properties.reply_to->bytes == direct_reply_to) {
    properties.reply_to = ShortString{reply_queue};
  }
  Buffer out;
  append_properties(out, properties);
  return std::string(out.view());
}

Allowed<void> check_properties(const Properties& properties, const Publisher& publisher) {
  if (properties.user_id && properties.user_id->bytes != publisher.user) {
    return forbid(ReplyCode::precondition_failed,
                  fmt::format("user_id property set to '{}' but authenticated user was '{}'",
                              properties.user_id->bytes,
                              publisher.user));
  }
  const bool wants_reply = properties.reply_to && properties.reply_to->bytes == direct_reply_to;
  if (wants_reply && publisher.reply_queue.empty()) {
    return forbid(ReplyCode::precondition_failed, "fast reply consumer does not exist");
  }
  return {};
}

}  // namespace

ByteView match_value(const Value& value) {
  switch (value.type) {
    case ValueType::nothing:
      return {};
    case ValueType::long_string:
    case ValueType::binary:
    case ValueType::array:
    case ValueType::table:
      return value.payload;
    case ValueType::boolean:
    case ValueType::int8:
    case ValueType::uint8:
    case ValueType::int16:
    case ValueType::uint16:
    case ValueType::int32:
    case ValueType::uint32:
    case ValueType::int64:
    case ValueType::int64_too:
    case ValueType::float32:
    case ValueType::float64:
    case ValueType::decimal:
    case ValueType::timestamp:
      break;
  }
  // The octet of the type stands in front of what has no length.
  return {value.payload.data() - 1, value.payload.size() + 1};
}

Allowed<model::Publish> publish_command(const BasicPublish& publish,
                                        const Content& content,
                                        const Publisher& publisher,
                                        engine::RequestBatch& batch) {
  const Parsed<Properties> properties = decode_properties(content.properties);
  if (!properties) return forbid(properties.error().code, std::string(properties.error().sentence));
  if (Allowed<void> fine = check_properties(*properties, publisher); !fine) {
    return tl::unexpected(fine.error());
  }
  model::PushOptions& options = batch.options.emplace_back();
  model::Publish command;
  command.exchange = publish.exchange.bytes;
  command.key = publish.routing_key.bytes;
  command.job.payload = content.body;
  command.job.options = &options;
  command.job.type =
      properties->type && !properties->type->bytes.empty() ? properties->type->bytes : plain_type;
  options.is_transient = properties->delivery_mode != std::uint8_t{2};
  options.priority = properties->priority;
  if (properties->expiration) {
    const std::optional<std::uint64_t> ttl = decimal(properties->expiration->bytes);
    if (!ttl || *ttl > static_cast<std::uint64_t>(duration_max.count())) {
      return forbid(ReplyCode::precondition_failed,
                    fmt::format("invalid expiration '{}': a number of milliseconds from 0 to {}",
                                properties->expiration->bytes,
                                duration_max.count()));
    }
    options.ttl = Duration(std::max<std::uint64_t>(*ttl, 1));
  }
  JobHeaders headers(options, command, batch);
  if (properties->headers && !properties->headers->entries.empty()) {
    if (Allowed<void> fine = headers.read(*properties->headers); !fine) {
      return tl::unexpected(fine.error());
    }
  }
  ByteView raw = content.properties;
  const bool is_rewritten =
      headers.has_blind_copies() ||
      (properties->reply_to && properties->reply_to->bytes == direct_reply_to);
  if (is_rewritten) {
    raw = kept(rewritten(*properties, headers.has_blind_copies(), publisher.reply_queue), batch);
  }
  options.headers.reserve(3);
  if (!command.exchange.empty()) {
    options.headers.emplace_back(model::exchange_header, command.exchange);
  }
  // Without it the key is the name of the queue.
  if (!command.exchange.empty() || command.more_keys != nullptr) {
    options.headers.emplace_back(model::key_header, command.key);
  }
  for (std::size_t index = 0; index < headers.visible_copies(); ++index) {
    options.headers.emplace_back(model::more_key_header, (*command.more_keys)[index]);
  }
  options.headers.emplace_back(model::properties_header, raw);
  return command;
}

namespace {

/// Of a job that another protocol pushed.
void append_own_properties(Buffer& out, const model::Delivery& job) {
  Buffer headers;
  TableWriter table(headers);
  model::for_each_header(job.headers, [&table](ByteView name, ByteView value) {
    if (name.size() <= 255 && !model::is_reserved_header(name)) table.name(name).text(value);
  });
  table.finish();
  const std::string id = model::id_text(job.id);
  Properties properties;
  properties.headers = Table{headers.view().substr(sizeof(std::uint32_t))};
  properties.delivery_mode = std::uint8_t{2};
  properties.message_id = ShortString{id};
  properties.type = ShortString{job.type};
  append_properties(out, properties);
}

}  // namespace

Outgoing outgoing(const model::Delivery& job, const Vhost& vhost, Buffer& scratch) {
  Outgoing message;
  message.routing_key = vhost.outside(job.queue);
  message.content.body = job.payload;
  ByteView deaths;
  bool has_copies = false;
  model::for_each_header(job.headers, [&](ByteView name, ByteView value) {
    if (!model::is_reserved_header(name)) return;
    if (name == model::properties_header) message.content.properties = value;
    if (name == model::exchange_header) message.exchange = vhost.outside(value);
    if (name == model::key_header) message.routing_key = value;
    if (name == model::more_key_header) has_copies = true;
    if (name == model::deaths_header) deaths = value;
  });
  const bool is_foreign = message.content.properties.empty();
  if (!is_foreign && deaths.empty()) return message;
  scratch.clear();
  if (is_foreign) {
    append_own_properties(scratch, job);
    message.content.properties = scratch.view();
  }
  if (!deaths.empty()) {
    Buffer with_deaths;
    std::vector<model::Death> died = model::decode_deaths(deaths);
    for (model::Death& death : died) {
      death.queue = vhost.outside(death.queue);
      death.exchange = vhost.outside(death.exchange);
    }
    append_dead_properties(with_deaths, message.content.properties, died, has_copies);
    scratch = std::move(with_deaths);
    message.content.properties = scratch.view();
  }
  return message;
}

model::HeaderList headers_of(ByteView raw) {
  model::HeaderList headers;
  const Parsed<Properties> properties = decode_properties(raw);
  if (!properties || !properties->headers) return headers;
  for (const auto& [name, value] : *properties->headers)
    headers.emplace_back(name, match_value(value));
  return headers;
}

}  // namespace sluice::amqp
