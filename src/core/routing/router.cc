// Router: see router.h.
#include "core/routing/router.h"

#include "base/check.h"

#include <algorithm>

namespace sluice::core {
namespace {

/// A binding is kept twice, and its key in the matcher; what a matcher needs besides it says.
constexpr std::size_t binding_overhead = 256;
constexpr std::size_t exchange_overhead = 512;

std::size_t cost(std::size_t terms_bytes) {
  return binding_overhead + 3 * terms_bytes;
}

/// Journal bytes of a binding_put and of an exchange_put (core/facts.h).
std::size_t record_bytes(std::size_t terms_bytes) {
  return 1 + 4 + 4 + terms_bytes;
}

std::size_t record_bytes(const Router::Node& node) {
  return 1 + 4 + 1 + 1 + 1 + node.name.size() + 1 + node.exchange.alternate.size() + 2 +
         node.exchange.arguments.size();
}

Matcher matcher_of(model::ExchangeKind kind) {
  switch (kind) {
    case model::ExchangeKind::direct:
      return DirectMatcher();
    case model::ExchangeKind::fanout:
      return FanoutMatcher();
    case model::ExchangeKind::topic:
      return TopicMatcher();
    case model::ExchangeKind::headers:
      return HeadersMatcher();
  }
  return DirectMatcher();
}

BindingTerms terms_of(const std::string& encoded) {
  Result<BindingTerms> terms = decode_binding(encoded);
  check(terms.has_value());
  return std::move(*terms);
}

}  // namespace

// -- Exchanges. ----------------------------------------------------------------------------------

Router::Node* Router::find(ByteView name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : nodes_[found->second].get();
}

Router::Node* Router::find(ExchangeIndex index) const {
  return index < nodes_.size() ? nodes_[index].get() : nullptr;
}

Router::Node& Router::slot(ExchangeIndex index) {
  if (index >= nodes_.size()) nodes_.resize(index + 1);
  if (nodes_[index] == nullptr) {
    nodes_[index] = std::make_unique<Node>();
    nodes_[index]->index = index;
  }
  return *nodes_[index];
}

Router::Node& Router::add(ByteView name, model::Exchange exchange) {
  const auto free_place = std::find(nodes_.begin(), nodes_.end(), nullptr);
  Node& node = slot(static_cast<ExchangeIndex>(free_place - nodes_.begin()));
  node.name = std::string(name);
  node.matcher = matcher_of(exchange.kind);
  node.exchange = std::move(exchange);
  names_.emplace(node.name, node.index);
  bytes_ += exchange_overhead + node.name.size() + node.exchange.arguments.size();
  live_bytes_ += record_bytes(node);
  return node;
}

void Router::remove(Node& node) {
  while (!node.bindings.empty())
    drop(node, node.bindings.begin());
  forget_bindings_to({node.index, true});
  abandoned_.erase(node.index);
  if (!node.name.empty()) {
    names_.erase(node.name);
    bytes_ -= exchange_overhead + node.name.size() + node.exchange.arguments.size();
    live_bytes_ -= record_bytes(node);
  }
  nodes_[node.index].reset();
}

// -- Bindings. -----------------------------------------------------------------------------------

void Router::bind(Node& node, const BindingTerms& terms, Position home) {
  const auto [binding, is_new] = node.bindings.emplace(encode(terms), home);
  check(is_new);
  add_to_matcher(node, terms);
  leading_to_[terms.to].emplace(node.index, binding->first);
  abandoned_.erase(node.index);
  ++binding_count_;
  bytes_ += cost(binding->first.size());
  live_bytes_ += record_bytes(binding->first.size());
}

void Router::add_to_matcher(Node& node, const BindingTerms& terms) {
  std::visit(
      [&](auto& matcher) {
        bytes_ -= matcher.memory_bytes();
        matcher.add(terms);
        bytes_ += matcher.memory_bytes();
      },
      node.matcher);
}

void Router::remove_from_matcher(Node& node, const BindingTerms& terms) {
  std::visit(
      [&](auto& matcher) {
        bytes_ -= matcher.memory_bytes();
        matcher.remove(terms);
        bytes_ += matcher.memory_bytes();
      },
      node.matcher);
}

bool Router::unbind(Node& node, const BindingTerms& terms) {
  const auto binding = node.bindings.find(encode(terms));
  if (binding == node.bindings.end()) return false;
  drop(node, binding);
  return true;
}

/// Removes a binding from everywhere.
void Router::drop(Node& node, std::map<std::string, Position>::iterator binding) {
  const std::string encoded = binding->first;
  const BindingTerms terms = terms_of(encoded);
  if (!is_restoring_) remove_from_matcher(node, terms);
  const auto others = leading_to_.find(terms.to);
  others->second.erase({node.index, encoded});
  if (others->second.empty()) leading_to_.erase(others);
  node.bindings.erase(binding);
  --binding_count_;
  bytes_ -= cost(encoded.size());
  live_bytes_ -= record_bytes(encoded.size());
  if (node.bindings.empty() && node.exchange.is_auto_delete) abandoned_.insert(node.index);
}

void Router::forget_bindings_to(Destination to) {
  for (auto places = leading_to_.find(to); places != leading_to_.end();
       places = leading_to_.find(to)) {
    const auto& [exchange, encoded] = *places->second.begin();
    Node& node = *nodes_[exchange];
    drop(node, node.bindings.find(encoded));
  }
}

void Router::forget_queue(QueueIndex queue) {
  forget_bindings_to({queue, false});
}

Router::Node* Router::abandoned() {
  return abandoned_.empty() ? nullptr : nodes_[*abandoned_.begin()].get();
}

// -- Routing. ------------------------------------------------------------------------------------

const std::vector<QueueIndex>& Router::route(Node& start,
                                             std::span<const Address> addresses,
                                             Budget& budget) {
  ++stamp_;
  queues_.clear();
  to_visit_.clear();
  visit(start);
  for (std::size_t next = 0; next < to_visit_.size(); ++next) {
    Node& node = *nodes_[to_visit_[next]];
    matched_.clear();
    for (const Address& address : addresses)
      std::visit([&](auto& matcher) { matcher.match(address, budget, matched_); }, node.matcher);
    for (const Destination to : matched_) {
      if (to.is_exchange) {
        visit(*nodes_[to.index]);
        continue;
      }
      if (to.index >= queue_stamps_.size()) queue_stamps_.resize(to.index + 1);
      if (std::exchange(queue_stamps_[to.index], stamp_) != stamp_) queues_.push_back(to.index);
    }
    if (!matched_.empty() || node.exchange.alternate.empty()) continue;
    if (Node* alternate = find(ByteView(node.exchange.alternate))) visit(*alternate);
  }
  return queues_;
}

/// Once for each message, so that exchanges may lead in circles.
void Router::visit(Node& node) {
  if (std::exchange(node.stamp, stamp_) != stamp_) to_visit_.push_back(node.index);
}

// -- Restoring. ----------------------------------------------------------------------------------

void Router::restore_exchange(ExchangeIndex index,
                              ByteView name,
                              model::Exchange exchange,
                              Position at) {
  Node& node = slot(index);
  node.home = at;
  if (!node.name.empty()) return;  // Carried forward: nothing of an exchange ever changes.
  node.name = std::string(name);
  names_.emplace(node.name, index);
  node.exchange = std::move(exchange);
  bytes_ += exchange_overhead + node.name.size() + node.exchange.arguments.size();
  live_bytes_ += record_bytes(node);
}

void Router::restore_binding(ExchangeIndex index, ByteView terms, Position at) {
  Node& node = slot(index);
  const auto [binding, is_new] = node.bindings.insert_or_assign(std::string(terms), at);
  if (!is_new) return;
  leading_to_[terms_of(binding->first).to].emplace(index, binding->first);
  ++binding_count_;
  bytes_ += cost(terms.size());
  live_bytes_ += record_bytes(terms.size());
}

void Router::restore_unbinding(ExchangeIndex index, ByteView terms) {
  Node* node = find(index);
  if (node == nullptr) return;
  const auto binding = node->bindings.find(std::string(terms));
  if (binding != node->bindings.end()) drop(*node, binding);
}

void Router::restore_removal(ExchangeIndex index) {
  if (Node* node = find(index)) return remove(*node);
  // Its record was in front of where the log begins; bindings to it may stand behind.
  forget_bindings_to({index, true});
}

Result<void> Router::finish_restore(const std::function<bool(QueueIndex)>& is_queue) {
  is_restoring_ = false;
  abandoned_.clear();  // What was abandoned has a fact of its own that says it is gone.
  const auto is_exchange = [this](ExchangeIndex index) {
    const Node* node = find(index);
    return node != nullptr && !node->name.empty();
  };
  for (const auto& [to, places] : leading_to_) {
    const bool is_known = to.is_exchange ? is_exchange(to.index) : is_queue(to.index);
    const auto broken = std::find_if(places.begin(), places.end(), [&](const auto& place) {
      return !is_known || !is_exchange(place.first);
    });
    if (broken == places.end()) continue;
    return fail(ErrorCode::corrupt,
                "the log has a binding from exchange number " + std::to_string(broken->first) +
                    " to " + (to.is_exchange ? "exchange" : "queue") + " number " +
                    std::to_string(to.index) + ", and no record of one of them");
  }
  for (std::unique_ptr<Node>& node : nodes_) {
    if (node == nullptr) continue;
    if (node->name.empty()) {
      node.reset();
      continue;
    }
    node->matcher = matcher_of(node->exchange.kind);
    for (const auto& [encoded, at] : node->bindings)
      add_to_matcher(*node, terms_of(encoded));
  }
  return {};
}

}  // namespace sluice::core
