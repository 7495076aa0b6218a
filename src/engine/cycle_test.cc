// The engine without its threads: what one command writes is one, and what is not delivered is
// given back.
#include "engine/cycle.h"

#include "io/memory.h"
#include "journal/format.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

constexpr SessionId only_session{1};
constexpr std::uint32_t segment_bytes = 64u << 10;
constexpr const char* journal_file = "0000000000000001.seg";
constexpr Now now{Time(Duration(1'000'000)), WallTime(Duration(1'000'000))};

journal::LogOptions small_segments() {
  journal::LogOptions options;
  options.segment_bytes = segment_bytes;
  return options;
}

/// Writes a batch when the test says so.
class ManualCommitter final : public Committer {
 public:
  explicit ManualCommitter(std::unique_ptr<journal::Log>& log) : log_(log) {}

  void start(journal::Batch batch, journal::Sync sync) override {
    under_way_.emplace(std::move(batch), sync);
  }

  bool is_busy() const override { return under_way_.has_value(); }

  std::optional<Written> take() override {
    if (!under_way_) return std::nullopt;
    Written written = write_batch(*log_, std::move(under_way_->first), under_way_->second);
    under_way_.reset();
    return written;
  }

  void stop() override {}

 private:
  std::unique_ptr<journal::Log>& log_;
  std::optional<std::pair<journal::Batch, journal::Sync>> under_way_;
};

/// An engine without threads: a batch is written when it is committed or, `by_hand`, by collect().
class World {
 public:
  explicit World(bool by_hand = false, std::uint32_t bytes = segment_bytes) {
    options_.log.segment_bytes = bytes;
    auto core = std::make_unique<core::Core>(options_.limits, std::uint16_t{0});
    log_ = std::move(*journal::Log::open(
        directory_, options_.log, [](Position, ByteView) { return Result<void>(); }, {}));
    check(core->finish_restore().has_value());
    cycle_ = std::make_unique<Cycle>(*log_,
                                     std::move(core),
                                     by_hand ? &committer_ : nullptr,
                                     options_,
                                     counters_,
                                     [this](SessionId session, std::vector<SessionReply>& said) {
                                       if (session != only_session) return false;
                                       if (!is_session_gone) take(said);
                                       return !is_session_gone;
                                     });
    check(cycle_->boot(now).has_value());
  }

  void apply(model::Command command, RequestBatch batch = {}) {
    batch.requests.push_back({++sequence_, std::move(command)});
    cycle_->apply(only_session, std::move(batch), now);
  }

  /// Without waiting for what becomes of it.
  void tell(model::Command command) {
    RequestBatch batch;
    batch.requests.push_back({0, std::move(command), false});
    cycle_->apply(only_session, std::move(batch), now);
  }

  void commit(Now at = now) {
    cycle_->advance(at);
    cycle_->commit(at, is_idle);
  }

  /// How long nothing needs to be done.
  std::optional<Duration> idle_for(Now at = now) const { return cycle_->idle_for(at); }

  /// The batch under way is written.
  void collect() { cycle_->collect(); }

  /// The session leaves.
  void detach() { cycle_->abandon(only_session, now); }

  std::uint64_t unwritten_bytes() const { return cycle_->unwritten_bytes(); }

  const Counters& counters() const { return counters_; }

  /// A batch of `count` pushes.
  void push_many(ByteView queue, ByteView payload, std::size_t count) {
    RequestBatch batch;
    batch.options.emplace_back();
    for (std::size_t index = 0; index < count; ++index) {
      const model::Push push{queue, "type", payload, &batch.options.back()};
      batch.requests.push_back({++sequence_, push});
    }
    cycle_->apply(only_session, std::move(batch), now);
  }

  void push(ByteView queue, model::PushOptions options = {}) {
    RequestBatch batch;
    batch.options.push_back(std::move(options));
    const model::Push push{queue, "type", "payload", &batch.options.back()};
    apply(push, std::move(batch));
  }

