// Celery's revoke. A client broadcasts it to the workers, which drop the task when they get it; one
// that was not there, or has been restarted since, runs it all the same. Here the tasks that are
// still queued are jobs: they are cancelled, and whoever waits for their result is told REVOKED as
// a worker would tell it (celery/worker/control.py, celery/worker/request.py,
// celery/backends/rpc.py).
#pragma once

#include "base/bytes.h"
#include "engine/port.h"
#include "gateway/amqp/vhost.h"
#include "wire/amqp/content.h"

#include <string>
#include <vector>

namespace sluice::amqp {

/// Where remote control is broadcast.
inline constexpr ByteView celery_control_exchange = "celery.pidbox";

/// The ids of the tasks that this broadcast revokes; none: it is about something else.
std::vector<std::string> revoked_tasks(ByteView body);

/// Looks for the tasks in all queues of the virtual host, a few jobs at a time, and cancels those
/// that no worker has. Blocks, and reads the record of every job that waits.
void cancel_tasks(engine::Port& port, const Vhost& vhost, const std::vector<std::string>& tasks);

}  // namespace sluice::amqp
