// orders_demo: one program; without a subcommand it is the demo, with one it is a part of it.
#include "driver/demo.h"
#include "shop/api.h"
#include "shop/order_worker.h"
#include "town/mail_sink.h"
#include "town/payments.h"

#include <fmt/core.h>

#include <exception>

#include <CLI/CLI.hpp>

namespace {

/// What every part takes.
struct PartOptions {
  std::uint16_t port = 0;
  int ready_fd = -1;
};

CLI::App* add_part(CLI::App& app, const char* name, const char* what, PartOptions& options) {
  CLI::App* part = app.add_subcommand(name, what);
  part->add_option("--port", options.port, "Listen on 127.0.0.1:PORT; 0 takes a free one");
  part->add_option("--ready-fd", options.ready_fd, "Write the ports here when ready");
  return part;
}

void add_shop_options(CLI::App* part, orders::ShopConfig& shop) {
  part->add_option("--sluice-url", shop.sluice_url)->required();
  part->add_option("--payments-port", shop.payments_port)->required();
  part->add_option("--smtp-port", shop.smtp_port)->required();
  part->add_option("--invoices", shop.invoices, "Directory of the PDFs")->required();
  part->add_flag("--careless", shop.is_careless);
}

void add_demo_options(CLI::App& app, orders::DemoOptions& demo, int& pause_ms) {
  app.add_option("--orders", demo.orders, "Orders per burst")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--customers", demo.customers, "Customers who order at the same time")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  app.add_option("--pause", pause_ms, "Milliseconds between a customer's orders")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str();
  app.add_flag("--chaos", demo.has_chaos, "kill -9 the server in the middle, twice");
  app.add_flag("--once", demo.is_once, "End after the table");
  app.add_flag("--careless",
               demo.is_careless,
               "Charge with a new idempotency key on every attempt: shows double charges");
  app.add_option("--dir", demo.directory, "New or empty directory for everything; kept");
  app.add_option("--sluice", demo.sluice, "The sluice program")->envname("SLUICE_BIN");
}

int run(int argc, char** argv) {
  CLI::App app("The orders shop: the same order API with and without a job queue.", "orders_demo");
  orders::DemoOptions demo;
  PartOptions part;
  orders::ShopConfig shop;
  orders::PaymentFaults faults;
  std::filesystem::path mails;
  int pause_ms = static_cast<int>(demo.pause.count());
  add_demo_options(app, demo, pause_ms);
  CLI::App* api = add_part(app, "api", "The order API", part);
  add_shop_options(api, shop);
  CLI::App* worker = add_part(app, "worker", "Runs the jobs of the orders", part);
  add_shop_options(worker, shop);
  CLI::App* payments = add_part(app, "payments", "A payment provider, slow and faulty", part);
  payments->add_option("--failures", faults.failures, "Share of the charges that fail, 0 to 1");
  CLI::App* mail = add_part(app, "mail", "A mail server that keeps what it gets", part);
  mail->add_option("--mails", mails, "Directory of the mails")->required();
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (api->parsed()) return orders::run_api(part.port, part.ready_fd, shop);
  if (worker->parsed()) return orders::run_order_worker(part.ready_fd, shop);
  if (payments->parsed()) return orders::run_payments(part.port, part.ready_fd, faults);
  if (mail->parsed()) return orders::run_mail_sink(part.port, part.ready_fd, mails);
  demo.pause = std::chrono::milliseconds(pause_ms);
  return orders::run_demo(demo);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "orders_demo: {}\n", error.what());
    return 2;
  }
}
