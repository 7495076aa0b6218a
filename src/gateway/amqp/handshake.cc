// Connection: from the protocol header to Connection.OpenOk (AMQP 0-9-1 §2.2.4), heartbeats, and
// the end. See connection.h.
#include "gateway/amqp/connection.h"
#include "wire/amqp/table_writer.h"

#include <algorithm>

namespace sluice::amqp {
namespace {

constexpr std::uint16_t offered_channel_max = 2047;
constexpr std::uint32_t offered_frame_max = 131'072;
constexpr std::uint16_t offered_heartbeat = 60;
/// A client that does not answer Close is left after so long.
constexpr std::uint32_t close_seconds_max = 10;

/// What clients look at: kombu chooses how it limits its consumers by product and version, Bunny
/// refuses calls that the capabilities do not list.
void put_server_properties(TableWriter& table) {
  table.name("capabilities").open_table();
  for (const ByteView capability : {"publisher_confirms",
                                    "exchange_exchange_bindings",
                                    "basic.nack",
                                    "consumer_cancel_notify",
                                    "connection.blocked",
                                    "consumer_priorities",
                                    "authentication_failure_close",
                                    "per_consumer_qos",
                                    "direct_reply_to"}) {
    table.name(capability).boolean(true);
  }
  table.close();
  table.name("cluster_name").text("sluice");
  table.name("information").text("Sluice speaks AMQP 0-9-1 as RabbitMQ 3.10 does");
  table.name("platform").text("Sluice");
  table.name("product").text("RabbitMQ");
  table.name("version").text("3.10.8");
}

bool has_capability(Table properties, ByteView name) {
  const std::optional<Value> capabilities = properties.find("capabilities");
  const std::optional<Table> table = capabilities ? capabilities->table() : std::nullopt;
  const std::optional<Value> value = table ? table->find(name) : std::nullopt;
  return value && value->boolean().value_or(false);
}

struct Credentials {
  ByteView user;
  ByteView password;
};

/// RFC 4616: NUL user NUL password.
std::optional<Credentials> plain_login(ByteView response) {
  const std::size_t first = response.find('\0');
  if (first == ByteView::npos) return std::nullopt;
  const std::size_t second = response.find('\0', first + 1);
  if (second == ByteView::npos) return std::nullopt;
  return Credentials{response.substr(first + 1, second - first - 1), response.substr(second + 1)};
}

std::optional<Credentials> amqplain_login(ByteView response) {
  if (validate_table(response)) return std::nullopt;
  const Table table{response};
  const std::optional<Value> user = table.find("LOGIN");
  const std::optional<Value> password = table.find("PASSWORD");
  if (!user || !password || !user->text() || !password->text()) return std::nullopt;
  return Credentials{*user->text(), *password->text()};
}

}  // namespace

void Connection::open_protocol() {
  Buffer properties;
  TableWriter table(properties);
  put_server_properties(table);
  table.finish();
  append_method(
      output_,
      0,
      ConnectionStart{.version_major = 0,
                      .version_minor = 9,
                      .server_properties = Table{properties.view().substr(sizeof(std::uint32_t))},
                      .mechanisms = {"PLAIN AMQPLAIN"},
                      .locales = {"en_US"}});
}

void Connection::take_connection_method(const ClientMethod& method) {
  if (std::holds_alternative<ConnectionCloseOk>(method)) {
    stage_ = Stage::over;
    return;
  }
  if (std::holds_alternative<ConnectionClose>(method)) {
    append_method(output_, 0, ConnectionCloseOk{});
    stage_ = Stage::left;
    return;
  }
  if (stage_ == Stage::closing) return;
  if (const auto* start = std::get_if<ConnectionStartOk>(&method);
      start && stage_ == Stage::start) {
    return on(*start);
  }
  if (const auto* tune = std::get_if<ConnectionTuneOk>(&method); tune && stage_ == Stage::tune) {
    return on(*tune);
  }
  if (const auto* open = std::get_if<ConnectionOpen>(&method); open && stage_ == Stage::open) {
    return on(*open);
  }
  if (std::holds_alternative<ConnectionUpdateSecret>(method) && stage_ == Stage::running) {
    append_method(output_, 0, ConnectionUpdateSecretOk{});
    return;
  }
  fail_connection(ReplyCode::channel_error, "unexpected method for the state of the connection");
}

void Connection::on(const ConnectionStartOk& start) {
  const ByteView mechanism = start.mechanism.bytes;
  std::optional<Credentials> login;
  if (mechanism == "PLAIN") {
    login = plain_login(start.response.bytes);
  } else if (mechanism == "AMQPLAIN") {
    login = amqplain_login(start.response.bytes);
  } else {
    return fail_connection(ReplyCode::not_allowed,
                           fmt::format("unsupported authentication mechanism '{}'", mechanism));
  }
  can_be_blocked_ = has_capability(start.client_properties, "connection.blocked");
  can_be_cancelled_ = has_capability(start.client_properties, "consumer_cancel_notify");
  const bool is_told = has_capability(start.client_properties, "authentication_failure_close");
  if (!login || !options_.login) {
    const bool is_guest = login && login->user == "guest" && login->password == "guest";
    return log_in(is_guest ? vhosts_ : std::vector<std::string>(), "guest", mechanism, is_told);
  }
  then_ = [](model::Answer&) {};  // Nothing more is read meanwhile.
  chores_.emplace_back([this,
                        check = options_.login,
                        user = std::string(login->user),
                        password = std::string(login->password),
                        mechanism = std::string(mechanism),
                        is_told] {
    return [this, vhosts = check(user, password), user, mechanism, is_told] {
      then_ = nullptr;
      log_in(vhosts, user, mechanism, is_told);
    };
  });
}

/// `is_told`: the client understands why it is refused; others take the end for that.
void Connection::log_in(std::vector<std::string> vhosts,
                        const std::string& user,
                        ByteView mechanism,
                        bool is_told) {
  const bool is_somebody = !vhosts.empty();
  if (!is_somebody && !is_told) {
    stage_ = Stage::over;
    return;
  }
  if (!is_somebody) {
    return fail_connection(
        ReplyCode::access_refused,
        fmt::format("Login was refused using authentication mechanism {}. For details see the "
                    "broker logfile.",
                    mechanism));
  }
  user_ = user;
  vhosts_ = std::move(vhosts);
  append_method(
      output_, 0, ConnectionTune{offered_channel_max, offered_frame_max, offered_heartbeat});
  stage_ = Stage::tune;
}

void Connection::on(const ConnectionTuneOk& tune) {
  const auto wrong = [this](ByteView what, std::uint64_t is, ByteView how, std::uint64_t limit) {
    fail_connection(
        ReplyCode::not_allowed,
        fmt::format("negotiated {} = {} is {} allowed value ({})", what, is, how, limit));
  };
  if (tune.frame_max != 0 && tune.frame_max < frame_max_min) {
    return wrong("frame_max", tune.frame_max, "lower than the minimum", frame_max_min);
  }
  if (tune.frame_max > offered_frame_max) {
    return wrong("frame_max", tune.frame_max, "higher than the maximum", offered_frame_max);
  }
  if (tune.channel_max > offered_channel_max) {
    return wrong("channel_max", tune.channel_max, "higher than the maximum", offered_channel_max);
  }
  frame_max_ = tune.frame_max == 0 ? offered_frame_max : tune.frame_max;
  channel_max_ = tune.channel_max == 0 ? offered_channel_max : tune.channel_max;
  heartbeat_ = tune.heartbeat;
  parser_.limit_frames(frame_max_);
  stage_ = Stage::open;
}

void Connection::on(const ConnectionOpen& open) {
  const auto is_in = [&open](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), open.virtual_host.bytes) != names.end();
  };
  if (!is_in(vhosts_)) {
    const bool is_there = open.virtual_host.bytes == "/" || is_in(options_.vhosts);
    return fail_connection(
        ReplyCode::not_allowed,
        is_there ? fmt::format(
                       "access to vhost '{}' refused for user '{}'", open.virtual_host.bytes, user_)
                 : fmt::format("vhost {} not found", open.virtual_host.bytes));
  }
  vhost_ = Vhost(std::string(open.virtual_host.bytes));
  append_method(output_, 0, ConnectionOpenOk{});
  stage_ = Stage::running;
}

