// Server: its starts and ends, its turns, and what it may forget.
#include "sim/world/server.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

using Call = io::MemoryDirectory::Call;
using namespace std::chrono_literals;

/// Submits for others: no reply reaches it.
constexpr engine::SessionId nobody{0};
/// Applying takes time, too.
constexpr Micros turn_time = 5us;
/// How many syncs later what was durable is also said to be durable, by frames that are.
constexpr std::size_t syncs_to_settle = 4;

}  // namespace

/// The journal's thread: writes when it begins or when it ends, and is done a while later.
class Server::Scribe final : public engine::Committer {
 public:
  Scribe(Server& server, journal::Log& log) : server_(server), log_(log) {}

  void start(journal::Batch batch, journal::Sync sync) override {
    check(!is_busy_);
    is_busy_ = true;
    batch_ = std::move(batch);
    sync_ = sync;
    if (server_.random_.chance(0.5)) write();
    Server& server = server_;  // Outlives this, which is gone with its life.
    server.at_.schedule.in(server.sync_time(), [this, &server, life = server.life_number_] {
      if (life != server.life_number_ || !server.is_up()) return;
      write();
      is_done_ = true;
      if (!server.ends_by_itself()) server.turn_at(server.at_.schedule.now());
    });
  }

  bool is_busy() const override { return is_busy_; }

  std::optional<engine::Written> take() override {
    if (!is_busy_ || !is_done_) return std::nullopt;
    is_busy_ = false;
    is_done_ = false;
    return std::exchange(written_, std::nullopt);
  }

  void stop() override {
    if (!is_busy_) return;
    write();
    is_done_ = true;
  }

 private:
  void write() {
    if (!batch_) return;
    written_ = engine::write_batch(log_, std::move(*batch_), sync_);
    batch_.reset();
  }

  Server& server_;
  journal::Log& log_;
  bool is_busy_ = false;
  bool is_done_ = false;
  std::optional<journal::Batch> batch_;
  journal::Sync sync_ = journal::Sync::yes;
  std::optional<engine::Written> written_;
};

Server::Server(Surroundings surroundings, Random random)
    : at_(std::move(surroundings)), random_(random), settled_(1) {
  const Options& options = at_.options;
  engine_options_.log.segment_bytes = options.segment_bytes;
  engine_options_.log.tail_cache_bytes = options.tail_cache_bytes;
  engine_options_.log.identity_seed = options.seed;
  engine_options_.sync = options.sync;
  engine_options_.limits.disk_free_bytes_min = std::uint64_t{4} * options.segment_bytes;
  engine_options_.on_failure = [this](const Error& error) { failure_ = error; };
  engine_options_.on_event = [this](const std::string& line) { on_event(line); };
}

Server::~Server() = default;

void Server::on_event(const std::string& line) {
  at_.trace.say("server: {}", line);
  constexpr std::string_view unreadable = "event=record_unreadable level=error job=";
  if (line.starts_with(unreadable)) {
    at_.history.remains().reported.insert(std::stoull(line.substr(unreadable.size())));
  }
}

// -- Start. --------------------------------------------------------------------------------------

Server::Start Server::start() {
  check(!is_up());
  at_.disk.restart();
  failure_.reset();
  ++life_number_;
  turns_of_life_ = 0;
  counters_ = std::make_unique<engine::Counters>();
  Result<engine::Restored> restored = restore();
  if (!restored) return not_started(restored.error());
  if (Result<void> begun = begin(std::move(*restored)); !begun) return not_started(begun.error());
  const Time time = life_->now().time;
  if (ended_time_) {
    const Micros passed = at_.schedule.now() - ended_;
    at_.history.begin(at_.schedule.now(), Micros(time - *ended_time_) - passed);
  }
  at_.trace.mix(time.time_since_epoch().count());
  at_.trace.say("server: up, {} segments", segments());
  turn_at(at_.schedule.now());
  return Start::up;
}

