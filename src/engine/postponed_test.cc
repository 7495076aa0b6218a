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

/// The next one; {0, 0}: none may go.
std::pair<std::uint32_t, Sequence> take(Postponed& postponed, Sequence stuck = 0) {
  const auto turn = postponed.take(
      [stuck](const BatchRest& rest) { return rest.batch->requests[rest.next].sequence != stuck; });
  if (!turn) return {0, 0};
  return {turn->session.value, turn->rest.batch->requests[turn->rest.next].sequence};
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

TEST(Postponed, WhatMayNotGoHoldsUpItsSessionOnly) {
  Postponed postponed;
  postponed.add(SessionId(7), rest_of({5, 6}));
  postponed.add(SessionId(8), rest_of({1, 2}));
  postponed.add(SessionId(9), rest_of({3}));
  Turns turns;
  for (auto turn = take(postponed, 5); turn.first != 0; turn = take(postponed, 5))
    turns.push_back(turn);
  EXPECT_EQ(turns, (Turns{{8, 1}, {9, 3}, {8, 2}}));
  EXPECT_EQ(take(postponed), (std::pair<std::uint32_t, Sequence>{7, 5}));
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
