// Requests that wait: in order within a session, in turns between them.
#include "engine/postponed.h"

#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

BatchRest rest_of(std::vector<Sequence> sequences, std::size_t next = 0) {
  auto batch = std::make_shared<RequestBatch>();
  for (const Sequence sequence : sequences)
    batch->requests.push_back({sequence, model::GetStats{}});
  return {std::move(batch), next};
}

std::pair<std::uint32_t, Sequence> take(Postponed& postponed) {
  const Postponed::Turn turn = postponed.take();
  return {turn.session.value, turn.rest.batch->requests[turn.rest.next].sequence};
}

using Turns = std::vector<std::pair<std::uint32_t, Sequence>>;

TEST(Postponed, SessionsTakeTurnsAndKeepTheirOrder) {
  Postponed postponed;
  postponed.add(SessionId(7), rest_of({1, 2, 3}, 1));
  postponed.add(SessionId(7), rest_of({4}));
  postponed.add(SessionId(9), rest_of({1}));
  Turns turns;
  while (!postponed.empty())
    turns.push_back(take(postponed));
  EXPECT_EQ(turns, (Turns{{7, 2}, {9, 1}, {7, 3}, {7, 4}}));
}

TEST(Postponed, ASessionThatLeftIsRemovedWhole) {
  Postponed postponed;
  postponed.add(SessionId(7), rest_of({1, 2}));
  postponed.add(SessionId(9), rest_of({1}));
  const std::deque<BatchRest> removed = postponed.remove(SessionId(7));
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0].next, 0u);
  EXPECT_FALSE(postponed.has(SessionId(7)));
  EXPECT_TRUE(postponed.remove(SessionId(8)).empty());
  EXPECT_EQ(take(postponed), (std::pair<std::uint32_t, Sequence>{9, 1}));
  EXPECT_TRUE(postponed.empty());
}

}  // namespace
}  // namespace sluice::engine
