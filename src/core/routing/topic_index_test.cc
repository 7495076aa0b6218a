// Patterns of topic exchanges: what matches, that nothing else does, and what it costs.
#include "core/routing/topic_index.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

bool matches(const std::string& pattern, const std::string& key) {
  TopicIndex index;
  index.add(pattern, {1, false});
  std::vector<Destination> found;
  Budget budget(1000);
  index.match(key, budget, found);
  EXPECT_FALSE(budget.is_exhausted());
  return !found.empty();
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  if (text.empty()) return words;
  std::size_t at = 0;
  for (std::size_t dot = text.find('.'); dot != std::string::npos; dot = text.find('.', at)) {
    words.push_back(text.substr(at, dot - at));
    at = dot + 1;
  }
  words.push_back(text.substr(at));
  return words;
}

/// The definition, word by word.
bool should_match(const std::vector<std::string>& pattern,
                  std::size_t p,
                  const std::vector<std::string>& key,
                  std::size_t k) {
  if (p == pattern.size()) return k == key.size();
  if (pattern[p] == "#") {
    return should_match(pattern, p + 1, key, k) ||
           (k < key.size() && should_match(pattern, p, key, k + 1));
  }
  const bool fits = k < key.size() && (pattern[p] == "*" || pattern[p] == key[k]);
  return fits && should_match(pattern, p + 1, key, k + 1);
}

std::string random_text(std::mt19937_64& random, const std::vector<std::string>& words) {
  std::string text;
  const std::uint64_t count = random() % 5;
  for (std::uint64_t word = 0; word < count; ++word)
    text += (word == 0 ? "" : ".") + words[random() % words.size()];
  return text;
}

TEST(TopicIndex, AStarIsOneWordAndAHashAnyNumber) {
  EXPECT_TRUE(matches("a.*.c", "a.b.c"));
  EXPECT_FALSE(matches("a.*.c", "a.c"));
  EXPECT_FALSE(matches("a.*", "a.b.c"));
  EXPECT_TRUE(matches("#", ""));
  EXPECT_TRUE(matches("#", "a.b.c"));
  EXPECT_TRUE(matches("a.#", "a"));
  EXPECT_TRUE(matches("a.#.c", "a.c"));
  EXPECT_TRUE(matches("a.#.c", "a.b.b.c"));
  EXPECT_FALSE(matches("a.#.c", "a.b.b"));
  EXPECT_TRUE(matches("#.#.#", "a"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches("*", ""));
  EXPECT_TRUE(matches("*.*", "."));
  EXPECT_FALSE(matches("A", "a"));
}

TEST(TopicIndex, MatchesWhatTheDefinitionSaysAmongManyPatternsThatComeAndGo) {
  std::mt19937_64 random(1);
  const std::vector<std::string> key_words{"a", "b", "", "cc"};
  const std::vector<std::string> pattern_words{"a", "b", "*", "#", "", "cc"};
  TopicIndex index;
  std::vector<std::pair<std::string, Destination>> added;
  for (int step = 0; step < 5000; ++step) {
    if (added.size() < 40 || random() % 2 == 0) {
      const Destination to{static_cast<std::uint32_t>(random() % 30), random() % 2 == 0};
      added.emplace_back(random_text(random, pattern_words), to);
      index.add(added.back().first, to);
    } else {
      const auto gone = added.begin() + static_cast<long>(random() % added.size());
      index.remove(gone->first, gone->second);
      added.erase(gone);
    }
    const std::string key = random_text(random, key_words);
    std::vector<Destination> found;
    Budget budget(10'000);
    index.match(key, budget, found);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    std::vector<Destination> expected;
    for (const auto& [pattern, to] : added) {
      if (should_match(words_of(pattern), 0, words_of(key), 0)) expected.push_back(to);
    }
    std::sort(expected.begin(), expected.end());
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
    ASSERT_EQ(found, expected) << "key " << key;
  }
  for (const auto& [pattern, to] : added)
    index.remove(pattern, to);
  EXPECT_EQ(index.node_count(), 1u);
}

TEST(TopicIndex, PatternsMadeToBeHardTakeEachNodeOnceAWord) {
  TopicIndex index;
  std::string pattern;
  for (int word = 0; word < 60; ++word)
    pattern += "#.a.";
  index.add(pattern + "b", {1, false});
  std::string key;
  for (int word = 0; word < 127; ++word)
    key += word == 0 ? "a" : ".a";
  std::vector<Destination> found;
  Budget budget(index.node_count() * 127);  // Backtracking would not come to an end.
  index.match(key, budget, found);
  EXPECT_TRUE(found.empty());
  EXPECT_FALSE(budget.is_exhausted());
}

TEST(TopicIndex, FindsNothingWhenItsBudgetIsExhausted) {
  TopicIndex index;
  index.add("#.c", {1, false});
  index.add("a.b.c", {2, false});
  const auto found_with = [&index](std::size_t steps) {
    std::vector<Destination> found;
    Budget budget(steps);
    index.match("a.b.c", budget, found);
    EXPECT_EQ(budget.is_exhausted(), found.empty());
    EXPECT_FALSE(budget.is_exhausted() && budget.spend(0));
    return found.size();
  };
  // Two nodes before each of the three words: that of the # and one on the way of a.b.c.
  EXPECT_EQ(found_with(5), 0u);
  EXPECT_EQ(found_with(6), 2u);
}

}  // namespace
}  // namespace sluice::core
