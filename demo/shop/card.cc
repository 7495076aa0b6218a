// charge_card: one request to the payment provider.
#include "shop/tasks.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

#include <utility>

namespace orders {

asio::awaitable<sluice::Result<std::string>> charge_card(HttpClient& provider,
                                                         Order order,
                                                         std::string key) {
  const boost::json::value body = {
      {"order", order.id}, {"amount_cents", total_cents(order)}, {"card", order.card}};
  HttpRequest request("POST", "/charges", boost::json::serialize(body));
  request.idempotency_key = std::move(key);
  const auto answer = co_await provider.send(std::move(request));
  if (!answer) {
    co_return sluice::fail(answer.error().code, "payment provider: " + answer.error().message);
  }
  if (answer->status != 200) {
    co_return sluice::fail(sluice::ErrorCode::io,
                           fmt::format("payment provider: {} {}", answer->status, answer->body));
  }
  co_return answer->body;
}

}  // namespace orders
