// Command: everything a client can ask of the core, as plain values. The gateways build these, the
// core applies them. Views point into the bytes that travel with the request (engine/port.h) and
// are only used during apply().
#pragma once

#include "model/job.h"
#include "model/queue_policy.h"
#include "model/routing.h"

#include <memory>
#include <variant>
#include <vector>

namespace sluice::model {

/// Names one request whose reply may come later. Opaque to the core; the engine routes by it.
using Ticket = Strong<std::uint64_t, struct TicketTag>;

struct Push {
  ByteView queue;
  ByteView type;
  ByteView payload;
  const PushOptions* options = nullptr;  ///< Null: everything by policy. Owned by the request.
};

/// Pushes the same job to every queue that the exchange's bindings choose: to all of them or, when
/// one refuses, to none.
struct Publish {
  ByteView exchange;  ///< Empty: the queue that is called as the key, if there is one.
  ByteView key;
  Push job;                                          ///< Without a queue.
  const std::vector<ByteView>* more_keys = nullptr;  ///< As if published with these too.
  /// What headers exchanges look at. Null: the job's headers.
  const HeaderList* headers = nullptr;
};

/// How long a job that a pull hands out is the puller's. Stored nowhere: numbers are free.
enum class Duty : std::uint8_t {
  lease,       ///< Until its lease ends.
  connection,  ///< As long as its connection lives; after a restart it is ready again.
  none,        ///< It is done with being handed out.
};

/// Leases up to `count` ready jobs. The first queue that has one is served first.
struct Pull {
  const std::vector<ByteView>* queues = nullptr;  ///< Owned by the request; 1..pull_queues_max.
  std::uint32_t count = 1;
  Duration wait{0};               ///< 0: answer at once. duration_max: wait until abandoned.
  std::optional<Duration> lease;  ///< Unset: the job's timeout. Duty::lease only.
  ByteView worker;
  /// Anything but a lease wants queues that there are (`no_queue`); otherwise they are made.
  Duty duty = Duty::lease;
  std::int32_t rank = 0;  ///< Of those that wait, the greater is served first.
  /// Not 0: it stays. It goes on waiting, and answers again, until `count` jobs are handed out, or
  /// so many bytes of records: then Delivered::unused says what is left of its count. Another one
  /// with its ticket only adds to that, and sets the bytes anew.
  std::uint64_t stay_bytes = 0;
};

struct Ack {
  JobId id;
  LeaseToken token;
  ByteView result;
};

struct Fail {
  JobId id;
  LeaseToken token;
  ByteView message;
  std::optional<Duration> retry_after;  ///< Instead of the backoff.
  bool dead = false;                    ///< No further attempt.
};

struct Release {
  JobId id;
  LeaseToken token;
  Duration delay{0};
  bool counts = false;  ///< The attempt counts; the job dies if it was the last. No delay.
};

struct Extend {
  JobId id;
  LeaseToken token;
  Duration lease;
};

struct Progress {
  JobId id;
  LeaseToken token;
  std::uint8_t percent = 0;
  ByteView note;
};

struct Cancel {
  JobId id;
};

struct GetJob {
  JobId id;
};

/// Replies with the job when it is final, or as it is when `wait` is over.
struct Await {
  JobId id;
  Duration wait;
};

/// The client of these tickets left: forget what waits under them, say nothing.
struct Abandon {
  Ticket first;
  Ticket last;  ///< Included.
};

/// Jobs of one queue in one state, in list order, from `cursor` on.
struct ListJobs {
  ByteView queue;
  std::optional<JobState> state;
  ByteView type;           ///< Empty: any.
  Duration older_than{0};  ///< Created at least this long ago.
  Duration newer_than = duration_max;
  JobId cursor;  ///< Only ids greater than this one; 0: from the start.
  std::uint32_t count = 100;
};

struct SetQueue {
  ByteView queue;
  std::shared_ptr<const PolicyChange> change;
};

/// There is such a queue from now on; answers with QueueInfo. EXISTS: there is one that differs in
/// is_durable, is_auto_delete or arguments. What else differs is left as it is: it may have been
/// set since.
struct DeclareQueue {
  ByteView queue;
  std::shared_ptr<const QueuePolicy> as;
};

struct PauseQueue {
  ByteView queue;
  bool paused = true;
};

struct GetQueue {
  ByteView queue;
  bool is_use = false;  ///< For the queue's expiry; else somebody only looks.
};

struct ListQueues {};

/// Removes every job that is not leased; dead and finished ones too.
struct PurgeQueue {
  ByteView queue;
  bool ready_only = false;
};

/// Removes the queue. Refused with BUSY while jobs are leased, unless `force`.
struct DeleteQueue {
  ByteView queue;
  bool force = false;
  bool if_empty = false;  ///< BUSY while it has ready jobs.
};

/// Dead jobs become ready again with a fresh attempt count. No ids: all of the queue.
struct RedriveDead {
  ByteView queue;
  std::vector<JobId> ids;
};

struct DeleteDead {
  ByteView queue;
  std::vector<JobId> ids;
};

/// There is such an exchange from now on. EXISTS: there is one that is different.
struct PutExchange {
  ByteView exchange;
  std::shared_ptr<const Exchange> as;
};

struct DeleteExchange {
  ByteView exchange;
  bool if_unused = false;  ///< BUSY while it has bindings.
};

struct Bind {
  std::shared_ptr<const Binding> binding;
};

struct Unbind {
  std::shared_ptr<const Binding> binding;
};

struct GetExchange {
  ByteView exchange;
};

struct ListExchanges {};

using RoutingCommand =
    std::variant<PutExchange, DeleteExchange, Bind, Unbind, GetExchange, ListExchanges>;

struct GetStats {};

using Command = std::variant<Push,
                             Publish,
                             Pull,
                             Ack,
                             Fail,
                             Release,
                             Extend,
                             Progress,
                             Cancel,
                             GetJob,
                             Await,
                             Abandon,
                             ListJobs,
                             SetQueue,
                             DeclareQueue,
                             PauseQueue,
                             GetQueue,
                             ListQueues,
                             PurgeQueue,
                             DeleteQueue,
                             RedriveDead,
                             DeleteDead,
                             RoutingCommand,
                             GetStats>;

}  // namespace sluice::model
