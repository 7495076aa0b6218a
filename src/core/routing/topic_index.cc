// TopicIndex: see topic_index.h.
#include "core/routing/topic_index.h"

#include "base/check.h"

namespace sluice::core {
namespace {

/// Calls `each` with every word: none for an empty text, else one more than it has dots.
template <class Each>
void for_each_word(ByteView text, Each each) {
  if (text.empty()) return;
  for (;;) {
    const std::size_t dot = text.find('.');
    each(text.substr(0, dot));
    if (dot == ByteView::npos) return;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

/// The node behind a word of a pattern; made if there is none.
TopicIndex::NodeIndex TopicIndex::step(NodeIndex from, ByteView word) {
  // Several # in a row mean what one means.
  if (word == "#" && nodes_[from].is_hash) return from;
  const auto known = [&]() -> NodeIndex {
    const Node& node = nodes_[from];
    if (word == "*") return node.star;
    if (word == "#") return node.hash;
    const auto found = node.words.find(word);
    return found == node.words.end() ? none : found->second;
  };
  if (const NodeIndex node = known(); node != none) return node;
  NodeIndex made = none;
  if (free_.empty()) {
    made = static_cast<NodeIndex>(nodes_.size());
    nodes_.emplace_back();
  } else {
    made = free_.back();
    free_.pop_back();
  }
  Node& node = nodes_[made];
  node.parent = from;
  if (word == "*") {
    nodes_[from].star = made;
  } else if (word == "#") {
    nodes_[from].hash = made;
    node.is_hash = true;
  } else {
    node.word = std::string(word);
    nodes_[from].words.emplace(node.word, made);
  }
  return made;
}

void TopicIndex::add(ByteView pattern, Destination to) {
  NodeIndex node = root;
  for_each_word(pattern, [&](ByteView word) { node = step(node, word); });
  add_to(nodes_[node].destinations, to);
}

void TopicIndex::remove(ByteView pattern, Destination to) {
  NodeIndex node = root;
  for_each_word(pattern, [&](ByteView word) { node = step(node, word); });
  check(nodes_[node].destinations.contains(to));
  remove_from(nodes_[node].destinations, to);
  prune(node);
}

/// Removes the node, and then those above it, as far as nothing needs them.
void TopicIndex::prune(NodeIndex at) {
  while (at != root) {
    Node& node = nodes_[at];
    const bool is_needed =
        !node.destinations.empty() || !node.words.empty() || node.star != none || node.hash != none;
    if (is_needed) return;
    const NodeIndex above = node.parent;
    Node& parent = nodes_[above];
    if (parent.star == at) {
      parent.star = none;
    } else if (parent.hash == at) {
      parent.hash = none;
    } else {
      parent.words.erase(node.word);
    }
    node = Node();
    free_.push_back(at);
    at = above;
  }
}

/// The next word may begin at this node, and behind a # that takes no word.
void TopicIndex::enter(NodeIndex at) {
  for (; at != none && nodes_[at].stamp != stamp_; at = nodes_[at].hash) {
    nodes_[at].stamp = stamp_;
    next_.push_back(at);
  }
}

void TopicIndex::match(ByteView key, Budget& budget, std::vector<Destination>& found) {
  ++stamp_;
  next_.assign(1, root);
  enter(nodes_[root].hash);
  for_each_word(key, [&](ByteView word) {
    ++stamp_;
    current_.swap(next_);
    next_.clear();
    if (!budget.spend(current_.size())) return;
    for (const NodeIndex at : current_) {
      const Node& node = nodes_[at];
      if (node.is_hash) enter(at);
      enter(node.star);
      const auto child = node.words.find(word);
      if (child != node.words.end()) enter(child->second);
    }
  });
  for (const NodeIndex at : next_)
    append(nodes_[at].destinations, found);
}

}  // namespace sluice::core