/// Restores the state and, now and then, once more: after the process was killed behind it, or the
/// power failed. Everything that was found is durable then (RELIABILITY S2), so nothing changes.
Result<engine::Restored> Server::restore() {
  Result<engine::Restored> restored = engine::restore(at_.disk, at_.clock, engine_options_);
  if (!restored) return restored;
  restored->core->check_invariants();
  compare(std::exchange(expected_, {}), *restored->core, "before the process ended");
  if (!random_.chance(at_.options.restores_twice)) return restored;
  const std::string dump = restored->core->dump();
  restored->log.reset();
  if (random_.chance(0.5)) {
    at_.disk.crash(random_.next());
  } else {
    at_.disk.kill();
  }
  if (at_.disk.lies() != lies_) at_.history.forget(Moment{0});
  restored = engine::restore(at_.disk, at_.clock, engine_options_);
  if (restored && at_.options.damage == Damage::none)
    compare(dump, *restored->core, "when it was restored before");
  return restored;
}

void Server::compare(const std::string& expected, const core::Core& core, const char* when) {
  if (expected.empty()) return;
  const std::string found = core.dump();
  if (found == expected) return;
  const auto differs = std::mismatch(expected.begin(), expected.end(), found.begin(), found.end());
  const auto at = static_cast<std::size_t>(differs.first - expected.begin());
  const std::size_t line = expected.rfind('\n', at) + 1;
  at_.find("replay",
           fmt::format("the state is not what it was {}:\n  was {}\n  is  {}",
                       when,
                       expected.substr(line, expected.find('\n', at) - line),
                       found.substr(line, found.find('\n', at) - line)));
}

Server::Start Server::not_started(const Error& error) {
  at_.trace.say("server: did not start: {}", error.message);
  life_.reset();
  if (at_.disk.lies() != lies_) at_.history.forget(Moment{0});
  if (at_.disk.is_down()) {
    // What a power loss takes now was answered in the life before.
    if (armed_ == Ending::power_loss) {
      at_.clock.reboot();
      at_.history.forget(forgets_from(armed_));
      expected_.clear();  // Of what was written and not synced, the rest may be gone now.
    }
    return Start::again;
  }
  at_.disk.kill();
  if (error.code != ErrorCode::corrupt) return Start::again;
  const bool names_place = error.message.find(".seg") != std::string::npos;
  if (at_.options.damage == Damage::none) at_.find("refused-start", error.message);
  if (!names_place) at_.find("refused-start", "no position: " + error.message);
  return Start::refused;
}

Result<void> Server::begin(engine::Restored restored) {
  Result<std::unique_ptr<engine::Life>> life = engine::Life::begin(
      std::move(restored),
      at_.disk,
      at_.clock,
      engine_options_,
      *counters_,
      [this](journal::Log& log) {
        auto scribe = std::make_unique<Scribe>(*this, log);
        return scribe;
      },
      [this](engine::SessionId id, std::vector<engine::SessionReply>& replies) {
        const auto visit = visits_.find(id.value);
        if (visit == visits_.end()) return false;
        visit->second->on_replies(std::move(replies));
        return true;
      });
  if (!life) return tl::unexpected<Error>(life.error());
  life_ = std::move(*life);
  settled_.assign(1, Position());
  if (last_lie_ && syncs_since_lie_ > syncs_to_settle) last_lie_.reset();
  note_syncs(0);
  return {};
}

// -- End. ----------------------------------------------------------------------------------------

void Server::end_within_call(Ending how, std::uint64_t nth) {
  armed_ = how;
  at_.disk.stop_at(nth,
                   how == Ending::power_loss ? io::MemoryDirectory::Accident::power_loss
                                             : io::MemoryDirectory::Accident::kill,
                   random_.next());
}

/// Whether the last call to the disk ended the process; then it is over when this returns.
bool Server::ends_by_itself() {
  if (at_.disk.is_down()) {
    end(armed_);
  } else if (failure_) {
    at_.trace.say("server: exits: {}", failure_->message);
    end(Ending::kill);
  } else {
    return false;
  }
  at_.on_end();
  return true;
}

