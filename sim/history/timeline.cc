// Timeline: bounds on what happened inside the server.
#include "sim/history/timeline.h"

#include "model/limits.h"

namespace sluice::sim {
namespace {

/// Both clocks of the server count whole milliseconds: two of them end a lease too early at most
/// where a restart adds them up.
constexpr Micros rounding = std::chrono::milliseconds(2);

bool waits_for_disk(Act act) {
  return act == Act::push || act == Act::ack || act == Act::fail || act == Act::release ||
         act == Act::cancel;
}

}  // namespace

Timeline::Timeline(const History& history) : restarts_(history.restarts()) {
  eras_.assign(restarts_.size() + 1, 0);
  for (std::size_t life = 0; life < restarts_.size(); ++life)
    eras_[life + 1] = eras_[life] + (is_forgetting(life) ? 1 : 0);
  durable_orders_.assign(restarts_.size() + 1, 0);
  for (const Operation& operation : history.operations()) {
    if (operation.outcome != Outcome::ok || !waits_for_disk(operation.act)) continue;
    std::size_t& order = durable_orders_[life(operation)];
    order = std::max(order, operation.invoke_order);
  }
}

std::size_t Timeline::life_at(std::size_t order) const {
  const auto next = std::lower_bound(
      restarts_.begin(), restarts_.end(), order, [](const Restart& restart, std::size_t at) {
        return restart.end_order < at;
      });
  return static_cast<std::size_t>(next - restarts_.begin());
}

bool Timeline::is_forgetting(std::size_t life) const {
  return life < restarts_.size() && restarts_[life].forgets_from.has_value();
}

bool Timeline::is_firm(const Operation& answered) const {
  for (std::size_t at = life(answered); at < restarts_.size(); ++at) {
    const std::optional<Moment>& forgets_from = restarts_[at].forgets_from;
    if (forgets_from && answered.returned >= *forgets_from) return false;
  }
  return true;
}

Micros Timeline::jumps(std::size_t from_life, std::size_t to_life) const {
  Micros sum{0};
  for (std::size_t at = from_life; at < to_life; ++at)
    sum += std::max(restarts_[at].jump, Micros{0}) + rounding;
  return sum;
}

Moment Timeline::earliest_expiry(const Lease& lease, std::size_t order) const {
  if (!lease.job->lease) return lease.granted;
  Moment end = lease.granted + *lease.job->lease;
  std::size_t next = life(*lease.pull);
  const auto survive_restarts = [&](std::size_t until) {
    for (; next < restarts_.size() && restarts_[next].end_order < until; ++next) {
      const Restart& restart = restarts_[next];
      if (end <= restart.ended) continue;  // It may have expired before.
      const Micros grace = model::lease_grace;
      end = std::max(end + (restart.began - restart.ended), restart.began + grace) - rounding;
    }
  };
  for (const Operation* answer : lease.answers) {
    if (answer->act != Act::extend || answer->invoke_order >= order) continue;
    if (answer->outcome == Outcome::refused) continue;
    survive_restarts(answer->invoke_order);
    const Moment extended = answer->invoked + *answer->duration;
    // An extend that is not known to be durable may be taken back by a restart.
    const std::size_t in_life = life(*answer);
    const bool is_last_life = in_life == restarts_.size() || restarts_[in_life].end_order > order;
    const bool is_sure = answer->outcome == Outcome::ok &&
                         (is_last_life || is_durable(answer->return_order, in_life));
    end = is_sure ? extended : std::min(end, extended);
  }
  survive_restarts(order);
  return end;
}

}  // namespace sluice::sim
