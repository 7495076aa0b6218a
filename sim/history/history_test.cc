// The judge: each verdict on a history that deserves it, and none on the innocent one beside it.
#include "sim/history/judge.h"

#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

/// Writes a history in the order of its events. Times are seconds.
class Story {
 public:
  Story() { history_.remains().is_drained = true; }

  /// A push that is answered a moment later.
  Operation& push(Uid uid, std::uint64_t job, int at) {
    const std::size_t index = begin_push(uid, at);
    Operation& push = history_.operation(index);
    push.job = job;
    history_.answer(index, Outcome::ok, Micros(1s) * at + 1ms);
    return push;
  }

  std::size_t begin_push(Uid uid, int at) {
    const std::size_t index = history_.invoke(Act::push, 1, Micros(1s) * at);
    Operation& push = history_.operation(index);
    push.uid = uid;
    PushTerms& terms = push.push.emplace();
    terms.queue = "mail";
    terms.priority = 0;
    terms.attempts = 25;
    terms.lease = 30s;
    history_.remember_push(push);
    return index;
  }

  /// A pull that brings one job, with a lease of 30 s.
  Delivered& pull(Uid uid, std::uint64_t job, std::uint64_t token, int at) {
    const std::size_t index = history_.invoke(Act::pull, 2, Micros(1s) * at);
    Operation& pull = history_.operation(index);
    pull.queues.insert("mail");
    Delivered delivered;
    delivered.uid = uid;
    delivered.job = job;
    delivered.token = token;
    delivered.attempt = 1;
    delivered.queue = "mail";
    delivered.lease = 30s;
    pull.delivered.push_back(delivered);
    history_.answer(index, Outcome::ok, Micros(1s) * at + 1ms);
    return pull.delivered.front();
  }

  Operation& ask(Act act, Uid uid, std::uint64_t job, std::uint64_t token, int at) {
    Operation& operation = history_.operation(history_.invoke(act, 2, Micros(1s) * at));
    operation.uid = uid;
    operation.job = job;
    operation.token = token;
    return operation;
  }

  Operation& answer(Act act,
                    Uid uid,
                    std::uint64_t job,
                    std::uint64_t token,
                    int at,
                    Outcome outcome = Outcome::ok) {
    Operation& operation = ask(act, uid, job, token, at);
    history_.answer(history_.operations().size() - 1, outcome, Micros(1s) * at + 1ms);
    return operation;
  }

  void lost_pull(int from, int to) {
    const std::size_t index = history_.invoke(Act::pull, 3, Micros(1s) * from);
    history_.operation(index).queues.insert("mail");
    history_.answer(index, Outcome::unknown, Micros(1s) * to);
  }

  /// A pull that is answered nil because its client ended its sending side.
  void cut_pull(int from, int to) {
    const std::size_t index = history_.invoke(Act::pull, 3, Micros(1s) * from);
    history_.operation(index).queues.insert("mail");
    history_.operation(index).was_cut_short = true;
    history_.answer(index, Outcome::ok, Micros(1s) * to);
  }

  void remove(int at) {
    history_.operation(history_.invoke(Act::remove, 3, Micros(1s) * at)).queues.insert("mail");
    history_.answer(history_.operations().size() - 1, Outcome::ok, Micros(1s) * at + 1ms);
  }

  void restart(int from, int to, std::optional<Moment> forgets_from = {}) {
    history_.end(Restart::Kind::power_loss, Micros(1s) * from, forgets_from);
    history_.begin(Micros(1s) * to, Micros(0));
  }

  History& history() { return history_; }

  /// The verdicts, without repetition.
  std::set<std::string> verdicts() const {
    std::set<std::string> found;
    for (const Finding& finding : judge(history_).findings)
      found.insert(finding.verdict);
    return found;
  }

 private:
  History history_;
};

const std::set<std::string> innocent;

std::set<std::string> only(const char* verdict) {
  return {verdict};
}

TEST(Judge, AJobThatIsPushedPulledAndAckedIsInnocent) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  EXPECT_EQ(story.verdicts(), innocent);
}

// -- lost
// ------------------------------------------------------------------------------------------

TEST(Judge, LostIsAnAnsweredPushThatNeverComes) {
  Story story;
  story.push(1, 11, 1);
  EXPECT_EQ(story.verdicts(), only("lost"));
}

TEST(Judge, LostIsADeliveredJobThatWasNotAckedAndIsGone) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  EXPECT_EQ(story.verdicts(), only("lost"));
}

TEST(Judge, AnAckWithoutAnswerMayHaveEndedTheJob) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.ask(Act::ack, 1, 11, 101, 3);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, ARefusedAckHasNotEndedTheJob) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 60, Outcome::refused);
  EXPECT_EQ(story.verdicts(), only("lost"));
}

