// Users: see users.h.
#include "server/users.h"

#include "model/names.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include <crypt.h>
#include <termios.h>
#include <unistd.h>

namespace sluice::server {
namespace {

constexpr const char* method = "$y$";
constexpr unsigned long default_cost = 0;

/// Empty: crypt() does not understand the setting.
std::string crypted(const std::string& password, const std::string& setting) {
  const auto data = std::make_unique<crypt_data>();
  const char* const hash = ::crypt_r(password.c_str(), setting.c_str(), data.get());
  return hash == nullptr || hash[0] == '*' ? std::string() : std::string(hash);
}

bool is_same(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

/// What is typed is not shown.
class Unseen {
 public:
  Unseen() : is_terminal_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_terminal_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }

  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

  ~Unseen() {
    if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }

  bool is_terminal() const { return is_terminal_; }

 private:
  termios before_{};
  bool is_terminal_;
};

}  // namespace

bool is_user_name(const std::string& name) {
  return name.size() <= user_name_bytes_max && model::is_name(name);
}

bool is_vhost(const std::string& name) {
  const bool has_slash = name.find('/') != std::string::npos;
  return name == "/" || (name.size() <= vhost_bytes_max && model::is_name(name) && !has_slash);
}

Result<std::string> hash_password(const std::string& password) {
  if (password.empty() || password.size() > password_bytes_max ||
      password.find('\0') != std::string::npos) {
    return fail(ErrorCode::arg,
                "a password has 1 to " + std::to_string(password_bytes_max) +
                    " bytes, none of them zero; this one has " + std::to_string(password.size()));
  }
  char salt[CRYPT_GENSALT_OUTPUT_SIZE];
  if (::crypt_gensalt_rn(method, default_cost, nullptr, 0, salt, sizeof salt) == nullptr) {
    return fail(ErrorCode::io, std::string("no salt: ") + std::strerror(errno));
  }
  return crypted(password, salt);
}

bool is_password_hash(const std::string& text) {
  constexpr std::size_t shortest_digest = 22;  // MD5's.
  const std::size_t last = text.rfind('$');
  if (text.size() >= CRYPT_OUTPUT_SIZE || !text.starts_with('$') || last == 0) return false;
  if (text.size() - last <= shortest_digest) return false;
  const int known = ::crypt_checksalt(text.c_str());
  return known == CRYPT_SALT_OK || known == CRYPT_SALT_METHOD_LEGACY;
}

bool is_password(const std::string& password, const std::string& hash) {
  if (password.size() > password_bytes_max || password.find('\0') != std::string::npos)
    return false;
  const std::string found = crypted(password, hash);
  return !found.empty() && is_same(found, hash);
}

const User* find_user(const std::vector<User>& users, ByteView name, ByteView password) {
  if (users.empty()) return nullptr;
  const auto found = std::find_if(
      users.begin(), users.end(), [name](const User& user) { return user.name == name; });
  const User& user = found == users.end() ? users.front() : *found;
  const bool is_right = is_password(std::string(password), user.password_hash);
  return is_right && found != users.end() ? &user : nullptr;
}

int print_password_hash() {
  std::string password;
  {
    const Unseen unseen;
    if (unseen.is_terminal()) std::fputs("Password: ", stderr);
    for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar())
      password += static_cast<char>(c);
    if (unseen.is_terminal()) std::fputs("\n", stderr);
  }
  const Result<std::string> hash = hash_password(password);
  if (!hash) {
    std::fprintf(stderr, "sluice: %s\n", hash.error().message.c_str());
    return 2;
  }
  std::printf("%s\n", hash->c_str());
  return 0;
}

}  // namespace sluice::server
