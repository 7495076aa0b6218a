// Queue arguments: see queue_arguments.h.
#include "gateway/amqp/queue_arguments.h"

#include "gateway/text.h"
#include "model/limits.h"

#include <algorithm>
#include <map>
#include <optional>

namespace sluice::amqp {
namespace {

constexpr ByteView single_active_consumer = "x-single-active-consumer";
constexpr ByteView consumer_timeout_name = "x-consumer-timeout";

/// Arguments that two declarations of a queue have to agree on, as lines.
using Lines = std::map<std::string, std::string, std::less<>>;

std::string encoded(const Lines& lines) {
  std::string text;
  for (const auto& [name, value] : lines)
    text += fmt::format("{}={}\n", name, value);
  return text;
}

Lines decoded(ByteView text) {
  Lines lines;
  while (!text.empty()) {
    const ByteView line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t equals = line.find('=');
    if (equals == ByteView::npos) continue;
    lines.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return lines;
}

/// Reads the arguments of one declaration.
class Arguments {
 public:
  Arguments(ByteView queue, Table table) : queue_(queue), table_(table) {}

  /// 0 if it is not there. Refused: not an integer, below `min`, above `max`.
  std::uint64_t number(ByteView name, std::uint64_t min, std::uint64_t max) {
    const std::optional<Value> value = table_.find(name);
    if (!value) return 0;
    const std::optional<std::int64_t> number = value->integer();
    if (!number) {
      refuse(name, "an integer is wanted");
    } else if (*number < 0 || static_cast<std::uint64_t>(*number) < min ||
               static_cast<std::uint64_t>(*number) > max) {
      refuse(name, fmt::format("{}; allowed: {} to {}", *number, min, max));
    } else {
      lines_.emplace(name, fmt::format("the value '{}' of type 'signedint'", *number));
      return static_cast<std::uint64_t>(*number);
    }
    return 0;
  }

  bool has(ByteView name) const { return table_.find(name).has_value(); }

  std::optional<std::string> text(ByteView name) {
    const std::optional<Value> value = table_.find(name);
    if (!value) return std::nullopt;
    const std::optional<ByteView> text = value->text();
    if (!text) {
      refuse(name, "a string is wanted");
      return std::nullopt;
    }
    if (text->size() > 255 || text->find('\n') != ByteView::npos) {
      refuse(name, "at most 255 bytes in one line");
      return std::nullopt;
    }
    lines_.emplace(name, fmt::format("the value '{}' of type 'longstr'", *text));
    return std::string(*text);
  }

  bool flag(ByteView name) {
    const std::optional<Value> value = table_.find(name);
    if (!value) return false;
    const std::optional<bool> flag = value->boolean();
    if (!flag) refuse(name, "a boolean is wanted");
    const bool is_set = flag.value_or(false);
    if (is_set) lines_.emplace(name, "the value 'true' of type 'bool'");
    return is_set;
  }

  void refuse(ByteView name, std::string why) {
    if (refusal_) return;
    refusal_ =
        Refusal{ReplyCode::precondition_failed,
                fmt::format("invalid arg '{}' for {}: {}", name, in_vhost("queue", queue_), why)};
  }

  const std::optional<Refusal>& refusal() const { return refusal_; }

  std::string lines() const { return encoded(lines_); }

  void add_line(ByteView name, std::string value) { lines_.emplace(name, std::move(value)); }

 private:
  ByteView queue_;
  Table table_;
  Lines lines_;
  std::optional<Refusal> refusal_;
};

void read_lengths(Arguments& arguments, model::QueuePolicy& policy) {
  policy.is_length_of_ready = true;
  policy.overflow = model::Overflow::drop_head;
  constexpr std::uint64_t any = std::uint64_t{1} << 62;
  policy.max_length = arguments.number("x-max-length", 0, any);
  if (arguments.has("x-max-length") && policy.max_length == 0) {
    arguments.refuse("x-max-length", "0; allowed: 1 or more");
  }
  policy.max_bytes = arguments.number("x-max-length-bytes", 0, any);
  if (arguments.has("x-max-length-bytes") && policy.max_bytes == 0) {
    arguments.refuse("x-max-length-bytes", "0; allowed: 1 or more");
  }
  const std::optional<std::string> overflow = arguments.text("x-overflow");
  if (overflow == "reject-publish") {
    policy.overflow = model::Overflow::reject;
  } else if (overflow == "reject-publish-dlx") {
    policy.overflow = model::Overflow::reject_dead_letter;
  } else if (overflow && *overflow != "drop-head") {
    arguments.refuse("x-overflow", "allowed: drop-head, reject-publish, reject-publish-dlx");
  }
}

void read_dead_letters(Arguments& arguments, model::QueuePolicy& policy) {
  policy.drops_dead = true;
  policy.dead_letter_exchange = arguments.text("x-dead-letter-exchange");
  policy.dead_letter_key = arguments.text("x-dead-letter-routing-key");
  if (policy.dead_letter_key && !policy.dead_letter_exchange) {
    arguments.refuse("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined");
  }
  if (arguments.flag("x-keep-dead")) policy.drops_dead = false;
}

void read_attempts(Arguments& arguments, model::QueuePolicy& policy) {
  policy.max_attempts = model::attempts_unlimited;
  if (arguments.has("x-delivery-limit")) {
    // So many may fail, and the next one ends it.
    const std::uint64_t limit = arguments.number("x-delivery-limit", 0, model::attempts_max - 1);
    policy.max_attempts = static_cast<std::uint32_t>(limit + 1);
  }
  if (arguments.has("x-max-attempts")) {
    policy.max_attempts =
        static_cast<std::uint32_t>(arguments.number("x-max-attempts", 1, model::attempts_max));
  }
  if (const std::optional<std::string> spec = arguments.text("x-retry-backoff")) {
    const Result<model::Backoff> backoff = gateway::parse_backoff(*spec);
    if (!backoff) {
      arguments.refuse("x-retry-backoff", backoff.error().message);
    } else {
      policy.backoff = *backoff;
    }
  }
}

}  // namespace

Allowed<model::QueuePolicy> queue_policy(const QueueDeclare& declare) {
  Arguments arguments(declare.queue.bytes, declare.arguments);
  model::QueuePolicy policy;
  policy.is_durable = declare.durable && !declare.exclusive;
  policy.is_auto_delete = declare.auto_delete;
  const auto longest = static_cast<std::uint64_t>(duration_max.count());
  if (arguments.has("x-message-ttl")) {
    const std::uint64_t ttl = arguments.number("x-message-ttl", 0, longest);
    policy.ttl_max = Duration(std::max<std::uint64_t>(ttl, 1));
  }
  policy.is_ttl_for_started = true;
  policy.expires = Duration(arguments.number("x-expires", 1, longest));
  policy.keep = Duration(arguments.number("x-keep", 0, longest));
  policy.priority_max = static_cast<std::uint8_t>(arguments.number("x-max-priority", 0, 255));
  read_lengths(arguments, policy);
  read_dead_letters(arguments, policy);
  read_attempts(arguments, policy);
  arguments.flag(single_active_consumer);
  if (const std::optional<std::string> type = arguments.text("x-queue-type")) {
    if (*type != "classic" && *type != "quorum") {
      arguments.refuse("x-queue-type", fmt::format("'{}'; allowed: classic, quorum", *type));
    }
    if (*type == "quorum" && !policy.is_durable) {
      arguments.refuse("x-queue-type", "a quorum queue is durable and not exclusive");
    }
  }
  arguments.text("x-queue-mode");
  arguments.number(consumer_timeout_name, 0, longest);
  // Whether it says durable too, which a queue of one connection cannot be.
  if (declare.exclusive) arguments.add_line("exclusive", declare.durable ? "durable" : "transient");
  if (arguments.refusal()) return tl::unexpected(*arguments.refusal());
  policy.arguments = arguments.lines();
  return policy;
}

Allowed<void> check_equivalent(ByteView queue,
                               const model::QueuePolicy& is,
                               const model::QueuePolicy& asked) {
  const auto differs = [queue](
                           ByteView name, const std::string& received, const std::string& current) {
    return forbid(ReplyCode::precondition_failed,
                  fmt::format("inequivalent arg '{}' for {}: received {} but current is {}",
                              name,
                              in_vhost("queue", queue),
                              received,
                              current));
  };
  const auto flag = [](bool value) { return std::string(value ? "'true'" : "'false'"); };
  Lines current = decoded(is.arguments);
  Lines received = decoded(asked.arguments);
  const bool is_durable = is.is_durable || current["exclusive"] == "durable";
  const bool asks_durable = asked.is_durable || received["exclusive"] == "durable";
  if (is_durable != asks_durable) return differs("durable", flag(asks_durable), flag(is_durable));
  if (is.is_auto_delete != asked.is_auto_delete) {
    return differs("auto_delete", flag(asked.is_auto_delete), flag(is.is_auto_delete));
  }
  current.erase("exclusive");
  received.erase("exclusive");
  for (const auto& [name, value] : current) {
    const auto other = received.find(name);
    if (other == received.end()) return differs(name, "none", value);
    if (other->second != value) {
      // As short as RabbitMQ says it when both are there.
      const auto bare = [](const std::string& text) {
        const std::size_t from = text.find('\'');
        return text.substr(from, text.find('\'', from + 1) - from + 1);
      };
      return differs(name, bare(other->second), bare(value));
    }
  }
  for (const auto& [name, value] : received) {
    if (!current.contains(name)) return differs(name, value, "none");
  }
  return {};
}

bool is_single_active_consumer(const model::QueuePolicy& policy) {
  return decoded(policy.arguments).contains(single_active_consumer);
}

Duration consumer_timeout(const model::QueuePolicy& policy) {
  const Lines lines = decoded(policy.arguments);
  const auto line = lines.find(consumer_timeout_name);
  if (line == lines.end()) return Duration(0);
  const std::string& text = line->second;  // "the value '5000' of …"
  const std::size_t from = text.find('\'') + 1;
  const auto number =
      gateway::parse_number(ByteView(text).substr(from, text.find('\'', from) - from));
  return Duration(static_cast<std::int64_t>(number.value_or(0)));
}

}  // namespace sluice::amqp
