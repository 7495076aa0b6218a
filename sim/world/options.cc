// Options of a run from its seed.
#include "sim/world/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

Micros log_between(Random& random, Micros low, Micros high) {
  return Micros(random.log_between(low.count(), high.count()));
}

struct Feature {
  const char* name;
  bool Features::* is_on;
};

constexpr Feature features[] = {
    {"delay", &Features::delay},
    {"at", &Features::at},
    {"priority", &Features::priority},
    {"attempts", &Features::attempts},
    {"backoff", &Features::backoff},
    {"timeout", &Features::timeout},
    {"ttl", &Features::ttl},
    {"unique", &Features::unique},
    {"window", &Features::window},
    {"keep", &Features::keep},
    {"after", &Features::after},
    {"headers", &Features::headers},
    {"wait", &Features::wait},
    {"count", &Features::count},
    {"results", &Features::results},
    {"fail", &Features::fail},
    {"release", &Features::release},
    {"extend", &Features::extend},
    {"progress", &Features::progress},
    {"late", &Features::late},
    {"vanish", &Features::vanish},
    {"cancel", &Features::cancel},
    {"await", &Features::await},
    {"read", &Features::read},
    {"list", &Features::list},
    {"policy", &Features::policy},
    {"pause", &Features::pause},
    {"purge", &Features::purge},
    {"delete_queue", &Features::delete_queue},
    {"redrive", &Features::redrive},
    {"delete_dead", &Features::delete_dead},
    {"dead_letter", &Features::dead_letter},
    {"overflow", &Features::overflow},
};

/// An accident, how many runs have it, and how often it then happens in a run, at most.
struct Accident {
  const char* name;
  std::optional<Micros> Rates::* every;
  double runs;
  double times_max;
};

constexpr Accident accidents[] = {
    {"kill", &Rates::kill, 0.5, 12},
    {"power loss", &Rates::power_loss, 0.5, 12},
    {"stop", &Rates::stop, 0.2, 4},
    {"freeze", &Rates::freeze, 0.3, 8},
    {"clock step", &Rates::clock_step, 0.4, 10},
    {"reset", &Rates::reset, 0.5, 60},
    {"half close", &Rates::half_close, 0.3, 20},
    {"stall", &Rates::stall, 0.3, 10},
    {"sync error", &Rates::sync_error, 0.2, 4},
    {"write error", &Rates::write_error, 0.15, 4},
    {"read error", &Rates::read_error, 0.15, 4},
    {"create error", &Rates::create_error, 0.15, 4},
    {"full disk", &Rates::full_disk, 0.15, 3},
    {"slow disk", &Rates::slow_disk, 0.2, 10},
};

void draw_features(Features& on, Random& random) {
  for (const Feature& feature : features)
    on.*feature.is_on = random.chance(0.5);
  // These take away what other features need, so they are rarer.
  for (bool* const feature : {&on.purge, &on.delete_queue, &on.delete_dead, &on.overflow}) {
    *feature = *feature && random.chance(0.4);
  }
}

void draw_rates(Rates& rates, Micros duration, Random& random) {
  for (const Accident& accident : accidents) {
    const bool is_on = random.chance(accident.runs);
    const double times = random.log_uniform(0.5, accident.times_max);
    if (!is_on) continue;
    const double micros = static_cast<double>(duration.count()) / times;
    rates.*accident.every = Micros(std::llround(micros));
  }
}

void draw_journal(Options& options, Random& random) {
  options.segment_bytes =
      static_cast<std::uint32_t>(random.chance(0.3) ? 4096 : random.log_between(4096, 256 << 10));
  options.tail_cache_bytes =
      static_cast<std::size_t>(random.chance(0.4) ? 0 : random.log_between(1024, 1 << 20));
  options.sync_min = log_between(random, 50us, 2ms);
  options.sync_max = log_between(random, options.sync_min, 50ms);
  if (random.chance(0.8)) return;
  using Kind = engine::SyncPolicy::Kind;
  options.sync.kind = random.chance(0.6) ? Kind::interval : Kind::never;
  if (options.sync.kind == Kind::interval) {
    options.sync.interval = Duration(random.log_between(1, 2000));
  }
}

