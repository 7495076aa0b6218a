// The table of settings: key, explanation, what is accepted, where it is stored.
#include "server/config.h"
#include "server/toml_file.h"
#include "server/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include <arpa/inet.h>

namespace sluice::server {
namespace {

Result<void> expected(std::string what) {
  return fail(ErrorCode::arg, "expected " + std::move(what));
}

bool is_string(const RawValue& raw) {
  return raw.kind == RawValue::Kind::string;
}

// A number must be a TOML number; a flag or a variable has only text.
bool may_be_number(const RawValue& raw) {
  return raw.kind == RawValue::Kind::integer || (is_string(raw) && !raw.is_toml);
}

struct Bounds {
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};

// `member` gives a reference to the stored number, of a const Config too.
template <class Member>
Setting bytes(std::string_view key, std::string_view help, Bounds bounds, Member member) {
  std::string range = fmt::format("a size from {} to {}, in bytes or with a unit (KiB, MiB, GiB)",
                                  bounds.min == 0 ? "0" : bytes_text(bounds.min),
                                  bytes_text(bounds.max));
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    const auto number = raw.kind == RawValue::Kind::other ? std::nullopt : parse_bytes(raw.text);
    if (!number || *number < bounds.min || *number > bounds.max) return expected(range);
    using Number = std::remove_reference_t<decltype(member(config))>;
    member(config) = static_cast<Number>(*number);
    return {};
  };
  auto toml = [=](const Config& config) {
    const std::uint64_t number = member(config);
    return number == 0 ? std::string("0") : quoted(bytes_text(number));
  };
  return {key, "SIZE", help, range, set, toml};
}

template <class Member>
Setting count(std::string_view key, std::string_view help, Bounds bounds, Member member) {
  std::string range = fmt::format("a whole number from {} to {}", bounds.min, bounds.max);
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    const auto number = may_be_number(raw) ? parse_count(raw.text) : std::nullopt;
    if (!number || *number < bounds.min || *number > bounds.max) return expected(range);
    using Number = std::remove_reference_t<decltype(member(config))>;
    member(config) = static_cast<Number>(*number);
    return {};
  };
  auto toml = [=](const Config& config) { return std::to_string(member(config)); };
  return {key, "N", help, range, set, toml};
}

template <class Choice, std::size_t choices_count, class Member>
Setting choice(std::string_view key,
               std::string_view help,
               std::array<Choice, choices_count> choices,
               Member member) {
  std::string range = "one of";
  for (const Choice one : choices)
    range += fmt::format(" {}", name(one));
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    for (const Choice one : choices) {
      if (!is_string(raw) || raw.text != name(one)) continue;
      member(config) = one;
      return {};
    }
    return expected(range);
  };
  auto toml = [=](const Config& config) { return quoted(name(member(config))); };
  return {key, "WORD", help, range, set, toml};
}

template <class Member>
Setting duration(std::string_view key, std::string_view help, Duration max, Member member) {
  std::string range = fmt::format(
      "a duration from 0 to {}, such as 500ms, 10s or 5m, or a number of "
      "milliseconds",
      duration_text(max));
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    const auto read = raw.kind == RawValue::Kind::other ? std::nullopt : parse_duration(raw.text);
    if (!read || *read > max) return expected(range);
    member(config) = *read;
    return {};
  };
  auto toml = [=](const Config& config) { return quoted(duration_text(member(config))); };
  return {key, "DURATION", help, range, set, toml};
}

Setting sync_setting() {
  const Duration min(1);
  const Duration max = std::chrono::minutes(1);
  std::string range = "\"always\", \"never\", or an interval from 1ms to 1m, such as 10ms or 1s";
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    using Kind = engine::SyncPolicy::Kind;
    if (!is_string(raw)) return expected(range);
    if (raw.text == "always") {
      config.sync = {Kind::always, Duration(0)};
    } else if (raw.text == "never") {
      config.sync = {Kind::never, Duration(0)};
    } else {
      const auto interval = parse_duration(raw.text);
      if (!interval || *interval < min || *interval > max) return expected(range);
      config.sync = {Kind::interval, *interval};
    }
    return {};
  };
  auto toml = [](const Config& config) { return quoted(text(config.sync)); };
  return {"sync",
          "WHEN",
          "When a reply is sent: always = after the fdatasync that makes its change durable; an "
          "interval = at once, with an fdatasync every so often; never = at once, the operating "
          "system writes when it likes.",
          range,
          set,
          toml};
}

