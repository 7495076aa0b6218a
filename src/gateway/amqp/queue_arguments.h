// What queue.declare asks for, as the policy of a queue; and whether it is what a queue is.
#pragma once

#include "gateway/amqp/refusal.h"
#include "model/queue_policy.h"
#include "wire/amqp/queue_methods.h"

#include <string>

namespace sluice::amqp {

/// The policy of a queue that the declaration makes. `arguments` of it are lines "name=value" of
/// all that equivalence depends on. Refusals are RabbitMQ's: 406.
Allowed<model::QueuePolicy> queue_policy(const QueueDeclare& declare);

/// Refused (406) with the first argument that differs.
Allowed<void> check_equivalent(ByteView queue,
                               const model::QueuePolicy& is,
                               const model::QueuePolicy& asked);

bool is_single_active_consumer(const model::QueuePolicy& policy);

/// How long a consumer may have a message without an answer; 0: for ever.
Duration consumer_timeout(const model::QueuePolicy& policy);

}  // namespace sluice::amqp
