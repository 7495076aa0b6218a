// Deaths as bytes.
#include "model/death.h"

#include "base/codec.h"
#include "model/limits.h"

namespace sluice::model {

ByteView name(DeathReason reason) {
  switch (reason) {
    case DeathReason::rejected:
      return "rejected";
    case DeathReason::expired:
      return "expired";
    case DeathReason::max_length:
      return "maxlen";
    case DeathReason::delivery_limit:
      return "delivery_limit";
  }
  return {};
}

std::string encode_deaths(const std::vector<Death>& deaths) {
  Buffer out;
  for (const Death& death : deaths) {
    put_sized<std::uint8_t>(out, death.queue);
    out.append_raw(static_cast<std::uint8_t>(death.reason));
    out.append_raw(death.count);
    out.append_raw(std::int64_t{death.time.time_since_epoch().count()});
    put_sized<std::uint8_t>(out, death.exchange);
    out.append_raw(static_cast<std::uint8_t>(death.keys.size()));
    for (const std::string& key : death.keys)
      put_sized<std::uint8_t>(out, key);
  }
  return std::string(out.view());
}

std::vector<Death> decode_deaths(ByteView bytes) {
  std::vector<Death> deaths;
  Reader reader(bytes);
  while (!reader.at_end() && deaths.size() < deaths_max) {
    Death death;
    death.queue = std::string(reader.sized<std::uint8_t>());
    death.reason = static_cast<DeathReason>(reader.number<std::uint8_t>() % death_reason_count);
    death.count = reader.number<std::uint64_t>();
    death.time = WallTime(Duration(reader.number<std::int64_t>()));
    death.exchange = std::string(reader.sized<std::uint8_t>());
    const auto keys = reader.number<std::uint8_t>();
    for (int index = 0; index < keys && reader.ok(); ++index)
      death.keys.emplace_back(reader.sized<std::uint8_t>());
    if (!reader.ok()) break;
    deaths.push_back(std::move(death));
  }
  return deaths;
}

}  // namespace sluice::model
