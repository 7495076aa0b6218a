// The engine with its real threads over a directory in memory: what is said is durable, what waits
// is answered, a failed disk ends it, and a new start finds everything that was acknowledged.
#include "engine/engine.h"

#include "engine/test_session.h"
#include "io/memory.h"

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Time as the test says; it also moves on by itself, a little, so that nothing stands still.
class TestClock final : public io::Clock {
 public:
  Duration since_boot() override { return Duration(ms_.load()); }

  WallTime wall() override {
    return WallTime(Duration(1'700'000'000'000 + ms_.load() + wall_step_.load()));
  }

  void advance(Duration by) { ms_ += by.count(); }

  /// Somebody sets the calendar clock.
  void step_wall(Duration by) { wall_step_ += by.count(); }

 private:
  std::atomic<std::int64_t> wall_step_{0};
  std::atomic<std::int64_t> ms_{1000};
};

/// Keeps whole replies, as a gateway does that has not come to render them.
class HoardingSession final : public Session {
 public:
  void on_replies(std::vector<SessionReply> replies) override {
    const std::lock_guard lock(mutex_);
    count_ += replies.size();
    for (SessionReply& reply : replies)
      kept_.push_back(std::move(reply));
  }

  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

  void let_go() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

 private:
  std::mutex mutex_;
  std::size_t count_ = 0;
  std::vector<SessionReply> kept_;
};

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { start(); }

  void TearDown() override {
    if (engine_ != nullptr) engine_->stop();
  }

  void start() {
    EngineOptions options = options_;
    options.on_failure = [this](const Error&) { failed_ = true; };
    Result<std::unique_ptr<Engine>> opened = Engine::open(directory_, clock_, std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    engine_ = std::move(*opened);
    session_ = std::make_shared<TestSession>();
    id_ = engine_->attach(session_);
  }

  /// The process ends; what it wrote stays, and the directory's lock is free.
  void stop() {
    engine_->stop();
    engine_.reset();
    directory_.kill();
  }

  Sequence submit(model::Command command, RequestBatch batch = {}) {
    batch.requests.push_back({++sequence_, std::move(command)});
    engine_->submit(id_, std::move(batch));
    return sequence_;
  }

  Sequence submit_pull(std::string_view queue,
                       Duration wait = Duration(0),
                       std::uint32_t count = 1) {
    RequestBatch batch;
    batch.queue_lists.push_back({queue});
    model::Pull pull;
    pull.queues = &batch.queue_lists.back();
    pull.wait = wait;
    pull.count = count;
    return submit(pull, std::move(batch));
  }

  model::JobId push(std::string_view queue, std::string_view payload = "payload") {
    const auto answer = session_->take(submit(model::Push{queue, "type", payload, nullptr}));
    const auto* pushed = answer ? std::get_if<model::Pushed>(&*answer) : nullptr;
    EXPECT_NE(pushed, nullptr);
    return pushed == nullptr ? model::JobId() : pushed->id;
  }

  std::unique_ptr<model::Delivered> delivered(Sequence sequence) {
    auto answer = session_->take(sequence);
    auto* got = answer ? std::get_if<std::unique_ptr<model::Delivered>>(&*answer) : nullptr;
    return got == nullptr ? nullptr : std::move(*got);
  }

  std::unique_ptr<model::Delivered> pull(std::string_view queue, std::uint32_t count = 1) {
    return delivered(submit_pull(queue, Duration(0), count));
  }

  std::uint64_t count(std::string_view queue, model::JobState state) {
    const auto answer = session_->take(submit(model::GetQueue{queue}));
    const auto* info = answer ? std::get_if<std::unique_ptr<model::QueueInfo>>(&*answer) : nullptr;
    return info == nullptr ? 0 : (*info)->jobs[static_cast<std::size_t>(state)];
  }

  /// As if others had filled the rest of the disk.
  void leave_free(std::uint64_t bytes) {
    const Result<std::vector<std::string>> names = directory_.list();
    ASSERT_TRUE(names);
    for (const std::string& name : *names)
      bytes += directory_.content(name).size();
    directory_.set_capacity(bytes);
  }

  io::MemoryDirectory directory_;
  TestClock clock_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<TestSession> session_;
  SessionId id_;
  Sequence sequence_ = 0;
  std::atomic<bool> failed_ = false;
};

