// Properties of the core under random histories: any cut of the log restores the state there,
// carrying records forward changes nothing, and lists, counters and timers always agree.
#include "core/core.h"

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

using model::JobState;

/// A log in memory: frames with their positions, one segment per `frames_per_segment`.
class MemoryLog final : public RecordReader {
 public:
  struct Frame {
    Position at;
    std::string bytes;
  };

  /// Runs one call of a core as a frame of this log; returns its replies.
  template <class Call>
  std::vector<model::Reply> frame(Call call) {
    Buffer buffer;
    const Position at(segment_, offset_);
    Output out;
    out.open(buffer, at);
    call(out);
    if (!buffer.empty()) {
      frames_.push_back({at, std::string(buffer.view())});
      offset_ += static_cast<std::uint32_t>(buffer.size());
      if (offset_ > 4096) {
        ++segment_;
        offset_ = 64;
      }
    }
    return std::move(out.replies);
  }

  Result<ByteView> read(Position at, std::size_t size) override {
    for (const Frame& frame : frames_) {
      if (at.segment() != frame.at.segment() || at < frame.at) continue;
      const std::size_t skip = at.offset() - frame.at.offset();
      if (skip + size <= frame.bytes.size()) return ByteView(frame.bytes).substr(skip, size);
    }
    return fail(ErrorCode::corrupt, "no such bytes");
  }

  std::vector<Frame> frames_;
  std::uint32_t segment_ = 1;
  std::uint32_t offset_ = 64;
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), core_(model::Limits{}, 3) {
    EXPECT_TRUE(core_.finish_restore());
    log_.frame([&](Output& out) { core_.boot(now(), out); });
  }

  void step() {
    time_ += std::chrono::milliseconds(pick(50));
    wall_skew_ += static_cast<int>(pick(20)) == 0 ? static_cast<int>(pick(2000)) - 1000 : 0;
    const std::vector<model::Reply> replies = log_.frame([&](Output& out) { act(out); });
    learn(replies);
    std::size_t steps = 1 + pick(20);
    bool more = true;
    while (more) {
      learn(log_.frame([&](Output& out) { more = core_.tick(now(), steps, out); }));
    }
    learn(log_.frame(
        [&](Output& out) { core_.dispatch(now(), pick(4) == 0 ? 200 : ~std::uint64_t{0}, out); }));
  }

  void clean_oldest_segment() {
    const std::uint32_t oldest = log_.frames_.front().at.segment();
    if (oldest == log_.segment_) return;
    std::size_t end = 0;
    while (end < log_.frames_.size() && log_.frames_[end].at.segment() == oldest)
      ++end;
    for (std::size_t index = 0; index < end; ++index) {
      const MemoryLog::Frame old = log_.frames_[index];
      log_.frame([&](Output& out) { EXPECT_TRUE(core_.carry(old.at, old.bytes, log_, out)); });
    }
    log_.frame([&](Output& out) { core_.put_meta(out); });
    log_.frames_.erase(log_.frames_.begin(), log_.frames_.begin() + static_cast<long>(end));
  }

  std::unique_ptr<Core> restored() const {
    auto copy = std::make_unique<Core>(model::Limits{}, std::uint16_t{3});
    for (const MemoryLog::Frame& frame : log_.frames_) {
      const Result<void> fine = copy->restore(frame.at, frame.bytes);
      EXPECT_TRUE(fine) << fine.error().message;
    }
    const Result<void> finished = copy->finish_restore();
    EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
    return copy;
  }

  Core& core() { return core_; }

  Now now() const { return {Time(time_), WallTime(time_ + std::chrono::milliseconds(wall_skew_))}; }

  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }

  std::size_t leases_seen() const { return leases_.size(); }

 private:
  struct Lease {
    model::JobId id;
    model::LeaseToken token;
  };

  void learn(const std::vector<model::Reply>& replies) {
    for (const model::Reply& reply : replies) {
      if (const auto* pushed = std::get_if<model::Pushed>(&reply.answer))
        ids_.push_back(pushed->id);
      if (const auto* got = std::get_if<std::unique_ptr<model::Delivered>>(&reply.answer)) {
        for (const model::Delivery& job : (*got)->jobs)
          leases_.push_back({job.id, job.token});
      }
    }
  }

  void act(Output& out) {
    const model::Ticket ticket(++tickets_);
    const auto apply = [&](const model::Command& command) {
      core_.apply(command, ticket, now(), out);
    };
    const std::string queue = "q" + std::to_string(pick(3));
    if (pick(100) < 40) return push(queue, apply);
    if (pick(100) < 40) return pull(apply);
    if (pick(100) < 60 && !leases_.empty()) return answer(apply);
    switch (pick(9)) {
      case 0:
        return apply(model::Cancel{any_id()});
      case 1:
        return apply(model::PauseQueue{queue, pick(2) == 0});
      case 2:
        return apply(model::RedriveDead{queue, {}});
      case 3:
        return apply(model::DeleteDead{queue, {}});
      case 4:
        return apply(model::Await{any_id(), Duration(pick(500))});
      case 5:
        return set(queue, apply);
      case 6:
        return pick(10) == 0 ? apply(model::PurgeQueue{queue}) : apply(model::ListQueues{});
      case 7:
        return pick(10) == 0 ? apply(model::DeleteQueue{queue, pick(2) == 0})
                             : apply(model::GetStats{});
      default:
        return apply(model::Abandon{model::Ticket(pick(tickets_)), ticket});
    }
  }

  template <class Apply>
  void push(const std::string& queue, Apply apply) {
    model::PushOptions options;
    std::vector<std::string> keep_alive{"key" + std::to_string(pick(6))};
    if (pick(4) == 0) options.delay = Duration(pick(800));
    if (pick(8) == 0) options.at = now().wall + Duration(pick(800));
    if (pick(4) == 0) options.priority = static_cast<std::uint8_t>(pick(3));
    if (pick(4) == 0) options.max_attempts = 1 + static_cast<std::uint32_t>(pick(3));
    if (pick(6) == 0) options.ttl = Duration(1 + pick(400));
    if (pick(6) == 0) options.keep = Duration(pick(600));
    if (pick(5) == 0) options.unique_key = keep_alive[0];
    if (pick(2) == 0) options.unique_window = Duration(1 + pick(600));
    options.on_conflict = static_cast<model::OnConflict>(pick(3));
    if (pick(4) == 0) {
      for (std::size_t count = 1 + pick(3); count > 0; --count) {
        options.after.push_back({any_id(), pick(2) == 0});
      }
    }
    if (pick(4) == 0) options.headers.emplace_back("trace", "abc");
    apply(model::Push{queue, "type", "payload", &options});
  }

  template <class Apply>
  void pull(Apply apply) {
    const std::vector<ByteView> queues{"q0", "q1", "q2"};
    const std::vector<ByteView> one{queues[pick(3)]};
    model::Pull command;
    command.queues = pick(2) == 0 ? &queues : &one;
    command.count = 1 + static_cast<std::uint32_t>(pick(5));
    command.wait = Duration(pick(2) == 0 ? 0 : pick(500));
    if (pick(2) == 0) command.lease = Duration(1 + pick(300));
    command.worker = "worker";
    apply(command);
  }

  template <class Apply>
  void answer(Apply apply) {
    const Lease lease = leases_[pick(leases_.size())];
    const std::string result = pick(2) == 0 ? "" : std::string(pick(40), 'r');
    switch (pick(6)) {
      case 0:
        return apply(model::Fail{lease.id, lease.token, "boom", {}, pick(4) == 0});
      case 1:
        return apply(model::Fail{lease.id, lease.token, "late", Duration(pick(200)), false});
      case 2:
        return apply(model::Release{lease.id, lease.token, Duration(pick(2) * 100)});
      case 3:
        return apply(model::Extend{lease.id, lease.token, Duration(pick(300))});
      default:
        return apply(model::Ack{lease.id, lease.token, result});
    }
  }

  template <class Apply>
  void set(const std::string& queue, Apply apply) {
    auto change = std::make_shared<model::PolicyChange>();
    if (pick(2) == 0) change->max_length = pick(2) * 20;
    if (pick(2) == 0) change->overflow = static_cast<model::Overflow>(pick(2));
    if (pick(3) == 0) change->dead_letter = pick(2) == 0 ? "" : "q2";
    if (pick(3) == 0) change->keep_max = static_cast<std::uint32_t>(pick(10));
    if (pick(3) == 0) change->keep = Duration(pick(3) * 300);
    if (pick(3) == 0) change->ttl = Duration(pick(2) * 300);
    if (pick(3) == 0) change->max_attempts = 1 + static_cast<std::uint32_t>(pick(4));
    apply(model::SetQueue{queue, change});
  }

  model::JobId any_id() { return ids_.empty() ? model::JobId(1) : ids_[pick(ids_.size())]; }

  std::mt19937_64 random_;
  Core core_;
  MemoryLog log_;
  Duration time_{1'000'000};
  int wall_skew_ = 0;
  std::uint64_t tickets_ = 0;
  std::vector<model::JobId> ids_;
  std::vector<Lease> leases_;
};

