// A message as a job and back. What a client sent in its properties is kept as it came, byte for
// byte, in a header of the job's record; only what the broker acts on is read:
//
//   delivery-mode 2            the job is durable; anything else: transient
//   priority, expiration       priority, ttl
//   type, or header "task"     type (Celery's name of the task)
//   header x-delay             delay, milliseconds (as the archived delayed-message plugin)
//   header x-run-at            at: a timestamp, milliseconds since 1970 or ISO 8601 text
//   header eta, beside task    at (Celery's ETA: the server holds the task, not a worker)
//   headers x-unique-key, x-unique-window, x-on-conflict, x-max-attempts, x-backoff, x-timeout,
//   x-keep                     the job options of these names (docs/amqp.md)
//   headers CC, BCC            further routing keys
#pragma once

#include "base/bytes.h"
#include "engine/port.h"
#include "gateway/amqp/refusal.h"
#include "gateway/amqp/vhost.h"
#include "model/command.h"
#include "model/reply.h"
#include "wire/amqp/basic_methods.h"
#include "wire/amqp/content.h"
#include "wire/amqp/table.h"

#include <string>
#include <vector>

namespace sluice::amqp {

/// What the address in reply-to stands for in a message that a client of direct reply-to sends.
inline constexpr ByteView direct_reply_to = "amq.rabbitmq.reply-to";

/// Who publishes.
struct Publisher {
  ByteView user;
  ByteView reply_queue;  ///< Of its direct reply-to on this channel; empty: none.
};

/// The message as a command. It views `publish` and `content`, and what it added to `batch`.
Allowed<model::Publish> publish_command(const BasicPublish& publish,
                                        const Content& content,
                                        const Publisher& publisher,
                                        engine::RequestBatch& batch);

/// A job as a message: of AMQP as it was published, of other protocols with its id, type and
/// headers as properties.
struct Outgoing {
  ByteView exchange;
  ByteView routing_key;
  Content content;
};

/// For a client in this virtual host. Views `job` or `scratch`, which is overwritten.
Outgoing outgoing(const model::Delivery& job, const Vhost& vhost, Buffer& scratch);

/// A header's value as headers exchanges compare it: of strings the text, of other types what they
/// are on the wire. Empty: of no value at all, which in a binding means any.
ByteView match_value(const Value& value);

/// All headers in raw properties, with their match values. Views `properties`.
model::HeaderList headers_of(ByteView properties);

}  // namespace sluice::amqp
