// World: the accidents of a run, each at its own rate.
#include "sim/world/world.h"

#include <algorithm>

namespace sluice::sim {
namespace {

using Call = io::MemoryDirectory::Call;
using Lie = io::MemoryDirectory::Lie;
using namespace std::chrono_literals;

}  // namespace

void World::start_accidents() {
  const Rates& every = options_.every;
  repeat(every.kill, &World::kill);
  repeat(every.power_loss, &World::lose_power);
  repeat(every.stop, &World::stop);
  repeat(every.freeze, &World::freeze);
  repeat(every.clock_step, &World::step_clock);
  repeat(every.reset, &World::reset);
  repeat(every.half_close, &World::half_close);
  repeat(every.stall, &World::stall);
  repeat(every.sync_error, &World::fail_sync);
  repeat(every.write_error, &World::fail_write);
  repeat(every.read_error, &World::fail_read);
  repeat(every.create_error, &World::fail_create);
  repeat(every.full_disk, &World::fill_disk);
  repeat(every.slow_disk, &World::slow_disk);
  if (options_.damage != Damage::none) {
    schedule_.in(Micros(random_.between(0, options_.duration.count())), [this] { damage(); });
  }
}

void World::repeat(const std::optional<Micros>& every, void (World::*accident)()) {
  if (!every) return;
  schedule_.in(Micros(random_.between(1, 2 * every->count())), [this, every, accident] {
    if (is_healing_) return;
    (this->*accident)();
    repeat(every, accident);
  });
}

// -- The process and the machine. ----------------------------------------------------------------

void World::end_server(Restart::Kind how) {
  if (!server_.is_up()) return;
  if (how != Restart::Kind::stop && random_.chance(options_.stops_within_call)) {
    // Few calls away: the life goes on until then, and through the next start if need be.
    return server_.end_within_call(how, 1 + random_.below(12));
  }
  server_.end(how);
  server_ended();
}

void World::freeze() {
  count("freezes");
  server_.freeze(now() + Micros(random_.log_between(1000, 120'000'000)));
}

void World::step_clock() {
  count("clock_steps");
  wall_max_ = std::max(wall_max_, clock_.wall());
  constexpr std::int64_t year = std::int64_t{365} * 24 * 3600 * 1000;
  const std::int64_t by = random_.log_between(1000, 10 * year);
  clock_.step(Duration(random_.chance(0.5) ? by : -by));
  wall_max_ = std::max(wall_max_, clock_.wall());
}

// -- Connections. --------------------------------------------------------------------------------

Peer* World::some_peer() {
  const std::vector<Peer*> peers = random_.pick(clients_)->peers();
  return random_.pick(peers);
}

void World::reset() {
  count("resets");
  some_peer()->reset();
}

void World::half_close() {
  count("half_closes");
  some_peer()->finish();
}

void World::stall() {
  count("stalls");
  some_peer()->stall(now() + Micros(random_.log_between(1000, options_.duration.count() / 4)));
}

// -- The disk. -----------------------------------------------------------------------------------

void World::fail_sync() {
  count("disk_faults: sync");
  disk_.fail_at(Call::sync, 1 + random_.below(5));
}

void World::fail_write() {
  count("disk_faults: write");
  disk_.fail_at(Call::write, 1 + random_.below(5));
}

void World::fail_read() {
  count("disk_faults: read");
  disk_.fail_at(Call::read, 1 + random_.below(5));
}

void World::fail_create() {
  count("disk_faults: create");
  const Call calls[] = {Call::open, Call::allocate, Call::remove};
  disk_.fail_at(calls[random_.below(3)], 1 + random_.below(3));
}

/// Full at a random byte, for a while. Before that the server refuses pushes; if it is full
/// nevertheless the server ends, and cannot start until there is room again.
void World::fill_disk() {
  count("disk_faults: full");
  disk_.set_capacity(disk_.taken_bytes() + random_.below(8 * options_.segment_bytes));
  const Micros lasts(random_.log_between(1'000'000, options_.duration.count() / 2));
  schedule_.in(lasts, [this] { disk_.remove_capacity(); });
}

void World::slow_disk() {
  count("disk_faults: slow");
  server_.slow_down(Micros(random_.log_between(10'000, 10'000'000)),
                    now() + Micros(random_.log_between(100'000, 30'000'000)));
}

void World::damage() {
  if (is_healing_) return;
  switch (options_.damage) {
    case Damage::none:
      return;
    case Damage::lies:
      count("disk_faults: lying sync");
      return disk_.lie_at(Lie::nothing_durable, 1, random_.next(), random_.chance(0.5));
    case Damage::stale_sector:
      count("disk_faults: stale sector");
      return disk_.lie_at(Lie::stale_sector, 1 + random_.below(3), random_.next());
    case Damage::misplaced_sector:
      count("disk_faults: misplaced sector");
      return disk_.lie_at(Lie::misplaced_sector, 1 + random_.below(3), random_.next());
    case Damage::rot:
      return rot();
  }
}

/// One to eight bits of a byte that is durable and known to be.
void World::rot() {
  if (!server_.is_up() || server_.settled_end() == Position()) {
    return schedule_.in(1s, [this] { damage(); });
  }
  const Position end = server_.settled_end();
  const Result<std::vector<std::string>> files = disk_.list();
  if (!files) return;
  std::vector<std::string> segments;
  for (const std::string& file : *files) {
    if (file.ends_with(".seg")) segments.push_back(file);
  }
  if (segments.empty()) return;
  const std::string& file = random_.pick(segments);
  const auto segment = static_cast<std::uint32_t>(std::stoul(file, nullptr, 16));
  if (segment > end.segment()) return;
  const std::size_t bytes = segment == end.segment() ? end.offset() : disk_.content(file).size();
  if (bytes == 0) return;
  count("disk_faults: rot");
  disk_.flip(file, random_.below(bytes), static_cast<std::uint8_t>(1 + random_.below(255)));
}

}  // namespace sluice::sim
