// World: the phases of a run.
#include "sim/world/world.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

/// A run that takes more events than this does not end.
constexpr std::uint64_t events_max = 20'000'000;

}  // namespace

World::World(std::uint64_t seed, bool is_loud)
    : options_(seed),
      trace_(schedule_, is_loud),
      clock_(schedule_),
      disk_("data"),
      random_(seed),
      server_(Server::Surroundings{
                  options_,
                  schedule_,
                  clock_,
                  disk_,
                  history_,
                  trace_,
                  [this](const char* verdict, std::string what) { find(verdict, std::move(what)); },
                  [this] { server_ended(); }},
              random_.split()) {
  report_.seed = seed;
  int number = 0;
  const auto add = [&]<class Script>(int count, const Script*) {
    for (int i = 0; i < count; ++i)
      clients_.push_back(std::make_unique<Script>(*this, ++number, random_.split()));
  };
  add(options_.producers, static_cast<const Producer*>(nullptr));
  add(options_.workers, static_cast<const Worker*>(nullptr));
  add(options_.operators, static_cast<const Operator*>(nullptr));
  drainer_ = std::make_unique<Drainer>(*this, ++number, random_.split());
  clock_.drift(options_.drift_ppm);
}

Report World::run() {
  start_server();
  for (const std::unique_ptr<Client>& client : clients_)
    client->start();
  start_accidents();
  run_until_healing();
  heal();
  drain();
  judge();
  report_.hash = trace_.hash();
  return std::move(report_);
}

// -- Phases. -------------------------------------------------------------------------------------

void World::run_until_healing() {
  while (!schedule_.is_empty() && now() < options_.duration && !is_refused_)
    schedule_.step();
}

/// Faults stop, the calendar goes on from the latest day that it has shown, clients leave.
void World::heal() {
  is_healing_ = true;
  trace_.say("healing");
  disk_.clear_faults();
  disk_.remove_capacity();
  clock_.drift(0);
  clock_.step(std::max(wall_max_ - clock_.wall(), Duration(0)));
  server_.slow_down(0us, now());
  for (const std::unique_ptr<Client>& client : clients_)
    client->stop();
  if (!is_refused_) drainer_->start();
}

void World::drain() {
  const Micros bound = 30 * (options_.delay_max + options_.lease_max) + 2h;
  const Moment deadline = now() + bound;
  std::uint64_t events = 0;
  while (!drainer_->is_done() && now() < deadline && !is_refused_ && events < events_max) {
    schedule_.step();
    ++events;
  }
  history_.remains().is_refused = is_refused_;
  history_.remains().is_drained = drainer_->is_done();
  history_.remains().unfinished = drainer_->unfinished();
  drainer_->stop();
}

void World::judge() {
  Judgement judgement = sim::judge(history_);
  for (Finding& finding : judgement.findings)
    report_.findings.push_back(std::move(finding));
  if (!report_.findings.empty()) report_.story = history_.story(report_.findings.front().uid);
  auto& counts = report_.counts;
  counts["operations"] = history_.operations().size();
  counts["simulated_seconds"] = static_cast<std::uint64_t>(now() / 1s);
  counts["deliveries"] = judgement.deliveries;
  for (const auto& [reason, count] : judgement.redeliveries)
    counts["redeliveries: " + reason] = count;
  for (const Restart& restart : history_.restarts()) {
    const char* const kinds[] = {"stops", "kills", "power_losses"};
    ++counts[kinds[static_cast<std::size_t>(restart.kind)]];
  }
  counts["turns"] = server_.turns();
  if (is_refused_) ++counts["damage_found"];
}

// -- The server's process. -----------------------------------------------------------------------

void World::start_server() {
  if (server_.is_up() || is_refused_) return;
  // What is broken at a start is repaired in the end, or there would be nothing to see.
  if (is_healing_) disk_.clear_faults();
  switch (server_.start()) {
    case Server::Start::up:
      return;
    case Server::Start::refused:
      is_refused_ = true;
      return;
    case Server::Start::again:
      return server_ended();
  }
}

void World::server_ended() {
  const Micros down(random_.log_between(1000, 60'000'000));
  schedule_.in(down, [this] { start_server(); });
}

std::shared_ptr<Connection> World::connect(Peer& peer) {
  if (!server_.is_up()) return nullptr;
  auto connection = std::make_shared<Connection>(schedule_, random_.split(), options_.network);
  connection->attach(Side::client, &peer);
  server_.accept(connection);
  return connection;
}

// -- What is written down. -----------------------------------------------------------------------

void World::note_answer(std::size_t operation) {
  const Operation& answered = history_.operation(operation);
  trace_.mix(operation, static_cast<int>(answered.outcome), answered.job, answered.token);
  for (const Delivered& job : answered.delivered)
    trace_.mix(job.uid, job.token);
  trace_.say("{}", describe(answered));
}

void World::find(const char* verdict, std::string what) {
  report_.findings.push_back({verdict, 0, std::move(what)});
}

std::string World::queue_name(std::size_t index) const {
  return fmt::format("queue-{}", index);
}

}  // namespace sluice::sim