// -- Time, and the end. --------------------------------------------------------------------------

bool Connection::tick() {
  ++ticks_;
  rest(publishes_);
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (channel != nullptr) rest(channel->confirms);
  }
  if (stage_ == Stage::closing) return ticks_ < close_seconds_max;
  if (is_blocked_ && has_room()) unblock();
  if (!publishes_.empty() && !has_room()) block();
  if (stage_ == Stage::running) close_late_channels();
  if (stage_ != Stage::running || heartbeat_ == 0) return true;
  // Twice as often as agreed on; a peer is dead after two intervals (AMQP 0-9-1 §4.2.7).
  if (ticks_ % std::max<std::uint32_t>(heartbeat_ / 2u, 1) == 0) append_heartbeat(output_);
  // What is not read cannot be heard.
  return !may_parse() || ++silent_seconds_ <= 2u * heartbeat_;
}

bool Connection::has_room() const {
  const engine::Counters& counters = port_.counters();
  return !counters.is_out_of_space.load(std::memory_order_relaxed) &&
         !counters.is_low_on_memory.load(std::memory_order_relaxed);
}

/// Nothing is read until there is room again: what was sent waits in the socket, what was read
/// already in the engine.
void Connection::block() {
  if (is_blocked_) return;
  is_blocked_ = true;
  if (!can_be_blocked_) return;
  const bool is_memory = port_.counters().is_low_on_memory.load();
  append_method(output_, 0, ConnectionBlocked{{is_memory ? "low on memory" : "low on disk"}});
}

void Connection::unblock() {
  is_blocked_ = false;
  if (can_be_blocked_) append_method(output_, 0, ConnectionUnblocked{});
}

void Connection::end_waits() {
  if (stage_ == Stage::running) {
    current_ = {};
    fail_connection(ReplyCode::connection_forced,
                    "broker forced connection closure with reason 'shutdown'");
  }
  stage_ = Stage::over;
}

/// Gives back what the client had; what is to be done is in last_requests().
void Connection::abandon() {
  stage_ = Stage::over;
  then_ = nullptr;
  publishes_.clear();
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (channel != nullptr && !channel->is_closing) close_channel(*channel);
  }
  channels_.clear();
  for (const std::string& queue : std::exchange(own_queues_, {}))
    delete_own_queue(queue);
  broker_.leave(id_);
}

}  // namespace sluice::amqp
