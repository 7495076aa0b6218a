// UniqueKeys: which job a push with a unique key is. A key is held as long as its job is not
// finished, or for its window, which outlives the job.
#pragma once

#include "core/facts.h"
#include "core/output.h"

#include <iosfwd>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace sluice::core {

using KeyName = std::pair<QueueIndex, std::string>;

/// A unique key, and the job that a push with it is.
struct HeldKey {
  model::JobId job;
  Time until = never;  ///< `never`: as long as the job is not finished.
  Position home;
};

class UniqueKeys {
 public:
  /// Null: nobody holds it.
  const HeldKey* find(const KeyName& name) const;
  /// From now on a push with this key is this job.
  void hold(const KeyName& name, model::JobId job, Time until, Output& out);
  /// The job has ended. A key with a window outlives it; one that another job holds is not its own.
  void release(const KeyName& name, model::JobId job, Output& out);
  /// Gives up one key whose window is over. False: there is none.
  bool expire_one(Time passed, Output& out);
  /// When expire_one() has something to do.
  std::optional<Time> next_end() const;
  /// The queue is removed: windows of its keys end with it.
  void remove_queue(QueueIndex queue, Output& out);

  /// Bytes of memory, roughly.
  std::uint64_t memory_bytes() const { return memory_bytes_; }

  /// Journal bytes that cleaning would have to keep.
  std::uint64_t live_bytes() const { return live_bytes_; }

  // Recovery and cleaning, as in Core.
  void restore(const KeyHeld& held, Position at);
  void restore(const KeyGone& gone);
  void carry(const KeyHeld& held, Position at, Output& out);
  void dump(std::ostream& text) const;
  void check_invariants() const;

 private:
  using Held = std::map<KeyName, HeldKey>;
  void put(const KeyName& name, const HeldKey& key);
  Held::iterator drop(Held::iterator key);

  Held keys_;
  std::set<std::pair<Time, KeyName>> ends_;
  std::uint64_t memory_bytes_ = 0;
  std::uint64_t live_bytes_ = 0;
};

}  // namespace sluice::core