bool is_address(const std::string& host) {
  in6_addr any{};
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

// "host:port", "[::1]:port".
std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_count(text.substr(colon + 1));
  if (!port || *port > std::numeric_limits<std::uint16_t>::max()) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  return Endpoint{host == "localhost" ? "127.0.0.1" : std::string(host),
                  static_cast<std::uint16_t>(*port)};
}

/// Why nobody may listen there, yet.
tl::unexpected<Error> reachable(const Endpoint& endpoint) {
  return fail(
      ErrorCode::arg,
      fmt::format(
          "{} can be reached from other machines, and the native protocol has neither users nor "
          "TLS yet: anybody there could read and change every job. Listen on 127.0.0.1:{} (or "
          "[::1]:{}) and let other machines in through a tunnel, such as ssh -L or WireGuard "
          "with a local forwarder",
          endpoint.host.empty() ? "an empty host" : printable(endpoint.host),
          endpoint.port,
          endpoint.port));
}

Setting resp_setting() {
  std::string range = "HOST:PORT with a loopback address, such as 127.0.0.1:7770 or [::1]:0";
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    const auto endpoint = is_string(raw) ? parse_endpoint(raw.text) : std::nullopt;
    if (!endpoint) return expected(range);
    if (!is_loopback(endpoint->host)) return reachable(*endpoint);
    config.resp = *endpoint;
    return {};
  };
  auto toml = [](const Config& config) { return quoted(text(config.resp)); };
  return {"resp",
          "HOST:PORT",
          "Where the native protocol (RESP) listens. Loopback addresses only, as long as there are "
          "no users and no TLS; port 0 lets the system choose.",
          range,
          set,
          toml};
}

Setting amqp_setting() {
  std::string range = "\"off\", or HOST:PORT with a literal address, such as 127.0.0.1:5672";
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    if (is_string(raw) && raw.text == "off") {
      config.amqp.reset();
      return {};
    }
    const auto endpoint = is_string(raw) ? parse_endpoint(raw.text) : std::nullopt;
    if (!endpoint || !is_address(endpoint->host)) return expected(range);
    config.amqp = *endpoint;
    config.is_amqp_asked_for = true;
    return {};
  };
  auto toml = [](const Config& config) {
    return quoted(config.amqp ? text(*config.amqp) : std::string("off"));
  };
  return {
      "amqp",
      "HOST:PORT",
      "Where AMQP 0-9-1 listens, for the clients of RabbitMQ and Celery; off: nowhere. Loopback "
      "addresses only, unless the file has users. When the default port is taken, the server "
      "warns and goes on without; one that is set has to be free.",
      range,
      set,
      toml};
}

Setting data_setting() {
  std::string range = "a path of 1 to 4096 bytes";
  auto set = [=](Config& config, const RawValue& raw) -> Result<void> {
    const bool is_fine = is_string(raw) && !raw.text.empty() && raw.text.size() <= 4096 &&
                         raw.text.find('\0') == std::string::npos;
    if (!is_fine) return expected(range);
    config.data = raw.text;
    return {};
  };
  auto toml = [](const Config& config) { return quoted(config.data); };
  return {"data",
          "DIR",
          "The directory that holds everything that is durable. Created with mode 0700; one server "
          "at a time.",
          range,
          set,
          toml};
}

constexpr std::uint64_t kib = 1ull << 10;
constexpr std::uint64_t mib = 1ull << 20;
constexpr std::uint64_t gib = 1ull << 30;
constexpr std::uint64_t tib = 1ull << 40;

std::vector<Setting> gateway_settings() {
  return {
      count("io_threads",
            "Threads that read, parse and write connections.",
            {1, 64},
            [](auto& c) -> auto& { return c.io_threads; }),
      count("connections_max",
            "Open connections of all protocols together; further ones are told so and closed.",
            {1, 1'000'000},
            [](auto& c) -> auto& { return c.connections_max; }),
      count("pipeline_max",
            "Requests of one connection that are under way at once; reading it pauses beyond.",
            {1, 1'000'000},
            [](auto& c) -> auto& { return c.pipeline_max; }),
      bytes("output_bytes_max",
            "Replies waiting for one slow client; a connection that needs more is closed.",
            {64 * kib, 4 * gib},
            [](auto& c) -> auto& { return c.output_bytes_max; }),
      bytes("buffers_bytes_max",
            "What all connections together have received in part or not sent yet; beyond, the "
            "connection that holds most is closed.",
            {64 * kib, 1 * tib},
            [](auto& c) -> auto& { return c.buffers_bytes_max; }),
      duration("silence_max",
               "How long a connection may stay without having sent one complete command; it is "
               "closed then. 0: for ever.",
               std::chrono::hours(1),
               [](auto& c) -> auto& { return c.silence_max; }),
  };
}

