// Broker: what the AMQP connections of a server have to know of each other: whose a queue is, and
// who consumes from it. Nothing of it outlives them; the queues themselves are the engine's.
#pragma once

#include "gateway/amqp/refusal.h"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace sluice::amqp {

using ConnectionId = std::uint64_t;

/// A consumer of some connection.
struct ConsumerRef {
  ConnectionId connection = 0;
  std::uint16_t slot = 0;

  friend bool operator==(const ConsumerRef&, const ConsumerRef&) = default;
};

/// Any thread.
class Broker {
 public:
  /// `wake` is called when something was decided for the connection: take_activated().
  void enter(ConnectionId connection, std::function<void()> wake);
  void leave(ConnectionId connection);

  /// The queue is this connection's alone from now on.
  void own(ByteView queue, ConnectionId connection);
  /// 405 RESOURCE_LOCKED: it belongs to another connection.
  Allowed<void> check_access(ByteView queue, ConnectionId connection) const;
  bool is_owned(ByteView queue) const;

  struct Admission {
    bool is_exclusive = false;
    bool is_single_active = false;  ///< Of the queue: only one consumer gets something.
  };

  /// True: it may begin at once. 403 ACCESS_REFUSED: in exclusive use.
  Allowed<bool> add_consumer(ByteView queue, ConsumerRef consumer, Admission as);
  /// True: it was the last one.
  bool remove_consumer(ByteView queue, ConsumerRef consumer);
  std::uint32_t consumers(ByteView queue) const;
  /// Consumers of the connection that are to begin now.
  std::vector<std::uint16_t> take_activated(ConnectionId connection);
  /// The queue is gone.
  void forget(ByteView queue);

 private:
  struct Use {
    ConnectionId owner = 0;
    std::vector<ConsumerRef> consumers;
    bool is_exclusive = false;
    bool is_single_active = false;
  };

  struct Member {
    std::function<void()> wake;
    std::vector<std::uint16_t> activated;
  };

  void drop_if_unused(std::map<std::string, Use, std::less<>>::iterator use);

  mutable std::mutex mutex_;
  std::map<std::string, Use, std::less<>> uses_;
  std::map<ConnectionId, Member> members_;
};

}  // namespace sluice::amqp