  /// A batch of publishes to these queues, each of which may share its reply.
  void publish(const std::vector<ByteView>& queues, bool is_transient = false) {
    RequestBatch batch;
    batch.options.emplace_back().is_transient = is_transient;
    for (const ByteView queue : queues) {
      model::Publish publish;
      publish.key = queue;
      publish.job = {{}, "type", "payload", &batch.options.back()};
      batch.requests.push_back({++sequence_, publish, true, true});
    }
    cycle_->apply(only_session, std::move(batch), now);
  }

  /// As for a request whose reply is none of these.
  void skip_sequence() { ++sequence_; }

  void pull(ByteView queue) {
    RequestBatch batch;
    batch.queue_lists.push_back({queue});
    model::Pull pull;
    pull.queues = &batch.queue_lists.back();
    apply(pull, std::move(batch));
  }

  const io::MemoryDirectory& directory() const { return directory_; }

  bool is_idle = true;  ///< Small batches are written at once.
  bool is_session_gone = false;
  std::vector<model::JobId> ids;
  std::vector<std::pair<model::JobId, model::LeaseToken>> leases;
  std::vector<std::uint64_t> counts;
  std::vector<std::uint32_t> routed;  ///< Of each reply to publishes: how many requests share it.
  std::size_t replies = 0;
  std::size_t errors = 0;

 private:
  void take(std::vector<SessionReply>& said) {
    replies += said.size();
    for (const SessionReply& reply : said) {
      if (std::holds_alternative<std::unique_ptr<Error>>(reply.answer)) ++errors;
      if (const auto* counted = std::get_if<model::Counted>(&reply.answer)) {
        EXPECT_FALSE(counted->more);
        counts.push_back(counted->count);
      }
      if (const auto* pushed = std::get_if<model::Pushed>(&reply.answer)) ids.push_back(pushed->id);
      if (std::holds_alternative<model::Routed>(reply.answer)) routed.push_back(reply.count);
      const auto* got = std::get_if<std::unique_ptr<model::Delivered>>(&reply.answer);
      if (got == nullptr) continue;
      for (const model::Delivery& job : (*got)->jobs)
        leases.emplace_back(job.id, job.token);
    }
  }

  io::MemoryDirectory directory_;
  EngineOptions options_;
  Counters counters_;
  std::unique_ptr<journal::Log> log_;
  ManualCommitter committer_{log_};
  std::unique_ptr<Cycle> cycle_;
  Sequence sequence_ = 0;
};

/// The log's only segment; its zeros are reserved space.
std::string content_of(const World& world) {
  std::string content = world.directory().content(journal_file);
  content.resize(content.find_last_not_of('\0') + 1);
  return content;
}

/// The state that a core finds in a log with this content.
std::string found_in(std::string content) {
  content.resize(segment_bytes);
  io::MemoryDirectory directory;
  directory.put(journal_file, content);
  core::Core core(model::Limits{}, 0);
  const Result<std::unique_ptr<journal::Log>> log =
      journal::Log::open(directory,
                         small_segments(),
                         [&core](Position at, ByteView frame) { return core.restore(at, frame); },
                         {});
  EXPECT_TRUE(log) << log.error().message;
  EXPECT_TRUE(core.finish_restore());
  core.check_invariants();
  return core.dump();
}

/// What the commands under test are about: two leased jobs, one with a unique key, and one that
/// waits for the other.
void prepare(World& world) {
  auto change = std::make_shared<model::PolicyChange>();
  change->dead_letter = "dead";
  world.apply(model::SetQueue{"mail", change});
  model::PushOptions unique;
  unique.unique_key = "held";
  world.push("mail", unique);
  world.push("mail");
  world.pull("mail");
  world.pull("mail");
  world.commit();
  ASSERT_EQ(world.leases.size(), 2u);
  model::PushOptions after;
  after.after.push_back({world.ids[1], false});
  world.push("mail", after);
  world.commit();
}

