// Configuration: which source wins, and that whatever is wrong is said with key, source and limit.
#include "server/config.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::server {
namespace {

class ConfigFile : public testing::Test {
 protected:
  ConfigFile()
      : path_(std::filesystem::temp_directory_path() /
              ("sluice-config-test-" + std::to_string(getpid()) + ".toml")) {}

  ~ConfigFile() override { std::filesystem::remove(path_); }

  Result<LoadedConfig> load(const std::string& toml, ConfigSources sources = {}) {
    std::ofstream(path_) << toml;
    sources.file = path_.string();
    return load_config(sources);
  }

  // The message of the one problem that the file has.
  std::string problem(const std::string& toml) {
    const auto loaded = load(toml);
    return loaded ? "no problem" : loaded.error().message;
  }

  // How the message names the place.
  std::string at(int line) const { return "(" + path_.string() + ":" + std::to_string(line) + ")"; }

  const std::filesystem::path path_;
};

std::string flag_problem(const std::string& key, const std::string& value) {
  const auto loaded = load_config({.flags = {{key, value}}, .environment = {}, .file = {}});
  return loaded ? "no problem" : loaded.error().message;
}

TEST(Config, DefaultsAreValidAndAllOfThemFromTheDefaults) {
  const auto loaded = load_config({});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(text(loaded->config.resp), "127.0.0.1:7770");
  EXPECT_EQ(loaded->config.sync.kind, engine::SyncPolicy::Kind::always);
  EXPECT_EQ(loaded->config.data, "sluice-data");
  for (const Setting& setting : settings()) {
    EXPECT_EQ(loaded->sources.at(std::string(setting.key)), "default");
  }
}

TEST_F(ConfigFile, TheFlagWinsOverTheVariableOverTheFileOverTheDefault) {
  const auto loaded =
      load("io_threads = 2\nqueues_max = 7\nsync = \"10ms\"\n",
           {.flags = {{"io_threads", "4"}},
            .environment = {{"SLUICE_IO_THREADS", "3"}, {"SLUICE_QUEUES_MAX", "8"}, {"HOME", "/"}},
            .file = {}});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config.io_threads, 4u);
  EXPECT_EQ(loaded->sources.at("io_threads"), "--io-threads");
  EXPECT_EQ(loaded->config.limits.queues_max, 8u);
  EXPECT_EQ(loaded->sources.at("queues_max"), "SLUICE_QUEUES_MAX");
  EXPECT_EQ(loaded->config.sync.interval, Duration(10));
  EXPECT_EQ(loaded->sources.at("sync"), path_.string() + ":3");
  EXPECT_EQ(loaded->sources.at("drain"), "default");
}

TEST_F(ConfigFile, TheFileMayBeNamedByAVariable) {
  std::ofstream(path_) << "io_threads = 2\n";
  const auto loaded =
      load_config({.flags = {}, .environment = {{"SLUICE_CONFIG", path_.string()}}, .file = {}});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config.io_threads, 2u);
}

TEST_F(ConfigFile, UnknownKeysAreRefusedWithTheNearestOne) {
  EXPECT_EQ(problem("# one\nsnyc = \"always\"\n"),
            "snyc = \"always\" " + at(2) + ": there is no such setting; did you mean sync?");
  EXPECT_EQ(problem("http = \"127.0.0.1:7780\"\n"),
            "http = \"127.0.0.1:7780\" " + at(1) +
                ": there is no such setting; sluice serve --print-config lists all");
  EXPECT_EQ(problem("[limits]\npayload = 3\n"),
            "limits.payload = 3 " + at(2) +
                ": there is no such setting; sluice serve --print-config lists all");
}

TEST_F(ConfigFile, WrongTypesAreRefused) {
  const std::string number = ": expected a whole number from 1 to 64";
  EXPECT_EQ(problem("io_threads = \"2\"\n"), "io_threads = \"2\" " + at(1) + number);
  EXPECT_EQ(problem("io_threads = true\n"), "io_threads = true " + at(1) + number);
  EXPECT_EQ(problem("io_threads = 1.5\n"), "io_threads = 1.5 " + at(1) + number);
  EXPECT_EQ(problem("io_threads = -1\n"), "io_threads = -1 " + at(1) + number);
  EXPECT_EQ(problem("data = 3\n"), "data = 3 " + at(1) + ": expected a path of 1 to 4096 bytes");
  EXPECT_EQ(problem("log_format = 1\n"), "log_format = 1 " + at(1) + ": expected one of text json");
  EXPECT_EQ(problem("data = []\n"), "data = [] " + at(1) + ": expected a path of 1 to 4096 bytes");
}

TEST_F(ConfigFile, AllProblemsAreSaidAtOnce) {
  const std::string said = problem("io_threads = 0\nlog_level = \"loud\"\n");
  EXPECT_NE(said.find("io_threads = 0 " + at(1)), std::string::npos) << said;
  EXPECT_NE(said.find("log_level = \"loud\" " + at(2)), std::string::npos) << said;
}

