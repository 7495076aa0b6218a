// The loads of `sluice bench`: what is sent how, and what is measured.
//
// Method, the same for the peers that bench/compare.py runs: payload of random printable bytes
// behind a 16-byte stamp; a producer keeps `window` pushes unacknowledged and sends them in halves;
// consumers pull `batch` at once and acknowledge every job. A push or an ack counts when the
// server's reply is here. Latency is taken from the time a job was due to be sent, not from when it
// was (no coordinated omission).
#pragma once

#include "cli/bench_wire.h"
#include "cli/process_use.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sluice::cli::bench {

struct Load {
  Endpoint server;
  std::string queue = "sluice-bench";
  std::size_t payload_bytes = 100;
  std::size_t window = 1000;
  std::size_t batch = 500;
  std::size_t connections = 1;   ///< Producers, and (cycle, drain) consumers.
  std::size_t backlog = 10'000;  ///< cycle: producers pause while this many jobs wait.
  std::chrono::duration<double> time{3};
  std::chrono::duration<double> warm_up{0.5};      ///< cycle, latency: not measured.
  std::uint64_t count = 0;                         ///< End after this many jobs; 0: after `time`.
  double rate = 5000;                              ///< latency: jobs a second.
  std::chrono::milliseconds delay_max{3'600'000};  ///< delayed: uniform in [0, delay_max].
  std::optional<pid_t> server_pid;
};

struct Outcome {
  std::uint64_t jobs = 0;
  double seconds = 0;
  std::vector<std::uint32_t> latencies_ns;   ///< Sorted.
  std::optional<double> server_cpu_seconds;  ///< Over the same time as `jobs`.
  std::optional<ProcessUse> server_end;
  std::uint64_t left = 0;  ///< cycle, latency: pushed but not acknowledged at the end.

  /// The latency that `fraction` of the jobs did not exceed, in microseconds; 0 without any.
  double latency_us(double fraction) const;
};

/// Called ten times a second with the jobs done so far.
using OnProgress = std::function<void(std::uint64_t jobs)>;

Outcome push(const Load& load, const OnProgress& on_progress);       ///< Pipelined.
Outcome ping_push(const Load& load, const OnProgress& on_progress);  ///< One at a time.
Outcome cycle(const Load& load, const OnProgress& on_progress);
Outcome latency(const Load& load, const OnProgress& on_progress);
Outcome drain(const Load& load, const OnProgress& on_progress);  ///< Until nothing is ready.
/// Pushes `count` jobs with a random delay each.
Outcome delayed(const Load& load, const OnProgress& on_progress);

}  // namespace sluice::cli::bench
