// The customers' side of the counter.
#include "driver/customers.h"

#include "shop/order.h"

#include <sluice/async.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

namespace orders {
namespace {

using std::chrono::steady_clock;

/// A customer is patient: the answer of a restarted server is still an answer.
constexpr std::chrono::seconds patience(60);

Order invented(std::size_t number) {
  constexpr std::array names = {
      "Ada Lovelace", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov"};
  constexpr std::array goods = {"Teapot", "Cup and saucer", "Sugar bowl", "Milk jug", "Tray"};
  Order order;
  order.customer = names[number % names.size()];
  order.email = fmt::format("customer{}@example.com", number);
  order.card = fmt::format("tok_{}", number);
  for (std::size_t i = 0; i <= number % 4; ++i) {
    Item item;
    item.name = goods[(number + i) % goods.size()];
    item.quantity = static_cast<std::uint32_t>(1 + (number + i) % 6);
    item.price_cents = static_cast<std::uint32_t>(495 + 250 * i);
    order.items.push_back(std::move(item));
  }
  return order;
}

/// What the customers of one burst share. One thread: no locks.
struct Counter {
  Counter(HttpClient& shop, Burst asked, std::function<void(const BurstResult&)> call)
      : api(shop), burst(std::move(asked)), on_answer(std::move(call)) {}

  HttpClient& api;
  Burst burst;
  std::function<void(const BurstResult&)> on_answer;
  std::size_t next = 0;
  BurstResult result;
  std::minstd_rand random;

  std::chrono::microseconds pause(double least, double most) {
    const double share = std::uniform_real_distribution<double>(least, most)(random);
    return std::chrono::microseconds(
        static_cast<std::int64_t>(share * 1000 * static_cast<double>(burst.pause.count())));
  }
};

/// Lives as long as run_burst(), which owns `counter`, waits for it.
asio::awaitable<void> customer(Counter& counter) {
  co_await sluice::sleep_for(counter.pause(0, 1));  // They do not all come at once.
  while (counter.next < counter.burst.orders) {
    const Order order = invented(counter.next++);
    HttpRequest request("POST", counter.burst.endpoint, to_json(order));
    request.idempotency_key = new_order_id();
    const std::string id = request.idempotency_key;
    const auto asked = steady_clock::now();
    const auto answer = co_await counter.api.send(std::move(request));
    counter.result.response_times.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - asked));
    const bool is_accepted = answer && (answer->status == 201 || answer->status == 202);
    (is_accepted ? counter.result.accepted : counter.result.failed).push_back(id);
    counter.on_answer(counter.result);
    co_await sluice::sleep_for(counter.pause(0.5, 1.5));
  }
}

}  // namespace

std::chrono::microseconds BurstResult::percentile(double share) const {
  if (response_times.empty()) return {};
  auto sorted = response_times;
  std::ranges::sort(sorted);
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(index, sorted.size() - 1)];
}

double BurstResult::orders_per_second() const {
  const std::chrono::duration<double> seconds = duration;
  return seconds.count() > 0 ? static_cast<double>(response_times.size()) / seconds.count() : 0;
}

asio::awaitable<BurstResult> run_burst(std::uint16_t port,
                                       Burst burst,
                                       std::function<void(const BurstResult&)> on_answer) {
  HttpClient api(port, patience);
  Counter counter(api, std::move(burst), std::move(on_answer));
  const auto begin = steady_clock::now();
  std::vector<asio::awaitable<void>> customers;
  for (std::size_t i = 0; i < counter.burst.customers; ++i)
    customers.push_back(customer(counter));
  co_await sluice::gather(std::move(customers));
  counter.result.duration =
      std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - begin);
  co_return std::move(counter.result);
}

}  // namespace orders
