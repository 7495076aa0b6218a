// x-death: see death_table.h.
#include "gateway/amqp/death_table.h"

#include "wire/amqp/content.h"
#include "wire/amqp/table_writer.h"

#include <algorithm>
#include <limits>

namespace sluice::amqp {
namespace {

std::uint64_t seconds(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count());
}

void put_death(TableWriter& table, const model::Death& death, ByteView expiration) {
  table.open_table();
  table.name("count").integer(static_cast<std::int64_t>(death.count));
  table.name("reason").text(model::name(death.reason));
  table.name("queue").text(death.queue);
  table.name("time").timestamp(seconds(death.time));
  table.name("exchange").text(death.exchange);
  table.name("routing-keys").open_array();
  for (const std::string& key : death.keys)
    table.text(key);
  table.close();
  if (!expiration.empty()) table.name("original-expiration").text(expiration);
  table.close();
}

bool is_first_death(ByteView name) {
  return name == "x-first-death-exchange" || name == "x-first-death-queue" ||
         name == "x-first-death-reason";
}

/// So that the sum of a whole table is still a number.
constexpr std::int64_t sent_count_max = std::int64_t{1} << 50;
static_assert(sent_count_max <= std::numeric_limits<std::int64_t>::max() / 2 / table_values_max);

/// A death that the message was published with, by somebody who got a dead letter and published it
/// again. Of one queue and reason there is one.
struct SentDeath {
  Table table;
  ByteView queue;
  ByteView reason;
  std::int64_t count = 0;
};

/// The tables of x-death; none if it is no array of tables. One without a count counts for one.
std::vector<SentDeath> sent_deaths(const Table& headers) {
  const std::optional<Value> x_death = headers.find("x-death");
  const std::optional<Array> array = x_death ? x_death->array() : std::nullopt;
  std::vector<SentDeath> deaths;
  if (!array) return deaths;
  for (const Value& each : *array) {
    const std::optional<Table> table = each.table();
    if (!table) return {};
    const auto text = [&table](ByteView name) {
      const std::optional<Value> value = table->find(name);
      return value ? value->text().value_or(ByteView()) : ByteView();
    };
    const std::optional<Value> count = table->find("count");
    const std::int64_t times = count ? count->integer().value_or(1) : 1;
    const SentDeath sent{
        *table, text("queue"), text("reason"), std::clamp<std::int64_t>(times, 0, sent_count_max)};
    const auto same = std::find_if(deaths.begin(), deaths.end(), [&sent](const SentDeath& other) {
      return other.queue == sent.queue && other.reason == sent.reason;
    });
    if (same == deaths.end()) {
      deaths.push_back(sent);
    } else {
      same->count += sent.count;
    }
  }
  return deaths;
}

void put_again(TableWriter& table, const SentDeath& sent) {
  table.open_table();
  table.name("count").integer(sent.count);
  for (const auto& [name, value] : sent.table) {
    if (name != "count") table.name(name).value(value);
  }
  table.close();
}

void put_deaths(TableWriter& table,
                const std::vector<model::Death>& deaths,
                std::vector<SentDeath> sent,
                ByteView expiration) {
  table.open_array();
  for (const model::Death& death : deaths) {
    const auto same = std::find_if(sent.begin(), sent.end(), [&death](const SentDeath& each) {
      return each.queue == death.queue && each.reason == model::name(death.reason);
    });
    if (same != sent.end()) {
      same->count += static_cast<std::int64_t>(death.count);
      put_again(table, *same);
      sent.erase(same);
    } else {
      put_death(table, death, &death == &deaths.back() ? expiration : ByteView());
    }
  }
  for (const SentDeath& each : sent)
    put_again(table, each);
  table.close();
}

}  // namespace

void append_dead_properties(Buffer& out,
                            ByteView raw,
                            const std::vector<model::Death>& deaths,
                            bool keeps_copies) {
  Parsed<Properties> properties = decode_properties(raw);
  if (!properties) return out.append(raw);
  const ByteView expiration = properties->expiration ? properties->expiration->bytes : ByteView();
  const Table own = properties->headers.value_or(Table{});
  const bool has_first = own.find("x-first-death-reason").has_value();
  Buffer headers;
  TableWriter table(headers);
  put_deaths(table.name("x-death"), deaths, sent_deaths(own), expiration);
  if (!has_first) {
    const model::Death& first = deaths.back();
    table.name("x-first-death-exchange").text(first.exchange);
    table.name("x-first-death-queue").text(first.queue);
    table.name("x-first-death-reason").text(model::name(first.reason));
  }
  for (const auto& [name, value] : own) {
    const bool is_replaced = name == "x-death" || (is_first_death(name) && !has_first) ||
                             (name == "CC" && !keeps_copies);
    if (!is_replaced) table.name(name).value(value);
  }
  table.finish();
  properties->headers = Table{headers.view().substr(sizeof(std::uint32_t))};
  properties->expiration.reset();
  append_properties(out, *properties);
}

}  // namespace sluice::amqp