TEST(Judge, APushWithoutAnswerNeedNotBeThere) {
  Story story;
  story.begin_push(1, 1);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, JobsThatDiedOrWereCancelledOrRemovedAreNotLost) {
  Story story;
  story.push(1, 11, 1);
  story.push(2, 12, 2);
  story.push(3, 13, 3);
  story.history().remains().dead.insert(11);
  story.answer(Act::cancel, 0, 12, 0, 4);
  EXPECT_EQ(story.verdicts(), only("lost"));
  story.remove(5);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, APurgeBeforeThePushIsNoExcuse) {
  Story story;
  story.remove(1);
  story.push(1, 11, 2);
  EXPECT_EQ(story.verdicts(), only("lost"));
}

TEST(Judge, ARestartThatMayForgetExcusesWhatWasAnsweredShortlyBefore) {
  Story story;
  story.push(1, 11, 1);
  story.push(2, 12, 10);
  story.restart(11, 12, Micros(5s));
  EXPECT_EQ(story.verdicts(), only("lost"));
  story.pull(1, 11, 201, 20);
  story.answer(Act::ack, 1, 11, 201, 21);
  EXPECT_EQ(story.verdicts(), innocent);
}

// -- phantom
// ---------------------------------------------------------------------------------------

TEST(Judge, PhantomIsWhatNobodyPushed) {
  Story story;
  story.pull(9, 11, 101, 2);
  EXPECT_EQ(story.verdicts(), only("phantom"));
}

TEST(Judge, PhantomIsWhatHasChanged) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2).is_intact = false;
  story.answer(Act::ack, 1, 11, 101, 3);
  EXPECT_EQ(story.verdicts(), only("phantom"));
}

TEST(Judge, PhantomIsAJobWhosePushWasRefused) {
  Story story;
  const std::size_t push = story.begin_push(1, 1);
  story.history().answer(push, Outcome::refused, 1s + 1ms);
  story.pull(1, 11, 101, 2);
  EXPECT_EQ(story.verdicts(), only("phantom"));
}

TEST(Judge, APushWithoutAnswerMayBeThere) {
  Story story;
  story.begin_push(1, 1);
  story.pull(1, 11, 101, 2);
  EXPECT_EQ(story.verdicts(), innocent);
}

// -- dup-push
// --------------------------------------------------------------------------------------

TEST(Judge, DupPushIsOnePushWithTwoJobs) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  story.pull(1, 12, 102, 4);
  EXPECT_TRUE(story.verdicts().contains("dup-push"));
}

TEST(Judge, DupPushIsAHeldKeyThatGivesAnotherJob) {
  Story story;
  story.push(1, 11, 1).push->unique_key = "ada";
  story.push(2, 12, 2).push->unique_key = "ada";
  story.pull(1, 11, 101, 3);
  story.answer(Act::ack, 1, 11, 101, 4);
  story.pull(2, 12, 102, 5);
  story.answer(Act::ack, 2, 12, 102, 6);
  EXPECT_EQ(story.verdicts(), only("dup-push"));
}

TEST(Judge, AKeyIsFreeOnceItsJobHasEnded) {
  Story story;
  story.push(1, 11, 1).push->unique_key = "ada";
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  story.push(2, 12, 4).push->unique_key = "ada";
  story.pull(2, 12, 102, 5);
  story.answer(Act::ack, 2, 12, 102, 6);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, AKeyIsFreeOnceItsJobHasUsedUpItsAttemptsWithLeasesThatCouldNotBeHandedOut) {
  Story story;
  story.push(1, 11, 1).push->unique_key = "ada";
  story.history().remains().reported.insert(11);
  story.push(2, 12, 4).push->unique_key = "ada";
  story.pull(2, 12, 102, 5);
  story.answer(Act::ack, 2, 12, 102, 6);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, AHeldKeyGivesItsJobAndOneOfThePayloadsComes) {
  Story story;
  story.push(1, 11, 1).push->unique_key = "ada";
  story.push(2, 11, 2).push->unique_key = "ada";
  EXPECT_EQ(story.verdicts(), only("lost"));
  story.pull(1, 11, 101, 3);
  story.answer(Act::ack, 1, 11, 101, 4);
  EXPECT_EQ(story.verdicts(), innocent);
}

// -- undead
// ----------------------------------------------------------------------------------------

TEST(Judge, UndeadIsAJobThatComesAfterItsAck) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  story.pull(1, 11, 102, 60);
  EXPECT_EQ(story.verdicts(), only("undead"));
}

TEST(Judge, AJobWhoseAckHadNoAnswerMayComeAgain) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.ask(Act::ack, 1, 11, 101, 3);
  story.pull(1, 11, 102, 60);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, UndeadAlsoAcrossARestartThatForgetsLaterThings) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  story.restart(60, 61, Micros(50s));
  story.pull(1, 11, 201, 100);
  EXPECT_EQ(story.verdicts(), only("undead"));
}

