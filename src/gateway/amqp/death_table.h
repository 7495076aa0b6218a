// Where a job died, as RabbitMQ writes it into the headers of a dead-lettered message: x-death, and
// x-first-death-exchange, -queue and -reason.
#pragma once

#include "base/bytes.h"
#include "model/death.h"

#include <vector>

namespace sluice::amqp {

/// `properties` (raw) with the deaths in its headers and without its expiration, which the first
/// death shows as original-expiration. `deaths` is not empty.
void append_dead_properties(Buffer& out,
                            ByteView properties,
                            const std::vector<model::Death>& deaths);

}  // namespace sluice::amqp
