// Broker: see broker.h.
#include "gateway/amqp/broker.h"

#include <algorithm>
#include <utility>

namespace sluice::amqp {

void Broker::enter(ConnectionId connection, std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  members_[connection].wake = std::move(wake);
}

void Broker::leave(ConnectionId connection) {
  const std::lock_guard lock(mutex_);
  members_.erase(connection);
}

void Broker::own(ByteView queue, ConnectionId connection) {
  const std::lock_guard lock(mutex_);
  uses_[std::string(queue)].owner = connection;
}

Allowed<void> Broker::check_access(ByteView queue, ConnectionId connection) const {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find(queue);
  if (use == uses_.end() || use->second.owner == 0 || use->second.owner == connection) return {};
  return forbid(ReplyCode::resource_locked,
                fmt::format("cannot obtain exclusive access to locked {}. It could be originally "
                            "declared on another connection or the exclusive property value does "
                            "not match that of the original declaration.",
                            in_vhost("queue", queue)));
}

bool Broker::is_owned(ByteView queue) const {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find(queue);
  return use != uses_.end() && use->second.owner != 0;
}

Allowed<bool> Broker::add_consumer(ByteView queue, ConsumerRef consumer, Admission as) {
  const std::lock_guard lock(mutex_);
  Use& use = uses_[std::string(queue)];
  if (use.is_exclusive || (as.is_exclusive && !use.consumers.empty())) {
    return forbid(ReplyCode::access_refused, in_vhost("queue", queue) + " in exclusive use");
  }
  use.is_exclusive = as.is_exclusive;
  use.is_single_active = as.is_single_active;
  use.consumers.push_back(consumer);
  return !use.is_single_active || use.consumers.size() == 1;
}

bool Broker::remove_consumer(ByteView queue, ConsumerRef consumer) {
  std::function<void()> wake;
  bool was_last = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = uses_.find(queue);
    if (found == uses_.end()) return false;
    Use& use = found->second;
    const bool was_first = !use.consumers.empty() && use.consumers.front() == consumer;
    if (std::erase(use.consumers, consumer) == 0) return false;
    was_last = use.consumers.empty();
    if (was_last) use.is_exclusive = false;
    if (use.is_single_active && was_first && !was_last) {
      const ConsumerRef next = use.consumers.front();
      if (const auto member = members_.find(next.connection); member != members_.end()) {
        member->second.activated.push_back(next.slot);
        wake = member->second.wake;
      }
    }
    drop_if_unused(found);
  }
  if (wake) wake();
  return was_last;
}

std::uint32_t Broker::consumers(ByteView queue) const {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find(queue);
  return use == uses_.end() ? 0 : static_cast<std::uint32_t>(use->second.consumers.size());
}

std::vector<std::uint16_t> Broker::take_activated(ConnectionId connection) {
  const std::lock_guard lock(mutex_);
  const auto member = members_.find(connection);
  if (member == members_.end()) return {};
  return std::exchange(member->second.activated, {});
}

void Broker::forget(ByteView queue) {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find(queue);
  if (use == uses_.end()) return;
  // Its consumers learn of it by themselves, one by one.
  use->second.owner = 0;
  drop_if_unused(use);
}

void Broker::drop_if_unused(std::map<std::string, Use, std::less<>>::iterator use) {
  if (use->second.owner == 0 && use->second.consumers.empty()) uses_.erase(use);
}

}  // namespace sluice::amqp
