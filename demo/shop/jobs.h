// The three jobs of an order. Their names are their types on the queue; each carries the whole
// order, so that a worker needs to know nothing else.
#pragma once

#include "shop/order.h"

#include <boost/describe/class.hpp>

#include <array>
#include <chrono>

namespace orders {

struct ChargeCard {
  Order order;
};
BOOST_DESCRIBE_STRUCT(ChargeCard, (), (order))

struct WriteInvoice {
  Order order;
};
BOOST_DESCRIBE_STRUCT(WriteInvoice, (), (order))

struct MailReceipt {
  Order order;
};
BOOST_DESCRIBE_STRUCT(MailReceipt, (), (order))

/// How long the payments service has for its answer, whoever asks.
inline constexpr std::chrono::seconds payment_deadline(5);

/// A queue per kind of work, so that slow payments do not hold up the mail.
inline constexpr std::array<const char*, 3> queue_names = {"payments", "invoices", "mail"};

}  // namespace orders
