// Every call on the disk fails once: the engine with its threads over a directory in memory, the
// Nth call of a kind failing for N = 1, 2, 3, … until a run has none, and after each run a power
// loss and a new start that has to find all that was acknowledged.
#include "engine/engine.h"
#include "engine/test_session.h"
#include "io/memory.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

using Call = io::MemoryDirectory::Call;

class StandingClock final : public io::Clock {
 public:
  Duration since_boot() override { return Duration(1000); }

  WallTime wall() override { return WallTime(Duration(1'700'000'000'000)); }
};

/// One run of the engine on a directory, as far as the disk lets it go.
class EngineRun {
 public:
  EngineRun(io::MemoryDirectory& directory, io::Clock& clock) {
    EngineOptions options;
    options.log.segment_bytes = 4096;
    options.log.tail_cache_bytes = 0;  // Deliveries read from the disk.
    options.on_failure = [client = client_](const Error&) { client->end(); };
    Result<std::unique_ptr<Engine>> opened = Engine::open(directory, clock, std::move(options));
    if (!opened) return;
    engine_ = std::move(*opened);
    id_ = engine_->attach(client_);
  }

  bool is_open() const { return engine_ != nullptr; }

  template <class Wanted>
  std::optional<Wanted> ask(model::Command command) {
    if (!is_open()) return std::nullopt;
    RequestBatch batch;
    batch.requests.push_back({++sequence_, std::move(command)});
    if (auto* pull = std::get_if<model::Pull>(&batch.requests[0].command)) {
      batch.queue_lists.push_back({"mail"});
      pull->queues = &batch.queue_lists.back();
    }
    engine_->submit(id_, std::move(batch));
    std::optional<model::Answer> answer = client_->take(sequence_);
    Wanted* wanted = answer ? std::get_if<Wanted>(&*answer) : nullptr;
    return wanted == nullptr ? std::nullopt : std::optional<Wanted>(std::move(*wanted));
  }

  Engine& engine() { return *engine_; }

 private:
  std::shared_ptr<TestSession> client_ = std::make_shared<TestSession>();  ///< The engine's, too.
  std::unique_ptr<Engine> engine_;  ///< Null: the disk prevented its start.
  SessionId id_;
  Sequence sequence_ = 0;
};

class NthCall : public testing::Test {
 protected:
  /// Pushes, acks, rolls segments and cleans them; what was said goes into known_.
  void use(EngineRun& run) {
    for (int round = 0; round < 4; ++round) {
      const auto kept = run.ask<model::Pushed>(model::Push{"mail", "type", "kept", nullptr});
      if (kept) known_[kept->id.value] = Known::unfinished;
      const std::string bulk(1500, 'x');
      for (int job = 0; job < 3; ++job)
        run.ask<model::Pushed>(model::Push{"bulk", "type", bulk, nullptr});
      if (round % 2 == 0) ack_one(run);
      run.ask<model::Counted>(model::PurgeQueue{"bulk"});
    }
  }

  void ack_one(EngineRun& run) {
    const auto jobs = run.ask<std::unique_ptr<model::Delivered>>(model::Pull{});
    if (!jobs || (*jobs)->jobs.empty()) return;  // Nothing to read it from: its lease will end.
    const model::Delivery& job = (*jobs)->jobs[0];
    EXPECT_EQ(job.payload, "kept");
    known_[job.id.value] = Known::nothing;  // Until there is an answer.
    const bool is_acked = run.ask<model::Done>(model::Ack{job.id, job.token, ""}).has_value();
    if (is_acked) known_[job.id.value] = Known::succeeded;
  }

  void find_all_that_was_acknowledged() {
    EngineRun run(*directory_, clock_);
    ASSERT_TRUE(run.is_open());
    for (const auto& [id, known] : known_) {
      const auto job = run.ask<std::unique_ptr<model::JobInfo>>(model::GetJob{model::JobId(id)});
      ASSERT_TRUE(job) << "job " << id << " is lost";
      if (known == Known::nothing) continue;
      const bool is_done = (*job)->state == model::JobState::succeeded;
      EXPECT_EQ(is_done, known == Known::succeeded) << "job " << id;
    }
  }

  /// A directory with a history, ready for a start that recovers it; `nth` varies how it ended.
  void begin_again(std::uint64_t nth) {
    known_.clear();
    directory_.emplace();
    {
      EngineRun run(*directory_, clock_);
      use(run);
    }
    directory_->crash(nth);
    directory_->clear_faults();
  }

  /// Returns how many calls were let fail before the first run without one.
  std::uint64_t loop(Call call, bool is_persistent) {
    constexpr std::uint64_t calls_max = 1000;
    for (std::uint64_t nth = 1; nth <= calls_max; ++nth) {
      SCOPED_TRACE("call " + std::to_string(nth) + (is_persistent ? " and later ones" : ""));
      begin_again(nth);
      directory_->fail_at(call, nth, is_persistent);
      {
        EngineRun run(*directory_, clock_);
        use(run);
      }
      const bool is_clean = directory_->calls(call) < nth;
      directory_->clear_faults();
      directory_->crash(nth);
      find_all_that_was_acknowledged();
      if (HasFailure()) return nth;
      if (is_clean) return nth - 1;
    }
    ADD_FAILURE() << "no clean pass in " << calls_max << " calls";
    return calls_max;
  }

  void loop_once_and_persistently(Call call) {
    EXPECT_GT(loop(call, false), 0u);
    EXPECT_GT(loop(call, true), 0u);
  }

  std::optional<io::MemoryDirectory> directory_;  ///< Another one for each run.
  StandingClock clock_;
  enum class Known : std::uint8_t { unfinished, succeeded, nothing };
  std::map<std::uint64_t, Known> known_;  ///< By job, what its client was told.
};

TEST_F(NthCall, AFailedWriteLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::write);
}

TEST_F(NthCall, AFailedSyncLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::sync);
}

TEST_F(NthCall, AFailedOpenLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::open);
}

TEST_F(NthCall, AFailedAllocationLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::allocate);
}

TEST_F(NthCall, AFailedRemovalLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::remove);
}

TEST_F(NthCall, AFailedReadLosesNothingThatWasAcknowledged) {
  loop_once_and_persistently(Call::read);
}

}  // namespace
}  // namespace sluice::engine
