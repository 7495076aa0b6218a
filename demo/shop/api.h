// The order API, twice: POST /orders/sync does the work inside the request, POST /orders hands it
// to Sluice and answers.
//
//   POST /orders/sync   201 {"order": id}           502 {"order": id, "error": …} when a part
//   failed POST /orders        202 {"order": id, "jobs": {"charge": …, "invoice": …, "receipt": …}}
//   GET  /orders/ID     {"order": id, "done": bool, "jobs": {"charge": {"state": …}, …}}
//
// An Idempotency-Key becomes the order's id: a customer who repeats a request orders once.
#pragma once

#include "http.h"
#include "shop/order.h"

#include <sluice/async_client.h>

#include <boost/asio/thread_pool.hpp>

#include <array>
#include <deque>
#include <filesystem>
#include <string>
#include <unordered_map>

namespace orders {

/// Where the parts of the shop find each other.
struct ShopConfig {
  std::string sluice_url;
  std::uint16_t payments_port = 0;
  std::uint16_t smtp_port = 0;
  std::filesystem::path invoices;
  /// Charges with a new idempotency key on every attempt, as one must not: for showing that the
  /// demo's count of double charges can fail.
  bool is_careless = false;
};

class OrderApi {
 public:
  OrderApi(ShopConfig config, sluice::AsyncClient client);

  asio::awaitable<HttpResponse> handle(HttpRequest request);

 private:
  using JobIds = std::array<sluice::JobId, 3>;  ///< As task_names.

  asio::awaitable<HttpResponse> order_sync(Order order);
  asio::awaitable<HttpResponse> order_queued(Order order);
  asio::awaitable<HttpResponse> show(std::string id);
  void remember(const std::string& id, const JobIds& jobs);

  ShopConfig config_;
  HttpClient payments_;
  sluice::AsyncClient client_;
  asio::thread_pool blocking_;  ///< For libharu and libcurl in /orders/sync.
  std::unordered_map<std::string, JobIds> jobs_;
  std::deque<std::string> remembered_;  ///< The keys of jobs_, oldest first.
};

/// Runs the API until SIGTERM; tells the port through `ready_fd`.
int run_api(std::uint16_t port, int ready_fd, const ShopConfig& config);

}  // namespace orders
