// Fuzz: whatever stands in the configuration file, the environment and the flags, loading it gives
// a bounded, printable refusal or a configuration that means the same when it is printed and read
// again.
//
// The input is strings with zeros between them: first the file, then flags ("-key=value") and
// variables ("key=value").
#include "base/check.h"
#include "server/config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace {

using sluice::ByteView;
using sluice::check;
using sluice::Result;
using namespace sluice::server;

/// A file in memory that load_config() can open by name.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("sluice.toml", MFD_CLOEXEC)) { check(descriptor_ >= 0); }

  ~MemoryFile() { close(descriptor_); }

  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string name() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  void put(ByteView content) const {
    check(ftruncate(descriptor_, 0) == 0);
    const ssize_t written = pwrite(descriptor_, content.data(), content.size(), 0);
    check(written == static_cast<ssize_t>(content.size()));
  }

 private:
  int descriptor_;
};

ByteView next_string(ByteView& rest) {
  const ByteView found = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), found.size() + 1));
  return found;
}

/// A line for people and for a log: no control characters, no more than the input warrants.
void check_message(const std::string& message, std::size_t input_bytes) {
  check(!message.empty());
  check(message.size() <= 64 * input_bytes + 4096);
  check(std::none_of(message.begin(), message.end(), [](char byte) {
    return static_cast<unsigned char>(byte) < 0x20 && byte != '\n';
  }));
}

/// Without the comments that name the sources.
std::string values_of(const LoadedConfig& loaded) {
  std::string values;
  for (const Setting& setting : settings())
    values += std::string(setting.key) + " = " + setting.toml(loaded.config) + "\n";
  return values;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MemoryFile file;
  ByteView rest(reinterpret_cast<const char*>(data), size);
  file.put(next_string(rest));
  ConfigSources sources;
  sources.file = file.name();
  while (!rest.empty()) {
    const ByteView given = next_string(rest);
    const std::size_t equals = std::min(given.find('='), given.size());
    std::string key(given.substr(0, equals));
    std::string value(given.substr(std::min(equals + 1, given.size())));
    if (key.starts_with('-')) {
      sources.flags.emplace_back(key.substr(1), std::move(value));
    } else {
      sources.environment.emplace_back("SLUICE_" + key, std::move(value));
    }
  }
  const Result<LoadedConfig> loaded = load_config(sources);
  if (!loaded) {
    check_message(loaded.error().message, size);
    return 0;
  }
  for (const std::string& warning : loaded->warnings)
    check_message(warning, size);
  // A path may have any bytes; a TOML file is UTF-8.
  const std::string& path = loaded->config.data;
  if (std::any_of(path.begin(), path.end(), [](char byte) { return (byte & 0x80) != 0; })) return 0;
  file.put(printed(*loaded));
  ConfigSources again;
  again.file = file.name();
  const Result<LoadedConfig> same = load_config(again);
  check(same.has_value());
  check(values_of(*same) == values_of(*loaded));
  return 0;
}