TEST_F(ConfigFile, WhatIsNotTomlIsSaidWithItsLine) {
  const std::string said = problem("io_threads = 1\nsync = always\n");
  EXPECT_EQ(said.rfind(path_.string() + ":2: this is not TOML: ", 0), 0u) << said;
  EXPECT_EQ(
      load_config({.flags = {}, .environment = {}, .file = "/nonexistent/x.toml"}).error().message,
      "cannot read the configuration file /nonexistent/x.toml: No such file or directory");
}

TEST_F(ConfigFile, BracketsWithoutAKeyAreNotToml) {
  EXPECT_NE(problem("[[[[").find(":1: this is not TOML: "), std::string::npos);
}

TEST_F(ConfigFile, CharactersThatAreNotAsciiBelongInStringsAndComments) {
  const std::string bom = "\xEF\xBB\xBF";
  EXPECT_EQ(problem(bom + "data = \"/srv/größe\" # größer\n"), "no problem");
  EXPECT_EQ(problem("data = '/srv/größe\\'\n# Ü\nio_threads = 1\n"), "no problem");
  EXPECT_EQ(problem("data = \"\"\"\n/srv/\\\n \"größe\"\"\"\"\n"), "no problem");
  for (const char* const stray : {"io_threads = 1\ngröße = 2\n",
                                  "data = \"/srv/größe\"\nü",
                                  "data = '''\ngröße''' ʠ\n",
                                  "# A number without an end\nx=127.p'=1\"0\u0477G\"\n"}) {
    const std::string said = problem(stray);
    EXPECT_EQ(said.rfind(path_.string() + ":2: this is not TOML: ", 0), 0u) << said;
  }
}

TEST(Config, ControlCharactersOfAValueAreNotRepeated) {
  EXPECT_EQ(flag_problem("log_level", "a\x1b[2J\n"),
            "log_level = \"a\\x1b[2J\\x0a\" (--log-level): expected one of debug info warn error");
}

TEST_F(ConfigFile, ControlCharactersOfAKeyOrOfWhatIsNotTomlAreNotRepeated) {
  for (const char* const content : {"\"\\u001b[2J\" = 1\n", "a\x1b[2J\n"}) {
    const std::string message = problem(content);
    EXPECT_EQ(message.find('\x1b'), std::string::npos) << message;
  }
}

TEST(Config, EveryNumberIsAcceptedAtItsBoundsAndRefusedBeyond) {
  const std::vector<std::tuple<std::string, std::string, std::string>> bounds{
      {"io_threads", "1", "64"},
      {"connections_max", "1", "1000000"},
      {"pipeline_max", "1", "1000000"},
      {"queues_max", "1", "1000000"},
      {"queue_jobs_max", "1", "1000000000000"},
      {"segment_bytes", "4096", "268435456"},  // Beyond it disk_free_bytes_min must grow too.
      {"tail_cache_bytes", "0", "68719476736"},
      {"payload_bytes_max", "1", "33554432"},  // Beyond it output_bytes_max must grow too.
      {"headers_bytes_max", "0", "1048576"},
      {"memory_bytes_max", "16777216", "17592186044416"},
      {"output_bytes_max", "33554432", "1073741824"},      // Below it two payloads do not fit.
      {"buffers_bytes_max", "67108864", "1099511627776"},  // Below it output_bytes_max does not.
      {"disk_free_bytes_min", "134217728", "17592186044416"},
      {"disk_bytes_max", "536870912", "1125899906842624"},
      {"drain", "0", "3600000"},
      {"silence_max", "0", "3600000"},
      {"scrub_period", "0", "31536000000"},
      {"commit_delay_microseconds_max", "0", "2000"},
      {"sync", "1", "60000"},
  };
  for (const auto& [key, min, max] : bounds) {
    EXPECT_EQ(flag_problem(key, min), "no problem") << key;
    EXPECT_EQ(flag_problem(key, max), "no problem") << key;
    const std::string above = std::to_string(std::stoull(max) + 1);
    EXPECT_NE(flag_problem(key, above), "no problem") << key << " = " << above;
  }
  EXPECT_NE(flag_problem("io_threads", "0"), "no problem");
  EXPECT_NE(flag_problem("segment_bytes", "4095"), "no problem");
  EXPECT_NE(flag_problem("memory_bytes_max", "16777215"), "no problem");
  EXPECT_NE(flag_problem("sync", "0"), "no problem");
}

TEST(Config, SettingsThatDependOnEachOtherAreCheckedTogether) {
  EXPECT_EQ(flag_problem("segment_bytes", "1GiB"),
            "disk_free_bytes_min = 512MiB (default): expected at least two segments, 2GiB, because "
            "segment_bytes = 1GiB (--segment-bytes)");
  EXPECT_EQ(flag_problem("disk_bytes_max", "511MiB"),
            "disk_bytes_max = 511MiB (--disk-bytes-max): expected 0 or at least eight segments, "
            "512MiB, because segment_bytes = 64MiB (default)");
  EXPECT_EQ(flag_problem("payload_bytes_max", "33MiB"),
            "output_bytes_max = 64MiB (default): expected at least 66MiB, room for two of the "
            "largest jobs, because payload_bytes_max = 33MiB (--payload-bytes-max)");
  EXPECT_EQ(flag_problem("output_bytes_max", "2GiB"),
            "buffers_bytes_max = 1GiB (default): expected at least 2GiB, one connection's, because "
            "output_bytes_max = 2GiB (--output-bytes-max)");
}

