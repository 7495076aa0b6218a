// Loading the configuration: the file, then the environment, then the flags; then the rules that
// concern more than one setting.
#include "server/config.h"

#include "server/toml_file.h"
#include "server/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice::server {
namespace {

constexpr std::string_view variable_prefix = "SLUICE_";
constexpr std::string_view config_variable = "SLUICE_CONFIG";

const Setting* find(std::string_view key) {
  for (const Setting& setting : settings()) {
    if (setting.key == key) return &setting;
  }
  return nullptr;
}

// Levenshtein distance; the strings are short.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// The setting that `key` was probably meant to be: a slip or two away, or one that begins with it.
// Empty if there is none.
std::string_view nearest(std::string_view key) {
  constexpr std::size_t beginning_min = 4;
  std::string_view best;
  std::size_t best_distance = key.size() < 4 ? 2 : 3;
  for (const Setting& setting : settings()) {
    const std::size_t d = distance(key, setting.key);
    if (d < best_distance) {
      best = setting.key;
      best_distance = d;
    } else if (best.empty() && key.size() >= beginning_min && setting.key.starts_with(key)) {
      best = setting.key;
    }
  }
  return best;
}

// Collects values and problems.
class Loader {
 public:
  void take(std::string_view key, const RawValue& raw, const std::string& source) {
    if (key.starts_with("users[")) return take_user(key, raw, source);
    const Setting* setting = find(key);
    if (setting == nullptr) {
      const std::string_view near = nearest(key);
      problem(fmt::format("{} = {} ({}): there is no such setting{}",
                          printable(key),
                          shown(raw),
                          source,
                          near.empty() ? std::string("; sluice serve --print-config lists all")
                                       : fmt::format("; did you mean {}?", near)));
      return;
    }
    const Result<void> done = setting->set(loaded.config, raw);
    if (done) {
      loaded.sources[std::string(key)] = source;
    } else {
      problem(fmt::format("{} = {} ({}): {}", key, shown(raw), source, done.error().message));
    }
  }

  void problem(const std::string& line) {
    if (!problems.empty()) problems += '\n';
    problems += line;
  }

  LoadedConfig loaded;
  std::string problems;

 private:
  /// "users[3].name", "users[3].vhosts[0]".
  void take_user(std::string_view key, const RawValue& raw, const std::string& source) {
    const std::size_t end = key.find(']');
    const auto index = parse_count(key.substr(6, end - 6));
    const std::string_view field = key.substr(std::min(key.size(), end + 1));
    if (!index || *index >= users_max) {
      return problem(fmt::format("users ({}): expected at most {} of them", source, users_max));
    }
    std::vector<User>& users = loaded.config.users;
    if (users.size() <= *index) users.resize(*index + 1);
    User& user = users[*index];
    const bool is_text = raw.kind == RawValue::Kind::string;
    if (field == ".name" && is_text) {
      user.name = raw.text;
    } else if (field == ".password_hash" && is_text) {
      user.password_hash = raw.text;
    } else if (field.starts_with(".vhosts[") && is_text && is_vhost(raw.text) &&
               user.vhosts.size() < vhosts_max) {
      user.vhosts.push_back(raw.text);
    } else {
      problem(fmt::format(
          "{} = {} ({}): {}", printable(key), shown(raw), source, wanted_of_user(field)));
    }
  }

  static std::string wanted_of_user(std::string_view field) {
    if (field == ".name" || field == ".password_hash") return "expected text";
    if (field.starts_with(".vhosts")) {
      return fmt::format(
          "expected at most {} names: \"/\", or 1 to {} bytes of UTF-8 without control characters "
          "and slashes",
          vhosts_max,
          vhost_bytes_max);
    }
    return "there is no such setting; a user has name, password_hash and vhosts";
  }

