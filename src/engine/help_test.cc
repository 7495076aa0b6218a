// Threads that serve clients take turns in the place of the engine's thread: what they may take,
// where the answers come, and that nothing is lost or late between them and the engine.
#include "engine/engine.h"
#include "engine/test_session.h"
#include "io/memory.h"
#include "io/posix.h"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Says on which thread each answer came.
class ThreadSession final : public Session {
 public:
  void on_replies(std::vector<SessionReply> replies) override {
    for (const SessionReply& reply : replies) {
      if (std::holds_alternative<model::Pushed>(reply.answer)) ++pushed;
      ++answered;
      last_thread = std::this_thread::get_id();
    }
  }

  /// Waits until so many pushes are answered, but not for ever.
  void wait_for(std::uint64_t count) const { wait_for(count, pushed); }

  static void wait_for(std::uint64_t count, const std::atomic<std::uint64_t>& counter) {
    for (int wait = 0; counter < count && wait < 200'000; ++wait)
      std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

  std::atomic<std::uint64_t> pushed{0};
  std::atomic<std::uint64_t> answered{0};
  std::atomic<std::thread::id> last_thread{};
};

/// Syncs do not return while it is held.
class HeldDirectory final : public io::Directory {
 public:
  void hold() { is_held_ = true; }

  void let_go() { is_held_ = false; }

  /// Until a sync is held.
  void wait() { ThreadSession::wait_for(1, held_); }

  Result<std::unique_ptr<io::File>> open(const std::string& name, io::OpenMode mode) override {
    Result<std::unique_ptr<io::File>> file = memory_.open(name, mode);
    if (!file) return file;
    return std::make_unique<File>(*this, std::move(*file));
  }

  Result<std::vector<std::string>> list() override { return memory_.list(); }

  Result<void> remove(const std::string& name) override { return memory_.remove(name); }

  Result<void> rename(const std::string& from, const std::string& to) override {
    return memory_.rename(from, to);
  }

  Result<void> sync() override { return memory_.sync(); }

  Result<void> lock() override { return memory_.lock(); }

  Result<std::uint64_t> free_bytes() override { return memory_.free_bytes(); }

  std::string path() const override { return memory_.path(); }

 private:
  class File final : public io::File {
   public:
    File(HeldDirectory& directory, std::unique_ptr<io::File> file)
        : directory_(directory), file_(std::move(file)) {}

    Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
      return file_->write_at(offset, bytes);
    }

    Result<std::size_t> read_at(std::uint64_t offset, char* to, std::size_t size) override {
      return file_->read_at(offset, to, size);
    }

    Result<void> sync() override {
      if (directory_.is_held_) ++directory_.held_;
      while (directory_.is_held_)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      directory_.held_ = 0;
      return file_->sync();
    }

    Result<void> allocate(std::uint64_t size) override { return file_->allocate(size); }

    Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }

    Result<std::uint64_t> size() override { return file_->size(); }

    void forget_cache() override { file_->forget_cache(); }

    void forget_front(std::uint64_t bytes) override { file_->forget_front(bytes); }

   private:
    HeldDirectory& directory_;
    std::unique_ptr<io::File> file_;
  };

  std::atomic<bool> is_held_{false};
  std::atomic<std::uint64_t> held_{0};
  io::MemoryDirectory memory_;
};

class HelpTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Engine>> opened = Engine::open(directory_, clock_, {});
    ASSERT_TRUE(opened) << opened.error().message;
    engine_ = std::move(*opened);
  }

  void TearDown() override { engine_->stop(); }

  static RequestBatch pushes(std::size_t count) {
    RequestBatch batch;
    for (std::size_t index = 0; index < count; ++index) {
      batch.requests.push_back({static_cast<Sequence>(index), push()});
    }
    return batch;
  }

  static model::Push push() { return model::Push{"mail", "type", "payload", nullptr}; }

  /// Hands batches over until one is left for help(); how many it took.
  std::uint64_t leave_one(SessionId session) {
    for (std::uint64_t count = 1;; ++count) {
      if (engine_->submit_quietly(session, pushes(1))) return count;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  /// A push that the journal's thread writes, as it is large.
  static RequestBatch large_push() {
    RequestBatch batch = pushes(1);
    const ByteView payload = batch.strings.emplace_front(100'000, 'x');
    std::get<model::Push>(batch.requests.front().command).payload = payload;
    return batch;
  }

  static RequestBatch pull() {
    RequestBatch batch;
    batch.queue_lists.push_back({"mail"});
    model::Pull request;
    request.queues = &batch.queue_lists.back();
    batch.requests.push_back({1'000'000, request});
    return batch;
  }

  /// Pushes two jobs, and pulls one of them while the journal's thread syncs and is held.
  void pull_while_it_writes(ThreadSession& session, SessionId id) {
    const std::uint64_t before = session.pushed;
    engine_->submit(id, pushes(2));  // So that the disk is known to be quick, too.
    session.wait_for(before + 2);
    directory_.hold();
    engine_->submit(id, large_push());
    directory_.wait();
    EXPECT_FALSE(engine_->submit_quietly(id, pull()));
  }

  HeldDirectory directory_;
  io::SystemClock clock_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(HelpTest, TheTurnIsTakenHereAndItsAnswersComeBeforeItReturns) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  const std::uint64_t syncs = engine_->counters().syncs_total.load();
  const std::uint64_t handed_over = leave_one(id);
  engine_->help();
  // Unless the engine's thread woke just then, by itself, and took it.
  session->wait_for(handed_over);
  EXPECT_EQ(session->pushed, handed_over);
  EXPECT_GT(engine_->counters().syncs_total.load(), syncs);
  // It rests at last, however often it wakes for itself.
  bool is_here = false;
  for (int attempt = 0; attempt < 1000 && !is_here; ++attempt) {
    leave_one(id);
    engine_->help();
    is_here = session->last_thread.load() == std::this_thread::get_id();
  }
  EXPECT_TRUE(is_here);
}

TEST_F(HelpTest, ASyncIsPutOffForWhoeverIsStillToCome) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  EXPECT_EQ(engine_->commit_not_before(), std::chrono::steady_clock::time_point());
  // Until no turn was the engine's thread's, which may wake by itself.
  const auto sync = [&](std::size_t pushes_count) {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      if (engine_->submit_quietly(id, pushes(pushes_count)) && engine_->help()) return;
      std::this_thread::sleep_for(milliseconds(1));
    }
    FAIL();
  };
  sync(10);
  EXPECT_EQ(engine_->commit_not_before(), std::chrono::steady_clock::time_point());
  const auto before = std::chrono::steady_clock::now();
  sync(2);
  const bool is_left = engine_->submit_quietly(id, pushes(2));
  const auto until = engine_->commit_not_before();
  if (is_left) {  // Else the engine's thread has it.
    EXPECT_GE(until, before);
    engine_->help();
  }
  const std::uint64_t delays = engine_->counters().commit_delays_total;
  EXPECT_LE(delays, 1u);
  sync(2);
  EXPECT_EQ(engine_->commit_not_before(), std::chrono::steady_clock::time_point())
      << "nothing came meanwhile";
  EXPECT_EQ(engine_->counters().commit_delays_total, delays);
}

TEST_F(HelpTest, MuchIsLeftToTheEngine) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  leave_one(id);
  engine_->help();
  const std::uint64_t before = session->pushed;
  EXPECT_FALSE(engine_->submit_quietly(id, pushes(17)));
  RequestBatch large = pushes(1);
  large.bytes.append(std::string(5000, 'x'));
  EXPECT_FALSE(engine_->submit_quietly(id, std::move(large)));
  session->wait_for(before + 18);
  EXPECT_GE(session->pushed, before + 18);
}

TEST_F(HelpTest, ManyBatchesThatNobodyComesToAreTheEngines) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  leave_one(id);
  std::uint64_t handed_over = 0;
  for (bool is_left = true; is_left; ++handed_over) {
    ASSERT_LT(handed_over, 1000u);
    is_left = engine_->submit_quietly(id, pushes(1));
  }
  session->wait_for(handed_over);
  EXPECT_GE(session->pushed, handed_over);
}

TEST_F(HelpTest, WithNothingLeftToDoItDoesNothing) {
  engine_->help();
  engine_->stop();
  engine_->help();
}

TEST_F(HelpTest, WhateverThreadsHandOverTogetherIsAnsweredOnce) {
  constexpr int threads = 4;
  constexpr std::uint64_t rounds = 300;
  std::vector<std::shared_ptr<ThreadSession>> sessions;
  std::vector<std::thread> running;
  for (int number = 0; number < threads; ++number) {
    sessions.push_back(std::make_shared<ThreadSession>());
    running.emplace_back([this, number, rounds, session = sessions.back()] {
      const SessionId id = engine_->attach(session);
      for (std::uint64_t round = 1; round <= rounds; ++round) {
        // The last of them is of those who do not help.
        if (number == threads - 1) {
          engine_->submit(id, pushes(1));
        } else if (engine_->submit_quietly(id, pushes(1))) {
          engine_->help();
        }
        session->wait_for(round);
      }
      EXPECT_EQ(session->pushed, rounds);
      engine_->detach(id);
    });
  }
  for (std::thread& each : running)
    each.join();
  for (const auto& session : sessions)
    EXPECT_EQ(session->pushed, rounds);
}