// -- dup-delivery, two-owners
// ----------------------------------------------------------------------

TEST(Judge, DupDeliveryIsATokenGivenTwice) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.pull(1, 11, 101, 3);
  story.answer(Act::ack, 1, 11, 101, 4);
  EXPECT_TRUE(story.verdicts().contains("dup-delivery"));
}

TEST(Judge, DupDeliveryIsAReleaseThatDoesNotWaitForItsDelay) {
  for (const int again : {7, 9}) {
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.answer(Act::release, 1, 11, 101, 3).duration = 5s;
    story.pull(1, 11, 102, again);
    story.answer(Act::ack, 1, 11, 102, again + 1);
    EXPECT_EQ(story.verdicts(), again == 7 ? only("dup-delivery") : innocent);
  }
}

TEST(Judge, TwoOwnersIsADeliveryWhileALeaseRuns) {
  for (const int again : {31, 33}) {  // The lease of 30 s began between 2 s and 2.001 s.
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.pull(1, 11, 102, again);
    story.answer(Act::ack, 1, 11, 102, again + 1);
    EXPECT_EQ(story.verdicts(), again == 31 ? only("two-owners") : innocent);
  }
}

TEST(Judge, AnExtendedLeaseRunsLongerAndAShortenedOneLess) {
  for (const auto& [duration, again] :
       {std::pair<Micros, int>(100s, 90), {100s, 121}, {5s, 26}, {5s, 24}}) {
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.answer(Act::extend, 1, 11, 101, 20).duration = duration;
    story.pull(1, 11, 102, again);
    story.answer(Act::ack, 1, 11, 102, again + 1);
    EXPECT_EQ(story.verdicts(), again == 90 || again == 24 ? only("two-owners") : innocent)
        << again;
  }
}

TEST(Judge, ALeaseThatWasDurableSurvivesARestart) {
  for (const bool is_durable : {true, false}) {
    Story story;
    story.push(1, 11, 1);
    story.push(2, 12, 1);
    story.pull(1, 11, 101, 2);
    if (is_durable) story.push(3, 13, 3);
    story.restart(5, 6);
    story.pull(1, 11, 201, 8);
    story.answer(Act::ack, 1, 11, 201, 9);
    story.remove(10);
    EXPECT_EQ(story.verdicts(), is_durable ? only("two-owners") : innocent);
  }
}

TEST(Judge, ARestartPausesLeasesAndGivesThemAGrace) {
  for (const int again : {130, 134}) {  // 2 s … 32 s, and 100 s down.
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.push(2, 12, 3);
    story.restart(5, 105);
    story.pull(1, 11, 201, again);
    story.answer(Act::ack, 1, 11, 201, again + 1);
    story.remove(200);
    EXPECT_EQ(story.verdicts(), again == 130 ? only("two-owners") : innocent);
  }
}

TEST(Judge, AnExtendAfterARestartIsNotPausedByIt) {
  // The lease may have been over at 32 s, the restart comes later, the extend later still: it ends
  // at 112 s, without the restart's pause and grace.
  for (const int again : {110, 113}) {
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.push(2, 12, 3);
    story.restart(40, 105);
    story.answer(Act::extend, 1, 11, 101, 106).duration = 6s;
    story.pull(1, 11, 201, again);
    story.answer(Act::ack, 1, 11, 201, again + 1);
    story.remove(200);
    EXPECT_EQ(story.verdicts(), again == 110 ? only("two-owners") : innocent) << again;
  }
}

// -- stale-ok, refused
// -----------------------------------------------------------------------------

TEST(Judge, StaleOkIsAnOldTokenThatIsTaken) {
  for (const Outcome outcome : {Outcome::ok, Outcome::refused, Outcome::unknown}) {
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.pull(1, 11, 102, 60);
    story.answer(Act::extend, 1, 11, 101, 61, outcome).duration = 1s;
    story.answer(Act::ack, 1, 11, 102, 62);
    EXPECT_EQ(story.verdicts(), outcome == Outcome::ok ? only("stale-ok") : innocent);
  }
}

TEST(Judge, StaleOkIsASecondAckThatIsTaken) {
  Story story;
  story.push(1, 11, 1);
  story.pull(1, 11, 101, 2);
  story.answer(Act::ack, 1, 11, 101, 3);
  story.answer(Act::ack, 1, 11, 101, 4);
  EXPECT_EQ(story.verdicts(), only("stale-ok"));
}

