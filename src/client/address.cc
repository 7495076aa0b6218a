// Address: parsing of client URLs.

#include "client/address.h"

#include <charconv>
#include <optional>

namespace sluice::client {
namespace {

constexpr std::string_view scheme = "sluice://";

tl::unexpected<Error> wrong(std::string_view url, std::string_view why) {
  return sluice::fail(ErrorCode::arg,
                      "\"" + std::string(url.substr(0, 256)) +
                          "\" is not a server address: " + std::string(why) +
                          "; use sluice://host:port, such as sluice://127.0.0.1:7770");
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (problem != std::errc() || end != digits.data() + 2) return std::nullopt;
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

}  // namespace

std::string Address::text() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Address> parse_address(std::string_view url) {
  std::string_view rest = url;
  if (rest.starts_with(scheme)) {
    rest.remove_prefix(scheme.size());
  } else if (rest.find("://") != std::string_view::npos) {
    return wrong(url, "the scheme is not sluice://");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  Address address;
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = rest.substr(0, at);
    const std::size_t colon = login.find(':');
    if (colon == std::string_view::npos) return wrong(url, "the login is not user:password");
    const auto user = percent_decoded(login.substr(0, colon));
    const auto password = percent_decoded(login.substr(colon + 1));
    if (!user || !password) return wrong(url, "a % in the login is not followed by two hex digits");
    address.user = *user;
    address.password = *password;
    rest.remove_prefix(at + 1);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong(url, "the [ of an IPv6 address is not closed");
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest[0] != ':') return wrong(url, "a port follows the ] as :port");
    port = rest.empty() ? rest : rest.substr(1);
    if (!rest.empty() && port.empty()) return wrong(url, "the port is missing behind the colon");
  } else {
    const std::size_t colon = rest.find(':');
    address.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = rest.substr(colon + 1);
      if (port.empty()) return wrong(url, "the port is missing behind the colon");
    }
  }
  if (address.host.empty()) return wrong(url, "the host is missing");
  if (!port.empty()) {
    const auto [end, problem] =
        std::from_chars(port.data(), port.data() + port.size(), address.port);
    const bool is_number = problem == std::errc() && end == port.data() + port.size();
    if (!is_number || address.port == 0)
      return wrong(url, "the port is not a number from 1 to 65535");
  }
  return address;
}

}  // namespace sluice::client