TEST_F(EngineTest, AnAcknowledgedJobSurvivesPowerLoss) {
  const model::JobId id = push("mail", "hello");
  stop();
  directory_.crash(1);
  start();
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, id);
  EXPECT_EQ(jobs->jobs[0].payload, "hello");
  EXPECT_EQ(jobs->jobs[0].queue, "mail");
  EXPECT_EQ(jobs->jobs[0].type, "type");
}

TEST_F(EngineTest, ALeaseSurvivesARestartWithItsToken) {
  push("mail");
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  push("other");  // Its sync covers the lease.
  stop();
  clock_.advance(seconds(25));
  start();
  EXPECT_EQ(pull("mail"), nullptr);
  const auto acked = session_->take(submit(model::Ack{jobs->jobs[0].id, jobs->jobs[0].token, "r"}));
  ASSERT_TRUE(acked);
  EXPECT_TRUE(std::holds_alternative<model::Done>(*acked));
}

TEST_F(EngineTest, AnAckThatComesBehindTheEndOfItsLeaseIsRefused) {
  const model::JobId id = push("mail");
  RequestBatch batch;
  batch.queue_lists.push_back({"mail"});
  model::Pull command;
  command.queues = &batch.queue_lists.back();
  command.lease = seconds(5);
  const auto jobs = delivered(submit(command, std::move(batch)));
  ASSERT_NE(jobs, nullptr);
  clock_.advance(seconds(5) + milliseconds(1));  // The engine sleeps; the ack wakes it.
  const auto acked = session_->take(submit(model::Ack{id, jobs->jobs[0].token, ""}));
  ASSERT_TRUE(acked);
  const auto* error = std::get_if<std::unique_ptr<Error>>(&*acked);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ((*error)->code, ErrorCode::stale);
  EXPECT_NE(pull("mail"), nullptr);
}

TEST_F(EngineTest, AWaitingPullGetsTheJobThatIsPushedLater) {
  const Sequence waiting = submit_pull("mail", hours(1));
  const model::JobId id = push("mail");
  const auto jobs = delivered(waiting);
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, id);
}

TEST_F(EngineTest, AWaitingPullIsAnsweredWhenItsTimeIsUp) {
  const Sequence waiting = submit_pull("mail", seconds(5));
  EXPECT_FALSE(session_->take(waiting, milliseconds(50)));
  clock_.advance(seconds(6));
  push("other");  // Wakes the engine, which looks at the clock.
  const auto answer = session_->take(waiting);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(std::holds_alternative<model::Nothing>(*answer));
}

TEST_F(EngineTest, AJobLeasedForASessionThatLeftIsReadyAgain) {
  submit_pull("mail", hours(1));
  const SessionId gone = id_;
  session_ = std::make_shared<TestSession>();
  id_ = engine_->attach(session_);
  engine_->detach(gone);
  const model::JobId id = push("mail");
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, id);
  EXPECT_EQ(jobs->jobs[0].attempt, 1);
}

TEST_F(EngineTest, AStepOfTheCalendarEndsNoLease) {
  push("mail");
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  clock_.step_wall(hours(24));
  push("other");  // A turn in which the engine looks at the clock.
  EXPECT_EQ(pull("mail"), nullptr);
  const auto acked = session_->take(submit(model::Ack{jobs->jobs[0].id, jobs->jobs[0].token, ""}));
  ASSERT_TRUE(acked);
  EXPECT_TRUE(std::holds_alternative<model::Done>(*acked));
}

