// The judgement, verdict by verdict.
#include "sim/history/judge.h"

#include "sim/history/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

bool may_have_happened(const Operation& operation) {
  return operation.outcome != Outcome::refused;
}

bool gives_up(const Operation& operation) {
  return operation.act == Act::ack || operation.act == Act::fail || operation.act == Act::release;
}

class Judge {
 public:
  explicit Judge(const History& history) : history_(history), timeline_(history) { sort_out(); }

  Judgement run() {
    for (const auto& [uid, leases] : leases_) {
      const Operation* const push = history_.push_of(uid);
      if (push == nullptr) continue;  // A phantom; judge_deliveries() says so.
      judge_first(uid, *push, leases);
      judge_repetitions(uid, *push, leases);
      judge_answers(uid, *push, leases);
      judge_acks(uid, leases);
    }
    judge_deliveries();
    judge_pushes();
    judge_keys();
    judge_order();
    if (!history_.remains().is_drained && !history_.remains().is_refused) {
      find("starved", 0, "not drained in time: " + history_.remains().unfinished);
    }
    return std::move(judgement_);
  }

 private:
  using Leases = std::vector<Lease>;

  void find(const char* verdict, Uid uid, std::string what) {
    judgement_.findings.push_back({verdict, uid, std::move(what)});
  }

  void sort_out();
  void assign_answer(const Operation& answer);
  void judge_deliveries();
  void judge_first(Uid uid, const Operation& push, const Leases& leases);
  void judge_repetitions(Uid uid, const Operation& push, const Leases& leases);
  void judge_answers(Uid uid, const Operation& push, const Leases& leases);
  void judge_acks(Uid uid, const Leases& leases);
  void judge_pushes();
  void judge_keys();
  void judge_order();
  void judge_order_of(const std::string& queue, const std::vector<const Operation*>& pushes);

  std::string reason(const Operation& push, const Lease& earlier, const Lease& later) const;
  bool was_removed(const Operation& push, std::size_t before) const;
  bool was_redriven(std::size_t before) const;
  bool is_accounted(const Operation& push) const;
  bool was_acked(Uid uid, std::uint64_t job) const;
  bool may_have_ended(const Operation& push,
                      const std::vector<const Operation*>& same_key,
                      std::size_t before) const;
  bool may_have_lost(const std::string& queue, Moment from, Moment to) const;
  const Lease* first_lease(const Operation& push) const;

  const History& history_;
  const Timeline timeline_;
  std::map<Uid, Leases> leases_;  ///< By era and token.
  std::map<std::uint64_t, const Operation*>
      cancels_;  ///< By job: the first that may have happened.
  std::vector<const Operation*> removals_;
  std::vector<const Operation*> redrives_;
  std::map<std::string, std::vector<const Operation*>> lost_pulls_;  ///< By queue.
  Judgement judgement_;
};

void Judge::sort_out() {
  for (const Operation& operation : history_.operations()) {
    if (operation.act == Act::cancel && may_have_happened(operation)) {
      cancels_.emplace(operation.job, &operation);
    }
    if (operation.act == Act::remove && may_have_happened(operation)) {
      removals_.push_back(&operation);
    }
    if (operation.act == Act::redrive && may_have_happened(operation)) {
      redrives_.push_back(&operation);
    }
    const bool is_lost = operation.outcome == Outcome::unknown || operation.was_cut_short;
    if (operation.act == Act::pull && is_lost) {
      for (const std::string& queue : operation.queues)
        lost_pulls_[queue].push_back(&operation);
    }
  }
  for (const Operation& operation : history_.operations()) {
    for (const Delivered& job : operation.delivered) {
      Lease lease{&operation, &job, operation.invoked, {}};
      if (const Operation* push = history_.push_of(job.uid)) {
        lease.granted = std::max(lease.granted, push->invoked);
      }
      leases_[job.uid].push_back(std::move(lease));
    }
  }
  for (auto& [uid, leases] : leases_) {
    std::stable_sort(leases.begin(), leases.end(), [this](const Lease& a, const Lease& b) {
      return std::pair(timeline_.era(*a.pull), a.job->token) <
             std::pair(timeline_.era(*b.pull), b.job->token);
    });
  }
  for (const Operation& operation : history_.operations()) {
    if (operation.token != 0) assign_answer(operation);
  }
}

