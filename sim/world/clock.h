// SimulatedClock: the machine's two clocks over true time. The one since boot is true, but starts
// again when the machine does; the calendar drifts and is set, in both directions.
#pragma once

#include "io/clock.h"
#include "sim/world/schedule.h"

namespace sluice::sim {

class SimulatedClock final : public io::Clock {
 public:
  explicit SimulatedClock(const Schedule& schedule) : schedule_(schedule) {}

  Duration since_boot() override {
    return std::chrono::duration_cast<Duration>(schedule_.now() - booted_);
  }

  WallTime wall() override {
    const Micros elapsed = schedule_.now() - set_at_;
    const Micros drifted = elapsed + elapsed * drift_ppm_ / 1'000'000;
    return set_to_ + std::chrono::duration_cast<Duration>(drifted);
  }

  void reboot() { booted_ = schedule_.now(); }

  /// Sets the calendar forward or back. It stays behind the year 2001.
  void step(Duration by) {
    set_to_ = std::max(wall() + by, WallTime(Duration(1'000'000'000'000)));
    set_at_ = schedule_.now();
  }

  void drift(std::int64_t parts_per_million) {
    step(Duration(0));
    drift_ppm_ = parts_per_million;
  }

  /// As an honest calendar would say: no drift and no step so far.
  void set_right() {
    set_to_ = start_ + std::chrono::duration_cast<Duration>(schedule_.now());
    set_at_ = schedule_.now();
    drift_ppm_ = 0;
  }

 private:
  static constexpr WallTime start_{Duration(1'800'000'000'000)};

  const Schedule& schedule_;
  Moment booted_{0};
  Moment set_at_{0};
  WallTime set_to_ = start_;
  std::int64_t drift_ppm_ = 0;
};

}  // namespace sluice::sim
