// The engine's port: all that a gateway (or the embedded client) may know of the engine.
//
//   auto session = std::make_shared<MySession>();            // implements engine::Session
//   const SessionId id = port.attach(session);
//   RequestBatch batch;                                       // bytes + commands that view them
//   batch.requests.push_back({.sequence = 1, .command = model::Push{…}});
//   port.submit(id, std::move(batch));                        // from any thread, never blocks
//   … session->on_replies({{1, Pushed{…}}}) on a thread of the engine, when it is durable …
//   port.detach(id);                                          // replies still to come are dropped
//
// Requests of one session are applied in the order submitted. Replies carry the request's sequence
// number and may come in another order: a PULL or AWAIT that waits is answered later, and a reply
// that depends on nothing unsynced may overtake one that waits for the disk. A gateway whose
// protocol has ordered replies puts them in order (gateway/native/conversation.h).
#pragma once

#include "base/bytes.h"
#include "base/charge.h"
#include "model/command.h"
#include "model/reply.h"

#include <boost/container/deque.hpp>

#include <atomic>
#include <chrono>
#include <forward_list>
#include <memory>
#include <string>
#include <vector>

namespace sluice::engine {

using SessionId = Strong<std::uint32_t, struct SessionIdTag>;

/// Numbers a request within its session; chosen by the gateway, unique while outstanding.
using Sequence = std::uint32_t;

struct Request {
  Sequence sequence = 0;
  model::Command command;
  /// False: nobody waits for it. It is not answered, and what it does is durable with what somebody
  /// waits for, 20 ms later at the latest. Not of a Pull or an Await.
  bool has_reply = true;
  /// Of a Publish: that it went to a queue is all that its session wants to know, and may be told
  /// with the same of the requests before and behind it (SessionReply::count).
  bool may_share_reply = false;
};

/// Moves nothing that it holds when it grows or is moved, and allocates for 16 at a time;
/// std::deque allocates for each one that is large, and while it is empty.
template <class T>
using StableDeque = boost::container::
    deque<T, void, boost::container::deque_options_t<boost::container::block_size<16>>>;

/// What a session hands over at once. Movable; the views inside the commands point into its other
/// members, none of which move their content when the batch is moved. The tickets of an Abandon are
/// sequences of the session.
struct RequestBatch {
  Buffer bytes;
  std::vector<Request> requests;
  StableDeque<model::PushOptions> options;            ///< Push::options points here.
  StableDeque<std::vector<ByteView>> queue_lists;     ///< Pull::queues points here.
  std::forward_list<std::string> strings;             ///< More that commands view.
  std::forward_list<model::HeaderList> header_lists;  ///< Publish::headers, too.
  Charge charge{};                                    ///< The gateway's: what is not applied yet.
  /// What has no room now (disk, or memory as a whole) waits for it, and so does what its session
  /// submits after it. Otherwise it is refused with BUSY.
  bool is_patient = false;
};

struct SessionReply {
  Sequence sequence = 0;
  model::Answer answer;
  Charge charge{};  ///< The engine's: what is read from the log and not taken over yet.
  /// It is the reply to so many requests: to this one, and those with the sequences behind it.
  std::uint32_t count = 1;
};

/// A client's end of the port. Called on the engine's thread, or one that helps it: hand over to
/// your own thread and return; never block, never throw. While much of what was read for replies is
/// not destroyed, the engine applies nothing more: render replies soon, or drop them.
class Session {
 public:
  virtual ~Session() = default;
  virtual void on_replies(std::vector<SessionReply> replies) = 0;
};

/// Facts of the shell that the core does not know, for INFO, metrics and `sluice top`. Each may be
/// read from any thread at any time; they are not a consistent cut.
struct Counters {
  std::atomic<std::uint64_t> commands_total{0};
  std::atomic<std::uint64_t> syncs_total{0};
  std::atomic<std::uint64_t> sync_microseconds_total{0};
  std::atomic<std::uint64_t> commit_delays_total{0};  ///< Syncs that were put off for others.
  std::atomic<std::uint64_t> written_bytes_total{0};
  std::atomic<std::uint64_t> journal_bytes{0};
  std::atomic<std::uint64_t> journal_segments{0};
  std::atomic<std::uint64_t> cleaned_bytes_total{0};
  std::atomic<std::uint64_t> scrubbed_bytes_total{0};    ///< Journal read again and found intact.
  std::atomic<std::uint64_t> damaged_segments_total{0};  ///< Segments in which scrubbing found rot.
  std::atomic<std::uint64_t> disk_free_bytes{0};
  std::atomic<bool> is_out_of_space{false};  ///< Pushes are refused with BUSY, or wait.
  /// Patient pushes wait; others are refused once memory_bytes_max is reached.
  std::atomic<bool> is_low_on_memory{false};
};

/// Copies a consistent state of the running log into a new directory. See Port::backup.
struct BackupDone {
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;
};

class Port {
 public:
  virtual ~Port() = default;
  /// The session is kept alive until detach(). Any thread.
  virtual SessionId attach(std::shared_ptr<Session> session) = 0;
  /// No call to the session starts after this returns… except one already under way. Waiting
  /// requests are abandoned; jobs leased by replies that were dropped are released. Any thread.
  virtual void detach(SessionId session) = 0;
  /// Any thread; never blocks. Bounding what a session has outstanding is the gateway's duty.
  virtual void submit(SessionId session, RequestBatch batch) = 0;

  /// submit() for a thread that serves clients. True: it is little, the engine rests, and nobody
  /// was woken for it: the thread calls help() as soon as it has nothing more to hand over, or at
  /// commit_not_before().
  virtual bool submit_quietly(SessionId session, RequestBatch batch) {
    submit(session, std::move(batch));
    return false;
  }

  /// Does what submit_quietly() left to do, here and now, or wakes the engine for it. It may write
  /// and sync, and calls on_replies() of whom it concerns. Two threads need not be woken for a lone
  /// request then, which takes longer than all the rest but the sync (docs/adr/0007).
  /// True: commit_not_before() is to be asked.
  virtual bool help() { return false; }

  /// Behind a help() that was true, when what came meanwhile is submitted and before the replies
  /// are sent, which make clients send more: the next help() is best called no sooner than this, as
  /// more is to come that would share its sync (docs/adr/0005).
  virtual std::chrono::steady_clock::time_point commit_not_before() { return {}; }

  virtual const Counters& counters() const = 0;
  /// Now as the engine sees it; to render ages and deadlines. Any thread.
  virtual Now now() const = 0;
  /// Copies the journal up to what is durable at some moment during the call into `directory`,
  /// which must not exist. Blocks the caller, not the engine. Any thread but a session's callback.
  virtual Result<BackupDone> backup(std::string directory) = 0;
};

}  // namespace sluice::engine