void Server::end(Ending how) {
  check(is_up());
  if (how == Ending::stop) {
    life_->end();
    hand_over(std::exchange(said_, {}));
    const auto visits = visits_;
    for (const auto& [id, visit] : visits)
      visit->drain();
  }
  const bool is_known = is_all_on_disk(how);
  expected_ = is_known ? life_->core().dump() : std::string();
  ended_time_ = life_->now().time;
  ended_ = at_.schedule.now();
  note_syncs(0);
  at_.history.end(how, ended_, forgets_from(how));
  at_.trace.mix(static_cast<int>(how), is_known, life_->log().end().value);
  at_.trace.say("server: down, {}",
                how == Ending::stop         ? "stopped"
                : how == Ending::power_loss ? "power lost"
                                            : "killed");
  for (const auto& [id, visit] : visits_) {
    visit->vanish(how == Ending::power_loss);
    at_.schedule.in(0us, [kept = visit] {});  // It may be at work right now.
  }
  visits_.clear();
  inbox_.clear();
  said_.clear();
  next_turn_.reset();
  ++turn_number_;
  life_.reset();
  if (how == Ending::power_loss) at_.clock.reboot();
  if (at_.disk.is_down()) return;
  if (how == Ending::power_loss) {
    at_.disk.crash(random_.next());
  } else {
    at_.disk.kill();
  }
}

/// Whether the disk has exactly what the core has, so that a restart has to find the same.
bool Server::is_all_on_disk(Ending how) const {
  if (failure_ || at_.disk.is_down() || at_.options.damage != Damage::none) return false;
  if (at_.options.restores_twice == 0) return false;
  journal::Log& log = life_->log();
  if (how == Ending::stop) return true;
  if (log.unsealed_bytes() > 0 || life_->committer().is_busy()) return false;
  return how == Ending::kill || log.durable_end() == log.end();
}

/// From when on answers may be forgotten by this end.
///  - The policies that sync late promise nothing about their interval when the system fails, or
///    when the sync itself does.
///  - A disk that lies about syncs may forget anything: recovery and cleaning move what is old, and
///    remove it where it was once its copy is "durable". What is still checked then: that nothing
///    comes back other than it was pushed; every promise between two restarts; that the server
///    starts, or says what is missing; that all that is left is worked off.
///  - A sector that did not get where it should is found out if later frames say that it was
///    durable. Within the last syncs there are none yet.
std::optional<Moment> Server::forgets_from(Ending how) const {
  const Options& options = at_.options;
  std::optional<Moment> from;
  const auto forget = [&from](Moment moment) { from = std::min(from.value_or(moment), moment); };
  using Kind = engine::SyncPolicy::Kind;
  if (how == Ending::power_loss || failure_) {
    if (options.sync.kind == Kind::never) forget(Moment{0});
    if (options.sync.kind == Kind::interval) {
      const Micros late = 2 * (options.sync_max + slower_by_) + 1s;
      const Micros window = 2 * Micros(options.sync.interval) + late;
      // A process that was stopped does not sync, either.
      forget(std::min(ended_, frozen_until_ > ended_ - window ? frozen_from_ : ended_) - window);
    }
  }
  if (options.damage == Damage::lies && at_.disk.lies() > 0) forget(Moment{0});
  const bool is_sector =
      options.damage == Damage::stale_sector || options.damage == Damage::misplaced_sector;
  if (is_sector && last_lie_ && syncs_since_lie_ <= syncs_to_settle) {
    // The sync that lied may have been the first in a long time.
    forget(options.sync.kind == Kind::always ? *last_lie_ : Moment{0});
  }
  return from;
}

// -- Turns. --------------------------------------------------------------------------------------

void Server::turn_at(Moment when) {
  when = std::max({when, busy_until_, frozen_until_});
  if (next_turn_ && *next_turn_ <= when) return;
  next_turn_ = when;
  at_.schedule.at(when, [this, number = ++turn_number_] {
    if (number != turn_number_ || !is_up()) return;
    next_turn_.reset();
    if (at_.schedule.now() < frozen_until_) return turn_at(frozen_until_);
    turn();
  });
}