/// To the last lease with its token that had been received: after a restart that forgot, there may
/// be two of them.
void Judge::assign_answer(const Operation& answer) {
  const auto leases = leases_.find(answer.uid);
  if (leases == leases_.end()) return;
  Lease* answered = nullptr;
  for (Lease& lease : leases->second) {
    const bool is_before = lease.order() < answer.invoke_order;
    if (is_before && lease.job->token == answer.token) answered = &lease;
  }
  if (answered != nullptr) answered->answers.push_back(&answer);
}

// -- Deliveries. ---------------------------------------------------------------------------------

/// What holds for each delivery, and for all of them together.
void Judge::judge_deliveries() {
  std::map<std::pair<std::size_t, std::uint64_t>, Uid> tokens;  // By era.
  std::map<std::pair<std::size_t, std::uint64_t>, Uid> jobs;    // By era.
  std::map<std::size_t, std::uint64_t> highest;                 // By life.
  for (const Operation& pull : history_.operations()) {
    const std::size_t era = timeline_.era(pull);
    for (const Delivered& job : pull.delivered) {
      ++judgement_.deliveries;
      const Operation* const push = history_.push_of(job.uid);
      if (push == nullptr || push->invoke_order > pull.return_order) {
        find("phantom", job.uid, "delivered, but nobody pushed it");
        continue;
      }
      if (!job.is_intact) find("phantom", job.uid, "delivered with other bytes than it was pushed");
      if (push->outcome == Outcome::refused) {
        find("phantom", job.uid, "delivered, but its push was refused: " + push->code);
      }
      if (!tokens.emplace(std::pair(era, job.token), job.uid).second) {
        find("dup-delivery", job.uid, fmt::format("token {} was given twice", job.token));
      }
      const auto [known, is_new] = jobs.emplace(std::pair(era, job.job), job.uid);
      if (!is_new && known->second != job.uid) {
        find("phantom", job.uid, fmt::format("job {} has another payload", job.job));
      }
      const bool has_id = push->outcome == Outcome::ok && timeline_.era(*push) == era;
      if (has_id && push->job != job.job) {
        find("dup-push", job.uid, fmt::format("delivered under another id: {}", job.job));
      }
      std::uint64_t& of_life = highest[timeline_.life(pull)];
      of_life = std::max(of_life, job.token);
    }
  }
  for (const auto& [uid, leases] : leases_) {
    for (const Lease& lease : leases) {
      const std::size_t life = timeline_.life(*lease.pull);
      for (const auto& [earlier, token] : highest) {
        if (earlier >= life || timeline_.era_of_life(earlier) != timeline_.era_of_life(life))
          continue;
        if (lease.job->token > token) continue;
        find("token", uid, fmt::format("token {} is not above {}", lease.job->token, token));
      }
    }
  }
}

/// The first delivery: not before its time.
void Judge::judge_first(Uid uid, const Operation& push, const Leases& leases) {
  const Lease& first = leases.front();
  if (first.job->queue != push.push->queue || was_redriven(first.order())) return;
  const Moment due = push.invoked + push.push->delay -
                     timeline_.jumps(timeline_.life(push), timeline_.life(*first.pull));
  if (push.push->delay.count() > 0 && first.received() < due) {
    find("early", uid, "delivered before its delay was over");
  }
  for (const Uid other : push.push->after) {
    const Operation* const awaited = history_.push_of(other);
    if (timeline_.era(*awaited) != timeline_.era(push)) continue;  // Its id may be another job's.
    const auto acked = [&](const Operation& operation) {
      return operation.act == Act::ack && operation.uid == other && may_have_happened(operation) &&
             operation.invoke_order < first.order();
    };
    const auto& all = history_.operations();
    if (std::none_of(all.begin(), all.end(), acked)) {
      find("early",
           uid,
           fmt::format("delivered before uid {}, which it waits for, was acked", other));
    }
  }
}

