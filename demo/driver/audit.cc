// Reading the pages and counting.
#include "driver/audit.h"

#include "shop/tasks.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <system_error>
#include <utility>

namespace orders {
namespace {

constexpr std::chrono::seconds page_deadline(10);

std::uint64_t count(const std::unordered_map<std::string, std::uint64_t>& counts,
                    const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

}  // namespace

asio::awaitable<sluice::Result<Audit>> Audit::read(const Stage& stage) {
  Audit audit;
  audit.invoices_ = stage.invoices();
  auto charges = co_await read_page(stage.payments_port(), "/orders");
  if (!charges) co_return tl::unexpected(charges.error());
  audit.charges_ = std::move(*charges);
  auto mails = co_await read_page(stage.mail_page_port(), "/mails");
  if (!mails) co_return tl::unexpected(mails.error());
  audit.mails_ = std::move(*mails);
  co_return audit;
}

asio::awaitable<sluice::Result<Audit::Counts>> Audit::read_page(std::uint16_t port,
                                                                std::string path) {
  HttpClient client(port, page_deadline);
  HttpRequest request("GET", std::move(path));
  const auto answer = co_await client.send(std::move(request));
  if (!answer) co_return tl::unexpected(answer.error());
  boost::json::error_code ec;
  const boost::json::value page = boost::json::parse(answer->body, ec);
  if (ec || !page.is_object()) {
    co_return sluice::fail(sluice::ErrorCode::protocol, "not a JSON object: " + answer->body);
  }
  Counts counts;
  for (const auto& [key, number] : page.get_object()) {
    counts[key] = number.to_number<std::uint64_t>(ec);
  }
  co_return counts;
}

Findings Audit::of(const std::vector<std::string>& orders) const {
  Findings findings;
  for (const std::string& order : orders) {
    const std::uint64_t charges = count(charges_, order);
    const std::uint64_t mails = count(mails_, receipt_message_id(order));
    std::error_code missing;
    const auto pdf_bytes = std::filesystem::file_size(invoices_ / (order + ".pdf"), missing);
    findings.charged += charges > 0 ? 1 : 0;
    findings.charged_twice += charges > 1 ? 1 : 0;
    findings.mailed += mails > 0 ? 1 : 0;
    findings.mailed_again += mails > 1 ? mails - 1 : 0;
    if (!missing && pdf_bytes > 0) ++findings.invoices;
  }
  return findings;
}

}  // namespace orders