/// Commands that write more than one fact.
const std::vector<std::function<void(World&)>>& commands() {
  static const std::vector<std::function<void(World&)>> all{
      [](World& world) {  // A new queue, a job, its key.
        model::PushOptions options;
        options.unique_key = "fresh";
        world.push("orders", options);
      },
      [](World& world) {  // A job in the place of another one, with its key.
        model::PushOptions options;
        options.unique_key = "fresh";
        options.on_conflict = model::OnConflict::replace;
        world.push("orders", options);
      },
      [](World& world) {  // A new queue, the end of a key, a dead letter.
        world.apply(model::Fail{world.leases[0].first, world.leases[0].second, "no", {}, true});
      },
      [](World& world) {  // The end of a job and what it frees.
        world.apply(model::Ack{world.leases[1].first, world.leases[1].second, "result"});
      },
      [](World& world) { world.apply(model::PurgeQueue{"orders"}); },
  };
  return all;
}

/// The same commands are written once one by one and once as one batch, which is then cut at every
/// byte (RELIABILITY D7).
TEST(Cycle, ACommandIsThereAsAWholeOrNotAtAllWhereverItsBatchIsCut) {
  World one_by_one;
  prepare(one_by_one);
  std::vector<std::string> states{found_in(content_of(one_by_one))};
  for (const auto& command : commands()) {
    command(one_by_one);
    one_by_one.commit();
    states.push_back(found_in(content_of(one_by_one)));
    ASSERT_NE(states.back(), states[states.size() - 2]);
  }

  World at_once;
  prepare(at_once);
  const std::size_t begin = content_of(at_once).size();
  for (const auto& command : commands())
    command(at_once);
  at_once.commit();
  const std::string content = content_of(at_once);
  std::size_t reached = 0;
  for (std::size_t cut = begin; cut <= content.size(); ++cut) {
    const std::string state = found_in(content.substr(0, cut));
    while (reached + 1 < states.size() && state != states[reached])
      ++reached;
    ASSERT_EQ(state, states[reached]) << "cut at byte " << cut << " of " << content.size();
  }
  EXPECT_EQ(reached + 1, states.size());
}

/// Commands of one batch share frames of about 4 KiB; a cut may take several of them, each as a
/// whole.
TEST(Cycle, CommandsOfABatchShareFramesAndStayWhole) {
  constexpr std::size_t pushes = 40;
  const std::string payload(1000, 'x');
  World one_by_one;
  std::vector<std::string> states{found_in(content_of(one_by_one))};
  for (std::size_t push = 0; push < pushes; ++push) {
    one_by_one.push_many("mail", payload, 1);
    one_by_one.commit();
    states.push_back(found_in(content_of(one_by_one)));
  }

  World at_once;
  const std::size_t begin = content_of(at_once).size();
  at_once.push_many("mail", payload, pushes);
  at_once.commit();
  const std::string content = content_of(at_once);
  constexpr std::size_t frames = pushes / 4;
  EXPECT_EQ(content.size() + (pushes - frames) * journal::frame_header_bytes,
            content_of(one_by_one).size());
  std::set<std::size_t> reached;
  for (std::size_t cut = begin; cut <= content.size(); cut += 501) {
    const auto state = std::find(states.begin(), states.end(), found_in(content.substr(0, cut)));
    ASSERT_NE(state, states.end()) << "cut at byte " << cut << " of " << content.size();
    reached.insert(static_cast<std::size_t>(state - states.begin()));
  }
  EXPECT_EQ(reached.size(), frames);  // Nothing, and all but the last, which is cut.
  EXPECT_EQ(found_in(content), states.back());
}

