// The audit: what really happened to the orders of a burst, asked of the outside world, not of the
// shop.
#pragma once

#include "driver/stage.h"
#include "http.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace orders {

/// Of the orders asked about.
struct Findings {
  std::size_t charged = 0;
  std::size_t charged_twice = 0;
  std::size_t mailed = 0;
  std::size_t mailed_again = 0;  ///< Mails beyond the first of an order.
  std::size_t invoices = 0;
};

/// What the payment provider and the mail server know, read once.
class Audit {
 public:
  /// Errors: those of the two pages.
  static asio::awaitable<sluice::Result<Audit>> read(const Stage& stage);

  Findings of(const std::vector<std::string>& orders) const;

 private:
  using Counts = std::unordered_map<std::string, std::uint64_t>;
  static asio::awaitable<sluice::Result<Counts>> read_page(std::uint16_t port, std::string path);

  Counts charges_;  ///< By order.
  Counts mails_;    ///< By Message-ID.
  std::filesystem::path invoices_;
};

}  // namespace orders
