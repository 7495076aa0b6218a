// SMTP, server side, and the shelf of .eml files.
#include "town/mail_sink.h"

#include "service.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <utility>

namespace orders {
namespace {

using asio::ip::tcp;
constexpr auto quiet = asio::as_tuple(asio::use_awaitable);

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(
      out, out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

/// The value of the Message-ID header, without its brackets; empty when the mail has none.
std::string message_id(const std::string& content) {
  const auto head_end = content.find("\r\n\r\n");
  const std::string head = upper(std::string_view(content).substr(0, head_end));
  const auto at = head.find("MESSAGE-ID:");
  if (at == std::string::npos) return {};
  const auto open = head.find('<', at);
  const auto close = head.find('>', at);
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return content.substr(open + 1, close - open - 1);
}

std::string file_name(std::uint64_t number, std::string id) {
  constexpr std::size_t name_bytes_max = 100;
  std::ranges::replace_if(
      id,
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-' && c != '@'; },
      '_');
  return fmt::format("{:06}-{}.eml", number, id.substr(0, name_bytes_max));
}

/// The address in `FROM:<address> …`; nothing when the argument has another shape.
std::optional<std::string_view> address(std::string_view argument, std::string_view keyword) {
  if (upper(argument.substr(0, keyword.size())) != keyword) return std::nullopt;
  const auto open = argument.find('<');
  const auto close = argument.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return std::nullopt;
  }
  return argument.substr(open + 1, close - open - 1);
}

asio::awaitable<void> converse(tcp::socket socket, MailSink& sink) {
  SmtpSession session(sink);
  std::string input;
  std::string output = SmtpSession::greeting();
  auto buffer = asio::dynamic_buffer(input, SmtpSession::line_bytes_max + 2);
  while (!session.is_over()) {
    const auto [write_error, written] =
        co_await asio::async_write(socket, asio::buffer(output), quiet);
    if (write_error) co_return;
    output.clear();
    // Answers to pipelined commands go out together (RFC 2920 §3.2).
    while (output.empty() && !session.is_over()) {
      const auto [read_error, line_bytes] =
          co_await asio::async_read_until(socket, buffer, std::string_view("\r\n"), quiet);
      if (read_error) co_return;  // The peer left, or a line is longer than the limit.
      output += session.feed(std::string_view(input).substr(0, line_bytes - 2));
      buffer.consume(line_bytes);
    }
  }
  const auto [last_error, last] = co_await asio::async_write(socket, asio::buffer(output), quiet);
  if (last_error) fmt::print(stderr, "event=quit_unheard error=\"{}\"\n", last_error.message());
}

asio::awaitable<void> accept_mail(tcp::acceptor& acceptor, MailSink& sink) {
  for (;;) {
    auto [ec, socket] = co_await acceptor.async_accept(quiet);
    if (ec == asio::error::operation_aborted) co_return;
    if (ec) {
      fmt::print(stderr, "event=accept_failed error=\"{}\"\n", ec.message());
      continue;
    }
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), converse(std::move(socket), sink), log_escaped);
  }
}

}  // namespace

MailSink::MailSink(std::filesystem::path directory) : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_);
}

bool MailSink::store(const std::string& content) {
  const std::string id = message_id(content);
  const auto path = directory_ / file_name(mails_ + 1, id);
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (!file) {
    fmt::print(stderr, "event=mail_not_stored file={}\n", path.string());
    return false;
  }
  ++mails_;
  bytes_ += content.size();
  ++by_message_id_[id];
  return true;
}

asio::awaitable<HttpResponse> MailSink::handle(HttpRequest request) {
  if (request.target == "/mails") {
    boost::json::object body;
    for (const auto& [id, times] : by_message_id_)
      body[id] = times;
    co_return HttpResponse(200, boost::json::serialize(body));
  }
  const boost::json::value body = {
      {"mails", mails_}, {"message_ids", by_message_id_.size()}, {"bytes", bytes_}};
  co_return HttpResponse(200, boost::json::serialize(body));
}

std::string SmtpSession::greeting() {
  return "220 mail.example ESMTP ready\r\n";
}

std::string SmtpSession::feed(std::string_view line) {
  if (in_data_) return data_line(line);
  const auto space = line.find(' ');
  const std::string verb = upper(line.substr(0, space));
  return command(verb, space == std::string_view::npos ? "" : line.substr(space + 1));
}

std::string SmtpSession::command(std::string_view verb, std::string_view argument) {
  if (verb == "EHLO" || verb == "HELO") {
    if (argument.empty()) return "501 say who you are: EHLO name\r\n";
    reset();
    has_greeted_ = true;
    if (verb == "HELO") return "250 mail.example\r\n";
    return fmt::format("250-mail.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE {}\r\n",
                       mail_bytes_max);
  }
  if (verb == "NOOP") return "250 ok\r\n";
  if (verb == "VRFY") return "252 send it and see\r\n";
  if (verb == "QUIT") {
    is_over_ = true;
    return "221 bye\r\n";
  }
  if (verb == "RSET") {
    reset();
    return "250 ok\r\n";
  }
  if (verb == "MAIL") return mail_from(argument);
  if (verb == "RCPT") return recipient(argument);
  if (verb == "DATA") {
    if (recipients_ == 0) return "503 say MAIL and RCPT first\r\n";
    in_data_ = true;
    return "354 end with a line that holds only a dot\r\n";
  }
  return "500 unknown command\r\n";
}

std::string SmtpSession::mail_from(std::string_view argument) {
  if (!has_greeted_) return "503 say EHLO first\r\n";
  if (has_sender_) return "503 one mail at a time; RSET drops it\r\n";
  if (!address(argument, "FROM:")) return "501 MAIL FROM:<address>\r\n";
  has_sender_ = true;
  return "250 ok\r\n";
}

std::string SmtpSession::recipient(std::string_view argument) {
  if (!has_sender_) return "503 say MAIL first\r\n";
  const auto to = address(argument, "TO:");
  if (!to || to->empty()) return "501 RCPT TO:<address>\r\n";
  if (recipients_ >= recipients_max) return "452 too many recipients (100)\r\n";
  ++recipients_;
  return "250 ok\r\n";
}

std::string SmtpSession::data_line(std::string_view line) {
  if (line != ".") {
    // A leading dot was doubled by the sender (RFC 5321 §4.5.2).
    if (line.starts_with('.')) line.remove_prefix(1);
    is_too_big_ = is_too_big_ || content_.size() + line.size() + 2 > mail_bytes_max;
    if (!is_too_big_) content_.append(line).append("\r\n");
    return {};
  }
  const bool fits = !is_too_big_;
  const bool is_stored = fits && sink_.store(content_);
  reset();
  if (!fits) return fmt::format("552 larger than {} bytes\r\n", mail_bytes_max);
  return is_stored ? "250 stored\r\n" : "452 cannot store it now\r\n";
}

void SmtpSession::reset() {
  has_sender_ = false;
  in_data_ = false;
  is_too_big_ = false;
  recipients_ = 0;
  content_.clear();
}

int run_mail_sink(std::uint16_t port, int ready_fd, const std::filesystem::path& directory) {
  Service service;
  MailSink sink(directory);
  tcp::acceptor acceptor(service.io, tcp::endpoint(asio::ip::address_v4::loopback(), port));
  asio::co_spawn(service.io, accept_mail(acceptor, sink), log_escaped);
  HttpServer page(service.io, 0, std::bind_front(&MailSink::handle, &sink));
  Service::ready(ready_fd, acceptor.local_endpoint().port(), page.port());
  service.run();
  return 0;
}

}  // namespace orders
