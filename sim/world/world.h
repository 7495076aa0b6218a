// World: one run of a seed. Builds everything, lets accidents happen, heals, drains, and judges.
#pragma once

#include "io/memory.h"
#include "sim/clients/client.h"
#include "sim/history/history.h"
#include "sim/history/judge.h"
#include "sim/world/clock.h"
#include "sim/world/network.h"
#include "sim/world/options.h"
#include "sim/world/schedule.h"
#include "sim/world/server.h"
#include "sim/world/trace.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sluice::sim {

struct Report {
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;
  std::vector<Finding> findings;
  std::string story;  ///< Of the first finding's job.
  std::map<std::string, std::uint64_t> counts;
};

/// A job whose push was answered.
struct KnownJob {
  std::uint64_t job = 0;
  Uid uid = 0;  ///< 0: not certain, because of a unique key.
  std::size_t queue = 0;
};

class World {
 public:
  World(std::uint64_t seed, bool is_loud);

  Report run();

  // -- For the clients. --------------------------------------------------------------------------

  const Options& options() const { return options_; }

  Schedule& schedule() { return schedule_; }

  Moment now() const { return schedule_.now(); }

  History& history() { return history_; }

  SimulatedClock& clock() { return clock_; }

  Trace& trace() { return trace_; }

  /// Null: nobody listens.
  std::shared_ptr<Connection> connect(Peer& peer);
  void note_answer(std::size_t operation);
  void find(const char* verdict, std::string what);

  Uid next_uid() { return ++last_uid_; }

  std::uint64_t pushes() const { return last_uid_; }

  std::string queue_name(std::size_t index) const;

  std::vector<KnownJob>& known() { return known_; }

  void count(const std::string& what) { ++report_.counts[what]; }

 private:
  void start_server();
  void server_ended();
  void run_until_healing();
  void heal();
  void drain();
  void judge();

  // accidents.cc
  void start_accidents();
  void repeat(const std::optional<Micros>& every, void (World::*accident)());
  void end_server(Restart::Kind how);

  void kill() { end_server(Restart::Kind::kill); }

  void lose_power() { end_server(Restart::Kind::power_loss); }

  void stop() { end_server(Restart::Kind::stop); }

  void freeze();
  void step_clock();
  void reset();
  void half_close();
  void stall();
  void fail_sync();
  void fail_write();
  void fail_read();
  void fail_create();
  void fill_disk();
  void slow_disk();
  void damage();
  void rot();
  Peer* some_peer();

  Options options_;
  Schedule schedule_;
  Trace trace_;
  SimulatedClock clock_;
  io::MemoryDirectory disk_;
  History history_;
  Random random_;
  Server server_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Drainer> drainer_;
  std::vector<KnownJob> known_;
  Report report_;
  Uid last_uid_ = 0;
  WallTime wall_max_{};
  bool is_healing_ = false;
  bool is_refused_ = false;
};

}  // namespace sluice::sim
