// UniqueKeys: see unique_keys.h.
#include "core/unique_keys.h"

#include "base/check.h"

#include <ostream>

namespace sluice::core {
namespace {

/// A node of a map beside the name: its links, and what the allocator adds.
constexpr std::uint64_t node_bytes = 64;

std::uint64_t memory_of(const KeyName& name, bool has_window) {
  const std::uint64_t entry = node_bytes + sizeof(KeyName) + name.second.size();
  return entry + sizeof(HeldKey) + (has_window ? entry + sizeof(Time) : 0);
}

/// Of a key_held (core/facts.h): kind, queue, length, key, job, until.
std::uint64_t record_of(const KeyName& name) {
  return 1 + 4 + 2 + name.second.size() + 8 + 8;
}

}  // namespace

const HeldKey* UniqueKeys::find(const KeyName& name) const {
  const auto held = keys_.find(name);
  return held == keys_.end() ? nullptr : &held->second;
}

void UniqueKeys::hold(const KeyName& name, model::JobId job, Time until, Output& out) {
  put(name, HeldKey{job, until, out.here()});
  put_key(*out.facts, {name.first, name.second, job, until});
}

void UniqueKeys::release(const KeyName& name, model::JobId job, Output& out) {
  const auto held = keys_.find(name);
  if (held == keys_.end() || held->second.job != job || held->second.until != never) return;
  put_key_gone(*out.facts, name.first, name.second);
  drop(held);
}

bool UniqueKeys::expire_one(Time passed, Output& out) {
  if (ends_.empty() || ends_.begin()->first > passed) return false;
  const auto held = keys_.find(ends_.begin()->second);
  put_key_gone(*out.facts, held->first.first, held->first.second);
  drop(held);
  return true;
}

std::optional<Time> UniqueKeys::next_end() const {
  if (ends_.empty()) return std::nullopt;
  return ends_.begin()->first;
}

void UniqueKeys::remove_queue(QueueIndex queue, Output& out) {
  auto key = keys_.lower_bound({queue, std::string()});
  while (key != keys_.end() && key->first.first == queue) {
    put_key_gone(*out.facts, queue, key->first.second);
    key = drop(key);
  }
}

/// Takes it from whoever held it.
void UniqueKeys::put(const KeyName& name, const HeldKey& key) {
  if (const auto old = keys_.find(name); old != keys_.end()) drop(old);
  keys_.emplace(name, key);
  if (key.until != never) ends_.emplace(key.until, name);
  memory_bytes_ += memory_of(name, key.until != never);
  live_bytes_ += record_of(name);
}

UniqueKeys::Held::iterator UniqueKeys::drop(Held::iterator key) {
  const bool has_window = key->second.until != never;
  if (has_window) ends_.erase({key->second.until, key->first});
  memory_bytes_ -= memory_of(key->first, has_window);
  live_bytes_ -= record_of(key->first);
  return keys_.erase(key);
}

// -- Recovery and cleaning. ----------------------------------------------------------------------

void UniqueKeys::restore(const KeyHeld& held, Position at) {
  put(KeyName(held.queue, std::string(held.key)), HeldKey{held.job, held.until, at});
}

void UniqueKeys::restore(const KeyGone& gone) {
  const auto held = keys_.find(KeyName(gone.queue, std::string(gone.key)));
  if (held != keys_.end()) drop(held);
}

void UniqueKeys::carry(const KeyHeld& held, Position at, Output& out) {
  const auto key = keys_.find(KeyName(held.queue, std::string(held.key)));
  if (key == keys_.end() || key->second.home != at) return;
  key->second.home = out.here();
  put_key(*out.facts, {held.queue, held.key, key->second.job, key->second.until});
}

void UniqueKeys::dump(std::ostream& text) const {
  for (const auto& [key, held] : keys_) {
    text << "key " << key.first << ' ' << key.second << ' ' << held.job.value << ' ';
    if (held.until == never) {
      text << "-\n";
    } else {
      text << held.until.time_since_epoch().count() << '\n';
    }
  }
}

void UniqueKeys::check_invariants() const {
  std::uint64_t memory = 0;
  std::uint64_t live = 0;
  std::size_t windows = 0;
  for (const auto& [name, held] : keys_) {
    const bool has_window = held.until != never;
    memory += memory_of(name, has_window);
    live += record_of(name);
    if (!has_window) continue;
    ++windows;
    check(ends_.contains({held.until, name}));
  }
  check(memory == memory_bytes_);
  check(live == live_bytes_);
  check(windows == ends_.size());
}

}  // namespace sluice::core