/// Why a job may come again; empty: for no reason; "delay": its reason asks for a later moment.
std::string Judge::reason(const Operation& push, const Lease& earlier, const Lease& later) const {
  const std::size_t life = timeline_.life(*earlier.pull);
  const std::size_t later_life = timeline_.life(*later.pull);
  if (timeline_.era_of_life(life) != timeline_.era_of_life(later_life)) return "forgotten";
  bool is_too_early = false;
  for (const Operation* answer : earlier.answers) {
    if (!gives_up(*answer) || answer->act == Act::ack) continue;
    if (!may_have_happened(*answer) || answer->invoke_order > later.order()) continue;
    const bool may_be_dead =
        answer->act == Act::fail && earlier.job->attempt >= push.push->attempts;
    const Moment due =
        answer->invoked + answer->duration.value_or(Micros{0}) - timeline_.jumps(life, later_life);
    if (may_be_dead || was_redriven(later.order()) || later.received() >= due) {
      return answer->act == Act::fail ? "failed" : "released";
    }
    is_too_early = true;
  }
  if (later.received() >= timeline_.earliest_expiry(earlier, later.order())) return "lease expired";
  if (life != later_life && !timeline_.is_durable(earlier.order(), life)) return "restart";
  return is_too_early ? "delay" : "";
}

void Judge::judge_repetitions(Uid uid, const Operation& push, const Leases& leases) {
  for (std::size_t at = 1; at < leases.size(); ++at) {
    const Lease& earlier = leases[at - 1];
    const Lease& later = leases[at];
    if (earlier.job->token == later.job->token) continue;
    const std::string why = reason(push, earlier, later);
    if (why == "delay") {
      find("dup-delivery", uid, "delivered again before the delay of its fail or release was over");
    } else if (why.empty()) {
      find("two-owners",
           uid,
           fmt::format("delivered with token {} while the lease with token {} ran",
                       later.job->token,
                       earlier.job->token));
    } else {
      ++judgement_.redeliveries[why];
    }
    if (timeline_.era(*earlier.pull) == timeline_.era(*later.pull) &&
        earlier.job->job != later.job->job) {
      find("dup-push", uid, "one push, two jobs");
    }
  }
}

/// What the holder of a token was answered.
void Judge::judge_answers(Uid uid, const Operation& push, const Leases& leases) {
  for (const Lease& lease : leases) {
    for (const Operation* answer : lease.answers) {
      if (answer->outcome == Outcome::ok) {
        for (const Lease& newer : leases) {
          if (newer.job->token > lease.job->token && newer.order() < answer->invoke_order &&
              timeline_.era(*newer.pull) == timeline_.era(*answer)) {
            find("stale-ok",
                 uid,
                 fmt::format("{} with token {} was taken after token {} was given",
                             name(answer->act),
                             lease.job->token,
                             newer.job->token));
          }
        }
        continue;
      }
      if (answer->outcome != Outcome::refused) continue;
      const auto is_end = [&](const Operation* other) {
        return other != answer && gives_up(*other) && may_have_happened(*other) &&
               other->invoke_order < answer->return_order;
      };
      const bool is_ended = std::any_of(lease.answers.begin(), lease.answers.end(), is_end);
      const auto cancel = cancels_.find(lease.job->job);
      const bool is_cancelled =
          cancel != cancels_.end() && cancel->second->invoke_order < answer->return_order;
      const std::size_t life = timeline_.life(*lease.pull);
      const std::size_t answer_life = timeline_.life(*answer);
      const bool is_forgotten = timeline_.era(*lease.pull) != timeline_.era(*answer) ||
                                (life != answer_life && !timeline_.is_durable(lease.order(), life));
      if (is_ended || is_cancelled || is_forgotten || was_removed(push, answer->return_order)) {
        continue;
      }
      if (answer->returned < timeline_.earliest_expiry(lease, answer->return_order)) {
        find("refused",
             uid,
             fmt::format("{} with the current token {} was refused: {}",
                         name(answer->act),
                         lease.job->token,
                         answer->code));
      }
    }
  }
}

void Judge::judge_acks(Uid uid, const Leases& leases) {
  const Operation* acked = nullptr;
  for (const Lease& lease : leases) {
    for (const Operation* answer : lease.answers) {
      if (answer->act != Act::ack || answer->outcome != Outcome::ok) continue;
      if (!timeline_.is_firm(*answer)) continue;
      if (acked != nullptr) find("stale-ok", uid, "acked twice");
      acked = answer;
    }
  }
  if (acked == nullptr) return;
  const std::size_t era = timeline_.era(*acked);
  for (const Lease& lease : leases) {
    const std::size_t lease_era = timeline_.era(*lease.pull);
    const bool is_newer = lease_era == era && lease.job->token > acked->token;
    const bool is_later = lease.pull->invoke_order > acked->return_order;
    if (lease_era > era || is_newer || is_later) {
      find("undead",
           uid,
           fmt::format("delivered with token {} though its ack with token {} was answered",
                       lease.job->token,
                       acked->token));
    }
  }
}

