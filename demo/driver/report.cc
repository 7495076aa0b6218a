// Laying out the table.
#include "driver/report.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/core.h>

namespace orders {
namespace {

std::string time_text(std::chrono::microseconds time) {
  const double ms = static_cast<double>(time.count()) / 1000;
  return ms < 1000 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.2f} s", ms / 1000);
}

std::string row(const char* name, const std::string& sync, const std::string& queued) {
  return fmt::format("  {:<34}{:>18}{:>18}\n", name, sync, queued);
}

std::string row(const char* name, std::size_t sync, std::size_t queued) {
  return row(name, std::to_string(sync), std::to_string(queued));
}

boost::json::object side(const BurstResult& burst,
                         const Findings& accepted,
                         const Findings& failed) {
  return {{"orders", burst.response_times.size()},
          {"accepted", burst.accepted.size()},
          {"failures_seen", burst.failed.size()},
          {"charged_but_told_failed", failed.charged},
          {"p50_us", burst.percentile(0.5).count()},
          {"p99_us", burst.percentile(0.99).count()},
          {"orders_per_second", burst.orders_per_second()},
          {"charged", accepted.charged},
          {"mailed", accepted.mailed},
          {"mailed_again", accepted.mailed_again},
          {"invoices", accepted.invoices}};
}

}  // namespace

std::size_t Report::double_charges() const {
  return sync_accepted.charged_twice + sync_failed.charged_twice + queued_accepted.charged_twice +
         queued_failed.charged_twice;
}

std::vector<std::string> Report::faults() const {
  std::vector<std::string> found;
  const std::size_t accepted = queued.accepted.size();
  const auto expect = [&](const char* what, std::size_t is, std::size_t should_be) {
    if (is != should_be) found.push_back(fmt::format("{}: {} instead of {}", what, is, should_be));
  };
  expect("orders charged twice", double_charges(), 0);
  expect("cards charged for accepted orders", queued_accepted.charged, accepted);
  expect("invoices of accepted orders", queued_accepted.invoices, accepted);
  expect("receipts of accepted orders", queued_accepted.mailed, accepted);
  expect("dead jobs", jobs_dead, 0);
  if (jobs_done < accepted * 3) expect("jobs done", jobs_done, accepted * 3);
  return found;
}

std::string table(const Report& report) {
  const auto& sync = report.sync;
  const auto& queued = report.queued;
  std::string out;
  out += row("", "in the request", "with Sluice");
  out += "  " + std::string(70, '-') + "\n";
  out += row("orders", sync.response_times.size(), queued.response_times.size());
  out += row("response p50", time_text(sync.percentile(0.5)), time_text(queued.percentile(0.5)));
  out += row("response p99", time_text(sync.percentile(0.99)), time_text(queued.percentile(0.99)));
  out += row("orders/s",
             fmt::format("{:.0f}", sync.orders_per_second()),
             fmt::format("{:.0f}", queued.orders_per_second()));
  out += row("failures the customer saw", sync.failed.size(), queued.failed.size());
  out += row(
      "  of these charged all the same", report.sync_failed.charged, report.queued_failed.charged);
  out += row("jobs done", "-", std::to_string(report.jobs_done));
  out += row("  failed attempts, retried", "-", std::to_string(report.attempts_failed));
  out += row("cards charged",
             report.sync_accepted.charged + report.sync_failed.charged,
             report.queued_accepted.charged + report.queued_failed.charged);
  out += row("double charges",
             report.sync_accepted.charged_twice + report.sync_failed.charged_twice,
             report.queued_accepted.charged_twice + report.queued_failed.charged_twice);
  out += row("PDFs", report.sync_accepted.invoices, report.queued_accepted.invoices);
  out += row("mails delivered", report.sync_accepted.mailed, report.queued_accepted.mailed);
  out += row("  the same mail once more",
             report.sync_accepted.mailed_again,
             report.queued_accepted.mailed_again);
  out += row("everything done after", time_text(sync.duration), time_text(report.queued_done));
  for (const Outage& outage : report.outages) {
    out += fmt::format(
        "\n  kill -9 of the server {}: back after {} ms", outage.moment, outage.down.count());
  }
  if (!report.outages.empty()) out += "\n";
  return out;
}

std::string to_json(const Report& report) {
  boost::json::object body;
  body["sync"] = side(report.sync, report.sync_accepted, report.sync_failed);
  body["queued"] = side(report.queued, report.queued_accepted, report.queued_failed);
  body["jobs_done"] = report.jobs_done;
  body["jobs_dead"] = report.jobs_dead;
  body["attempts_failed"] = report.attempts_failed;
  body["all_done_us"] = report.queued_done.count();
  body["outages"] = report.outages.size();
  body["double_charges"] = report.double_charges();
  boost::json::array faults;
  for (const std::string& fault : report.faults())
    faults.emplace_back(fault);
  body["faults"] = std::move(faults);
  return boost::json::serialize(body);
}

}  // namespace orders
