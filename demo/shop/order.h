// Order: what a customer sends, what every job of it carries, and the rules it keeps.
#pragma once

#include <sluice/error.h>

#include <boost/describe/class.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orders {

struct Item {
  std::string name;
  std::uint32_t quantity = 0;
  std::uint32_t price_cents = 0;
};
BOOST_DESCRIBE_STRUCT(Item, (), (name, quantity, price_cents))

/// The payload of all three jobs: each can be run by a worker that knows nothing else.
struct Order {
  std::string id;
  std::string customer;
  std::string email;
  std::string card;  ///< A token of the payment provider, never a number.
  std::vector<Item> items;
};
BOOST_DESCRIBE_STRUCT(Order, (), (id, customer, email, card, items))

std::uint64_t total_cents(const Order& order);

/// "1234.50".
std::string euros(std::uint64_t cents);

/// An id that no other order has had: 64 random bits.
std::string new_order_id();

/// The order in a customer's JSON, which names no id, under this id. Errors: arg, with the field
/// and its limit.
sluice::Result<Order> parse_order(std::string_view json, std::string id);

std::string to_json(const Order& order);

}  // namespace orders
