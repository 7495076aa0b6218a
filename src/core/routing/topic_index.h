// TopicIndex: the destinations of a topic exchange, by the patterns of its bindings.
//
// Patterns and keys are words with dots between them. In a pattern * stands for exactly one word
// and # for any number of words, also none (AMQP 0-9-1, section 3.1.3.3). The patterns are a trie
// of words; a key is matched by walking it with all nodes that its words so far may have led to, as
// in the simulation of a nondeterministic automaton (Thompson 1968): no recursion, no backtracking,
// and at most words x nodes steps whatever the patterns are. Each node is entered once a word.
#pragma once

#include "core/routing/budget.h"
#include "core/routing/destination.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice::core {

class TopicIndex {
 public:
  TopicIndex() : nodes_(1) {}

  void add(ByteView pattern, Destination to);
  /// Requires that it was added.
  void remove(ByteView pattern, Destination to);
  /// Appends the destinations of all patterns that match; one may come several times. Spends a step
  /// for each node and word, and finds nothing when the budget is exhausted.
  void match(ByteView key, Budget& budget, std::vector<Destination>& found);

  /// Nodes in use; 1 when it is empty. For tests.
  std::size_t node_count() const { return nodes_.size() - free_.size(); }

  /// Of all nodes but the root, and of their entries in the nodes above; 0 when it is empty.
  std::size_t memory_bytes() const { return (node_count() - 1) * (sizeof(Node) + entry_bytes); }

 private:
  using NodeIndex = std::uint32_t;
  static constexpr NodeIndex root = 0;
  static constexpr NodeIndex none = 0;            ///< Nobody's child is the root.
  static constexpr std::size_t entry_bytes = 80;  ///< A word and its child in a std::map, roughly.

  struct Node {
    std::map<std::string, NodeIndex, std::less<>> words;
    NodeIndex star = none;
    NodeIndex hash = none;
    NodeIndex parent = none;
    bool is_hash = false;  ///< Reached by #: stays while words pass.
    std::string word;      ///< The step from the parent; empty for * and #.
    Destinations destinations;
    std::uint64_t stamp = 0;  ///< Of the step in which it was entered last.
  };

  NodeIndex step(NodeIndex from, ByteView word);
  void prune(NodeIndex at);
  void enter(NodeIndex at);

  std::vector<Node> nodes_;
  std::vector<NodeIndex> free_;
  std::vector<NodeIndex> current_;
  std::vector<NodeIndex> next_;
  std::uint64_t stamp_ = 0;
};

}  // namespace sluice::core