  static std::string shown(const RawValue& raw) {
    const std::string text = printable(raw.text);
    return raw.kind == RawValue::Kind::string ? '"' + text + '"' : text;
  }
};

void take_environment(Loader& loader, const ConfigSources& sources) {
  for (const auto& [variable, value] : sources.environment) {
    if (!variable.starts_with(variable_prefix) || variable == config_variable) continue;
    const auto& all = settings();
    const auto setting = std::find_if(all.begin(), all.end(), [&wanted = variable](auto& one) {
      return variable_name(one.key) == wanted;
    });
    if (setting != all.end()) {
      loader.take(setting->key, {RawValue::Kind::string, value, false}, variable);
      continue;
    }
    // No error: the client has variables too, and Kubernetes sets SLUICE_PORT and SLUICE_SERVICE_…
    // for a service of that name.
    std::string key = variable.substr(variable_prefix.size());
    std::transform(key.begin(), key.end(), key.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    const std::string_view near = nearest(key);
    if (near.empty()) continue;
    loader.loaded.warnings.push_back(
        fmt::format("the environment variable {} is no setting of the server; did you mean {}?",
                    printable(variable),
                    variable_name(near)));
  }
}

void check_users(Loader& loader) {
  std::vector<User>& users = loader.loaded.config.users;
  for (std::size_t index = 0; index < users.size(); ++index) {
    User& user = users[index];
    if (user.vhosts.empty()) user.vhosts = {"/"};
    if (!is_user_name(user.name)) {
      loader.problem(
          fmt::format("users[{}]: expected a name of 1 to {} bytes of UTF-8 without control "
                      "characters",
                      index,
                      user_name_bytes_max));
    }
    if (!is_password_hash(user.password_hash)) {
      loader.problem(fmt::format(
          "users[{}]: expected a password_hash that `sluice hash-password` has made", index));
    }
    const bool is_twice = std::any_of(users.begin(),
                                      users.begin() + static_cast<std::ptrdiff_t>(index),
                                      [&](auto& other) { return other.name == user.name; });
    if (is_twice)
      loader.problem(fmt::format("users[{}]: {} is there twice", index, printable(user.name)));
  }
}

// Rules between settings.
void check_together(Loader& loader) {
  const Config& config = loader.loaded.config;
  const auto with_source = [&loader](std::string_view key, const std::string& value) {
    return fmt::format("{} = {} ({})", key, value, loader.loaded.sources.find(key)->second);
  };
  if (config.amqp && !is_loopback(config.amqp->host) && config.users.empty()) {
    loader.problem(
        fmt::format("{}: other machines can reach it, so it needs [[users]] in the file "
                    "(`sluice hash-password` makes their hashes). Passwords and messages "
                    "cross the network as they are: there is no TLS yet",
                    with_source("amqp", text(*config.amqp))));
  }
  const std::uint64_t segment = config.log.segment_bytes;
  const std::string segment_text = with_source("segment_bytes", bytes_text(segment));
  if (config.limits.disk_free_bytes_min < 2 * segment) {
    loader.problem(fmt::format(
        "{}: expected at least two segments, {}, because {}",
        with_source("disk_free_bytes_min", bytes_text(config.limits.disk_free_bytes_min)),
        bytes_text(2 * segment),
        segment_text));
  }
  // Cleaning keeps up to four segments beside twice the live data.
  const std::uint64_t disk = config.limits.disk_bytes_max;
  if (disk != 0 && disk < 8 * segment) {
    loader.problem(fmt::format("{}: expected 0 or at least eight segments, {}, because {}",
                               with_source("disk_bytes_max", bytes_text(disk)),
                               bytes_text(8 * segment),
                               segment_text));
  }
  const std::uint64_t output_needed = 2ull * config.limits.payload_bytes_max;
  if (config.output_bytes_max < output_needed) {
    loader.problem(
        fmt::format("{}: expected at least {}, room for two of the largest jobs, because {}",
                    with_source("output_bytes_max", bytes_text(config.output_bytes_max)),
                    bytes_text(output_needed),
                    with_source("payload_bytes_max", bytes_text(config.limits.payload_bytes_max))));
  }
  if (config.buffers_bytes_max < config.output_bytes_max) {
    loader.problem(
        fmt::format("{}: expected at least {}, one connection's, because {}",
                    with_source("buffers_bytes_max", bytes_text(config.buffers_bytes_max)),
                    bytes_text(config.output_bytes_max),
                    with_source("output_bytes_max", bytes_text(config.output_bytes_max))));
  }
}

std::optional<std::string> file_of(const ConfigSources& sources) {
  if (sources.file) return sources.file;
  for (const auto& [variable, value] : sources.environment) {
    if (variable == config_variable) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string flag_name(std::string_view key) {
  std::string flag = "--" + std::string(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string variable_name(std::string_view key) {
  std::string variable(variable_prefix);
  for (const char c : key) {
    variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return variable;
}

Result<LoadedConfig> load_config(const ConfigSources& sources) {
  Loader loader;
  for (const Setting& setting : settings()) {
    loader.loaded.sources[std::string(setting.key)] = "default";
  }
  if (const std::optional<std::string> file = file_of(sources)) {
    const Result<std::vector<TomlEntry>> entries = read_toml(*file);
    if (!entries) return tl::unexpected(entries.error());
    for (const TomlEntry& entry : *entries) {
      loader.take(entry.key, entry.value, fmt::format("{}:{}", *file, entry.line));
    }
  }
  take_environment(loader, sources);
  for (const auto& [key, value] : sources.flags) {
    loader.take(key, {RawValue::Kind::string, value, false}, printable(flag_name(key)));
  }
  check_users(loader);
  check_together(loader);
  if (!loader.problems.empty()) return fail(ErrorCode::arg, std::move(loader.problems));
  return std::move(loader.loaded);
}

std::string printed(const LoadedConfig& loaded) {
  std::string out;
  for (const Setting& setting : settings()) {
    const std::string line = fmt::format("{} = {}", setting.key, setting.toml(loaded.config));
    out += fmt::format("{:<44} # {}\n", line, loaded.sources.find(setting.key)->second);
  }
  for (const User& user : loaded.config.users) {
    std::string vhosts;
    for (const std::string& vhost : user.vhosts)
      vhosts += (vhosts.empty() ? "" : ", ") + quoted(vhost);
    out += fmt::format("\n[[users]]\nname = {}\npassword_hash = {}\nvhosts = [{}]\n",
                       quoted(user.name),
                       quoted(user.password_hash),
                       vhosts);
  }
  return out;
}

std::string example_toml() {
  constexpr std::size_t columns = 96;
  std::string out =
      "# Settings of the Sluice server, each at its default. Remove the # to change one.\n"
      "# A flag (--io-threads 2) or a variable (SLUICE_IO_THREADS=2) wins over this file.\n"
      "# `sluice serve --config FILE --print-config` shows what is in force and where it is from.\n"
      "# Sizes: 1024, 64KiB, 512MiB, 8GiB. Durations: 1500 (ms), 500ms, 10s, 5m, 2h.\n";
  for (const Setting& setting : settings()) {
    out += '\n';
    std::string line = "#";
    std::string_view rest = setting.help;
    while (!rest.empty()) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      if (line.size() + 1 + word.size() > columns) {
        out += line + '\n';
        line = "#";
      }
      line += ' ';
      line += word;
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
    out += fmt::format("{}\n# Expected: {}.\n#{} = {}\n",
                       line,
                       setting.range,
                       setting.key,
                       setting.toml(Config{}));
  }
  out +=
      "\n# Who may log in by AMQP; while there is nobody, guest with the password guest may, on\n"
      "# loopback. `sluice hash-password` makes the hash. As many of these as there are users:\n"
      "#   [[users]]\n"
      "#   name = \"shop\"\n"
      "#   password_hash = \"$y$...\"\n"
      "#   vhosts = [\"/\"]\n";
  return out;
}

std::string markdown_table() {
  std::string out = "| setting | default | accepted | what it does |\n|---|---|---|---|\n";
  for (const Setting& setting : settings()) {
    out += fmt::format("| `{}` | `{}` | {} | {} |\n",
                       setting.key,
                       setting.toml(Config{}),
                       setting.range,
                       setting.help);
  }
  return out;
}

}  // namespace sluice::server
