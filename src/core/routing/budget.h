// Budget: how many steps the routing of one message may still take, so that bindings which are made
// to be hard delay nobody else for long.
#pragma once

#include <cstddef>

namespace sluice::core {

class Budget {
 public:
  explicit Budget(std::size_t steps) : left_(steps) {}

  /// False when there are not so many left: then it is exhausted.
  bool spend(std::size_t steps) {
    is_exhausted_ = is_exhausted_ || steps > left_;
    if (!is_exhausted_) left_ -= steps;
    return !is_exhausted_;
  }

  bool is_exhausted() const { return is_exhausted_; }

 private:
  std::size_t left_;
  bool is_exhausted_ = false;
};

}  // namespace sluice::core
