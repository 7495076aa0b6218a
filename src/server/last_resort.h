// How the process ends when the system refuses what it cannot go on without: memory, a thread, a
// file descriptor of its own.
#pragma once

namespace sluice::server {

/// From now on such a refusal ends the process at once, with a line on standard error and exit code
/// 71, instead of an abort. It is as good as a crash: nothing was promised that is not on the disk,
/// and nothing is written any more. Other exceptions that nobody catches are bugs and still abort.
void end_clearly_when_refused();

}  // namespace sluice::server
