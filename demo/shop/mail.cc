// mail_receipt: MIME and SMTP by libcurl.
#include "shop/tasks.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <ctime>
#include <memory>

#include <curl/curl.h>

namespace orders {
namespace {

constexpr long deadline_ms = 10'000;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

struct FreeMime {
  void operator()(curl_mime* mime) const { curl_mime_free(mime); }
};

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) return;  // Out of memory: the mail goes without this header.
  static_cast<void>(list.release());
  list.reset(longer);
}

/// A display name as a quoted-string (RFC 5322 §3.2.4).
std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

List headers_of(const Order& order) {
  List headers;
  append(headers, fmt::format("Date: {:%a, %d %b %Y %H:%M:%S} +0000", fmt::gmtime(std::time({}))));
  append(headers, "From: The Orders Shop <shop@orders.example>");
  append(headers, fmt::format("To: {} <{}>", quoted(order.customer), order.email));
  append(headers, fmt::format("Subject: Your order {}", order.id));
  append(headers, fmt::format("Message-ID: <{}>", receipt_message_id(order.id)));
  return headers;
}

std::string words_of(const Order& order) {
  return fmt::format(
      "Dear {},\r\n\r\nthank you for your order {}. {} EUR have been charged to your card;\r\n"
      "the invoice is attached.\r\n\r\nThe Orders Shop\r\n",
      order.customer,
      order.id,
      euros(total_cents(order)));
}

void attach(curl_mime* mime, const std::string& words, const std::filesystem::path& invoice) {
  curl_mimepart* text = curl_mime_addpart(mime);
  curl_mime_data(text, words.data(), words.size());
  curl_mime_type(text, "text/plain; charset=utf-8");
  curl_mimepart* pdf = curl_mime_addpart(mime);
  curl_mime_filedata(pdf, invoice.c_str());
  curl_mime_type(pdf, "application/pdf");
  curl_mime_encoder(pdf, "base64");
}

}  // namespace

std::string receipt_message_id(const std::string& order_id) {
  return fmt::format("receipt-{}@orders.example", order_id);
}

sluice::Result<std::string> mail_receipt(const Order& order,
                                         const std::filesystem::path& invoice,
                                         std::uint16_t port) {
  // One handle a thread keeps its SMTP connection from mail to mail.
  thread_local const std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
  if (!easy) return sluice::fail(sluice::ErrorCode::io, "libcurl cannot start");
  const std::unique_ptr<curl_mime, FreeMime> mime(curl_mime_init(easy.get()));
  attach(mime.get(), words_of(order), invoice);
  const List headers = headers_of(order);
  List recipients;
  append(recipients, "<" + order.email + ">");

  curl_easy_setopt(easy.get(),
                   CURLOPT_URL,
                   fmt::format("smtp://127.0.0.1:{}/shop.orders.example", port).c_str());
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, deadline_ms);
  curl_easy_setopt(easy.get(), CURLOPT_MAIL_FROM, "<shop@orders.example>");
  curl_easy_setopt(easy.get(), CURLOPT_MAIL_RCPT, recipients.get());
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(easy.get(), CURLOPT_MIMEPOST, mime.get());
  const CURLcode sent = curl_easy_perform(easy.get());
  long reply = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &reply);
  curl_easy_reset(easy.get());  // Forgets the pointers above, keeps the connection.
  if (sent != CURLE_OK) {
    return sluice::fail(sluice::ErrorCode::io,
                        fmt::format("mail server at 127.0.0.1:{}: {} (SMTP reply {})",
                                    port,
                                    curl_easy_strerror(sent),
                                    reply));
  }
  return receipt_message_id(order.id);
}

}  // namespace orders