TEST(Judge, RefusedIsACurrentTokenThatIsNotTaken) {
  for (const int at : {20, 40}) {
    Story story;
    story.push(1, 11, 1);
    story.pull(1, 11, 101, 2);
    story.answer(Act::extend, 1, 11, 101, at, Outcome::refused).duration = 1s;
    story.remove(50);
    EXPECT_EQ(story.verdicts(), at == 20 ? only("refused") : innocent);
  }
}

TEST(Judge, ARefusalAfterACancelOrAnEarlierAnswerIsRight) {
  Story story;
  story.push(1, 11, 1);
  story.push(2, 12, 1);
  story.pull(1, 11, 101, 2);
  story.pull(2, 12, 102, 2);
  story.answer(Act::cancel, 0, 11, 0, 3);
  story.answer(Act::ack, 1, 11, 101, 4, Outcome::refused);
  story.ask(Act::ack, 2, 12, 102, 3);
  story.answer(Act::ack, 2, 12, 102, 4, Outcome::refused);
  EXPECT_EQ(story.verdicts(), innocent);
}

// -- token, early, reorder, starved
// ----------------------------------------------------------------

TEST(Judge, TokensGrowAcrossRestarts) {
  for (const std::uint64_t token : {100u, 102u}) {
    Story story;
    story.push(1, 11, 1);
    story.push(2, 12, 2);
    story.pull(1, 11, 101, 3);
    story.answer(Act::ack, 1, 11, 101, 4);
    story.restart(5, 6);
    story.pull(2, 12, token, 7);
    story.answer(Act::ack, 2, 12, token, 8);
    EXPECT_EQ(story.verdicts().contains("token"), token == 100);
  }
}

TEST(Judge, EarlyIsADeliveryBeforeTheDelayIsOver) {
  for (const int at : {10, 12}) {
    Story story;
    story.push(1, 11, 1).push->delay = 10s;
    story.pull(1, 11, 101, at);
    story.answer(Act::ack, 1, 11, 101, at + 1);
    EXPECT_EQ(story.verdicts(), at == 10 ? only("early") : innocent);
  }
}

TEST(Judge, EarlyIsADeliveryBeforeWhatItWaitsForHasSucceeded) {
  for (const bool is_early : {true, false}) {
    Story story;
    story.push(1, 11, 1);
    story.push(2, 12, 2).push->after.push_back(1);
    story.pull(1, 11, 101, 3);
    if (is_early) story.pull(2, 12, 102, 4);
    story.answer(Act::ack, 1, 11, 101, 5);
    if (!is_early) story.pull(2, 12, 102, 6);
    story.answer(Act::ack, 2, 12, 102, 7);
    EXPECT_EQ(story.verdicts(), is_early ? only("early") : innocent);
  }
}

TEST(Judge, ReorderIsALaterPushThatComesFirst) {
  for (const bool is_swapped : {true, false}) {
    Story story;
    story.push(1, 11, 1);
    story.push(2, 12, 2);
    story.pull(1, 11, is_swapped ? 102 : 101, 3);
    story.pull(2, 12, is_swapped ? 101 : 102, 3);
    story.answer(Act::ack, 1, 11, is_swapped ? 102 : 101, 4);
    story.answer(Act::ack, 2, 12, is_swapped ? 101 : 102, 4);
    EXPECT_EQ(story.verdicts(), is_swapped ? only("reorder") : innocent);
  }
}

TEST(Judge, ALostReplyOrAnotherPriorityExplainsAnotherOrder) {
  for (const bool is_lost : {true, false}) {
    Story story;
    story.push(1, 11, 1);
    Operation& second = story.push(2, 12, 2);
    if (is_lost) {
      story.lost_pull(2, 3);
    } else {
      second.push->priority = 100;
    }
    story.pull(2, 12, 101, 3);
    story.answer(Act::ack, 2, 12, 101, 4);
    story.pull(1, 11, 102, 4);
    story.answer(Act::ack, 1, 11, 102, 5);
    EXPECT_EQ(story.verdicts(), innocent);
  }
}

TEST(Judge, APullThatItsClientCutShortExplainsAnotherOrder) {
  Story story;
  story.push(1, 11, 1);
  story.push(2, 12, 2);
  story.cut_pull(2, 3);
  story.pull(2, 12, 101, 3);
  story.answer(Act::ack, 2, 12, 101, 4);
  story.pull(1, 11, 102, 4);
  story.answer(Act::ack, 1, 11, 102, 5);
  EXPECT_EQ(story.verdicts(), innocent);
}

TEST(Judge, StarvedIsWhatDoesNotDrain) {
  Story story;
  story.push(1, 11, 1);
  story.history().remains().is_drained = false;
  EXPECT_EQ(story.verdicts(), only("starved"));
  story.history().remains().is_refused = true;
  EXPECT_EQ(story.verdicts(), innocent) << "a server that found damage rightly does not start";
}

}  // namespace
}  // namespace sluice::sim
