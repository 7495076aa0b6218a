// Every limit of the server in one place, with its default and the reason for it. Each is a
// setting (docs/configuration.md) unless it says "fixed".
#pragma once

#include "base/time.h"

#include <cstdint>

namespace sluice::model {

struct Limits {
  /// One job's payload or result. 16 MiB is what SQS extended clients and RabbitMQ's default allow.
  std::uint32_t payload_bytes_max = 16u << 20;
  /// Keys and values of all headers of one job together.
  std::uint32_t headers_bytes_max = 192u << 10;
  /// Unfinished jobs of one queue; the guard against a producer without consumers.
  std::uint64_t queue_jobs_max = 1'000'000'000;
  std::uint32_t queues_max = 10'000;
  std::uint32_t exchanges_max = 10'000;
  /// Of all exchanges together. Each costs 400 to 900 bytes of memory.
  std::uint32_t bindings_max = 1'000'000;
  /// Bytes of memory the core may use for jobs (not counting caches); pushes beyond are BUSY.
  std::uint64_t memory_bytes_max = 8ull << 30;
  /// Bytes of journal on disk beyond which pushes are BUSY; 0: only disk_free_bytes_min counts.
  std::uint64_t disk_bytes_max = 0;
  /// Pushes are BUSY below this much free disk; acks go on from the space that is left.
  std::uint64_t disk_free_bytes_min = 512ull << 20;
};

// Fixed limits: part of the protocol or of the record format.
inline constexpr std::uint32_t queue_count_max = 1'000'000;  ///< What queues_max may be set to.
inline constexpr std::size_t queue_name_bytes_max = 255;     ///< Length is one byte.
inline constexpr std::size_t type_bytes_max = 255;           ///< Length is one byte on disk.
inline constexpr std::size_t key_bytes_max = 1024;           ///< Unique key.
inline constexpr std::size_t worker_bytes_max = 255;
inline constexpr std::size_t headers_max = 256;        ///< Headers of one job.
inline constexpr std::size_t after_max = 1000;         ///< Dependencies of one job.
inline constexpr std::size_t pull_count_max = 10'000;  ///< Jobs of one PULL.
/// Records that one PULL hands out together; reached, it gives fewer jobs than COUNT (at least
/// one).
inline constexpr std::size_t pull_bytes_max = 64u << 20;
/// Jobs that one listing looks at; reached, it gives what it has found, and a cursor.
inline constexpr std::size_t list_examined_max = 10'000;
inline constexpr std::size_t pull_queues_max = 256;             ///< Queues of one PULL.
inline constexpr std::uint32_t exchange_count_max = 1'000'000;  ///< What exchanges_max may be.
inline constexpr std::size_t routing_key_bytes_max = 255;       ///< Length is one byte.
/// Nodes and headers that are looked at for one PUBLISH: about a quarter of a second, at worst.
inline constexpr std::size_t routing_steps_max = 10'000'000;
/// Records that one PUBLISH writes for several queues. They are one frame of the journal: half of
/// the largest, so that there is room for what follows from them.
inline constexpr std::size_t publish_bytes_max = 128u << 20;
inline constexpr std::size_t binding_headers_max = 64;       ///< Headers that one binding wants.
inline constexpr std::size_t binding_bytes_max = 16u << 10;  ///< Its headers and arguments.
inline constexpr std::size_t backoff_list_max = 32;
inline constexpr std::size_t note_bytes_max = 4096;  ///< Error text kept; longer is cut.
inline constexpr std::size_t history_max = 32;  ///< Events kept per job: the first, the last 31.
inline constexpr std::uint32_t attempts_max = 65'535;             ///< Stored in 16 bits.
inline constexpr std::uint32_t attempts_unlimited = 0xFFFF'FFFF;  ///< Of QueuePolicy::max_attempts.
inline constexpr std::size_t queue_arguments_bytes_max = 16u << 10;  ///< QueuePolicy::arguments.
/// Queues that one job has died in, as it remembers them; the oldest are forgotten.
inline constexpr std::size_t deaths_max = 32;
inline constexpr Duration lease_max = std::chrono::hours(24);
/// What a lease has left at least after a restart of the server.
inline constexpr Duration lease_grace = std::chrono::seconds(10);
/// While jobs are leased the log tells the time so often, whatever else happens: a restart counts
/// what was left of a lease from the latest time in the log.
inline constexpr Duration time_mark_period = std::chrono::seconds(5);

}  // namespace sluice::model
