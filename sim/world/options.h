// Options: what a seed's run is like, drawn from the seed. Swarm testing: each seed leaves out a
// random half of the features, so that no feature hides behind another, and draws its rates by
// order of magnitude.
#pragma once

#include "engine/engine.h"
#include "io/memory.h"
#include "sim/random.h"
#include "sim/world/network.h"
#include "sim/world/schedule.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice::sim {

/// What may be done to or by a job, each on or off for the whole run.
struct Features {
  bool delay, at, priority, attempts, backoff, timeout, ttl, unique, window, keep, after, headers;
  bool wait, count, results, fail, release, extend, progress, late, vanish;
  bool cancel, await, read, list, policy, pause, purge, delete_queue, redrive, delete_dead;
  bool dead_letter, overflow;
};

/// How often accidents happen: the mean time between two of a kind. None: never.
struct Rates {
  std::optional<Micros> kill, power_loss, stop, freeze, clock_step;
  std::optional<Micros> reset, half_close, stall;
  std::optional<Micros> sync_error, write_error, read_error, create_error, full_disk, slow_disk;
};

/// A device that does not keep what it said. The format has to find that out, not to survive it.
enum class Damage : std::uint8_t { none, lies, stale_sector, misplaced_sector, rot };

struct Options {
  explicit Options(std::uint64_t seed);

  /// All of it, a line each.
  std::string describe() const;

  std::uint64_t seed;
  bool is_quiet = false;  ///< No faults at all: nothing may come twice.
  std::size_t operations = 0;
  Micros duration{0};  ///< Of the part with faults.
  int queues = 1;
  int producers = 1;
  int workers = 1;
  int operators = 0;
  int pipeline = 1;  ///< Requests that a client has under way, at most.
  std::size_t payload_bytes_max = 100;
  Micros lease_max{0};
  Micros delay_max{0};
  Features on{};
  Rates every{};
  Damage damage = Damage::none;
  double stops_within_call = 0;  ///< How many kills and power losses happen within an I/O call.
  double busy = 0;               ///< How often a turn finds that more has come meanwhile.
  double restores_twice = 0;     ///< How often a restart is done twice, and compared.
  std::int64_t drift_ppm = 0;
  Micros sync_min{0};
  Micros sync_max{0};
  NetworkTerms network;
  engine::SyncPolicy sync;
  std::uint32_t segment_bytes = 0;
  std::size_t tail_cache_bytes = 0;
};

}  // namespace sluice::sim
