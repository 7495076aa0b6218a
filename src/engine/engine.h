// The engine: one thread that owns the core and the journal, and introduces them to each other.
//
// A cycle: take all submitted requests; apply each to the core, which writes its facts into a frame
// of the log; hand out jobs to waiting pulls; seal and write the batch (here when little is under
// way, on the journal's thread when there is more to do meanwhile); release each reply once what it
// depends on is durable. One fdatasync covers everything that arrived during the one before.
#pragma once

#include "core/core.h"
#include "engine/port.h"
#include "io/clock.h"
#include "io/directory.h"
#include "journal/log.h"
#include "model/limits.h"

#include <chrono>
#include <functional>
#include <memory>

namespace sluice::engine {

/// When replies that promise durability are sent (docs/guarantees.md).
struct SyncPolicy {
  enum class Kind : std::uint8_t {
    always,    ///< After the fdatasync that covers them.
    interval,  ///< At once; fdatasync every `interval`: a power failure loses at most that much.
    never,     ///< At once; the operating system writes when it likes.
  };
  Kind kind = Kind::always;
  Duration interval{0};
};

struct EngineOptions {
  model::Limits limits;
  journal::LogOptions log;
  SyncPolicy sync;
  /// So long a small sync is put off at most, so that more requests share it (commit_delay.h).
  std::chrono::microseconds commit_delay_max{500};
  /// The whole journal is read again and verified once in this time (engine/scrubber.h); 0: never.
  Duration scrub_period{0};
  std::uint16_t partition = 0;
  /// Called in the engine's turn, on its thread or one that helps it, once, when the disk failed
  /// (RELIABILITY S2): do not stop the engine there. The server logs it and exits with code 74;
  /// nothing that was not durable is ever acknowledged afterwards.
  std::function<void(const Error&)> on_failure;
  /// Called while recovery reads the log.
  journal::OnProgress on_progress;
  /// Of messages whose headers stand in a header of their own (Core::HeadersOf).
  std::function<model::HeaderList(ByteView)> headers_of;
  /// One line about something worth a log entry: key=value text without a time. Whichever
  /// thread takes the engine's turn, and the scrubber's.
  std::function<void(const std::string&)> on_event;
};

class Engine final : public Port {
 public:
  /// Recovers the state from `directory` and starts the engine's threads. `directory` and `clock`
  /// outlive the engine. Errors: as journal::Log::open; `corrupt` if a frame is not understood.
  static Result<std::unique_ptr<Engine>> open(io::Directory& directory,
                                              io::Clock& clock,
                                              EngineOptions options);
  /// Requires stop().
  ~Engine() override;

  /// Syncs what is pending, releases its replies, joins the threads. Requests submitted afterwards
  /// get no reply. Idempotent. Not from a session's callback.
  void stop();

  SessionId attach(std::shared_ptr<Session> session) override;
  void detach(SessionId session) override;
  void submit(SessionId session, RequestBatch batch) override;
  bool submit_quietly(SessionId session, RequestBatch batch) override;
  bool help() override;
  std::chrono::steady_clock::time_point commit_not_before() override;
  const Counters& counters() const override;
  Now now() const override;
  Result<BackupDone> backup(std::string directory) override;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::engine
