// Pool: numbers, addresses that stay, and what was removed being used again.
#include "core/pool.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

struct Thing {
  std::uint64_t value = 7;
  char rest[4096] = {};
};

constexpr std::uint32_t in_a_chunk = huge_page_bytes / sizeof(Thing);

TEST(PoolTest, NumbersCountUpAndAddressesStay) {
  Pool<Thing> things;
  EXPECT_EQ(things.size(), 0u);
  std::vector<Thing*> places;
  for (std::uint32_t number = 0; number < 2 * in_a_chunk + 1; ++number) {
    ASSERT_EQ(things.add(), number);
    EXPECT_EQ(things[number].value, 7u);
    things[number].value = number;
    places.push_back(&things[number]);
  }
  EXPECT_EQ(things.size(), places.size());
  for (std::uint32_t number = 0; number < places.size(); ++number) {
    EXPECT_EQ(&things[number], places[number]);
    EXPECT_EQ(things[number].value, number);
  }
}

TEST(PoolTest, WhatWasRemovedLastIsUsedFirst) {
  Pool<Thing> things;
  for (std::uint32_t number = 0; number < 4; ++number)
    things[things.add()].value = 100 + number;
  things.remove(1);
  things.remove(3);
  EXPECT_EQ(things.size(), 2u);
  EXPECT_EQ(things.add(), 3u);
  EXPECT_EQ(things[3].value, 7u);
  EXPECT_EQ(things.add(), 1u);
  EXPECT_EQ(things.add(), 4u);
  EXPECT_EQ(things[0].value, 100u);
  EXPECT_EQ(things[2].value, 102u);
  EXPECT_EQ(things.size(), 5u);
}

}  // namespace
}  // namespace sluice::core