/// SLUICE_TEST_SEEDS raises the number of histories (`./dev soak` does).
std::size_t seeds(std::size_t usual) {
  const char* wanted = std::getenv("SLUICE_TEST_SEEDS");
  return wanted == nullptr ? usual : std::strtoul(wanted, nullptr, 10);
}

TEST(CoreProperty, AnyCutOfTheLogRestoresTheStateThere) {
  std::size_t leases = 0;
  for (std::size_t seed = 0; seed < seeds(150); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int step = 0; step < 150; ++step) {
      world.step();
      if (step % 5 != 0) continue;
      world.core().check_invariants();
      const std::unique_ptr<Core> copy = world.restored();
      copy->check_invariants();
      ASSERT_EQ(copy->dump(), world.core().dump()) << "step " << step;
    }
    leases += world.leases_seen();
  }
  EXPECT_GT(leases, seeds(150) * 10) << "the histories must lease jobs, or they test little";
}

TEST(CoreProperty, CleaningChangesNothing) {
  for (std::size_t seed = 1000; seed < 1000 + seeds(150); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int step = 0; step < 200; ++step) {
      world.step();
      if (world.pick(6) != 0) continue;
      const std::string before = world.core().dump();
      world.clean_oldest_segment();
      ASSERT_EQ(world.core().dump(), before) << "step " << step;
      ASSERT_EQ(world.restored()->dump(), before) << "step " << step;
      world.core().check_invariants();
    }
  }
}

}  // namespace
}  // namespace sluice::core