// -- What became of every push. ------------------------------------------------------------------

/// Whether jobs of its queue, or of the one where dead jobs go, may have been removed.
bool Judge::was_removed(const Operation& push, std::size_t before) const {
  return std::any_of(removals_.begin(), removals_.end(), [&](const Operation* removal) {
    const bool is_after =
        removal->outcome == Outcome::unknown || removal->return_order > push.invoke_order;
    return is_after && removal->invoke_order < before &&
           (removal->queues.contains(push.push->queue) || removal->queues.contains(dead_letters));
  });
}

bool Judge::was_redriven(std::size_t before) const {
  return std::any_of(redrives_.begin(), redrives_.end(), [before](const Operation* redrive) {
    return redrive->invoke_order < before;
  });
}

/// Whether a delivery of this payload, under that id, was acked, or may have been.
bool Judge::was_acked(Uid uid, std::uint64_t job) const {
  const auto leases = leases_.find(uid);
  if (leases == leases_.end()) return false;
  for (const Lease& lease : leases->second) {
    if (job != 0 && lease.job->job != job) continue;
    for (const Operation* answer : lease.answers) {
      if (answer->act == Act::ack && may_have_happened(*answer)) return true;
    }
  }
  return false;
}

bool Judge::is_accounted(const Operation& push) const {
  const Remains& remains = history_.remains();
  return was_acked(push.uid, 0) || cancels_.contains(push.job) || push.push->has_ttl ||
         remains.dead.contains(push.job) || remains.reported.contains(push.job) ||
         was_removed(push, SIZE_MAX);
}

void Judge::judge_pushes() {
  if (!history_.remains().is_drained) return;  // Starved says it all.
  for (const Operation& push : history_.operations()) {
    if (push.act != Act::push || push.outcome != Outcome::ok || !timeline_.is_firm(push)) continue;
    if (!push.push->unique_key.empty() || is_accounted(push)) continue;
    const bool is_delivered = leases_.contains(push.uid);
    find("lost",
         push.uid,
         is_delivered ? "delivered, not acked, and not there at the end"
                      : "answered, and never delivered");
  }
}

/// Whether the job of a push with a unique key may be final, so that the key is free.
bool Judge::may_have_ended(const Operation& push,
                           const std::vector<const Operation*>& same_key,
                           std::size_t before) const {
  const auto cancel = cancels_.find(push.job);
  if (cancel != cancels_.end() && cancel->second->invoke_order < before) return true;
  if (was_removed(push, before) || history_.remains().may_drop_head) return true;
  std::size_t lost_leases = 0;
  if (const auto lost = lost_pulls_.find(push.push->queue); lost != lost_pulls_.end()) {
    lost_leases = lost->second.size();
  }
  for (const Operation* other : same_key) {
    // Its leases were not handed out, and count all the same.
    if (history_.remains().reported.contains(other->job)) return true;
    if (other->push->has_ttl || other->push->has_window || other->push->waits) return true;
    if (other->push->may_replace && may_have_happened(*other) && other->invoke_order < before) {
      return true;
    }
    const auto leases = leases_.find(other->uid);
    const std::size_t seen = leases == leases_.end() ? 0 : leases->second.size();
    if (lost_leases + seen >= static_cast<std::size_t>(other->push->attempts)) return true;
    if (leases == leases_.end()) continue;
    for (const Lease& lease : leases->second) {
      const auto ends = [before](const Operation* answer) {
        return gives_up(*answer) && may_have_happened(*answer) && answer->invoke_order < before;
      };
      if (std::any_of(lease.answers.begin(), lease.answers.end(), ends)) return true;
    }
  }
  return false;
}

