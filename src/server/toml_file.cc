// Reading TOML with toml++ (header-only: one translation unit, no run-time dependency).
#include "server/toml_file.h"

#include "server/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

/// The line of the first character that is not ASCII and stands neither in a string nor in a
/// comment, where TOML allows none; 0 if there is none. toml++ must not see it: 3.3 takes its table
/// of white space to be complete, and what it does about U+00FC, for example, is undefined.
std::size_t line_of_stray_character(std::string_view text) {
  constexpr std::array<std::string_view, 4> quotes{R"(""")", "'''", R"(")", "'"};
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  std::size_t line = 1;
  std::string_view closing;  // What ends the string or comment at hand; empty: there is none.
  for (std::size_t at = text.starts_with(byte_order_mark) ? 3 : 0; at < text.size(); ++at) {
    if (text[at] == '\n') ++line;
    const std::string_view rest = text.substr(at);
    if (closing.empty()) {
      const auto* const quote = std::find_if(
          quotes.begin(), quotes.end(), [rest](auto each) { return rest.starts_with(each); });
      if (quote != quotes.end()) {
        closing = *quote;
        at += closing.size() - 1;
      } else if (text[at] == '#') {
        closing = "\n";
      } else if ((static_cast<unsigned char>(text[at]) & 0x80) != 0) {
        return line;
      }
    } else if (text[at] == '\\' && closing.front() == '"') {
      ++at;  // Whatever it is, it does not end the string.
      if (at < text.size() && text[at] == '\n') ++line;
    } else if (rest.starts_with(closing)) {
      at += closing.size() - 1;
      // Up to two quotes may stand in front of the three that end a string of several lines.
      for (int more = 0; closing.size() == 3 && more < 2; ++more) {
        if (at + 1 < text.size() && text[at + 1] == closing.front()) ++at;
      }
      closing = {};
    }
  }
  return 0;
}

}  // namespace

Result<std::vector<TomlEntry>> read_toml(const std::string& file) {
  const Result<std::string> content = read_file(file);
  if (!content) return tl::unexpected(content.error());
  if (const std::size_t line = line_of_stray_character(*content); line != 0) {
    return fail(ErrorCode::arg,
                fmt::format("{}:{}: this is not TOML: a character that is not ASCII stands outside "
                            "of strings and comments",
                            file,
                            line));
  }
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