std::vector<Setting> limit_settings() {
  return {
      bytes("payload_bytes_max",
            "One job's payload or result.",
            {1, 256 * mib},
            [](auto& c) -> auto& { return c.limits.payload_bytes_max; }),
      bytes("headers_bytes_max",
            "Keys and values of all headers of one job together.",
            {0, 1 * mib},
            [](auto& c) -> auto& { return c.limits.headers_bytes_max; }),
      count("queue_jobs_max",
            "Unfinished jobs of one queue; pushes beyond are refused with BUSY.",
            {1, 1'000'000'000'000},
            [](auto& c) -> auto& { return c.limits.queue_jobs_max; }),
      count("queues_max",
            "Queues.",
            {1, model::queue_count_max},
            [](auto& c) -> auto& { return c.limits.queues_max; }),
      count("exchanges_max",
            "Exchanges.",
            {1, model::exchange_count_max},
            [](auto& c) -> auto& { return c.limits.exchanges_max; }),
      count("bindings_max",
            "Bindings of all exchanges together; each costs 400 to 900 bytes of memory.",
            {1, 100'000'000},
            [](auto& c) -> auto& { return c.limits.bindings_max; }),
      bytes("memory_bytes_max",
            "Memory for what is known of jobs and bindings, without caches; more of them are "
            "refused with BUSY.",
            {16 * mib, 16 * tib},
            [](auto& c) -> auto& { return c.limits.memory_bytes_max; }),
      bytes("disk_bytes_max",
            "Journal on disk; pushes beyond are refused with BUSY, acks go on. 0: as large as the "
            "disk allows.",
            {0, 1024 * tib},
            [](auto& c) -> auto& { return c.limits.disk_bytes_max; }),
      bytes("disk_free_bytes_min",
            "Free disk below which pushes are refused with BUSY, so that acks and cleaning have "
            "room. At least two segments.",
            {8 * kib, 16 * tib},
            [](auto& c) -> auto& { return c.limits.disk_free_bytes_min; }),
  };
}

std::vector<Setting> journal_settings() {
  return {
      count("commit_delay_microseconds_max",
            "So long at most a small sync waits for requests that are likely to come and share it; "
            "no longer than the last one took, and not for clients that wait for it. 0: never.",
            {0, 2000},
            [](auto& c) -> auto& { return c.commit_delay_microseconds_max; }),
      bytes("segment_bytes",
            "Length of one file of the journal. Small ones are freed sooner, large ones cost fewer "
            "file operations.",
            {4 * kib, 1 * gib},
            [](auto& c) -> auto& { return c.log.segment_bytes; }),
      bytes("tail_cache_bytes",
            "Newest part of the journal kept in memory: jobs taken soon after their push are not "
            "read back from disk.",
            {0, 64 * gib},
            [](auto& c) -> auto& { return c.log.tail_cache_bytes; }),
      duration("scrub_period",
               "In this time the whole journal is read again and verified, so that rot is found "
               "while a backup is still at hand. 0: never.",
               std::chrono::hours(24 * 365),
               [](auto& c) -> auto& { return c.scrub_period; }),
  };
}

std::vector<Setting> log_settings() {
  return {
      choice("log_format",
             "Log lines as text or as JSON objects.",
             std::array{LogFormat::text, LogFormat::json},
             [](auto& c) -> auto& { return c.log_format; }),
      choice("log_level",
             "The least important lines that are logged.",
             std::array{LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error},
             [](auto& c) -> auto& { return c.log_level; }),
  };
}

std::vector<Setting> make_settings() {
  std::vector<Setting> all{data_setting(),
                           resp_setting(),
                           amqp_setting(),
                           sync_setting(),
                           duration("drain",
                                    "How long SIGTERM waits for replies that are under way before "
                                    "it closes connections.",
                                    std::chrono::hours(1),
                                    [](auto& c) -> auto& { return c.drain; })};
  for (auto part : {gateway_settings(), journal_settings(), limit_settings(), log_settings()}) {
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = make_settings();
  return all;
}

bool is_loopback(const std::string& host) {
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  in6_addr six{};
  return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

std::string text(const Endpoint& endpoint) {
  const bool is_six = endpoint.host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(is_six ? "[{}]:{}" : "{}:{}"), endpoint.host, endpoint.port);
}

std::string text(const engine::SyncPolicy& sync) {
  switch (sync.kind) {
    case engine::SyncPolicy::Kind::always:
      return "always";
    case engine::SyncPolicy::Kind::interval:
      return duration_text(sync.interval);
    case engine::SyncPolicy::Kind::never:
      return "never";
  }
  return "";
}

}  // namespace sluice::server
