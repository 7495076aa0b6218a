// The scripted clients of a run: producers push, workers pull and answer, operators look and
// meddle. Each follows its own stream of chance until it is told to stop.
#pragma once

#include "sim/clients/peer.h"
#include "sim/random.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace sluice::sim {

/// As a command's option says it.
inline std::string milliseconds(Micros time) {
  return std::to_string(std::chrono::duration_cast<Duration>(time).count());
}

/// What is left of it when it is said so: at least one.
inline Micros whole_milliseconds(Micros time) {
  return std::max(std::chrono::duration_cast<Duration>(time), Duration(1));
}

class Client {
 public:
  Client(World& world, int number, Random random)
      : world_(world), random_(random), number_(number), peer_(world, number) {}

  virtual ~Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Schedules the first step.
  void start();

  /// No further steps; the connections break.
  virtual void stop() {
    is_stopped_ = true;
    peer_.reset();
  }

  bool is_stopped() const { return is_stopped_; }

  /// Its connections, for accidents.
  virtual std::vector<Peer*> peers() { return {&peer_}; }

 protected:
  /// Does what comes next; called again and again, about `pace()` apart.
  virtual void step() = 0;
  virtual Micros pace() const = 0;

  /// Connects if need be. False: try again at the next step.
  bool reach(Peer& peer) { return peer.is_connected() || peer.connect(); }

  World& world_;
  Random random_;
  const int number_;
  Peer peer_;

 private:
  void go_on();

  bool is_stopped_ = false;
};

class Producer final : public Client {
 public:
  using Client::Client;

 private:
  void step() override;
  Micros pace() const override;
  void push();
  void choose_time(Operation& push, std::vector<std::string>& words);
  void choose_limits(Operation& push, std::vector<std::string>& words);
  void choose_key(Operation& push, std::vector<std::string>& words);
  void choose_dependencies(Operation& push, std::vector<std::string>& words);
};

class Worker final : public Client {
 public:
  Worker(World& world, int number, Random random)
      : Client(world, number, random), answers_(world, number) {}

  void stop() override {
    Client::stop();
    answers_.reset();
  }

  std::vector<Peer*> peers() override { return {&peer_, &answers_}; }

 private:
  void step() override;
  Micros pace() const override;
  void pull();
  void work(const Delivered& job);
  void finish(const Delivered& job);
  /// Asks on the connection for answers, now or when there is one.
  void answer(Act act,
              const Delivered& job,
              std::vector<std::string> words,
              std::optional<Micros> duration,
              int tries = 5);

  Peer answers_;  ///< Replies on the other wait behind a PULL that waits.
};

class Operator final : public Client {
 public:
  using Client::Client;

 private:
  void step() override;
  Micros pace() const override;
  void look();
  void configure();
  void remove();
  void meet_job();
};

/// After everything has healed: takes and acks every job until none is left.
class Drainer final : public Client {
 public:
  using Client::Client;

  bool is_done() const { return is_done_; }

  /// What was left when it looked last.
  const std::string& unfinished() const { return unfinished_; }

 private:
  void step() override;

  Micros pace() const override { return wait_; }

  void prepare();
  void pull();
  void look();
  void list_dead(const std::string& queue);
  void take_list(const resp::Value& queues);

  Micros wait_{50'000};
  std::size_t lists_left_ = 0;
  bool is_prepared_ = false;
  bool is_listing_ = false;
  bool is_done_ = false;
  std::string unfinished_;
};

/// The jobs in a reply to PULL, compared with what was pushed.
std::vector<Delivered> delivered_jobs(World& world,
                                      const resp::Value& reply,
                                      std::optional<Micros> lease);

}  // namespace sluice::sim