TEST_F(EngineTest, DelaysGoOnAfterARestartWithAnEarlierCalendar) {
  RequestBatch batch;
  batch.options.emplace_back();
  batch.options.back().delay = seconds(5);
  const model::Push later{"mail", "type", "payload", &batch.options.back()};
  ASSERT_TRUE(session_->take(submit(later, std::move(batch))));
  stop();
  clock_.step_wall(-hours(24));
  start();
  clock_.advance(seconds(6));
  push("other");  // A turn in which the engine looks at the clock.
  EXPECT_NE(pull("mail"), nullptr);
}

TEST_F(EngineTest, NothingMoreIsReadForRepliesThanClientsTake) {
  const std::string large(8u << 20, 'x');  // 64 MiB may be under way.
  const model::JobId id = push("large", large);
  auto hoarder = std::make_shared<HoardingSession>();
  const SessionId hoarding = engine_->attach(hoarder);
  RequestBatch batch;
  constexpr std::size_t reads = 30;
  for (Sequence sequence = 1; sequence <= reads; ++sequence)
    batch.requests.push_back({sequence, model::GetJob{id}});
  engine_->submit(hoarding, std::move(batch));
  // Nobody else is held up, unless they read too.
  const model::JobId other = push("mail");
  const Sequence pulled = submit_pull("mail");
  EXPECT_FALSE(session_->take(pulled, milliseconds(50)));
  EXPECT_LE(hoarder->count(), 9u);
  while (hoarder->count() < reads)
    hoarder->let_go();
  hoarder->let_go();
  const auto jobs = delivered(pulled);
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, other);
}

TEST_F(EngineTest, AQueueThatIsResumedServesItsPullsAsClientsTakeTheJobs) {
  constexpr std::size_t jobs = 12;
  for (std::size_t job = 0; job < jobs; ++job)
    push("large", std::string(8u << 20, 'x'));
  session_->take(submit(model::PauseQueue{"large", true}));
  auto hoarder = std::make_shared<HoardingSession>();
  const SessionId hoarding = engine_->attach(hoarder);
  RequestBatch batch;
  batch.queue_lists.push_back({"large"});
  for (Sequence sequence = 1; sequence <= jobs; ++sequence) {
    model::Pull pull;
    pull.queues = &batch.queue_lists.back();
    pull.wait = duration_max;
    batch.requests.push_back({sequence, pull});
  }
  engine_->submit(hoarding, std::move(batch));
  session_->take(submit(model::PauseQueue{"large", false}));
  push("mail");  // Another turn of the engine.
  EXPECT_LE(hoarder->count(), 9u);
  while (hoarder->count() < jobs)
    hoarder->let_go();
}

TEST_F(EngineTest, OfASessionThatLeftWhatWaitsIsDoneButNotRead) {
  const std::string large(8u << 20, 'x');
  const model::JobId id = push("large", large);
  auto hoarder = std::make_shared<HoardingSession>();
  const SessionId hoarding = engine_->attach(hoarder);
  RequestBatch batch;
  for (Sequence sequence = 1; sequence <= 20; ++sequence)
    batch.requests.push_back({sequence, model::GetJob{id}});
  batch.requests.push_back({21, model::Push{"mail", "type", "the last thing it said", nullptr}});
  engine_->submit(hoarding, std::move(batch));
  EXPECT_EQ(count("mail", model::JobState::ready), 0u);
  engine_->detach(hoarding);
  EXPECT_EQ(count("mail", model::JobState::ready), 1u);
  EXPECT_LE(hoarder->count(), 9u);
}

