// Parsing and checking of orders.
#include "shop/order.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <utility>

namespace orders {
namespace {

constexpr std::size_t text_bytes_max = 100;  ///< A line of the invoice.
constexpr std::size_t items_max = 20;        ///< A page of the invoice.
constexpr std::uint32_t quantity_max = 1000;
constexpr std::uint32_t price_cents_max = 100'000'000;

sluice::Error bad(std::string message) {
  return {sluice::ErrorCode::arg, std::move(message)};
}

/// Mail headers and PDF text are built from these: no control characters, and a length.
bool is_plain(std::string_view text) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  return !text.empty() && text.size() <= text_bytes_max && std::ranges::all_of(text, printable);
}

bool is_address(std::string_view text) {
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_@";
  const auto at = text.find('@');
  return is_plain(text) && at != 0 && at != std::string_view::npos && at + 1 < text.size() &&
         text.find('@', at + 1) == std::string_view::npos &&
         text.find_first_not_of(allowed) == std::string_view::npos;
}

sluice::Result<Order> checked(Order order) {
  const auto unexpected = [](std::string message) {
    return tl::unexpected(bad(std::move(message)));
  };
  if (!is_plain(order.customer)) {
    return unexpected(fmt::format("customer: 1 to {} printable ASCII bytes", text_bytes_max));
  }
  if (!is_address(order.email)) return unexpected("email: not an address such as ada@example.com");
  if (!is_plain(order.card)) {
    return unexpected(fmt::format("card: 1 to {} printable ASCII bytes", text_bytes_max));
  }
  if (order.items.empty() || order.items.size() > items_max) {
    return unexpected(fmt::format("items: {} of them (1 to {})", order.items.size(), items_max));
  }
  for (const Item& item : order.items) {
    if (!is_plain(item.name)) {
      return unexpected(fmt::format("items.name: 1 to {} printable ASCII bytes", text_bytes_max));
    }
    if (item.quantity == 0 || item.quantity > quantity_max) {
      return unexpected(fmt::format("items.quantity: {} (1 to {})", item.quantity, quantity_max));
    }
    if (item.price_cents > price_cents_max) {
      return unexpected(
          fmt::format("items.price_cents: {} (0 to {})", item.price_cents, price_cents_max));
    }
  }
  return order;
}

}  // namespace

std::uint64_t total_cents(const Order& order) {
  std::uint64_t total = 0;
  for (const Item& item : order.items)
    total += std::uint64_t{item.quantity} * item.price_cents;
  return total;
}

std::string euros(std::uint64_t cents) {
  return fmt::format("{}.{:02}", cents / 100, cents % 100);
}

std::string new_order_id() {
  std::random_device entropy;
  return fmt::format("{:08x}{:08x}", entropy(), entropy());
}

sluice::Result<Order> parse_order(std::string_view json, std::string id) {
  boost::json::error_code ec;
  boost::json::value value = boost::json::parse(json, ec);
  if (ec || !value.is_object()) {
    return tl::unexpected(bad("the body is not a JSON object"));
  }
  value.as_object()["id"] = id;
  auto order = boost::json::try_value_to<Order>(value);
  if (!order) {
    return tl::unexpected(
        bad("an order is {\"customer\": text, \"email\": text, \"card\": text, \"items\": "
            "[{\"name\": text, \"quantity\": number, \"price_cents\": number}]}"));
  }
  return checked(std::move(*order));
}

std::string to_json(const Order& order) {
  return boost::json::serialize(boost::json::value_from(order));
}

}  // namespace orders
