// History: recording, and telling the story of one job.
#include "sim/history/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

double seconds(Moment moment) {
  return std::chrono::duration<double>(moment).count();
}

const char* name(Restart::Kind kind) {
  switch (kind) {
    case Restart::Kind::stop:
      return "the server was stopped";
    case Restart::Kind::kill:
      return "the server was killed";
    case Restart::Kind::power_loss:
      return "the power failed";
  }
  return "";
}

std::string answer_of(const Operation& operation) {
  if (operation.return_order == 0) return "no answer";
  const std::string at = fmt::format("{:.6f} ", seconds(operation.returned));
  switch (operation.outcome) {
    case Outcome::ok:
      return at + "OK";
    case Outcome::refused:
      return at + operation.code;
    case Outcome::unknown:
      return at + "the connection broke";
  }
  return at;
}

bool concerns(const Operation& operation, Uid uid, std::uint64_t job, const std::string& queue) {
  if (operation.uid == uid) return true;
  if (job != 0 && operation.job == job && operation.act != Act::push) return true;
  if (operation.act == Act::remove || operation.act == Act::redrive) {
    return operation.queues.contains(queue);
  }
  return std::any_of(operation.delivered.begin(),
                     operation.delivered.end(),
                     [uid](const Delivered& each) { return each.uid == uid; });
}

}  // namespace

const char* name(Act act) {
  switch (act) {
    case Act::push:
      return "PUSH";
    case Act::pull:
      return "PULL";
    case Act::ack:
      return "ACK";
    case Act::fail:
      return "FAIL";
    case Act::release:
      return "RELEASE";
    case Act::extend:
      return "EXTEND";
    case Act::progress:
      return "PROGRESS";
    case Act::cancel:
      return "CANCEL";
    case Act::await:
      return "AWAIT";
    case Act::read:
      return "JOB";
    case Act::remove:
      return "remove";
    case Act::redrive:
      return "DEAD REDRIVE";
    case Act::configure:
      return "configure";
  }
  return "";
}

std::size_t History::invoke(Act act, int client, Moment now) {
  Operation& operation = operations_.emplace_back();
  operation.act = act;
  operation.client = client;
  operation.invoked = now;
  operation.invoke_order = next_order_++;
  return operations_.size() - 1;
}

void History::answer(std::size_t operation, Outcome outcome, Moment now) {
  Operation& answered = operations_[operation];
  answered.outcome = outcome;
  answered.returned = now;
  answered.return_order = next_order_++;
}

void History::end(Restart::Kind kind, Moment now, std::optional<Moment> forgets_from) {
  Restart& restart = restarts_.emplace_back();
  restart.kind = kind;
  restart.ended = now;
  restart.began = now;
  restart.end_order = next_order_++;
  restart.forgets_from = forgets_from;
}

void History::begin(Moment now, Micros jump) {
  restarts_.back().began = now;
  restarts_.back().jump = jump;
}

void History::forget(std::optional<Moment> from) {
  if (restarts_.empty() || !from) return;
  std::optional<Moment>& forgets_from = restarts_.back().forgets_from;
  forgets_from = std::min(forgets_from.value_or(*from), *from);
}

const Operation* History::push_of(Uid uid) const {
  const auto found = pushes_.find(uid);
  return found == pushes_.end() ? nullptr : found->second;
}

std::string describe(const Operation& operation) {
  std::string text = fmt::format(
      "{:14.6f} client {:2} {}", seconds(operation.invoked), operation.client, name(operation.act));
  if (operation.push) {
    text += fmt::format(" uid {} queue {}", operation.uid, operation.push->queue);
    if (operation.push->delay.count() > 0) {
      text += fmt::format(" delay {}", seconds(operation.push->delay));
    }
    if (!operation.push->unique_key.empty()) text += " unique " + operation.push->unique_key;
  }
  if (operation.job != 0) text += fmt::format(" job {}", operation.job);
  if (operation.token != 0) text += fmt::format(" token {}", operation.token);
  for (const std::string& queue : operation.queues)
    text += " " + queue;
  if (operation.duration) text += fmt::format(" for {}", seconds(*operation.duration));
  text += " -> " + answer_of(operation);
  for (const Delivered& each : operation.delivered) {
    text += fmt::format(" [uid {} job {} token {} attempt {}{}]",
                        each.uid,
                        each.job,
                        each.token,
                        each.attempt,
                        each.lease ? fmt::format(" lease {}", seconds(*each.lease)) : "");
  }
  return text;
}

std::string History::story(Uid uid) const {
  const Operation* const push = push_of(uid);
  const std::string queue = push == nullptr ? std::string() : push->push->queue;
  const std::uint64_t job = push == nullptr ? 0 : push->job;
  std::vector<std::pair<std::size_t, std::string>> lines;
  for (const Operation& operation : operations_) {
    if (!concerns(operation, uid, job, queue)) continue;
    lines.emplace_back(operation.invoke_order, describe(operation));
  }
  for (const Restart& restart : restarts_) {
    lines.emplace_back(restart.end_order,
                       fmt::format("{:14.6f} {}; it was back at {:.6f}{}",
                                   seconds(restart.ended),
                                   name(restart.kind),
                                   seconds(restart.began),
                                   restart.forgets_from ? ", and may have forgotten" : ""));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& [order, line] : lines)
    text += "  " + line + "\n";
  return text;
}

}  // namespace sluice::sim
