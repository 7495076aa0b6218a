// The router alone: each queue once, whichever ways lead to it.
#include "core/routing/router.h"

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    EXPECT_TRUE(router_.finish_restore([](QueueIndex) { return true; }));
    model::Exchange topic;
    topic.kind = model::ExchangeKind::topic;
    router_.add("topic", topic);
  }

  Router::Node& topic() { return *router_.find("topic"); }

  void bind(ByteView key, QueueIndex queue) {
    router_.bind(topic(), {{queue, false}, key, {}, false, {}}, Position());
  }

  std::vector<QueueIndex> route(ByteView key, std::size_t steps = 100) {
    Budget budget(steps);
    const Address address{key, nullptr};
    return router_.route(topic(), {&address, 1}, budget);
  }

  Router router_;
};

TEST_F(RouterTest, AQueueThatSeveralBindingsLeadToIsNamedOnce) {
  bind("#", 3);
  bind("a.*", 3);
  bind("a.b", 3);
  EXPECT_EQ(route("a.b"), (std::vector<QueueIndex>{3}));
  EXPECT_EQ(route("a.b"), (std::vector<QueueIndex>{3}));
}

TEST_F(RouterTest, AQueueThatSeveralExchangesLeadToIsNamedOnce) {
  Router::Node& other = router_.add("other", {});
  router_.bind(topic(), {{other.index, true}, "a", {}, false, {}}, Position());
  router_.bind(other, {{3, false}, "a", {}, false, {}}, Position());
  bind("a", 3);
  EXPECT_EQ(route("a"), (std::vector<QueueIndex>{3}));
}

TEST(RouterRestore, ARemovalTakesBindingsAlsoWhereTheRecordIsInFrontOfTheLog) {
  Router router;
  router.restore_exchange(0, "orders", {}, Position());
  router.restore_binding(0, encode({{1, true}, "key", {}, false, {}}), Position());
  router.restore_removal(1);
  EXPECT_TRUE(router.finish_restore([](QueueIndex) { return true; }));
}

TEST_F(RouterTest, WithoutStepsLeftNothingIsFound) {
  bind("a", 3);
  EXPECT_TRUE(route("a", 0).empty());
}

}  // namespace
}  // namespace sluice::core
