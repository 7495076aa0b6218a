// The work of an order: charge the card, write the invoice, mail the receipt. The same three
// functions run inside the request of /orders/sync and in the handlers of the worker.
#pragma once

#include "http.h"
#include "shop/order.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace orders {

/// Charges through the payment provider. `key` makes a repetition harmless. Error: what went wrong;
/// after it the card may or may not have been charged.
asio::awaitable<sluice::Result<std::string>> charge_card(HttpClient& provider,
                                                         Order order,
                                                         std::string key);

/// Writes the invoice as a PDF to `directory`/id.pdf: whole or not at all, the same file however
/// often it runs. Uses the CPU: call it off the event loop. Returns the path.
sluice::Result<std::filesystem::path> write_invoice(const Order& order,
                                                    const std::filesystem::path& directory);

/// Sends the receipt with the invoice attached by SMTP to 127.0.0.1:port. Blocks: call it off the
/// event loop; each thread keeps its connection. The Message-ID comes from the order, so that a
/// mail that was sent twice can be told from two mails.
sluice::Result<std::string> mail_receipt(const Order& order,
                                         const std::filesystem::path& invoice,
                                         std::uint16_t port);

/// The Message-ID of the order's receipt, without brackets.
std::string receipt_message_id(const std::string& order_id);

}  // namespace orders
