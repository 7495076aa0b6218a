// Users: who may come in by protocols that ask for a name and a password. Their passwords are kept
// as crypt(5) hashes ("$y$…", yescrypt), which `sluice hash-password` makes.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <string>
#include <vector>

namespace sluice::server {

inline constexpr std::size_t users_max = 1000;
inline constexpr std::size_t user_name_bytes_max = 255;
inline constexpr std::size_t password_bytes_max = 512;
inline constexpr std::size_t vhost_bytes_max = 100;
inline constexpr std::size_t vhosts_max = 100;  ///< Of one user.

/// UTF-8 of 1 to user_name_bytes_max bytes without control characters.
bool is_user_name(const std::string& name);

/// "/", or UTF-8 of 1 to vhost_bytes_max bytes without control characters and slashes.
bool is_vhost(const std::string& name);

struct User {
  std::string name;
  std::string password_hash;
  std::vector<std::string> vhosts;  ///< AMQP's virtual hosts that it may open.
};

/// A hash with a new salt; takes tens of milliseconds of CPU. Error `arg`: too long, or empty.
Result<std::string> hash_password(const std::string& password);
/// Whether the text is a hash that is_password() understands.
bool is_password_hash(const std::string& text);
/// Compares in constant time; takes as long as hash_password(). Any thread.
bool is_password(const std::string& password, const std::string& hash);
/// The user of this name and password; null: there is none. As long for an unknown name as for a
/// wrong password.
const User* find_user(const std::vector<User>& users, ByteView name, ByteView password);

/// `sluice hash-password`: reads a password from standard input (from a terminal without showing
/// it), writes its hash to standard output. Returns the exit code.
int print_password_hash();

}  // namespace sluice::server
