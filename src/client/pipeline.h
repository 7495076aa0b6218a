// Pipeline: which calls are under way on one connection, in what order, until when. Sans-I/O.
//
//   submit ─► queued ─ take_output ─► sent ─ feed ─► finished
//                ▲                      │
//                └──── on_break ────────┴─► `closed`, unless the command may be repeated
//
// Replies come in the order of the commands, so a call that its caller has given up keeps its place
// until its reply has come and is dropped. Nothing here calls back into the pipeline: finish()
// hands the reply over and returns.
#pragma once

#include "client/operation.h"
#include "wire/resp/decoder.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

using SteadyTime = std::chrono::steady_clock::time_point;

/// One value per command, or fewer and the reason why.
struct Reply {
  std::vector<resp::Value> values;
  std::optional<Error> problem;
};

/// A Request under way. Shared by the pipeline and by whoever may want to abandon it.
class Call {
 public:
  Call(Request asked, SteadyTime until) : request(std::move(asked)), deadline(until) {}

  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  /// Called once, on the core's thread.
  virtual void finish(Reply reply) = 0;

  Request request;
  SteadyTime deadline;
  std::vector<resp::Value> values;
  bool is_repeated = false;  ///< Sent more than once.
};

class Pipeline {
 public:
  explicit Pipeline(std::size_t reply_bytes_max) : reply_bytes_max_(reply_bytes_max) { reset(); }

  void submit(std::shared_ptr<Call> call);

  bool is_empty() const { return slots_.empty(); }

  bool has_output() const { return sent_ < slots_.size(); }

  std::size_t outstanding_bytes() const { return outstanding_bytes_; }

  /// Appends every queued command to `out`; from here on they count as sent.
  void take_output(std::string& out, SteadyTime now);
  /// Bytes from the server. Error: `protocol`; the connection is of no use any more.
  Result<void> feed(std::string_view bytes);
  /// The connection is gone: repeatable calls are queued again, others end with `closed`.
  void on_break(const Error& why, SteadyTime now);
  /// Ends every call with `error`.
  void finish_all(const Error& error);

  /// Ends the calls whose deadline has passed. `why_unsent`: what kept the queued ones from being
  /// sent. Returns whether one of them had been sent.
  bool expire(SteadyTime now, const Error& why_unsent);
  /// The earliest deadline; unset when nothing is under way.
  std::optional<SteadyTime> next_deadline() const;
  /// When the oldest unanswered command was sent or the last byte came, whichever is later.
  std::optional<SteadyTime> silent_since() const;

  void heard(SteadyTime now) { last_heard_ = now; }

  /// The caller left: finish() is not called. Returns whether the call had been sent.
  bool abandon(const Call& call);

 private:
  struct Slot {
    std::shared_ptr<Call> call;  ///< Null: nobody waits for it any more.
    std::size_t left = 0;        ///< Replies still to come.
    std::size_t bytes = 0;
    bool leases_jobs = false;
    SteadyTime sent;
  };

  void reset();
  Result<void> take(resp::Value value);
  void give_back(const resp::Value& value);
  void forget(Slot& slot);
  /// Makes the bytes of a sent call those of its `left` unanswered commands.
  static void renew(Call& call, std::size_t left, SteadyTime now);

  std::size_t reply_bytes_max_;
  std::deque<Slot> slots_;
  std::size_t sent_ = 0;  ///< The first so many slots have been sent.
  std::size_t outstanding_bytes_ = 0;
  SteadyTime last_heard_;
  std::optional<resp::Decoder> decoder_;
  std::string input_;  ///< The start of an incomplete reply.
};

}  // namespace sluice::client
