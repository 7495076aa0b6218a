// Charging cards, slowly and not always.
#include "town/payments.h"

#include "service.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

#include <functional>
#include <utility>

namespace orders {
namespace {

constexpr std::size_t charges_max = 1'000'000;  ///< Of memory's sake; a demo never gets there.

}  // namespace

asio::awaitable<HttpResponse> Payments::handle(HttpRequest request) {
  if (request.method == "GET" && request.target == "/") co_return HttpResponse(200, totals());
  if (request.method == "GET" && request.target == "/orders") {
    co_return HttpResponse(200, orders());
  }
  if (request.method != "POST" || request.target != "/charges") {
    co_return http_error(404, "known are POST /charges, GET / and GET /orders");
  }
  HttpResponse response = co_await charge(std::move(request));
  co_return response;
}

asio::awaitable<HttpResponse> Payments::charge(HttpRequest request) {
  ++requests_;
  boost::json::error_code ec;
  const boost::json::value body = boost::json::parse(request.body, ec);
  const auto* fields = ec ? nullptr : body.if_object();
  const auto* order = fields == nullptr ? nullptr : fields->if_contains("order");
  const auto* amount = fields == nullptr ? nullptr : fields->if_contains("amount_cents");
  if (order == nullptr || !order->is_string() || amount == nullptr || !amount->is_int64() ||
      request.idempotency_key.empty()) {
    co_return http_error(400, "a charge has an order, amount_cents and an Idempotency-Key");
  }
  const std::string order_id(order->get_string());
  const auto cents = static_cast<std::uint64_t>(amount->get_int64());

  std::uniform_int_distribution<std::int64_t> delays(faults_.delay_min.count(),
                                                     faults_.delay_max.count());
  asio::steady_timer work(co_await asio::this_coro::executor);
  work.expires_after(std::chrono::milliseconds(delays(random_)));
  co_await work.async_wait(asio::use_awaitable);

  const double luck = std::uniform_real_distribution<double>(0, 1)(random_);
  if (luck < faults_.failures / 2) {
    ++refused_;
    co_return http_error(500, "the payment provider is having a bad moment");
  }
  HttpResponse response = charge_now(request.idempotency_key, order_id, cents);
  if (luck < faults_.failures) {
    ++lost_answers_;
    response.is_lost = true;
  }
  co_return response;
}

HttpResponse Payments::charge_now(const std::string& key,
                                  const std::string& order,
                                  std::uint64_t cents) {
  if (const auto known = receipts_.find(key); known != receipts_.end()) {
    ++repeated_keys_;
    return {200, known->second};
  }
  if (receipts_.size() >= charges_max) return http_error(503, "no room for more charges");
  const std::uint64_t times = ++charges_[order];
  amount_cents_ += cents;
  const boost::json::value receipt = {
      {"charge", fmt::format("ch_{}_{}", order, times)}, {"order", order}, {"amount_cents", cents}};
  const auto [at, is_new] = receipts_.emplace(key, boost::json::serialize(receipt));
  return {200, at->second};
}

std::string Payments::totals() const {
  std::uint64_t charged_twice = 0;
  for (const auto& [order, times] : charges_)
    charged_twice += times > 1 ? 1 : 0;
  const boost::json::value body = {{"requests", requests_},
                                   {"charges", receipts_.size()},
                                   {"orders_charged", charges_.size()},
                                   {"orders_charged_twice", charged_twice},
                                   {"refused", refused_},
                                   {"charged_but_answer_lost", lost_answers_},
                                   {"repeated_keys", repeated_keys_},
                                   {"amount_cents", amount_cents_}};
  return boost::json::serialize(body);
}

std::string Payments::orders() const {
  boost::json::object body;
  for (const auto& [order, times] : charges_)
    body[order] = times;
  return boost::json::serialize(body);
}

int run_payments(std::uint16_t port, int ready_fd, PaymentFaults faults) {
  Service service;
  Payments payments(faults);
  HttpServer server(service.io, port, std::bind_front(&Payments::handle, &payments));
  service.ready(ready_fd, server.port());
  service.run();
  return 0;
}

}  // namespace orders
