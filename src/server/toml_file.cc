// Reading TOML with toml++ (header-only: one translation unit, no run-time dependency).
#include "server/toml_file.h"

#include "server/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <tuple>

// toml++ asserts (and lets Clang assume) that a key can begin where it goes on to check just that:
// "[[[" would end a debug build. Its checks are what we want.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace sluice::server {
namespace {

// Far more than every setting with comments; keeps a wrong path (a journal, /dev/zero) harmless.
constexpr std::size_t file_bytes_max = 1u << 20;

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&out](const auto& value) { out << value; });
  return out.str();
}

RawValue raw_value(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    return {RawValue::Kind::string, text->get(), true};
  }
  if (const auto* number = node.as_integer()) {
    return {RawValue::Kind::integer, std::to_string(number->get()), true};
  }
  return {RawValue::Kind::other, shown(node), true};
}

Result<std::string> read_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string content(file_bytes_max + 1, '\0');
  if (in) in.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!in && !in.eof()) {
    return fail(ErrorCode::io,
                fmt::format("cannot read the configuration file {}: {}",
                            file,
                            std::generic_category().message(errno)));
  }
  content.resize(static_cast<std::size_t>(in.gcount()));
  if (content.size() > file_bytes_max) {
    return fail(
        ErrorCode::arg,
        fmt::format("the configuration file {} is larger than 1MiB; is it the right file?", file));
  }
  return content;
}

void flatten(const toml::table& table, const std::string& prefix, std::vector<TomlEntry>& entries) {
  for (const auto& [key, node] : table) {
    std::string name = prefix + std::string(key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, name + ".", entries);
      if (!inner->empty()) continue;
    }
    entries.push_back({std::move(name), raw_value(node), key.source().begin.line});
  }
}

}  // namespace

Result<std::vector<TomlEntry>> read_toml(const std::string& file) {
  const Result<std::string> content = read_file(file);
  if (!content) return tl::unexpected(content.error());
  std::vector<TomlEntry> entries;
  try {
    flatten(toml::parse(*content), "", entries);
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::arg,
                fmt::format("{}:{}: this is not TOML: {}",
                            file,
                            error.source().begin.line,
                            printable(error.description())));
  }
  std::sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    return std::tie(a.line, a.key) < std::tie(b.line, b.key);
  });
  return entries;
}

}  // namespace sluice::server