/// Pushes with the same unique key: one job while it is held, and that job is not lost.
void Judge::judge_keys() {
  std::map<std::pair<std::string, std::string>, std::vector<const Operation*>> groups;
  for (const Operation& push : history_.operations()) {
    if (push.act != Act::push || push.push->unique_key.empty()) continue;
    if (may_have_happened(push)) groups[{push.push->queue, push.push->unique_key}].push_back(&push);
  }
  for (const auto& [key, pushes] : groups) {
    for (const Operation* push : pushes) {
      if (push->outcome != Outcome::ok) continue;
      const bool is_accounted_for =
          std::any_of(pushes.begin(), pushes.end(), [&](const Operation* other) {
            const bool is_same = other->job == push->job && is_accounted(*other);
            return is_same || was_acked(other->uid, push->job) || other->push->has_ttl ||
                   (other->push->may_replace && may_have_happened(*other));
          });
      if (!is_accounted_for && timeline_.is_firm(*push) && history_.remains().is_drained) {
        find("lost", push->uid, fmt::format("job {} of key {} is gone", push->job, key.second));
      }
      for (const Operation* later : pushes) {
        if (later->outcome != Outcome::ok || later->invoke_order < push->return_order) continue;
        if (later->job == push->job || timeline_.era(*later) != timeline_.era(*push)) continue;
        if (later->push->may_replace || may_have_ended(*push, pushes, later->return_order))
          continue;
        find("dup-push",
             later->uid,
             fmt::format(
                 "key {} is held by job {}, and gave job {}", key.second, push->job, later->job));
      }
    }
  }
}

// -- Order. --------------------------------------------------------------------------------------

/// The first delivery, if it is known to be the first lease from the job's own queue.
const Lease* Judge::first_lease(const Operation& push) const {
  const auto leases = leases_.find(push.uid);
  if (leases == leases_.end()) return nullptr;
  const Lease& first = leases->second.front();
  const bool is_first = first.job->attempt == 1 && first.job->queue == push.push->queue;
  return is_first && timeline_.era(*first.pull) == timeline_.era(push) ? &first : nullptr;
}

/// A reply that did not come may have held a job's first lease.
bool Judge::may_have_lost(const std::string& queue, Moment from, Moment to) const {
  const auto lost = lost_pulls_.find(queue);
  if (lost == lost_pulls_.end()) return false;
  return std::any_of(lost->second.begin(), lost->second.end(), [&](const Operation* pull) {
    return pull->invoked <= to && (pull->return_order == 0 || pull->returned >= from);
  });
}

void Judge::judge_order() {
  if (!history_.remains().reported.empty() || !redrives_.empty()) return;
  std::map<std::pair<std::string, int>, std::vector<const Operation*>> groups;
  for (const Operation& push : history_.operations()) {
    if (push.act != Act::push || push.outcome != Outcome::ok || !push.push->priority) continue;
    if (push.push->delay.count() > 0 || push.push->is_scheduled || push.push->waits) continue;
    if (!push.push->unique_key.empty() || first_lease(push) == nullptr) continue;
    groups[{push.push->queue, *push.push->priority}].push_back(&push);
  }
  for (const auto& [place, pushes] : groups)
    judge_order_of(place.first, pushes);
}

/// `pushes` in the order of their invocations. One that was answered before another was asked for
/// is in front of it.
void Judge::judge_order_of(const std::string& queue, const std::vector<const Operation*>& pushes) {
  std::vector<const Operation*> answered = pushes;
  std::sort(answered.begin(), answered.end(), [](const Operation* a, const Operation* b) {
    return a->return_order < b->return_order;
  });
  std::size_t next = 0;
  const Operation* last = nullptr;  // Of those in front, the one that was delivered last.
  for (const Operation* push : pushes) {
    for (; next < answered.size() && answered[next]->return_order < push->invoke_order; ++next) {
      if (last == nullptr ||
          first_lease(*answered[next])->job->token > first_lease(*last)->job->token) {
        last = answered[next];
      }
    }
    if (last == nullptr || timeline_.era(*last) != timeline_.era(*push)) continue;
    const Lease& own = *first_lease(*push);
    const Lease& before = *first_lease(*last);
    if (own.job->token > before.job->token) continue;
    if (may_have_lost(queue, last->invoked, std::max(own.received(), before.received()))) continue;
    find("reorder", push->uid, fmt::format("delivered before uid {} of the same queue", last->uid));
  }
}

}  // namespace

Judgement judge(const History& history) {
  return Judge(history).run();
}

}  // namespace sluice::sim
