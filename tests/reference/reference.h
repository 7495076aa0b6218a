// The reference: what the core has to do, written so that a reader sees that it is right. A vector
// of jobs, a vector of queues, a vector of those who wait, each searched from front to back for
// everything; no indexes, no timers, no journal. pair.h drives it side by side with the core.
//
// Two things it shares with the core on purpose: the vocabulary of commands and replies, and the
// one counter from which ids and places in lists are drawn (docs/adr/0006), so that both give the
// same ids. Where the core is free (which of several jobs due in the same millisecond comes first),
// it is told what the core did and says whether that was allowed.
#pragma once

#include "model/command.h"
#include "model/limits.h"
#include "model/reply.h"
#include "reference/things.h"

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sluice::reference {

/// The core and the reference differ; what() says in what.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Stands for a text of the server's own words: any text but none.
inline constexpr const char* some_text = "*";

class Reference {
 public:
  explicit Reference(const model::Limits& limits) : limits_(limits) {}

  /// A start of the server; `last_time` is the latest that its log knows.
  void boot(Now now, Time last_time, Position frame);
  /// `frame`: where the core writes the facts of this.
  void apply(const model::Command& command, model::Ticket ticket, Now now, Position frame);
  /// Does one thing that is due, as Core::tick. `fired` is the job whose timer the core took, if it
  /// took one; throws Mismatch if it was not its turn.
  bool tick(Now now, model::JobId fired, Position frame);
  void dispatch(Now now, Position frame);
  /// As Core::forward_dead().
  bool forward_dead(Now now, Position frame);
  /// When there will be something to do; `never`: nothing is pending.
  Duration until_next(Now now) const;

  /// Replies of the calls since it was emptied.
  std::vector<model::Reply> replies;

  const std::vector<Job>& jobs() const { return jobs_; }

  const Job* find(model::JobId id) const;

  std::uint64_t removed() const { return removed_; }

  /// What the records of keys, exchanges and bindings have in the log (core/facts.h).
  std::uint64_t record_bytes_beside_jobs() const;

  std::uint64_t pushed() const { return pushed_; }

 private:
  struct Pull {
    model::Ticket ticket;
    std::vector<std::string> queues;
    std::uint32_t count = 1;
    std::optional<Duration> lease;
    std::string worker;
    Time deadline = never;
    model::Duty duty = model::Duty::lease;
    std::int32_t rank = 0;
    bool stays = false;
  };

  struct Await {
    model::Ticket ticket;
    model::JobId id;
    Time deadline = never;
  };

  struct HeldKey {
    model::JobId job;
    Time until = never;
  };

  struct Ended {
    model::JobId id;
    bool has_succeeded = false;
  };

  void handle(const model::Push& push);
  void handle(const model::Publish& publish);
  void handle(const model::RoutingCommand& command);
  void handle(const model::Pull& pull);
  void handle(const model::Ack& ack);
  void handle(const model::Fail& failed);
  void handle(const model::Release& release);
  void handle(const model::Extend& extend);
  void handle(const model::Progress& progress);
  void handle(const model::Cancel& cancel);
  void handle(const model::Await& await);
  void handle(const model::Abandon& abandon);
  void handle(const model::SetQueue& set);
  void handle(const model::DeclareQueue& declare);
  void handle(const model::PauseQueue& pause);
  void handle(const model::PurgeQueue& purge);
  void handle(const model::DeleteQueue& remove);
  void handle(const model::RedriveDead& drive);
  void handle(const model::DeleteDead& remove);
  void handle(const model::GetJob& get);
  void handle(const model::ListJobs& list);
  void handle(const model::GetQueue& get);
  void handle(const model::ListQueues& list);
  void handle(const model::GetStats& get);

  // reference_routing.cc
  void change(const model::PutExchange& put);
  void change(const model::DeleteExchange& gone);
  void change(const model::Bind& bind);
  void change(const model::Unbind& unbind);
  void change(const model::GetExchange& get);
  void change(const model::ListExchanges& list);
  const Exchange* find_exchange(ByteView name) const;
  const Exchange* find_transient_exchange() const;
  void remove_exchange(std::string name);
  void forget_routes(const std::function<bool(const Route&)>& is_gone);
  std::optional<ErrorCode> refusal(const model::Binding& binding) const;
  model::ExchangeInfo info(const Exchange& exchange) const;
  void reach(const Exchange& exchange,
             const std::vector<std::string>& keys,
             const model::HeaderList& headers,
             std::set<std::string>& exchanges,
             std::set<std::string>& queues) const;

  void begin(Now now, Position frame);
  void reply(model::Ticket ticket, model::Answer answer);

  void reply(model::Answer answer) { reply(ticket_, std::move(answer)); }

  /// Requires a push that was just put.
  bool is_transient(const model::Pushed& pushed);

  void refuse(model::Ticket ticket, ErrorCode code);

  void refuse(ErrorCode code) { refuse(ticket_, code); }

  Job* find_job(model::JobId id);
  Job* leased(model::JobId id, model::LeaseToken token);
  Queue* find_queue(ByteView name);
  Queue& queue_of(ByteView name);
  std::vector<Job*> listed(ByteView queue);
  std::vector<Job*> removable(ByteView queue);
  std::vector<Job*> dead_jobs(ByteView queue, const std::vector<model::JobId>& ids);
  bool is_last_attempt(const Job& job);
  std::uint64_t count(ByteView queue, const std::function<bool(const Job&)>& is_counted) const;
  void clear_transient();
  void remove_queue(std::string name);
  Job* next_to_run(ByteView queue);

  std::uint64_t draw() { return next_place_++; }

  Job new_job(const model::Push& push,
              const model::PushOptions& options,
              const model::QueuePolicy& policy);
  const HeldKey* held_key(const model::Push& push) const;
  std::optional<ErrorCode> refusal(const model::Push& push);
  model::Pushed put(const model::Push& push);
  Job* oldest_ready(const Queue& queue);
  bool is_full(const Queue& queue, std::size_t bytes) const;
  bool has_room(const Queue& queue, std::size_t bytes);
  void make_room(const Queue& queue, std::size_t bytes);
  bool schedule(Job& job);
  void set_clock(Job& job) const;
  void become_ready(Job& job, std::uint64_t place);
  void go_ready(Job& job, std::uint64_t place, const std::string& note);
  void note_event(Job& job, const std::string& worker, const std::string& note);
  bool is_asked_for(model::JobId id) const;
  void end(Job& job,
           model::JobState state,
           const std::string& note,
           const std::string& worker = {});
  void die(Job& job, model::DeathReason death, const std::string& reason, bool is_error = true);
  bool forward(const Job& job);
  void bury_refused(const model::Push& push);
  model::JobId add(const model::Push& push, Queue& queue);
  std::set<std::string> queues_for(const std::string& exchange,
                                   const std::vector<std::string>& keys,
                                   const model::HeaderList& headers) const;
  void touch(Queue& queue);
  bool end_unused_queue();
  void leave_line(const std::function<bool(const Pull&)>& leaves);
  void retry_or_die(Job& job, const std::string& error, std::optional<Duration> after);
  void settle();
  void dependency_ended(Job& job, const Ended& ended);
  void keep_or_remove(const Job& job);
  void release_key(const Job& job);
  void remove(model::JobId id);
  std::uint32_t deliver(const Pull& pull, std::uint64_t count);
  void wait_in_line(const Pull& pull);
  model::Delivery hand_out(Job& job, const Pull& pull);
  void serve_waiting();
  std::vector<Pull>::iterator first_waiting(const std::string& queue);
  bool has_line(const std::string& queue);
  void signal(const std::string& queue);
  void fire(Job& job);
  std::vector<Job*> next_due(bool is_wall);
  bool answer_overdue_wait();
  bool forget_overdue_key();
  bool has_leases() const;
  bool mark_time();
  std::unique_ptr<model::JobInfo> info(const Job& job);
  model::QueueInfo info(const Queue& queue) const;

  const model::Limits limits_;
  std::vector<Job> jobs_;    ///< In the order of their pushes.
  std::list<Queue> queues_;  ///< A list: references to one stay when another is made.
  std::map<std::pair<std::string, std::string>, HeldKey> keys_;  ///< By queue and key.
  std::vector<Pull> pulls_;                                      ///< In the order they are served.
  std::vector<Await> awaits_;
  std::vector<Ended> ended_;
  std::vector<model::JobId> dead_letters_;  ///< To be forwarded.
  Time time_mark_;
  std::vector<Exchange> exchanges_;
  std::vector<Route> routes_;
  std::vector<std::string> signalled_;  ///< Queues that got something for those who wait.
  std::uint64_t next_place_ = 1;
  std::uint64_t epoch_ = 0;
  std::uint64_t next_token_ = 1;
  std::uint64_t expired_leases_ = 0;
  std::uint64_t pushed_ = 0;
  std::uint64_t removed_ = 0;
  // Of the call under way.
  Now now_{};
  model::Ticket ticket_;
  Position frame_;
};

}  // namespace sluice::reference
