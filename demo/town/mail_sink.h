// The mail server of the demo's customers: speaks SMTP (RFC 5321), keeps every mail as an .eml
// file, counts mails by Message-ID.
//
// SmtpSession is the protocol without sockets: lines in, replies out. MailSink is the shelf.
#pragma once

#include "http.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace orders {

/// Stores mails in a directory, one file each. Throws std::filesystem::filesystem_error when the
/// directory cannot be made.
class MailSink {
 public:
  explicit MailSink(std::filesystem::path directory);

  /// True when the mail is on the shelf; `content` has its headers, lines end in CRLF.
  bool store(const std::string& content);
  /// GET / : totals; GET /mails : how often each Message-ID came.
  asio::awaitable<HttpResponse> handle(HttpRequest request);

 private:
  std::filesystem::path directory_;
  std::unordered_map<std::string, std::uint64_t> by_message_id_;
  std::uint64_t mails_ = 0;
  std::uint64_t bytes_ = 0;
};

/// One client's conversation. Sans I/O: feed() every line, send what it returns.
class SmtpSession {
 public:
  static constexpr std::size_t line_bytes_max = 1000;     ///< RFC 5321 §4.5.3.1.6.
  static constexpr std::size_t mail_bytes_max = 8 << 20;  ///< Announced with SIZE.
  static constexpr std::size_t recipients_max = 100;      ///< RFC 5321 §4.5.3.1.8.

  explicit SmtpSession(MailSink& sink) : sink_(sink) {}

  static std::string greeting();
  /// A line without its CRLF; the reply with its CRLF, empty within DATA.
  std::string feed(std::string_view line);

  bool is_over() const { return is_over_; }

 private:
  std::string command(std::string_view verb, std::string_view argument);
  std::string mail_from(std::string_view argument);
  std::string recipient(std::string_view argument);
  std::string data_line(std::string_view line);
  void reset();

  MailSink& sink_;
  bool has_greeted_ = false;
  bool has_sender_ = false;
  bool in_data_ = false;
  bool is_over_ = false;
  bool is_too_big_ = false;
  std::size_t recipients_ = 0;
  std::string content_;
};

/// Runs the SMTP server and its JSON page until SIGTERM; tells both ports through `ready_fd`.
int run_mail_sink(std::uint16_t port, int ready_fd, const std::filesystem::path& directory);

}  // namespace orders