TEST_F(EngineTest, ManyJobsArePurgedInStepsAndCountedOnce) {
  RequestBatch batch;
  for (int job = 0; job < 25'000; ++job) {
    batch.requests.push_back({++sequence_, model::Push{"bulk", "type", "x", nullptr}});
  }
  engine_->submit(id_, std::move(batch));
  const auto purged = session_->take(submit(model::PurgeQueue{"bulk"}));
  ASSERT_TRUE(purged);
  const auto* counted = std::get_if<model::Counted>(&*purged);
  ASSERT_NE(counted, nullptr);
  EXPECT_EQ(counted->count, 25'000u);
  EXPECT_EQ(count("bulk", model::JobState::ready), 0u);
}

TEST_F(EngineTest, OnePullHandsOutAtMostItsLimitOfBytes) {
  const std::string large(8u << 20, 'x');
  for (int job = 0; job < 12; ++job)
    push("large", large);
  const auto some = pull("large", 100);
  ASSERT_NE(some, nullptr);
  EXPECT_EQ(some->jobs.size(), model::pull_bytes_max / large.size());
  const auto rest = pull("large", 100);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(rest->jobs.size(), 12 - some->jobs.size());
}

TEST_F(EngineTest, NothingIsAcknowledgedAfterAFailedSync) {
  const model::JobId before = push("mail");
  directory_.fail_at(io::MemoryDirectory::Call::sync, 1);
  const Sequence lost = submit(model::Push{"mail", "type", "lost", nullptr});
  EXPECT_FALSE(session_->take(lost, milliseconds(200)));
  const Sequence after = submit(model::Push{"mail", "type", "after", nullptr});
  EXPECT_FALSE(session_->take(after, milliseconds(200)));
  EXPECT_TRUE(failed_);
  stop();
  directory_.crash(7);
  directory_.clear_faults();
  start();
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, before);
}

TEST_F(EngineTest, PushesAreRefusedWhileTheDiskIsNearlyFullAcksGoOn) {
  push("mail");
  const auto jobs = pull("mail");
  ASSERT_NE(jobs, nullptr);
  directory_.set_capacity(100u << 20);  // Less than disk_free_bytes_min is free now.
  clock_.advance(seconds(2));
  session_->take(submit_pull("none"));  // A turn in which the engine looks at the disk.
  const auto refused = session_->take(submit(model::Push{"mail", "type", "x", nullptr}));
  ASSERT_TRUE(refused);
  const auto* error = std::get_if<std::unique_ptr<Error>>(&*refused);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ((*error)->code, ErrorCode::busy);
  EXPECT_NE((*error)->message.find("disk_free_bytes_min"), std::string::npos);
  const auto acked = session_->take(submit(model::Ack{jobs->jobs[0].id, jobs->jobs[0].token, ""}));
  ASSERT_TRUE(acked);
  EXPECT_TRUE(std::holds_alternative<model::Done>(*acked));
}

