// Config: every setting of `sluice serve`, read and validated here and nowhere else.
//
// A value comes from, first one wins: the flag --io-threads, the environment SLUICE_IO_THREADS, the
// TOML file's io_threads (--config FILE or SLUICE_CONFIG), the default. All three spell a setting
// the same way. The table of settings in settings.cc is the only list: flags, help, the printed
// configuration, packaging/sluice.toml and docs/configuration.md come from it or are tested
// against it.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "engine/engine.h"
#include "journal/log.h"
#include "model/limits.h"
#include "server/log.h"
#include "server/users.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::server {

/// A loopback address to listen on. Port 0: the system chooses one.
struct Endpoint {
  std::string host;  ///< A literal address: "127.0.0.1", "::1".
  std::uint16_t port = 0;
};

/// Whether the literal address is this machine's own.
bool is_loopback(const std::string& host);
/// host:port, an IPv6 host in brackets.
std::string text(const Endpoint& endpoint);
/// always, 10ms, never: as the setting is written.
std::string text(const engine::SyncPolicy& sync);

struct Config {
  std::string data = "sluice-data";
  Endpoint resp{"127.0.0.1", 7770};
  std::optional<Endpoint> amqp{{"127.0.0.1", 5672}};  ///< None: off.
  bool is_amqp_asked_for = false;  ///< Otherwise the server starts without, if the port is taken.
  engine::SyncPolicy sync;
  std::uint32_t commit_delay_microseconds_max = 500;
  std::uint32_t io_threads = 1;
  std::uint32_t connections_max = 10'000;
  std::uint32_t pipeline_max = 10'000;
  std::uint64_t output_bytes_max = 64u << 20;
  std::uint64_t buffers_bytes_max = 1u << 30;
  Duration silence_max = std::chrono::seconds(60);
  Duration drain = std::chrono::seconds(10);
  Duration scrub_period = std::chrono::hours(24);
  journal::LogOptions log;
  model::Limits limits;
  std::vector<User> users;  ///< [[users]] of the file. None: guest, on loopback.
  LogFormat log_format = LogFormat::text;
  LogLevel log_level = LogLevel::info;
};

/// A value as one of the sources spelled it.
struct RawValue {
  enum class Kind : std::uint8_t { integer, string, other };
  Kind kind = Kind::string;
  std::string text;      ///< As written, without TOML's quotes.
  bool is_toml = false;  ///< TOML tells numbers from strings; flags and variables do not.
};

/// One setting: how it is spelled, read and shown.
struct Setting {
  std::string_view key;    ///< As in TOML; --key-with-dashes; SLUICE_KEY_IN_CAPITALS.
  std::string_view value;  ///< What to write, for --help: SIZE, DURATION, …
  std::string_view help;   ///< One sentence, or two.
  std::string range;       ///< What is accepted, as the end of "expected …".
  /// Stores the value. The error's message says what was expected.
  std::function<Result<void>(Config&, const RawValue&)> set;
  std::function<std::string(const Config&)> toml;  ///< The value as TOML writes it.
};

/// All settings, in the order in which they are documented.
const std::vector<Setting>& settings();

std::string flag_name(std::string_view key);      ///< io_threads: --io-threads
std::string variable_name(std::string_view key);  ///< io_threads: SLUICE_IO_THREADS

/// Where values come from besides the defaults.
struct ConfigSources {
  std::vector<std::pair<std::string, std::string>> flags;        ///< Key and value, in order given.
  std::vector<std::pair<std::string, std::string>> environment;  ///< Variable and value; all of it.
  std::optional<std::string> file;  ///< --config; unset: SLUICE_CONFIG, else no file.
};

struct LoadedConfig {
  Config config;
  /// Setting to where its value comes from: "--sync", "SLUICE_SYNC", "sluice.toml:3", "default".
  std::map<std::string, std::string, std::less<>> sources;
  /// Things that are odd but no reason not to start, such as SLUICE_ variables nobody reads.
  std::vector<std::string> warnings;
};

/// Reads and validates. The error's message has one line per problem, each with key, value, source
/// and what was expected.
Result<LoadedConfig> load_config(const ConfigSources& sources);

/// Every setting with its source; a valid TOML file.
std::string printed(const LoadedConfig& loaded);

/// packaging/sluice.toml: every setting with its explanation, commented out at its default.
std::string example_toml();

/// The table of docs/configuration.md.
std::string markdown_table();

}  // namespace sluice::server
