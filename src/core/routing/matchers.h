// The three simple ways of an exchange to choose among its bindings. The fourth: topic_index.h.
// All have the same functions. match() may name a destination several times, and ends early when
// the budget is exhausted; memory_bytes() is what they need beyond what each binding costs anyway
// (router.cc).
#pragma once

#include "core/routing/binding_terms.h"
#include "core/routing/budget.h"
#include "core/routing/topic_index.h"
#include "model/job.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace sluice::core {

/// What of a message decides where it goes: one of its keys, and its headers.
struct Address {
  ByteView key;
  const model::HeaderList* headers = nullptr;  ///< Null: none.
};

class DirectMatcher {
 public:
  void add(const BindingTerms& terms);
  void remove(const BindingTerms& terms);
  void match(const Address& address, Budget&, std::vector<Destination>& found);

  static std::size_t memory_bytes() { return 0; }

 private:
  std::map<std::string, Destinations, std::less<>> by_key_;
};

class FanoutMatcher {
 public:
  void add(const BindingTerms& terms) { add_to(all_, terms.to); }

  void remove(const BindingTerms& terms) { remove_from(all_, terms.to); }

  void match(const Address&, Budget&, std::vector<Destination>& found) { append(all_, found); }

  static std::size_t memory_bytes() { return 0; }

 private:
  Destinations all_;
};

class TopicMatcher {
 public:
  void add(const BindingTerms& terms) { index_.add(terms.key, terms.to); }

  void remove(const BindingTerms& terms) { index_.remove(terms.key, terms.to); }

  void match(const Address& address, Budget& budget, std::vector<Destination>& found) {
    index_.match(address.key, budget, found);
  }

  std::size_t memory_bytes() const { return index_.memory_bytes(); }

 private:
  TopicIndex index_;
};

/// Looks at every binding: there is no order among sets of headers that would let it skip some.
class HeadersMatcher {
 public:
  void add(const BindingTerms& terms);
  void remove(const BindingTerms& terms);
  void match(const Address& address, Budget& budget, std::vector<Destination>& found);

  static std::size_t memory_bytes() { return 0; }

 private:
  struct Rule {
    Destination to;
    std::vector<std::pair<std::string, std::string>> headers;
    bool is_any_enough = false;
  };

  static bool matches(const Rule& rule, const Address& address);

  std::map<std::string, Rule> rules_;  ///< By the binding's encoded terms.
};

using Matcher = std::variant<DirectMatcher, FanoutMatcher, TopicMatcher, HeadersMatcher>;

}  // namespace sluice::core