/// A reply that waits behind others that need more must not wait longer than the disk makes it:
/// what comes later and needs as little would be said first.
TEST(Cycle, DeliveriesOfAQueueAreSaidInTheirOrder) {
  World world(true);
  world.is_idle = false;
  world.push("mail");
  world.push("mail");
  world.commit();       // The first batch is under way.
  world.push("other");  // Its reply needs the second one.
  world.pull("mail");
  world.commit();
  world.collect();
  world.commit();  // The second batch is under way.
  world.pull("mail");
  world.commit();
  world.collect();
  ASSERT_EQ(world.leases.size(), 2u);
  EXPECT_LT(world.leases[0].second, world.leases[1].second);
}

/// One batch can bring any number of bytes: a fanout exchange makes a job for each of its queues.
TEST(Cycle, PushesWaitWhileMuchWaitsForTheDisk) {
  constexpr std::size_t count = 200;
  const std::string payload(1u << 20, 'x');
  World world(true);
  world.is_idle = false;
  world.push("mail");
  world.commit();  // A batch is under way.
  world.push_many("mail", payload, count);
  world.commit();
  EXPECT_GT(world.unwritten_bytes(), 60 * payload.size());
  EXPECT_LT(world.unwritten_bytes(), 70 * payload.size());
  world.collect();
  world.commit();  // 64 MiB are under way, the next pushes are applied.
  EXPECT_LT(world.unwritten_bytes(), 140 * payload.size());
  world.is_session_gone = true;
  world.detach();
  for (int turn = 0; turn < 5; ++turn) {
    EXPECT_LT(world.unwritten_bytes(), 140 * payload.size());
    world.collect();
    world.commit();
  }
  EXPECT_GT(world.counters().written_bytes_total, count * payload.size());
}

TEST(Cycle, JobsWhoseSessionIsGoneWhenTheyAreToBeDeliveredAreGivenBack) {
  World world;
  world.push("mail");
  world.is_session_gone = true;
  world.pull("mail");
  world.commit();
  world.is_session_gone = false;
  world.commit();
  world.pull("mail");
  world.commit();
  EXPECT_EQ(world.leases.size(), 1u);
}

constexpr Duration lazy = std::chrono::milliseconds(20);  // As in cycle.cc.

constexpr Now after(Duration passed) {
  return {now.time + passed, now.wall + passed};
}

TEST(Cycle, WhatNobodyWaitsForHasNoReplyAndIsSyncedWithinItsTime) {
  World world;
  world.push("mail");
  world.push("mail");
  world.pull("mail");
  world.commit();
  ASSERT_EQ(world.leases.size(), 1u);
  const std::size_t replies_before = world.replies;
  const std::uint64_t syncs_before = world.counters().syncs_total;

  const auto [id, token] = world.leases.front();
  world.tell(model::Ack{id, token, ""});
  world.tell(model::Ack{id, token, ""});  // Refused: it has been acked.
  world.commit();
  EXPECT_EQ(world.counters().syncs_total, syncs_before);
  EXPECT_EQ(world.idle_for(), lazy);
  world.commit(after(lazy - Duration(1)));
  EXPECT_EQ(world.counters().syncs_total, syncs_before);
  world.commit(after(lazy));
  EXPECT_EQ(world.counters().syncs_total, syncs_before + 1);
  EXPECT_EQ(world.replies, replies_before);
}

TEST(Cycle, WhatNobodyWaitsForIsSyncedWithWhatSomebodyWaitsFor) {
  World world;
  world.push("mail");
  world.pull("mail");
  world.commit();
  ASSERT_EQ(world.leases.size(), 1u);
  const std::uint64_t syncs_before = world.counters().syncs_total;
  world.tell(model::Ack{world.leases[0].first, world.leases[0].second, ""});
  world.commit();
  world.push("mail");
  world.commit();
  EXPECT_EQ(world.counters().syncs_total, syncs_before + 1);
  world.commit(after(lazy));
  EXPECT_EQ(world.counters().syncs_total, syncs_before + 1);
}

