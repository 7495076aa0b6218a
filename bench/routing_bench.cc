// Routing alone: which queues a message reaches, through many bindings; and beside each a way that
// needs no index of its own: std::multimap for keys, a look at every pattern for topics.
//
//   routing_bench --benchmark_filter=Topic
//
// Keys differ from one message to the next, so that what they touch is not all in the first cache.
#include "base/check.h"
#include "core/routing/router.h"
#include "model/limits.h"

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace sluice::core {
namespace {

struct Bound {
  std::string pattern;
  QueueIndex queue = 0;
};

constexpr std::size_t key_count = 10'000;  ///< Messages that are routed in turn.
constexpr std::uint32_t queue_count = 1000;

/// An exchange in a router of its own, with these bindings.
class BenchExchange {
 public:
  BenchExchange(model::ExchangeKind kind, const std::vector<Bound>& bindings) {
    check(router_.finish_restore([](QueueIndex) { return true; }).has_value());
    model::Exchange exchange;
    exchange.kind = kind;
    node_ = &router_.add("bench", exchange);
    for (const Bound& bound : bindings)
      router_.bind(*node_, {{bound.queue, false}, bound.pattern, {}, false, {}}, Position());
  }

  const std::vector<QueueIndex>& route(const std::string& key) {
    Budget budget(SIZE_MAX);
    const Address address{key, nullptr};
    return router_.route(*node_, {&address, 1}, budget);
  }

  std::size_t memory_bytes() const { return router_.memory_bytes(); }

 private:
  Router router_;
  Router::Node* node_ = nullptr;
};

std::string numbered(const char* text, std::uint64_t number) {
  return text + std::to_string(number);
}

/// Half of the bindings are "region-R.*.shop-N.#", half exact keys of four words.
std::vector<Bound> topic_bindings(std::size_t count) {
  std::vector<Bound> bindings;
  std::mt19937_64 random(1);
  for (std::size_t n = 0; n < count; ++n) {
    const auto queue = static_cast<QueueIndex>(random() % queue_count);
    const std::string region = numbered("region-", n % 20);
    const std::string shop = numbered("shop-", n / 2);
    bindings.push_back(
        {n % 2 == 0 ? region + ".*." + shop + ".#" : region + ".orders." + shop + ".paid", queue});
  }
  // And one that everything matches.
  bindings.push_back({"*.*.*.#", queue_count});
  return bindings;
}

/// Keys of four words, each of which one to three of those bindings match.
std::vector<std::string> topic_keys(std::size_t binding_count) {
  std::vector<std::string> keys;
  std::mt19937_64 random(2);
  for (std::size_t n = 0; n < key_count; ++n) {
    const std::uint64_t chosen = random() % binding_count;
    keys.push_back(numbered("region-", chosen % 20) + ".orders." + numbered("shop-", chosen / 2) +
                   (random() % 2 == 0 ? ".paid" : ".shipped"));
  }
  return keys;
}

/// Routes the keys in turn; the counter says how many queues a message reaches.
template <class Route>
void measure(benchmark::State& state, const std::vector<std::string>& keys, Route route) {
  std::size_t next = 0;
  std::size_t reached = 0;
  for (auto _ : state) {
    reached += route(keys[next]);
    if (++next == keys.size()) next = 0;
  }
  benchmark::DoNotOptimize(reached);
  state.counters["matches"] =
      static_cast<double>(reached) / static_cast<double>(state.iterations());
}

void Topic(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  BenchExchange exchange(model::ExchangeKind::topic, topic_bindings(count));
  measure(
      state, topic_keys(count), [&](const std::string& key) { return exchange.route(key).size(); });
  state.counters["bytes_per_binding"] =
      static_cast<double>(exchange.memory_bytes()) / static_cast<double>(count);
}

BENCHMARK(Topic)->Arg(100)->Arg(10'000)->Arg(100'000)->Arg(1'000'000);

using Words = std::vector<std::string_view>;

void split(std::string_view text, Words& words) {
  words.clear();
  for (std::size_t dot = text.find('.'); dot != text.npos; dot = text.find('.')) {
    words.push_back(text.substr(0, dot));
    text.remove_prefix(dot + 1);
  }
  words.push_back(text);
}

bool fits(const Words& pattern, std::size_t p, const Words& key, std::size_t k) {
  for (; p < pattern.size(); ++p, ++k) {
    if (pattern[p] == "#") {
      for (; k <= key.size(); ++k) {
        if (fits(pattern, p + 1, key, k)) return true;
      }
      return false;
    }
    if (k == key.size() || (pattern[p] != "*" && pattern[p] != key[k])) return false;
  }
  return k == key.size();
}

/// The peer: every pattern, already cut into words, against the key.
void TopicByScan(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const std::vector<Bound> bindings = topic_bindings(count);
  std::vector<Words> patterns(bindings.size());
  for (std::size_t n = 0; n < bindings.size(); ++n)
    split(bindings[n].pattern, patterns[n]);
  Words words;
  measure(state, topic_keys(count), [&](const std::string& key) {
    split(key, words);
    std::size_t found = 0;
    for (const Words& pattern : patterns)
      found += fits(pattern, 0, words, 0) ? 1u : 0u;
    return found;
  });
}

BENCHMARK(TopicByScan)->Arg(100)->Arg(10'000)->Arg(100'000);

std::vector<Bound> direct_bindings(std::size_t count) {
  std::vector<Bound> bindings;
  for (std::size_t n = 0; n < count; ++n) {
    bindings.push_back({numbered("region-", n % 20) + ".orders." + numbered("shop-", n) + ".paid",
                        static_cast<QueueIndex>(n % queue_count)});
  }
  return bindings;
}

std::vector<std::string> keys_of(const std::vector<Bound>& bindings) {
  std::vector<std::string> keys;
  std::mt19937_64 random(3);
  for (std::size_t n = 0; n < key_count; ++n)
    keys.push_back(bindings[random() % bindings.size()].pattern);
  return keys;
}

void Direct(benchmark::State& state) {
  const std::vector<Bound> bindings = direct_bindings(static_cast<std::size_t>(state.range(0)));
  BenchExchange exchange(model::ExchangeKind::direct, bindings);
  measure(
      state, keys_of(bindings), [&](const std::string& key) { return exchange.route(key).size(); });
}

BENCHMARK(Direct)->Arg(100)->Arg(100'000);

/// The peer: a std::multimap from key to queue.
void DirectByMultimap(benchmark::State& state) {
  const std::vector<Bound> bindings = direct_bindings(static_cast<std::size_t>(state.range(0)));
  std::multimap<std::string, QueueIndex, std::less<>> queues;
  for (const Bound& bound : bindings)
    queues.emplace(bound.pattern, bound.queue);
  std::vector<QueueIndex> found;
  measure(state, keys_of(bindings), [&](const std::string& key) {
    found.clear();
    const auto [begin, end] = queues.equal_range(key);
    for (auto at = begin; at != end; ++at)
      found.push_back(at->second);
    return found.size();
  });
}

BENCHMARK(DirectByMultimap)->Arg(100)->Arg(100'000);

/// range(0) different patterns as hard as 255 bytes can be, #.a.#.b.#.a…, against a key of 128
/// words that are all a or b: every node of the index stays possible.
std::vector<Bound> hard_bindings(std::size_t count) {
  std::vector<Bound> bindings;
  std::mt19937_64 random(4);
  for (std::size_t n = 0; n < count; ++n) {
    std::string pattern = "#";
    while (pattern.size() + 4 <= model::routing_key_bytes_max)
      pattern += random() % 2 == 0 ? ".a.#" : ".b.#";
    bindings.push_back({pattern, static_cast<QueueIndex>(n)});
  }
  return bindings;
}

std::vector<std::string> hard_keys() {
  std::string key = "a";
  while (key.size() + 2 <= model::routing_key_bytes_max)
    key += key.back() == 'a' ? ".b" : ".a";
  return {key};
}

void HardTopic(benchmark::State& state) {
  BenchExchange exchange(model::ExchangeKind::topic,
                         hard_bindings(static_cast<std::size_t>(state.range(0))));
  measure(state, hard_keys(), [&](const std::string& key) { return exchange.route(key).size(); });
}

BENCHMARK(HardTopic)->Arg(1)->Arg(10)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

/// What a # costs if it is common: "#.shop-N" for 100,000 shops.
void ManyHashes(benchmark::State& state) {
  std::vector<Bound> bindings;
  for (std::uint64_t n = 0; n < 100'000; ++n)
    bindings.push_back({"#." + numbered("shop-", n), static_cast<QueueIndex>(n % queue_count)});
  BenchExchange exchange(model::ExchangeKind::topic, bindings);
  std::vector<std::string> keys;
  std::mt19937_64 random(5);
  for (std::size_t n = 0; n < key_count; ++n)
    keys.push_back("region.orders.paid." + numbered("shop-", random() % 100'000));
  measure(state, keys, [&](const std::string& key) { return exchange.route(key).size(); });
}

BENCHMARK(ManyHashes);

}  // namespace
}  // namespace sluice::core

BENCHMARK_MAIN();
