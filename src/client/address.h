// Address: "sluice://user:password@host:port", taken apart.
#pragma once

#include <sluice/error.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::client {

struct Address {
  std::string host = "127.0.0.1";
  std::uint16_t port = 7770;
  std::string user;
  std::string password;

  /// For messages: "host:port", an IPv6 host in brackets.
  std::string text() const;
};

/// Takes "sluice://[user:password@]host[:port][/]", and "host[:port]" alone. %XX in user and
/// password is decoded. Error: `arg` with what is wrong.
Result<Address> parse_address(std::string_view url);

}  // namespace sluice::client
