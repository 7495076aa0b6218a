// Matchers: see matchers.h.
#include "core/routing/matchers.h"

#include <algorithm>

namespace sluice::core {

void DirectMatcher::add(const BindingTerms& terms) {
  add_to(by_key_[std::string(terms.key)], terms.to);
}

void DirectMatcher::remove(const BindingTerms& terms) {
  const auto found = by_key_.find(terms.key);
  remove_from(found->second, terms.to);
  if (found->second.empty()) by_key_.erase(found);
}

void DirectMatcher::match(const Address& address, Budget&, std::vector<Destination>& found) {
  const auto with_key = by_key_.find(address.key);
  if (with_key != by_key_.end()) append(with_key->second, found);
}

void HeadersMatcher::add(const BindingTerms& terms) {
  Rule rule{terms.to, {}, terms.is_any_enough};
  for (const auto& [name, value] : terms.headers)
    rule.headers.emplace_back(name, value);
  rules_.emplace(encode(terms), std::move(rule));
}

void HeadersMatcher::remove(const BindingTerms& terms) {
  rules_.erase(encode(terms));
}

void HeadersMatcher::match(const Address& address,
                           Budget& budget,
                           std::vector<Destination>& found) {
  const std::size_t given = address.headers == nullptr ? 0 : address.headers->size();
  for (const auto& [terms, rule] : rules_) {
    if (!budget.spend(1 + rule.headers.size() * given)) return;
    if (matches(rule, address)) found.push_back(rule.to);
  }
}

bool HeadersMatcher::matches(const Rule& rule, const Address& address) {
  const auto is_there = [&address](const std::pair<std::string, std::string>& wanted) {
    if (address.headers == nullptr) return false;
    return std::any_of(address.headers->begin(), address.headers->end(), [&](const auto& header) {
      return header.first == wanted.first &&
             (wanted.second.empty() || header.second == wanted.second);
    });
  };
  return rule.is_any_enough ? std::any_of(rule.headers.begin(), rule.headers.end(), is_there)
                            : std::all_of(rule.headers.begin(), rule.headers.end(), is_there);
}

}  // namespace sluice::core