TEST_F(HelpTest, TheJournalsThreadGoesOnBehindWhatItHasWritten) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  std::uint64_t pushed = 0;
  const auto thread_for = [&](RequestBatch batch) {
    engine_->submit(id, std::move(batch));
    session->wait_for(++pushed);
    return session->last_thread.load();
  };
  // What is small, the engine's thread writes itself.
  const std::thread::id engines = thread_for(pushes(1));
  std::thread::id journals = thread_for(large_push());
  // Unless the engine's thread woke just then, by itself.
  for (int attempt = 0; attempt < 100 && journals == engines; ++attempt)
    journals = thread_for(large_push());
  EXPECT_NE(journals, engines);
}

TEST_F(HelpTest, LittleIsLeftToTheJournalsThreadWhileItWrites) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  bool is_left = false;
  // Unless the engine's thread wakes meanwhile, by itself.
  for (int attempt = 0; attempt < 1000 && !is_left; ++attempt) {
    const std::uint64_t before = session->answered;
    pull_while_it_writes(*session, id);
    std::this_thread::sleep_for(milliseconds(5));
    is_left = session->answered == before + 2;
    directory_.let_go();
    session->wait_for(before + 4, session->answered);
    EXPECT_EQ(session->answered, before + 4);
  }
  EXPECT_TRUE(is_left);
}

TEST_F(HelpTest, WhatWasLeftToTheJournalsThreadDoesNotWaitForADiskThatHangs) {
  const auto session = std::make_shared<ThreadSession>();
  const SessionId id = engine_->attach(session);
  pull_while_it_writes(*session, id);
  session->wait_for(3, session->answered);
  engine_->submit_quietly(id, pull());
  session->wait_for(4, session->answered);
  EXPECT_EQ(session->answered, 4u);
  EXPECT_EQ(session->pushed, 2u);
  directory_.let_go();
  session->wait_for(3);
  EXPECT_EQ(session->pushed, 3u);
}

TEST_F(HelpTest, WhatComesWhileTheJournalsThreadGoesOnIsAnsweredOnce) {
  constexpr int threads = 3;
  constexpr std::uint64_t rounds = 200;
  std::vector<std::thread> running;
  for (int number = 0; number < threads; ++number) {
    running.emplace_back([this, number] {
      const auto session = std::make_shared<ThreadSession>();
      const SessionId id = engine_->attach(session);
      std::uint64_t pushed = 0;
      for (std::uint64_t round = 0; round < rounds; ++round) {
        // Some are written by the journal's thread, some where they are applied.
        const std::size_t count = (round + static_cast<std::uint64_t>(number)) % 3 == 0 ? 500 : 2;
        engine_->submit(id, pushes(count));
        pushed += count;
        if (round % 2 == 0) session->wait_for(pushed);
      }
      session->wait_for(pushed);
      EXPECT_EQ(session->pushed, pushed);
      engine_->detach(id);
    });
  }
  for (std::thread& each : running)
    each.join();
}

// The engine's thread looks at the time once a second by itself; ten jobs that nobody told it of
// would take ten seconds.
TEST_F(HelpTest, WhatIsDueLaterWakesTheEnginesThread) {
  const auto session = std::make_shared<TestSession>();
  const SessionId id = engine_->attach(session);
  const auto start = std::chrono::steady_clock::now();
  Sequence sequence = 0;
  for (int round = 0; round < 10; ++round) {
    const auto hand_over = [&](RequestBatch batch) {
      if (engine_->submit_quietly(id, std::move(batch))) engine_->help();
    };
    RequestBatch pull;
    pull.queue_lists.push_back({"mail"});
    model::Pull waiting;
    waiting.queues = &pull.queue_lists.back();
    waiting.wait = seconds(20);
    const Sequence pulled = ++sequence;
    pull.requests.push_back({pulled, waiting});
    hand_over(std::move(pull));
    RequestBatch later;
    later.options.emplace_back();
    later.options.back().delay = Duration(20);
    model::Push delayed = push();
    delayed.options = &later.options.back();
    later.requests.push_back({++sequence, delayed});
    hand_over(std::move(later));
    ASSERT_TRUE(session->take(pulled));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
}

TEST_F(HelpTest, AStopMeanwhileAnswersOrDropsButDoesNotHang) {
  std::atomic<bool> is_over{false};
  std::thread helper([&] {
    const auto session = std::make_shared<ThreadSession>();
    const SessionId id = engine_->attach(session);
    while (!is_over) {
      if (engine_->submit_quietly(id, pushes(1))) engine_->help();
    }
  });
  std::this_thread::sleep_for(milliseconds(50));
  engine_->stop();
  is_over = true;
  helper.join();
}

}  // namespace
}  // namespace sluice::engine
