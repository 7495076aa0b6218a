// Pages: whole and zeroed, at a boundary, and moved without being copied.
#include "base/pages.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <gtest/gtest.h>

namespace sluice {
namespace {

class PagesTest : public testing::TestWithParam<Pages::Kind> {};

TEST_P(PagesTest, AreZeroedAndWhole) {
  for (const std::size_t bytes :
       {std::size_t{1}, page_bytes, page_bytes + 1, huge_page_bytes - 1}) {
    const Pages pages(bytes, GetParam());
    EXPECT_GE(pages.size(), bytes);
    EXPECT_LT(pages.size(), bytes + page_bytes);
    EXPECT_EQ(pages.size() % page_bytes, 0u);
    EXPECT_TRUE(std::all_of(
        pages.data(), pages.data() + pages.size(), [](char byte) { return byte == '\0'; }));
    pages.data()[pages.size() - 1] = 'x';
  }
}

TEST_P(PagesTest, ThatFillAHugePageBeginAtOne) {
  for (int count = 0; count < 8; ++count) {
    const Pages odd(page_bytes, GetParam());  // So that what comes next begins somewhere.
    const Pages pages(3 * huge_page_bytes, GetParam());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages.data()) % huge_page_bytes, 0u);
    pages.data()[0] = 'x';
    pages.data()[pages.size() - 1] = 'x';
  }
}

TEST_P(PagesTest, AreMovedAsTheyAre) {
  Pages first(page_bytes, GetParam());
  char* const at = first.data();
  at[0] = 'x';
  Pages second = std::move(first);
  EXPECT_EQ(second.data(), at);
  Pages third;
  EXPECT_EQ(third.data(), nullptr);
  EXPECT_EQ(third.size(), 0u);
  third = std::move(second);
  EXPECT_EQ(third.data(), at);
  EXPECT_EQ(third.data()[0], 'x');
}

INSTANTIATE_TEST_SUITE_P(OfBothKinds,
                         PagesTest,
                         testing::Values(Pages::Kind::ordinary, Pages::Kind::huge));

}  // namespace
}  // namespace sluice
