// Rates and layout of `sluice top`; see top_frame.h.
#include "cli/top_frame.h"

#include "cli/output.h"
#include "cli/units.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sluice::cli {
namespace {

struct Rates {
  double pushed = 0;
  double pulled = 0;
  double succeeded = 0;
  double failed = 0;
  double dead = 0;
};

double seconds_between(const Sample& before, const Sample& current) {
  return std::chrono::duration<double>(current.time - before.time).count();
}

double rate(std::uint64_t before, std::uint64_t current, double seconds) {
  if (seconds <= 0) return 0;
  return static_cast<double>(current >= before ? current - before : current) / seconds;
}

Rates rates(const QueueInfo& queue, const Sample& before, double seconds) {
  const auto old = std::find_if(before.queues.begin(),
                                before.queues.end(),
                                [&](const QueueInfo& one) { return one.name == queue.name; });
  const QueueInfo none;
  const QueueInfo& past = old == before.queues.end() ? none : *old;
  return {rate(past.pushed_total, queue.pushed_total, seconds),
          rate(past.pulled_total, queue.pulled_total, seconds),
          rate(past.succeeded_total, queue.succeeded_total, seconds),
          rate(past.failed_total, queue.failed_total, seconds),
          rate(past.dead_total, queue.dead_total, seconds)};
}

struct Row {
  const QueueInfo* queue;
  Rates rates;
};

std::vector<Row> sorted_rows(const Sample& before, const Sample& current) {
  const double seconds = seconds_between(before, current);
  std::vector<Row> rows;
  for (const QueueInfo& queue : current.queues)
    rows.push_back({&queue, rates(queue, before, seconds)});
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    const double busy_a = a.rates.pushed + a.rates.pulled;
    const double busy_b = b.rates.pushed + b.rates.pulled;
    if (busy_a != busy_b) return busy_a > busy_b;
    const std::uint64_t ready_a = a.queue->count(JobState::ready);
    const std::uint64_t ready_b = b.queue->count(JobState::ready);
    return ready_a != ready_b ? ready_a > ready_b : a.queue->name < b.queue->name;
  });
  return rows;
}

Rates sum(const std::vector<Row>& rows) {
  Rates all;
  for (const Row& row : rows) {
    all.pushed += row.rates.pushed;
    all.pulled += row.rates.pulled;
    all.succeeded += row.rates.succeeded;
    all.failed += row.rates.failed;
    all.dead += row.rates.dead;
  }
  return all;
}

std::string_view find(const Sample& sample, const std::string& key) {
  const auto found = sample.info.find(key);
  return found == sample.info.end() ? std::string_view() : found->second;
}

std::uint64_t find_number(const Sample& sample, const std::string& key) {
  const std::string_view text = find(sample, key);
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string server_line(const Sample& before, const Sample& current) {
  const double seconds = seconds_between(before, current);
  std::string line = "sluice";
  const auto add = [&](std::string_view label, const std::string& value) {
    line += fmt::format("   {} {}", label, value);
  };
  if (const auto version = find(current, "sluice_version"); !version.empty()) {
    line += fmt::format(" {}", version);
  }
  if (const auto uptime = find_number(current, "uptime_in_seconds"); uptime > 0) {
    add("up", short_duration(std::chrono::seconds(uptime)));
  }
  if (const auto sync = find(current, "sync"); !sync.empty()) add("sync", std::string(sync));
  if (const auto clients = find(current, "connected_clients"); !clients.empty()) {
    add("clients", std::string(clients));
  }
  if (const auto bytes = find_number(current, "used_memory"); bytes > 0) {
    add("memory", short_bytes(bytes));
  }
  if (const auto bytes = find_number(current, "journal_bytes"); bytes > 0) {
    add("journal", short_bytes(bytes));
  }
  const auto syncs = find_number(current, "syncs_total");
  if (syncs > 0)
    add("syncs/s", short_rate(rate(find_number(before, "syncs_total"), syncs, seconds)));
  return line;
}

std::string shown(double per_second) {
  return per_second <= 0 ? "-" : short_rate(per_second);
}

}  // namespace

std::vector<std::string> frame_lines(const Sample& before, const Sample& current) {
  const std::vector<Row> rows = sorted_rows(before, current);
  const Rates all = sum(rows);
  using Align = Table::Align;
  Table table({{"QUEUE"},
               {"READY", Align::right},
               {"LEASED", Align::right},
               {"LATER", Align::right},
               {"RETRY", Align::right},
               {"DEAD", Align::right},
               {"PUSHED/s", Align::right},
               {"PULLED/s", Align::right},
               {"DONE/s", Align::right},
               {"FAILED/s", Align::right},
               {"OLDEST", Align::right},
               {"WORKERS", Align::right}});
  for (const Row& row : rows) {
    const QueueInfo& queue = *row.queue;
    const std::uint64_t ready = queue.count(JobState::ready);
    table.add({queue.name + (queue.paused ? " (paused)" : ""),
               grouped_or_dash(ready),
               grouped_or_dash(queue.count(JobState::leased)),
               grouped_or_dash(queue.count(JobState::scheduled) + queue.count(JobState::waiting)),
               grouped_or_dash(queue.count(JobState::retry)),
               grouped_or_dash(queue.count(JobState::dead)),
               shown(row.rates.pushed),
               shown(row.rates.pulled),
               shown(row.rates.succeeded),
               shown(row.rates.failed),
               ready > 0 ? short_duration(queue.oldest_ready) : "-",
               grouped_or_dash(queue.waiting_pulls)});
  }
  std::vector<std::string> lines{
      server_line(before, current),
      fmt::format("pushed {}/s   pulled {}/s   done {}/s   failed {}/s   dead {}/s",
                  short_rate(all.pushed),
                  short_rate(all.pulled),
                  short_rate(all.succeeded),
                  short_rate(all.failed),
                  short_rate(all.dead)),
      ""};
  for (std::string& line : table.lines())
    lines.push_back(std::move(line));
  return lines;
}

boost::json::object frame_json(const Sample& before, const Sample& current) {
  boost::json::array queues;
  for (const Row& row : sorted_rows(before, current)) {
    boost::json::object queue = to_json(*row.queue);
    queue["pushed_per_second"] = row.rates.pushed;
    queue["pulled_per_second"] = row.rates.pulled;
    queue["succeeded_per_second"] = row.rates.succeeded;
    queue["failed_per_second"] = row.rates.failed;
    queue["dead_per_second"] = row.rates.dead;
    queues.emplace_back(std::move(queue));
  }
  boost::json::object info;
  for (const auto& [key, value] : current.info)
    info[key] = value;
  return {{"seconds", seconds_between(before, current)},
          {"queues", std::move(queues)},
          {"info", std::move(info)}};
}

}  // namespace sluice::cli
