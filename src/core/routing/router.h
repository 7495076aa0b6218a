// Router: the exchanges and their bindings, and where a message goes. Knows queues by their index
// only. What is durable of it is written by the core (core/routes.cc), as facts.
#pragma once

#include "base/position.h"
#include "core/routing/matchers.h"
#include "model/routing.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace sluice::core {

using ExchangeIndex = std::uint32_t;

class Router {
 public:
  /// An exchange with what leads on from it.
  struct Node {
    ExchangeIndex index = 0;
    std::string name;
    model::Exchange exchange;
    Position home;
    std::map<std::string, Position> bindings;  ///< By their terms as text; where each stands.
    Matcher matcher;
    std::uint64_t stamp = 0;  ///< Of the message that came by last.
  };

  /// Null if there is none.
  Node* find(ByteView name) const;
  Node* find(ExchangeIndex index) const;

  std::size_t exchange_count() const { return names_.size(); }

  std::size_t binding_count() const { return binding_count_; }

  const std::map<std::string, ExchangeIndex, std::less<>>& names() const { return names_; }

  /// Bytes of memory, roughly.
  std::size_t memory_bytes() const { return bytes_; }

  /// Journal bytes that cleaning would have to keep.
  std::size_t live_bytes() const { return live_bytes_; }

  /// Requires that the name is free.
  Node& add(ByteView name, model::Exchange exchange);
  /// Removes it with all bindings from it and to it.
  void remove(Node& node);
  /// Removes all bindings to the queue.
  void forget_queue(QueueIndex queue);
  /// Requires that there is no such binding yet.
  void bind(Node& node, const BindingTerms& terms, Position home);
  /// False: there is no such binding.
  bool unbind(Node& node, const BindingTerms& terms);
  /// An auto-delete exchange that has lost its last binding, until it is removed; null: none.
  Node* abandoned();

  /// The queues that get a message published to this exchange, each once. Valid until the next
  /// call, and not all of them when the budget is exhausted. Each exchange on the way looks at
  /// every address that the message has. Alternate exchanges, of what no address finds a way from,
  /// and cycles of exchanges are followed.
  const std::vector<QueueIndex>& route(Node& start,
                                       std::span<const Address> addresses,
                                       Budget& budget);

  // Restoring: facts in any order; finish_restore() builds what makes matching fast.
  void restore_exchange(ExchangeIndex index, ByteView name, model::Exchange exchange, Position at);
  void restore_binding(ExchangeIndex index, ByteView terms, Position at);
  void restore_unbinding(ExchangeIndex index, ByteView terms);
  void restore_removal(ExchangeIndex index);
  /// Error `corrupt`: a binding from or to something of which there is no record.
  Result<void> finish_restore(const std::function<bool(QueueIndex)>& is_queue);

 private:
  using BindingPlace = std::pair<ExchangeIndex, std::string>;

  Node& slot(ExchangeIndex index);
  void forget_bindings_to(Destination to);
  void drop(Node& node, std::map<std::string, Position>::iterator binding);
  void add_to_matcher(Node& node, const BindingTerms& terms);
  void remove_from_matcher(Node& node, const BindingTerms& terms);
  void visit(Node& node);

  std::vector<std::unique_ptr<Node>> nodes_;  ///< By index; null: free.
  std::map<std::string, ExchangeIndex, std::less<>> names_;
  std::map<Destination, std::set<BindingPlace>> leading_to_;
  std::set<ExchangeIndex> abandoned_;
  std::size_t binding_count_ = 0;
  std::size_t bytes_ = 0;
  std::size_t live_bytes_ = 0;
  bool is_restoring_ = true;
  // Of the message that is being routed.
  std::uint64_t stamp_ = 0;
  std::vector<ExchangeIndex> to_visit_;
  std::vector<Destination> matched_;
  std::vector<QueueIndex> queues_;
  std::vector<std::uint64_t> queue_stamps_;
};

}  // namespace sluice::core