TEST(Config, SyncIsAlwaysNeverOrAnInterval) {
  using Kind = engine::SyncPolicy::Kind;
  const auto sync = [](const std::string& value) {
    return load_config({.flags = {{"sync", value}}, .environment = {}, .file = {}})->config.sync;
  };
  EXPECT_EQ(sync("always").kind, Kind::always);
  EXPECT_EQ(sync("never").kind, Kind::never);
  EXPECT_EQ(sync("1s").kind, Kind::interval);
  EXPECT_EQ(sync("1s").interval, Duration(1000));
  EXPECT_NE(flag_problem("sync", "sometimes"), "no problem");
}

TEST(Config, OnlyLoopbackAddressesAreAccepted) {
  for (const char* fine : {"127.0.0.1:7770", "127.1.2.3:1", "localhost:0", "[::1]:65535"}) {
    EXPECT_EQ(flag_problem("resp", fine), "no problem") << fine;
  }
  for (const char* open : {"0.0.0.0:7770",
                           "192.168.1.2:7770",
                           "[::]:7770",
                           ":7770",
                           "*:7770",
                           "example.org:7770",
                           "[::ffff:127.0.0.1]:7770",
                           "128.0.0.1:1",
                           "127.0.0.1.example.org:1"}) {
    const std::string said = flag_problem("resp", open);
    EXPECT_NE(said.find("neither users nor TLS"), std::string::npos) << open << ": " << said;
    EXPECT_NE(said.find("(--resp)"), std::string::npos) << said;
    EXPECT_NE(said.find("tunnel"), std::string::npos) << said;
  }
  for (const char* bad : {"",
                          "7770",
                          "127.0.0.1",
                          "127.0.0.1:",
                          "127.0.0.1:65536",
                          "::1:7770",
                          "127.0.0.1:-1",
                          "127.0.0.1:http"}) {
    EXPECT_NE(flag_problem("resp", bad).find("expected HOST:PORT"), std::string::npos) << bad;
  }
}

TEST(Config, UnknownVariablesWarnOnlyWhenTheyLookLikeASetting) {
  const auto loaded = load_config({.flags = {},
                                   .environment = {{"SLUICE_SNYC", "never"},
                                                   {"SLUICE_PORT", "tcp://10.0.0.1:7770"},
                                                   {"SLUICE_SERVICE_HOST", "10.0.0.1"}},
                                   .file = {}});
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->warnings.size(), 1u);
  EXPECT_EQ(loaded->warnings[0],
            "the environment variable SLUICE_SNYC is no setting of the server; did you mean "
            "SLUICE_SYNC?");
}

TEST_F(ConfigFile, WhatIsPrintedIsAFileThatGivesTheSame) {
  const auto first = load_config({.flags = {{"sync", "250ms"},
                                            {"data", "a \"b\"\\c"},
                                            {"resp", "[::1]:0"},
                                            {"tail_cache_bytes", "0"},
                                            {"drain", "90s"},
                                            {"payload_bytes_max", "1MiB"},
                                            {"log_format", "json"}},
                                  .environment = {},
                                  .file = {}});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_NE(printed(*first).find("# --sync"), std::string::npos);
  const auto second = load(printed(*first));
  ASSERT_TRUE(second) << second.error().message;
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.toml(first->config), setting.toml(second->config)) << setting.key;
  }
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(ConfigDocs, TheExampleFileIsWhatTheCodeSays) {
  // Rewrite it with: sluice serve --print-example-config > packaging/sluice.toml
  EXPECT_EQ(file_text("packaging/sluice.toml"), example_toml());
}

TEST_F(ConfigFile, TheExampleFileWithItsSettingsTakenInIsTheDefault) {
  std::string toml;
  std::istringstream lines(example_toml());
  for (std::string line; std::getline(lines, line);) {
    const bool is_setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    toml += (is_setting ? line.substr(1) : line) + "\n";
  }
  const auto loaded = load(toml);
  ASSERT_TRUE(loaded) << loaded.error().message;
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.toml(loaded->config), setting.toml(Config{})) << setting.key;
    EXPECT_NE(loaded->sources.at(std::string(setting.key)), "default") << setting.key;
  }
}

TEST(ConfigDocs, TheTableOfTheDocumentationIsWhatTheCodeSays) {
  // Take a new one from: sluice serve --print-settings-table
  const std::string page = file_text("docs/configuration.md");
  EXPECT_NE(page.find(markdown_table()), std::string::npos);
}

}  // namespace
}  // namespace sluice::server
