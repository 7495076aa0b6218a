// History: what clients asked and were told, as each of them saw it, and the judgement over it. It
// knows nothing of the server but its promises (docs/guarantees.md).
//
//   const std::size_t op = history.invoke(Act::push, client, now);
//   history.operation(op).uid = …;                     // what was asked
//   history.answer(op, Outcome::ok, now);              // or refused, with the code; or unknown
//   …
//   for (const Finding& finding : judge(history)) …    // judge.h
//
// A job is known by the uid in its payload, never by its id or place in the journal: a server that
// lost something could use those again and so hide the loss.
#pragma once

#include "sim/world/schedule.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sluice::sim {

using Uid = std::uint64_t;

/// The queue where dead jobs go, in runs that have one.
inline constexpr const char* dead_letters = "dead-letters";

enum class Act : std::uint8_t {
  push,
  pull,
  ack,
  fail,
  release,
  extend,
  progress,
  cancel,
  await,
  read,    ///< JOB.
  remove,  ///< QUEUE PURGE, QUEUE DELETE, DEAD DELETE: jobs of a queue may be gone.
  redrive,
  configure,  ///< QUEUE SET, PAUSE, RESUME, lists: nothing that the judge has to know.
};

const char* name(Act act);

enum class Outcome : std::uint8_t {
  unknown,  ///< No answer, for ever: it happened once or not at all.
  ok,
  refused,  ///< An error; it did not happen.
};

/// What a push asked for, as far as the judge has to know.
struct PushTerms {
  std::string queue;
  std::optional<int> priority;  ///< None: not known, a policy decides.
  Micros delay{0};              ///< At least so long.
  bool is_scheduled = false;    ///< Joins its queue at a moment that the judge does not know.
  bool has_ttl = false;
  std::string unique_key;
  bool has_window = false;
  bool may_replace = false;
  std::optional<Micros> lease;  ///< What a lease has when its pull does not say; none: not known.
  int attempts = 1;             ///< So many leases at least may fail or expire.
  bool waits = false;           ///< For other jobs: it dies when they do.
  std::vector<Uid> after;       ///< Those that have to succeed, where their uids are known.
  std::size_t payload_bytes = 0;
  std::size_t headers = 0;
};

/// A job as a worker received it.
struct Delivered {
  Uid uid = 0;  ///< 0: the payload names none.
  std::uint64_t job = 0;
  std::uint64_t token = 0;
  int attempt = 0;
  std::string queue;
  bool is_intact = true;        ///< Type, payload and headers are those that were pushed.
  std::optional<Micros> lease;  ///< Its length; none: not known.
};

/// One request and what became of it. `invoked` and `returned` are moments; the `order` members say
/// what came before what in the whole history.
struct Operation {
  Act act{};
  int client = 0;
  Moment invoked{0};
  Moment returned{0};
  std::size_t invoke_order = 0;
  std::size_t return_order = 0;  ///< 0: no answer came.
  Outcome outcome = Outcome::unknown;
  std::string code;  ///< Of the refusal.

  Uid uid = 0;            ///< push, and answers to a delivery.
  std::uint64_t job = 0;  ///< Asked for; of a push: answered.
  std::uint64_t token = 0;
  std::set<std::string> queues;    ///< pull, remove, redrive.
  std::optional<Micros> duration;  ///< extend; fail and release: the delay that was asked for.
  std::optional<PushTerms> push;
  std::vector<Delivered> delivered;
  /// pull: its client ended its sending side meanwhile. What waits is answered nil then, and a job
  /// that was leased for it in that moment is given back.
  bool was_cut_short = false;
};

/// The server's process ended and began again.
struct Restart {
  enum class Kind : std::uint8_t { stop, kill, power_loss };
  Kind kind = Kind::kill;
  Moment ended{0};
  Moment began{0};  ///< Equals `ended` until it did.
  std::size_t end_order = 0;
  /// By how much journal time ran ahead of true time while it was down: the calendar was set.
  Micros jump{0};
  /// What was answered after this moment may be forgotten: the sync policy or a lying disk. None:
  /// nothing may.
  std::optional<Moment> forgets_from;
};

/// What is there at the end, asked of the server after everything was drained.
struct Remains {
  bool is_refused = false;           ///< Nothing: the server found damage and did not start.
  bool is_drained = false;           ///< No unfinished job was left, within the bound.
  std::string unfinished;            ///< What was left, for the story.
  std::set<std::uint64_t> dead;      ///< Ids.
  std::set<std::uint64_t> reported;  ///< Jobs whose record the server said it cannot read.
  bool may_drop_head = false;        ///< A queue had overflow drop_head.
};

class History {
 public:
  std::size_t invoke(Act act, int client, Moment now);
  void answer(std::size_t operation, Outcome outcome, Moment now);
  void end(Restart::Kind kind, Moment now, std::optional<Moment> forgets_from);
  void begin(Moment now, Micros jump);
  /// The last end may have forgotten more, while the server did not come up.
  void forget(std::optional<Moment> from);

  Operation& operation(std::size_t index) { return operations_[index]; }

  const std::deque<Operation>& operations() const { return operations_; }

  const std::vector<Restart>& restarts() const { return restarts_; }

  Remains& remains() { return remains_; }

  const Remains& remains() const { return remains_; }

  /// The push of a uid; null if nobody pushed it.
  const Operation* push_of(Uid uid) const;

  void remember_push(const Operation& push) { pushes_.emplace(push.uid, &push); }

  /// Everything that concerns the job, and the restarts, a line each.
  std::string story(Uid uid) const;

 private:
  std::deque<Operation> operations_;  ///< References stay good.
  std::vector<Restart> restarts_;
  std::map<Uid, const Operation*> pushes_;
  std::size_t next_order_ = 1;
  Remains remains_;
};

std::string describe(const Operation& operation);

}  // namespace sluice::sim
