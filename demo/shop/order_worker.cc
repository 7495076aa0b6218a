// The handlers: a coroutine that waits for the payment provider, two plain functions that block.
#include "shop/order_worker.h"

#include "service.h"
#include "shop/jobs.h"
#include "shop/tasks.h"

#include <sluice/worker.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>

#include <curl/curl.h>

namespace orders {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t concurrency = 64;  ///< Charges under way: they only wait.
constexpr auto attempt_deadline = 20s;

/// A Result with an error is a failed attempt: Sluice tries again after the job's backoff.
void add_handlers(sluice::Worker& worker, HttpClient& payments, const ShopConfig& shop) {
  // The worker keeps the lambdas as long as it lives; what they refer to outlives it.
  worker.handle<ChargeCard>(
      [&](sluice::Context&, ChargeCard job) -> sluice::Awaitable<sluice::Result<std::string>> {
        std::string key = shop.is_careless ? new_order_id() : job.order.id;
        auto receipt = co_await charge_card(payments, std::move(job.order), std::move(key));
        co_return receipt;
      });
  worker.handle<WriteInvoice>([&](sluice::Context&, const WriteInvoice& job) {
    return write_invoice(job.order, shop.invoices).map([](const std::filesystem::path& pdf) {
      return pdf.string();
    });
  });
  worker.handle<MailReceipt>([&](sluice::Context&, const MailReceipt& job) {
    return mail_receipt(job.order, shop.invoices / (job.order.id + ".pdf"), shop.smtp_port);
  });
}

}  // namespace

int run_order_worker(int ready_fd, const ShopConfig& shop) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  asio::io_context io(1);
  HttpClient payments(shop.payments_port, payment_deadline);
  sluice::WorkerOptions options;
  options.url(shop.sluice_url)
      .queues({queue_names.begin(), queue_names.end()})
      .concurrency(concurrency)
      .attempt_timeout(attempt_deadline)
      .handle_signals(false);
  sluice::Worker worker(options);
  add_handlers(worker, payments, shop);

  // An io_context of our own, which outlives the connections to the payment provider.
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& ec, int) {
    if (!ec) worker.stop();
  });
  int exit_code = 0;
  asio::co_spawn(
      io, worker.async_run(), [&](std::exception_ptr thrown, const sluice::Result<void>& stopped) {
        log_escaped(thrown);
        if (thrown || !stopped) exit_code = 2;
        if (!thrown && !stopped) fmt::print(stderr, "{}\n", stopped.error().message);
        signals.cancel();
      });
  Service::ready(ready_fd, 0);
  io.run();
  return exit_code;
}

}  // namespace orders
