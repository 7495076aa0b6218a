// Timeline: the lives of the server within a history, and what can be said from outside about when
// a lease ended. All bounds are on the server's side: the earliest moment at which it may have
// been.
#pragma once

#include "sim/history/history.h"

#include <algorithm>
#include <vector>

namespace sluice::sim {

/// One delivery, with the pull that brought it and what its holder did with it.
struct Lease {
  const Operation* pull = nullptr;
  const Delivered* job = nullptr;
  Moment granted{0};                      ///< Not before.
  std::vector<const Operation*> answers;  ///< With its token, in the order of their invocations.

  Moment received() const { return pull->returned; }

  std::size_t order() const { return pull->return_order; }
};

class Timeline {
 public:
  explicit Timeline(const History& history);

  /// Number of the server's life in which an answered request was answered: its connection lived in
  /// one life only.
  std::size_t life(const Operation& operation) const { return life_at(operation.invoke_order); }

  /// Lives between which nothing may be forgotten have the same era.
  std::size_t era(const Operation& operation) const { return era_of_life(life(operation)); }

  std::size_t era_of_life(std::size_t life) const { return eras_[life]; }

  /// What was answered is not forgotten by any restart that the sync policy excuses.
  bool is_firm(const Operation& answered) const;

  /// Whether what the client had heard by `order`, in that life, is known to have been durable:
  /// something that waits for the disk was asked for later and answered.
  bool is_durable(std::size_t order, std::size_t life) const {
    return !is_forgetting(life) && order < durable_orders_[life];
  }

  /// By how much journal time may have run ahead of true time from one life to another.
  Micros jumps(std::size_t from_life, std::size_t to_life) const;

  /// The moment before which the lease cannot have expired, as far as requests invoked before
  /// `order` tell.
  Moment earliest_expiry(const Lease& lease, std::size_t order) const;

 private:
  std::size_t life_at(std::size_t order) const;
  bool is_forgetting(std::size_t life) const;

  const std::vector<Restart>& restarts_;
  std::vector<std::size_t> eras_;            ///< By life.
  std::vector<std::size_t> durable_orders_;  ///< By life: invocation of its last durable request.
};

}  // namespace sluice::sim
