// Life: start, turns and end of the engine; how it reads the clocks and looks at the disk's space.
#include "engine/life.h"

#include <algorithm>
#include <string>
#include <utility>

namespace sluice::engine {
namespace {

/// Free disk space is looked at so often while pushes fill a segment.
constexpr std::uint32_t looks_per_segment = 4;

/// What makes a new log differ from all others: two clocks, which no two logs of one path share.
std::uint64_t time_of_birth(io::Clock& clock) {
  const auto wall = static_cast<std::uint64_t>(clock.wall().time_since_epoch().count());
  return wall << 20 ^ static_cast<std::uint64_t>(clock.since_boot().count());
}

}  // namespace

Result<Restored> restore(io::Directory& directory, io::Clock& clock, const EngineOptions& options) {
  Restored restored;
  journal::LogOptions log_options = options.log;
  if (log_options.identity_seed == 0) log_options.identity_seed = time_of_birth(clock);
  restored.core = std::make_unique<core::Core>(options.limits, options.partition);
  core::Core& core = *restored.core;
  Result<std::unique_ptr<journal::Log>> log = journal::Log::open(
      directory,
      log_options,
      [&core](Position at, ByteView frame) { return core.restore(at, frame); },
      options.on_progress);
  if (!log) return tl::unexpected<Error>(log.error());
  restored.log = std::move(*log);
  if (Result<void> finished = core.finish_restore(); !finished) {
    return tl::unexpected<Error>(finished.error());
  }
  return restored;
}

Result<std::unique_ptr<Life>> Life::begin(Restored restored,
                                          io::Directory& directory,
                                          io::Clock& clock,
                                          const EngineOptions& options,
                                          Counters& counters,
                                          const MakeCommitter& make_committer,
                                          Send send) {
  std::unique_ptr<Life> life(
      new Life(std::move(restored.log), directory, clock, options, counters));
  // Time goes on from the calendar, but never back behind what the log has seen (RELIABILITY T2).
  const Time wall(clock.wall().time_since_epoch());
  life->time_offset_ =
      std::max(wall, restored.core->last_time()).time_since_epoch() - clock.since_boot();
  life->committer_ = make_committer(*life->log_);
  life->cycle_ = std::make_unique<Cycle>(*life->log_,
                                         std::move(restored.core),
                                         life->committer_.get(),
                                         options,
                                         counters,
                                         std::move(send));
  if (Result<void> booted = life->cycle_->boot(life->now()); !booted) {
    life->committer_->stop();
    return tl::unexpected<Error>(booted.error());
  }
  return life;
}

Now Life::now() const {
  return {Time(clock_.since_boot() + time_offset_), clock_.wall()};
}

void Life::apply(std::vector<Inbound>& taken) {
  turn_ = now();
  cycle_->collect();
  for (Inbound& inbound : taken) {
    if (inbound.task) {
      inbound.task();
    } else if (inbound.is_detach) {
      cycle_->abandon(inbound.session, turn_);
    } else {
      cycle_->apply(inbound.session, std::move(inbound.batch), turn_);
    }
    if (cycle_->is_push_room_used_up()) look_at_space(turn_);
  }
  if (turn_.time >= next_space_check_) look_at_space(turn_);
  cycle_->advance(turn_);
}

void Life::commit(bool is_idle) {
  cycle_->commit(turn_, is_idle);
}

void Life::end() {
  committer_->stop();
  cycle_->collect();
  cycle_->drain(now());
  if (cycle_->failure()) return;
  const Result<void> closed = log_->close();
  if (!closed && options_.on_failure) options_.on_failure(closed.error());
}

/// Says how much pushes may append before the next look, so that they leave acks and cleaning what
/// disk_free_bytes_min reserves for them however fast they are (S1).
void Life::look_at_space(Now now) {
  next_space_check_ = now.time + space_check;
  const Result<std::uint64_t> free = directory_.free_bytes();
  // A disk that cannot be asked will fail a write soon enough.
  if (!free) return cycle_->set_push_room(~std::uint64_t{0}, "");
  counters_.disk_free_bytes.store(*free, std::memory_order_relaxed);
  const model::Limits& limits = options_.limits;
  const std::uint64_t needed = limits.disk_free_bytes_min + cycle_->unwritten_bytes();
  std::uint64_t room = *free > needed ? *free - needed : 0;
  std::string reason;
  if (room == 0) {
    reason = "the disk of the data directory has " + std::to_string(*free) + " bytes free, " +
             std::to_string(cycle_->unwritten_bytes()) +
             " of them already given away (limit disk_free_bytes_min " +
             std::to_string(limits.disk_free_bytes_min) + "); free some; acks go on";
  } else if (limits.disk_bytes_max != 0) {
    const std::uint64_t max = limits.disk_bytes_max;
    room = std::min(room, max > log_->bytes() ? max - log_->bytes() : 0);
    if (room == 0) {
      reason = "the journal has " + std::to_string(log_->bytes()) +
               " bytes (limit disk_bytes_max " + std::to_string(max) + "); ack jobs or raise it";
    }
  }
  const bool was_out = counters_.is_out_of_space.exchange(!reason.empty());
  if (was_out != !reason.empty() && options_.on_event) {
    options_.on_event(reason.empty() ? "event=space_available level=info"
                                     : "event=out_of_space level=error reason=\"" + reason + "\"");
  }
  // Others fill the disk, too: pushes must not take what is left of the segment under way.
  room = std::min<std::uint64_t>(room, options_.log.segment_bytes / looks_per_segment);
  cycle_->set_push_room(room, std::move(reason));
}

}  // namespace sluice::engine
