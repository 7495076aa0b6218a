// The two order endpoints and what they share.
#include "shop/api.h"

#include "service.h"
#include "shop/jobs.h"
#include "shop/tasks.h"

#include <sluice/async.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <utility>

#include <curl/curl.h>

namespace orders {
namespace {

using namespace std::chrono_literals;

/// How the jobs are called in answers.
constexpr std::array task_names = {"charge", "invoice", "receipt"};
constexpr std::size_t remembered_max = 100'000;  ///< Orders that GET finds; older ones are 404.
constexpr std::size_t blocking_threads = 4;
/// A restart of the server takes less; an API call that outlasts it answers 503.
constexpr auto sluice_deadline = 30s;

HttpResponse failed(int status, const std::string& order, const sluice::Error& error) {
  const boost::json::value body = {{"order", order}, {"error", error.message}};
  return {status, boost::json::serialize(body)};
}

/// The unique key makes a push that is repeated after a lost answer the same job, even when that
/// job is done by then: hence the window. The lease is short, so that a job whose delivery was lost
/// with the server is not long in nobody's hands.
sluice::PushOptions options_of(const char* task, const std::string& order) {
  return sluice::PushOptions()
      .unique(fmt::format("{}:{}", task, order))
      .window(10min)
      .keep(1h)
      .timeout(5s)
      .backoff(sluice::Backoff::exponential(200ms).cap(5s));
}

bool is_order_id(const std::string& id) {
  constexpr std::size_t bytes_max = 64;
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; };
  return !id.empty() && id.size() <= bytes_max && std::ranges::all_of(id, allowed);
}

boost::json::object describe(const sluice::Result<sluice::JobInfo>& job, sluice::JobId id) {
  if (!job) return {{"id", id.text()}, {"error", job.error().message}};
  boost::json::object shown = {
      {"id", id.text()}, {"state", sluice::name(job->state)}, {"attempt", job->attempt}};
  if (!job->error.empty()) shown["last_error"] = job->error;
  if (job->result) shown["result"] = *job->result;
  return shown;
}

}  // namespace

OrderApi::OrderApi(ShopConfig config, sluice::AsyncClient client)
    : config_(std::move(config)),
      payments_(config_.payments_port, payment_deadline),
      client_(std::move(client)),
      blocking_(blocking_threads) {}

asio::awaitable<HttpResponse> OrderApi::handle(HttpRequest request) {
  constexpr std::string_view prefix = "/orders/";
  if (request.method == "GET" && request.target.starts_with(prefix)) {
    HttpResponse shown = co_await show(request.target.substr(prefix.size()));
    co_return shown;
  }
  const bool is_sync = request.target == "/orders/sync";
  if (request.method != "POST" || (!is_sync && request.target != "/orders")) {
    co_return http_error(404, "known are POST /orders, POST /orders/sync and GET /orders/ID");
  }
  std::string id =
      request.idempotency_key.empty() ? new_order_id() : std::move(request.idempotency_key);
  if (!is_order_id(id)) {
    co_return http_error(400, "Idempotency-Key: 1 to 64 letters, digits and dashes");
  }
  auto order = parse_order(request.body, std::move(id));
  if (!order) co_return http_error(400, order.error().message);
  if (is_sync) {
    HttpResponse done = co_await order_sync(std::move(*order));
    co_return done;
  }
  HttpResponse accepted = co_await order_queued(std::move(*order));
  co_return accepted;
}

/// As people do it today: the customer waits for everything, and sees what fails.
asio::awaitable<HttpResponse> OrderApi::order_sync(Order order) {
  const auto charged = co_await charge_card(payments_, order, order.id);
  if (!charged) co_return failed(502, order.id, charged.error());
  // Lambdas with a name, and captures by reference: see the compiler facts in CONTRIBUTING.md.
  const auto write = [&] { return write_invoice(order, config_.invoices); };
  const auto invoice = co_await sluice::offload(blocking_, write);
  if (!invoice) co_return failed(502, order.id, invoice.error());
  const auto mail = [&] { return mail_receipt(order, *invoice, config_.smtp_port); };
  const auto mailed = co_await sluice::offload(blocking_, mail);
  if (!mailed) co_return failed(502, order.id, mailed.error());
  const boost::json::value body = {{"order", order.id}};
  co_return HttpResponse(201, boost::json::serialize(body));
}

/// Two pipelined round trips: the receipt names the jobs that it waits for. If this process dies
/// between them, the customer has no answer, asks again with the same Idempotency-Key, and the
/// unique keys find the jobs that are there.
asio::awaitable<HttpResponse> OrderApi::order_queued(Order order) {
  std::vector<sluice::PushItem> independent;
  independent.emplace_back(queue_names[0], ChargeCard{order}, options_of(task_names[0], order.id));
  independent.emplace_back(
      queue_names[1], WriteInvoice{order}, options_of(task_names[1], order.id));
  const auto pushed = co_await client_.push_many(std::move(independent));
  for (const auto& job : pushed) {
    if (!job) co_return failed(503, order.id, job.error());
  }
  JobIds jobs = {*pushed[0], *pushed[1], {}};
  sluice::PushOptions options = options_of(task_names[2], order.id);
  options.after(jobs[0]).after(jobs[1]);
  const MailReceipt mail{order};
  const auto receipt = co_await client_.push(queue_names[2], mail, options);
  if (!receipt) co_return failed(503, order.id, receipt.error());
  jobs[2] = *receipt;
  remember(order.id, jobs);
  boost::json::object ids;
  for (std::size_t i = 0; i < jobs.size(); ++i)
    ids[task_names[i]] = jobs[i].text();
  const boost::json::value body = {{"order", order.id}, {"jobs", std::move(ids)}};
  co_return HttpResponse(202, boost::json::serialize(body));
}

asio::awaitable<HttpResponse> OrderApi::show(std::string id) {
  const auto known = jobs_.find(id);
  if (known == jobs_.end()) co_return http_error(404, "no such order, or it is long ago");
  const JobIds ids = known->second;
  auto [charge, invoice, receipt] =
      co_await sluice::gather(client_.job(ids[0]), client_.job(ids[1]), client_.job(ids[2]));
  boost::json::object jobs;
  bool is_done = true;
  std::size_t i = 0;
  for (const auto* job : {&charge, &invoice, &receipt}) {
    jobs[task_names[i]] = describe(*job, ids[i]);
    is_done = is_done && *job && (*job)->state == sluice::JobState::succeeded;
    ++i;
  }
  const boost::json::value body = {{"order", id}, {"done", is_done}, {"jobs", std::move(jobs)}};
  co_return HttpResponse(200, boost::json::serialize(body));
}

void OrderApi::remember(const std::string& id, const JobIds& jobs) {
  if (!jobs_.insert_or_assign(id, jobs).second) return;
  remembered_.push_back(id);
  if (remembered_.size() <= remembered_max) return;
  jobs_.erase(remembered_.front());
  remembered_.pop_front();
}

int run_api(std::uint16_t port, int ready_fd, const ShopConfig& config) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Service service;
  const auto options = sluice::ClientOptions().timeout(sluice_deadline).name("order-api");
  auto client = sluice::AsyncClient::connect(service.io.get_executor(), config.sluice_url, options);
  if (!client) {
    fmt::print(stderr, "{}\n", client.error().message);
    return 2;
  }
  OrderApi api(config, std::move(*client));
  HttpServer server(service.io, port, std::bind_front(&OrderApi::handle, &api));
  Service::ready(ready_fd, server.port());
  service.run();
  return 0;
}

}  // namespace orders