TEST_F(EngineTest, PushesThatAreFasterThanTheLookAtTheDiskLeaveItsReserveAlone) {
  stop();
  options_.log.segment_bytes = 64u << 10;
  options_.limits.disk_free_bytes_min = 1u << 20;
  start();
  leave_free(4u << 20);
  clock_.advance(seconds(2));
  session_->take(submit_pull("none"));  // The last look at the disk that time causes.
  const std::string payload(10'000, 'p');
  bool is_refused = false;
  for (int job = 0; job < 1000 && !is_refused; ++job) {
    const auto answer = session_->take(submit(model::Push{"mail", "type", payload, nullptr}));
    ASSERT_TRUE(answer) << "the disk is full: " << failed_;
    is_refused = std::holds_alternative<std::unique_ptr<Error>>(*answer);
  }
  EXPECT_TRUE(is_refused);
  // Room for the next segment is taken ahead, whole.
  EXPECT_GE(*directory_.free_bytes(), (1u << 20) - 2 * (72u << 10));
}

TEST_F(EngineTest, OnADiskThatOthersFilledEveryJobCanBeAckedAndPushesComeBack) {
  stop();
  options_.log.segment_bytes = 64u << 10;
  options_.limits.disk_free_bytes_min = 128u << 10;
  start();
  constexpr std::size_t jobs = 4000;  // Leases and acks of them need eight segments.
  const std::string payload(1000, 'p');
  model::PushOptions keep_nothing;
  keep_nothing.keep = Duration(0);
  RequestBatch batch;
  for (std::size_t job = 0; job < jobs; ++job) {
    batch.requests.push_back({++sequence_, model::Push{"mail", "type", payload, &keep_nothing}});
  }
  engine_->submit(id_, std::move(batch));
  ASSERT_TRUE(session_->take(sequence_));
  ASSERT_EQ(count("mail", model::JobState::ready), jobs);
  leave_free(0);
  clock_.advance(seconds(2));
  session_->take(submit_pull("none"));
  for (std::size_t done = 0; done < jobs; done += 20) {
    const auto some = pull("mail", 20);
    ASSERT_NE(some, nullptr) << done << " acked, failed: " << failed_;
    Sequence last = 0;
    for (const model::Delivery& job : some->jobs)
      last = submit(model::Ack{job.id, job.token, ""});
    ASSERT_TRUE(session_->take(last)) << done << " acked, failed: " << failed_;
  }
  EXPECT_EQ(count("mail", model::JobState::ready), 0u);
  bool is_taken = false;
  for (int tries = 0; tries < 1000 && !is_taken; ++tries) {
    clock_.advance(seconds(2));
    const auto answer = session_->take(submit(model::Push{"mail", "type", "again", nullptr}));
    ASSERT_TRUE(answer);
    is_taken = std::holds_alternative<model::Pushed>(*answer);
  }
  EXPECT_TRUE(is_taken);
}

TEST_F(EngineTest, DiskBytesMaxRefusesPushesAndTakesThemAgainOnceJobsAreAcked) {
  stop();
  options_.log.segment_bytes = 64u << 10;
  options_.limits.disk_bytes_max = 512u << 10;
  start();
  const std::string payload(10'000, 'p');
  const auto is_pushed = [&] {
    const auto answer = session_->take(submit(model::Push{"mail", "type", payload, nullptr}));
    if (answer && std::holds_alternative<model::Pushed>(*answer)) return true;
    const auto* error = answer ? std::get_if<std::unique_ptr<Error>>(&*answer) : nullptr;
    EXPECT_TRUE(error != nullptr && (*error)->code == ErrorCode::busy &&
                (*error)->message.find("disk_bytes_max") != std::string::npos);
    return false;
  };
  int pushed = 0;
  while (pushed < 100 && is_pushed())
    ++pushed;
  EXPECT_GE(pushed, 50);  // The limit over the size of a job, and one that reaches beyond.
  EXPECT_LE(pushed, 53);
  EXPECT_LE(engine_->counters().journal_bytes, (512u << 10) + 2 * 10'200u);
  const auto jobs = pull("mail", 100);
  ASSERT_NE(jobs, nullptr);
  for (const model::Delivery& job : jobs->jobs)
    ASSERT_TRUE(session_->take(submit(model::Ack{job.id, job.token, ""})));
  clock_.advance(hours(2));
  int tries = 0;
  while (tries < 1000 && !is_pushed()) {
    clock_.advance(seconds(2));
    ++tries;
  }
  EXPECT_LT(tries, 1000);
}

TEST_F(EngineTest, ARecordThatRottedIsNotDelivered) {
  stop();
  options_.log.tail_cache_bytes = 0;
  start();
  push("mail", std::string(300, 'p'));
  // Past the tail cache: the bytes come from the file.
  const Result<std::vector<std::string>> names = directory_.list();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    const std::size_t at = directory_.content(name).find(std::string(300, 'p'));
    if (at != std::string::npos) directory_.flip(name, at + 10, 0x20);
  }
  const auto jobs = pull("mail");
  if (jobs != nullptr && !jobs->jobs.empty()) {
    EXPECT_EQ(jobs->jobs[0].payload, std::string(300, 'p')) << "from memory, or not at all";
  }
}

TEST_F(EngineTest, RotInTheLastBatchOfAnIdleLogIsNotTakenForATornWrite) {
  const std::string payload(300, 'p');
  push("mail", payload);
  clock_.advance(seconds(2));
  count("mail", model::JobState::ready);  // A turn with nothing to write: the log is idle.
  count("mail", model::JobState::ready);  // Answered behind the end of that turn.
  directory_.kill();                      // No clean end can be written any more.
  engine_->stop();
  engine_.reset();
  const Result<std::vector<std::string>> names = directory_.list();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    const std::size_t at = directory_.content(name).find(payload);
    if (at != std::string::npos) directory_.flip(name, at + 10, 0x20);
  }
  const Result<std::unique_ptr<Engine>> opened = Engine::open(directory_, clock_, options_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
}

TEST_F(EngineTest, ScrubbingFindsRotWhileTheServerRuns) {
  stop();
  std::promise<std::string> told;
  options_.scrub_period = milliseconds(1);
  options_.on_event = [&told](const std::string& event) { told.set_value(event); };
  start();
  const std::string payload(300, 'p');
  push("mail", payload);
  const std::string name = "0000000000000001.seg";
  directory_.flip(name, directory_.content(name).find(payload) + 10, 0x20);
  std::future<std::string> event = told.get_future();
  ASSERT_EQ(event.wait_for(seconds(20)), std::future_status::ready);
  const std::string text = event.get();
  EXPECT_NE(text.find("event=journal_damaged"), std::string::npos) << text;
  EXPECT_NE(text.find(name), std::string::npos) << text;
  EXPECT_EQ(engine_->counters().damaged_segments_total, 1u);
  EXPECT_NE(pull("mail"), nullptr) << "the rest goes on, from memory or not";
  engine_->stop();  // Before `told` goes.
}

TEST_F(EngineTest, LogsOfOnePathAreToldApart) {
  push("mail");
  stop();
  io::MemoryDirectory other;
  clock_.advance(milliseconds(1));
  Result<std::unique_ptr<Engine>> opened = Engine::open(other, clock_, EngineOptions());
  ASSERT_TRUE(opened);
  (*opened)->stop();
  const std::string name = "0000000000000001.seg";
  constexpr std::size_t log_id_at = 16;  // journal/format.h, SEGMENT HEADER
  EXPECT_NE(directory_.content(name).substr(log_id_at, 8),
            other.content(name).substr(log_id_at, 8));
}

TEST_F(EngineTest, CleaningKeepsTheLogNearItsLiveData) {
  stop();
  options_.log.segment_bytes = 64u << 10;
  start();
  const model::JobId kept = push("slow", "kept");
  for (int round = 0; round < 40; ++round) {
    RequestBatch batch;
    for (int job = 0; job < 200; ++job) {
      batch.requests.push_back({++sequence_, model::Push{"fast", "type", "payload", nullptr}});
    }
    engine_->submit(id_, std::move(batch));
    ASSERT_TRUE(session_->take(submit(model::PurgeQueue{"fast"})));
  }
  for (int wait = 0; wait < 2000 && engine_->counters().journal_segments > 5; ++wait)
    push("slow");
  EXPECT_LE(engine_->counters().journal_segments, 9u);
  stop();
  directory_.crash(3);
  start();
  const auto jobs = pull("slow");
  ASSERT_NE(jobs, nullptr);
  EXPECT_EQ(jobs->jobs[0].id, kept);
  EXPECT_EQ(jobs->jobs[0].payload, "kept");
}

TEST_F(EngineTest, IntervalSyncAnswersBeforeTheDiskHasSynced) {
  stop();
  options_.sync = {SyncPolicy::Kind::interval, hours(1)};
  start();
  const std::uint64_t syncs = engine_->counters().syncs_total;
  push("mail");
  EXPECT_EQ(engine_->counters().syncs_total, syncs);
  stop();
  start();
  EXPECT_NE(pull("mail"), nullptr);
}

}  // namespace
}  // namespace sluice::engine