/// So much of it is written before its time, which does not make it durable.
TEST(Cycle, MuchThatNobodyWaitsForIsSyncedWithinItsTimeToo) {
  World world(false, 16u << 20);  // Nothing is cleaned meanwhile.
  world.push("mail");
  world.pull("mail");
  world.commit();
  ASSERT_EQ(world.leases.size(), 1u);
  const std::uint64_t syncs_before = world.counters().syncs_total;
  const std::uint64_t written_before = world.counters().written_bytes_total;
  const std::string result(1u << 20, 'x');
  world.tell(model::Ack{world.leases[0].first, world.leases[0].second, result});
  world.commit();
  EXPECT_GE(world.counters().written_bytes_total, written_before + result.size());
  EXPECT_EQ(world.counters().syncs_total, syncs_before);
  EXPECT_EQ(world.idle_for(), lazy);
  world.commit(after(lazy));
  EXPECT_EQ(world.counters().syncs_total, syncs_before + 1);
}

constexpr std::size_t step_jobs = 10'000;  // As in core/queues.cc.

TEST(Cycle, PublishesShareAReplyIfAllThatItSaysIsThatTheyWentToAQueue) {
  World world(true);
  world.is_idle = false;
  world.push("mail");
  world.commit();
  world.collect();
  world.publish({"mail", "mail", "mail", "nobody's", "mail", "mail"});
  world.publish({"mail"});
  world.commit();
  EXPECT_TRUE(world.routed ==
              std::vector<std::uint32_t>{1});  // Nobody's: there is nothing to wait for.
  world.collect();
  EXPECT_TRUE((world.routed == std::vector<std::uint32_t>{1, 3, 3}));
}

TEST(Cycle, AReplyIsNotSharedWithWhatIsDurableEarlierOrLater) {
  World world(true);
  world.is_idle = false;
  world.push("mail");
  world.commit();
  world.collect();
  world.publish({"mail", "mail"}, true);
  world.publish({"mail", "mail"});
  world.commit();  // What is transient is said; the batch of the others is under way.
  EXPECT_TRUE((world.routed == std::vector<std::uint32_t>{2}));
  world.publish({"mail"});
  world.collect();
  EXPECT_TRUE((world.routed == std::vector<std::uint32_t>{2, 2}));
  world.commit();
  world.collect();
  EXPECT_TRUE((world.routed == std::vector<std::uint32_t>{2, 2, 1}));
}

TEST(Cycle, AReplyIsSharedWithTheRequestsRightBehindOnly) {
  World world;
  world.push("mail");
  world.commit();
  world.publish({"mail", "mail"});
  world.skip_sequence();
  world.publish({"mail"});
  world.commit();
  EXPECT_TRUE((world.routed == std::vector<std::uint32_t>{2, 1}));
}

/// The answer to whoever awaits one of the jobs comes between its steps.
TEST(Cycle, APurgeInSeveralStepsIsDoneAlsoWhenOneOfItsJobsIsAwaited) {
  World world;
  world.push_many("mail", "payload", 2 * step_jobs + 1);
  world.commit();
  model::Await await;
  await.id = world.ids.front();
  await.wait = std::chrono::hours(1);
  world.apply(await);
  world.apply(model::PurgeQueue{"mail"});
  for (int turn = 0; turn < 4; ++turn)
    world.commit();
  EXPECT_EQ(world.counts, std::vector<std::uint64_t>{2 * step_jobs + 1});
  EXPECT_EQ(world.errors, 1u);  // The job that was awaited is gone.
}

TEST(Cycle, AQueueOfManyJobsIsDeletedAlsoIfNobodyWaitsForIt) {
  World world;
  world.push_many("mail", "payload", 2 * step_jobs + 1);
  world.commit();
  world.tell(model::DeleteQueue{"mail", true, false});
  for (int turn = 0; turn < 4; ++turn)
    world.commit();
  EXPECT_TRUE(world.counts.empty());
  world.apply(model::GetQueue{"mail"});
  world.commit();
  EXPECT_EQ(world.errors, 1u);
}

}  // namespace
}  // namespace sluice::engine
