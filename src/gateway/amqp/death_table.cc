// x-death: see death_table.h.
#include "gateway/amqp/death_table.h"

#include "wire/amqp/content.h"
#include "wire/amqp/table_writer.h"

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

bool is_of_deaths(ByteView name) {
  return name == "x-death" || name == "x-first-death-exchange" || name == "x-first-death-queue" ||
         name == "x-first-death-reason";
}

}  // namespace

void append_dead_properties(Buffer& out, ByteView raw, const std::vector<model::Death>& deaths) {
  Parsed<Properties> properties = decode_properties(raw);
  if (!properties) return out.append(raw);
  const ByteView expiration = properties->expiration ? properties->expiration->bytes : ByteView();
  Buffer headers;
  TableWriter table(headers);
  table.name("x-death").open_array();
  for (const model::Death& death : deaths) {
    const bool is_first = &death == &deaths.back();
    put_death(table, death, is_first ? expiration : ByteView());
  }
  table.close();
  const model::Death& first = deaths.back();
  table.name("x-first-death-exchange").text(first.exchange);
  table.name("x-first-death-queue").text(first.queue);
  table.name("x-first-death-reason").text(model::name(first.reason));
  if (properties->headers) {
    for (const auto& [name, value] : *properties->headers) {
      if (!is_of_deaths(name)) table.name(name).value(value);
    }
  }
  table.finish();
  properties->headers = Table{headers.view().substr(sizeof(std::uint32_t))};
  properties->expiration.reset();
  append_properties(out, *properties);
}

}  // namespace sluice::amqp
