// Where a job died, as RabbitMQ writes it into the headers of a dead-lettered message: x-death, and
// x-first-death-exchange, -queue and -reason.
#pragma once

#include "base/bytes.h"
#include "model/death.h"

#include <vector>

namespace sluice::amqp {

/// `properties` (raw) with the deaths in its headers and without its expiration, which the first
/// death shows as original-expiration. What an x-death says that the message was published with
/// counts, too. `deaths` is not empty. `keeps_copies`: it was not given another key as a dead
/// letter, which takes its CC away.
void append_dead_properties(Buffer& out,
                            ByteView properties,
                            const std::vector<model::Death>& deaths,
                            bool keeps_copies);

}  // namespace sluice::amqp
