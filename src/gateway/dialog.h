// Dialog: a protocol as one connection speaks it, without the connection. Bytes go in, requests for
// the engine come out; answers go in, bytes come out. The session (session.h) drives it from a
// socket; it knows no sockets and no threads.
//
//   dialog.input().append(received);                              // or read straight into it
//   submit(dialog.consume());
//   … Session::on_replies(replies), handed over to this thread …
//   dialog.answer_some(replies, 0, …); submit(dialog.take_requests());
//   send(dialog.output()); dialog.output().clear();
#pragma once

#include "base/bytes.h"
#include "engine/port.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace sluice::gateway {

/// Runs where it may block, returns what is to be done with the outcome on the session's thread.
using Chore = std::function<std::function<void()>()>;

/// Whether and how a dialog is over.
enum class End : std::uint8_t {
  none,
  agreed,     ///< Both know: the server closes.
  by_client,  ///< The client took its leave and has the answer: it closes first.
  cut_off,    ///< The client does not know yet and may still be sending.
};

/// Not thread-safe.
class Dialog {
 public:
  Dialog() = default;
  virtual ~Dialog() = default;
  Dialog(const Dialog&) = delete;
  Dialog& operator=(const Dialog&) = delete;
  Dialog(Dialog&&) = delete;
  Dialog& operator=(Dialog&&) = delete;

  /// Before anything else. `wake` may be called from any thread at any time: soon afterwards
  /// take_requests() is called, and what is in output() is sent.
  virtual void start(std::function<void()> /*wake*/) {}

  /// What was received and not yet understood. Append to it, then call consume(). It is another
  /// memory block after each consume().
  virtual Buffer& input() = 0;
  /// Takes every complete command out of the input; what the engine has to do is returned with the
  /// bytes that it views. Stops early when outstanding() is at its limit.
  virtual engine::RequestBatch consume() = 0;
  /// Renders replies[from] and on, until unsent_bytes() has grown by more than `bytes`; returns the
  /// index of the first reply that is left.
  virtual std::size_t answer_some(std::vector<engine::SessionReply>& replies,
                                  std::size_t from,
                                  std::size_t bytes) = 0;

  /// What follows from answers, or from time that passes, for the engine to do.
  virtual engine::RequestBatch take_requests() { return {}; }

  virtual std::vector<Chore> take_chores() { return {}; }

  /// What to send; the caller clears or swaps it.
  virtual Buffer& output() = 0;
  /// Bytes that wait in output() or, in memory, for their turn.
  virtual std::size_t unsent_bytes() const = 0;
  /// Memory of its buffers.
  virtual std::size_t buffered_bytes() const = 0;
  /// Requests without a reply that bound what is read: beyond the session's limit it rests.
  virtual std::size_t outstanding() const = 0;
  /// If it is over nothing more is read, and the connection ends once all is answered and sent.
  virtual End end() const = 0;

  bool is_over() const { return end() != End::none; }

  /// Whether everything that is still unanswered waits for something that may never happen.
  virtual bool has_only_waits() const = 0;
  /// The server stops or the client is leaving: ends the waits, so that nothing is unanswered.
  virtual void end_waits() = 0;
  /// The client is gone.
  virtual void abandon() = 0;
  /// What has to be given back for a client that is gone or was never told of it.
  virtual std::vector<model::Release> take_lost_leases() = 0;

  /// After abandon(): what else is to be done, now that it is gone.
  virtual engine::RequestBatch last_requests() { return {}; }

  /// Whether the client has said who it is, or at least something that makes sense.
  virtual bool has_spoken() const = 0;

  /// Called once a second. False: the peer is dead, close.
  virtual bool tick() { return true; }
};

/// The leases in answers that nobody will read: each is to be released.
void collect_leases(const model::Answer& answer, std::vector<model::Release>& leases);

}  // namespace sluice::gateway