void Server::turn() {
  ++turns_;
  ++turns_of_life_;
  std::vector<engine::Inbound> taken;
  if (life_->has_room()) taken.swap(inbox_);
  const std::uint64_t syncs = at_.disk.calls(Call::sync);
  life_->apply(taken);
  life_->commit(inbox_.empty() && !random_.chance(at_.options.busy));
  if (ends_by_itself()) return;
  const std::uint64_t done = at_.disk.calls(Call::sync) - syncs;
  note_syncs(done);
  busy_until_ = at_.schedule.now() + turn_time;
  for (std::uint64_t i = 0; i < done; ++i)
    busy_until_ += sync_time();
  at_.trace.mix(life_->log().end().value, said_.size());
  if (!said_.empty()) {
    // Shared because an event is a std::function, which wants to be copyable.
    auto said = std::make_shared<std::vector<Said>>(std::exchange(said_, {}));
    at_.schedule.at(busy_until_, [this, life = life_number_, said = std::move(said)] {
      if (life == life_number_ && is_up()) hand_over(std::move(*said));
    });
  }
  if (!inbox_.empty()) turn_at(busy_until_);
  std::optional<Duration> idle = life_->idle_for();
  const Duration space_check = engine::Life::space_check;
  if (at_.options.every.full_disk) idle = std::min(idle.value_or(space_check), space_check);
  if (idle) turn_at(at_.schedule.now() + std::max(Micros(*idle), turn_time));
}

/// What reached the I/O threads.
void Server::hand_over(std::vector<Said> said) {
  for (Said& each : said) {
    const auto found = visits_.find(each.session.value);
    if (found != visits_.end()) {
      const std::shared_ptr<Visit> visit = found->second;
      visit->take_replies(std::move(each.replies));
      continue;
    }
    std::vector<model::Release> leases;
    for (const engine::SessionReply& reply : each.replies)
      gateway::collect_leases(reply.answer, leases);
    release(leases);
  }
}

void Server::note_syncs(std::uint64_t syncs) {
  if (const std::uint64_t lies = at_.disk.lies(); lies != lies_) {
    lies_ = lies;
    last_lie_ = turns_of_life_ > 0 ? at_.schedule.now() - at_.options.sync_max - slower_by_
                                   : Moment{0};  // Recovery moved what is older.
    syncs_since_lie_ = 0;
  }
  syncs_since_lie_ += syncs;
  const Position end = life_->log().durable_end();
  if (end == settled_.back()) return;
  settled_.push_back(end);
  if (settled_.size() > syncs_to_settle) settled_.erase(settled_.begin());
}

void Server::freeze(Moment until) {
  if (frozen_until_ < at_.schedule.now()) frozen_from_ = at_.schedule.now();
  frozen_until_ = std::max(frozen_until_, until);
}

Micros Server::sync_time() {
  const Micros time(
      random_.log_between(at_.options.sync_min.count(), at_.options.sync_max.count()));
  return at_.schedule.now() < slow_until_ ? time + slower_by_ : time;
}

void Server::slow_down(Micros by, Moment until) {
  slower_by_ = std::max(slower_by_, by);
  slow_until_ = until;
}

// -- Connections. --------------------------------------------------------------------------------

void Server::accept(std::shared_ptr<Connection> connection) {
  check(is_up());
  const engine::SessionId id(next_session_++);
  auto visit = std::make_shared<Visit>(*this, facts_, std::move(connection));
  visit->start(id);
  visits_.emplace(id.value, std::move(visit));
}

void Server::said(engine::SessionId session, std::vector<engine::SessionReply> replies) {
  said_.push_back({session, std::move(replies)});
}

void Server::release(const std::vector<model::Release>& leases) {
  if (leases.empty()) return;
  engine::RequestBatch batch;
  for (const model::Release& lease : leases)
    batch.requests.push_back({0, lease});
  submit(nobody, std::move(batch));
}

engine::SessionId Server::attach(std::shared_ptr<engine::Session> /*session*/) {
  check(false);  // Visits enter by accept().
  return nobody;
}

void Server::detach(engine::SessionId session) {
  const auto found = visits_.find(session.value);
  if (found == visits_.end()) return;
  at_.schedule.in(0us, [visit = std::move(found->second)] {});  // It is at work right now.
  visits_.erase(found);
  engine::Inbound inbound;
  inbound.session = session;
  inbound.is_detach = true;
  inbox_.push_back(std::move(inbound));
  turn_at(at_.schedule.now());
}

void Server::submit(engine::SessionId session, engine::RequestBatch batch) {
  engine::Inbound inbound;
  inbound.session = session;
  inbound.batch = std::move(batch);
  inbox_.push_back(std::move(inbound));
  turn_at(at_.schedule.now());
}

Result<engine::BackupDone> Server::backup(std::string /*directory*/) {
  return sluice::fail(ErrorCode::io, "a simulated server makes no backups");
}

}  // namespace sluice::sim