double seconds(Micros time) {
  return std::chrono::duration<double>(time).count();
}

const char* name(Damage damage) {
  switch (damage) {
    case Damage::none:
      return "none";
    case Damage::lies:
      return "syncs that make nothing durable";
    case Damage::stale_sector:
      return "a sector that is not written";
    case Damage::misplaced_sector:
      return "a sector written to another place";
    case Damage::rot:
      return "rot";
  }
  return "";
}

}  // namespace

Options::Options(std::uint64_t run_seed) : seed(run_seed) {
  Random random(run_seed ^ 0x51dce5eed);
  is_quiet = random.chance(0.15);
  operations = static_cast<std::size_t>(random.log_between(200, 3000));
  duration = log_between(random, 20s, 2h);
  queues = static_cast<int>(random.log_between(1, 8));
  producers = static_cast<int>(random.log_between(1, 16));
  workers = static_cast<int>(random.log_between(1, 16));
  operators = static_cast<int>(random.between(0, 4));
  pipeline = random.chance(0.5) ? 1 : static_cast<int>(random.log_between(1, 16));
  payload_bytes_max = static_cast<std::size_t>(random.log_between(16, 4000));
  lease_max = log_between(random, duration / 200, duration);
  delay_max = random.chance(0.1) ? Micros(72h) : log_between(random, 10ms, duration);
  draw_features(on, random);
  draw_journal(*this, random);
  busy = random.chance(0.3) ? 0 : random.log_uniform(0.05, 1);
  restores_twice = random.chance(0.5) ? 0.3 : 0;
  network.delay_min = log_between(random, 10us, 1ms);
  network.delay_max = log_between(random, network.delay_min, 5s);
  if (random.chance(0.8)) network.delay_max = std::min(network.delay_max, Micros(50ms));
  network.window_bytes = static_cast<std::size_t>(random.log_between(2048, 64 << 10));
  if (random.chance(0.3)) network.crumbs = random.log_uniform(0.01, 0.3);
  if (is_quiet) return;
  draw_rates(every, duration, random);
  stops_within_call = random.chance(0.3) ? 0 : 0.6;
  if (random.chance(0.3)) drift_ppm = random.between(-100'000, 100'000);
  if (random.chance(0.12)) damage = static_cast<Damage>(random.between(1, 4));
}

std::string Options::describe() const {
  std::string text = fmt::format("seed {:#x}{}: {} operations in {:.3f} s, {} queues\n",
                                 seed,
                                 is_quiet ? " (quiet)" : "",
                                 operations,
                                 seconds(duration),
                                 queues);
  text += fmt::format("  {} producers, {} workers, {} operators, pipeline {}\n",
                      producers,
                      workers,
                      operators,
                      pipeline);
  text += fmt::format("  payload <= {} B, lease <= {:.3f} s, delay <= {:.3f} s\n",
                      payload_bytes_max,
                      seconds(lease_max),
                      seconds(delay_max));
  const char* const policies[] = {"always", "interval", "never"};
  text += fmt::format("  sync {} {} ms, takes {} to {} us, busy {:.2f}, within a call {:.2f}\n",
                      policies[static_cast<std::size_t>(sync.kind)],
                      sync.interval.count(),
                      sync_min.count(),
                      sync_max.count(),
                      busy,
                      stops_within_call);
  text += fmt::format("  segments {} B, tail cache {} B, restored twice {:.2f}\n",
                      segment_bytes,
                      tail_cache_bytes,
                      restores_twice);
  text += fmt::format("  network {} to {} us, window {} B, crumbs {:.3f}\n",
                      network.delay_min.count(),
                      network.delay_max.count(),
                      network.window_bytes,
                      network.crumbs);
  text += fmt::format("  clock drifts {} ppm; damage: {}\n", drift_ppm, name(damage));
  for (const Accident& accident : accidents) {
    const std::optional<Micros>& rate = every.*accident.every;
    if (rate) text += fmt::format("  {} every {:.3f} s\n", accident.name, seconds(*rate));
  }
  text += "  on:";
  for (const Feature& feature : features) {
    if (on.*feature.is_on) text += std::string(" ") + feature.name;
  }
  return text + "\n";
}

}  // namespace sluice::sim
