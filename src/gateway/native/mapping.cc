// Mapping: see mapping.h. PUSH without options, PULL of one queue and ACK are the hot path: no
// allocation but the growth of the batch's vectors.
#include "gateway/native/mapping.h"

#include "gateway/native/arguments.h"
#include "gateway/native/routing.h"
#include "gateway/text.h"
#include "model/names.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

namespace sluice::native {
namespace {

using gateway::is_word;
using gateway::shown;
using resp::Arguments;

Result<void> ack(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<model::LeaseToken> token = read_token(arguments[2]);
  if (!token) return error_of(token);
  ByteView result;
  if (arguments.size() > 3) {
    if (arguments.size() != 5 || !is_word(arguments[3], "RESULT")) {
      return bad_argument("option of ACK", arguments[3], "RESULT bytes");
    }
    result = arguments[4];
  }
  batch.requests.emplace_back().command.emplace<model::Ack>(*id, *token, result);
  return {};
}

Result<void> fail_job(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<model::LeaseToken> token = read_token(arguments[2]);
  if (!token) return error_of(token);
  model::Fail command{*id, *token, arguments[3], std::nullopt, false};
  if (arguments.size() == 5 && is_word(arguments[4], "DEAD")) {
    command.dead = true;
  } else if (arguments.size() == 6 && is_word(arguments[4], "RETRY")) {
    Result<Duration> delay = read_duration("RETRY", arguments[5], Duration(0), duration_max);
    if (!delay) return error_of(delay);
    command.retry_after = *delay;
  } else if (arguments.size() > 4) {
    return bad_argument("option of FAIL", arguments[4], "RETRY d, DEAD");
  }
  batch.requests.emplace_back().command = command;
  return {};
}

Result<void> release(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<model::LeaseToken> token = read_token(arguments[2]);
  if (!token) return error_of(token);
  model::Release command{*id, *token, Duration(0)};
  if (arguments.size() > 3) {
    if (arguments.size() != 5 || !is_word(arguments[3], "DELAY")) {
      return bad_argument("option of RELEASE", arguments[3], "DELAY d");
    }
    Result<Duration> delay = read_duration("DELAY", arguments[4], Duration(0), duration_max);
    if (!delay) return error_of(delay);
    command.delay = *delay;
  }
  batch.requests.emplace_back().command = command;
  return {};
}

Result<void> extend(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<model::LeaseToken> token = read_token(arguments[2]);
  if (!token) return error_of(token);
  Result<Duration> lease = read_duration("lease", arguments[3], Duration(1), model::lease_max);
  if (!lease) return error_of(lease);
  batch.requests.emplace_back().command.emplace<model::Extend>(*id, *token, *lease);
  return {};
}

Result<void> progress(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<model::LeaseToken> token = read_token(arguments[2]);
  if (!token) return error_of(token);
  Result<std::uint64_t> percent = read_number("percent", arguments[3], 0, 100);
  if (!percent) return error_of(percent);
  const ByteView note = arguments.size() > 4 ? arguments[4] : ByteView();
  if (note.size() > model::note_bytes_max) {
    return too_long("note", note.size(), model::note_bytes_max);
  }
  batch.requests.emplace_back().command.emplace<model::Progress>(
      *id, *token, static_cast<std::uint8_t>(*percent), note);
  return {};
}

template <class Command>
Result<void> by_id(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  batch.requests.emplace_back().command = Command{*id};
  return {};
}

Result<void> await(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::JobId> id = read_id(arguments[1]);
  if (!id) return error_of(id);
  Result<Duration> wait = read_duration("wait", arguments[2], Duration(0), duration_max);
  if (!wait) return error_of(wait);
  batch.requests.emplace_back().command.emplace<model::Await>(*id, *wait);
  return {};
}

/// The words that end the list of queues of a PULL.
bool is_pull_option(ByteView word) {
  return is_word(word, "COUNT") || is_word(word, "WAIT") || is_word(word, "LEASE") ||
         is_word(word, "AS");
}

Result<void> read_pull_option(ByteView name, ByteView value, model::Pull& pull) {
  if (is_word(name, "COUNT")) {
    Result<std::uint64_t> count = read_number("COUNT", value, 1, model::pull_count_max);
    if (!count) return error_of(count);
    pull.count = static_cast<std::uint32_t>(*count);
  } else if (is_word(name, "WAIT")) {
    Result<Duration> wait = read_duration("WAIT", value, Duration(0), duration_max);
    if (!wait) return error_of(wait);
    pull.wait = *wait;
  } else if (is_word(name, "LEASE")) {
    Result<Duration> lease = read_duration("LEASE", value, Duration(1), model::lease_max);
    if (!lease) return error_of(lease);
    pull.lease = *lease;
  } else if (is_word(name, "AS")) {
    Result<ByteView> worker = read_name("worker", value, model::worker_bytes_max);
    if (!worker) return error_of(worker);
    pull.worker = *worker;
  } else {
    return bad_argument("option of PULL", name, "COUNT n, WAIT d, LEASE d, AS worker");
  }
  return {};
}

/// CURSOR and COUNT; what else JOBS has.
Result<void> read_list_option(ByteView name, ByteView value, model::ListJobs& list) {
  if (is_word(name, "CURSOR")) {
    Result<std::uint64_t> cursor = read_number("CURSOR", value, 0, UINT64_MAX);
    if (!cursor) return error_of(cursor);
    list.cursor = model::JobId(*cursor);
  } else if (is_word(name, "COUNT")) {
    Result<std::uint64_t> count = read_number("COUNT", value, 1, model::pull_count_max);
    if (!count) return error_of(count);
    list.count = static_cast<std::uint32_t>(*count);
  } else if (is_word(name, "STATE")) {
    list.state = model::job_state(value);
    if (!list.state) {
      return bad_argument("STATE",
                          value,
                          "scheduled, waiting, ready, leased, retry, succeeded, dead, cancelled, "
                          "expired");
    }
  } else if (is_word(name, "TYPE")) {
    Result<ByteView> type = read_name("TYPE", value, model::type_bytes_max);
    if (!type) return error_of(type);
    list.type = *type;
  } else if (is_word(name, "OLDER")) {
    Result<Duration> age = read_duration("OLDER", value, Duration(0), duration_max);
    if (!age) return error_of(age);
    list.older_than = *age;
  } else if (is_word(name, "NEWER")) {
    Result<Duration> age = read_duration("NEWER", value, Duration(0), duration_max);
    if (!age) return error_of(age);
    list.newer_than = *age;
  } else {
    return bad_argument(
        "option of JOBS", name, "STATE s, TYPE t, OLDER d, NEWER d, CURSOR id, COUNT n");
  }
  return {};
}

Result<std::vector<model::JobId>> read_ids(const Arguments& arguments, std::size_t from) {
  std::vector<model::JobId> ids;
  for (std::size_t i = from; i < arguments.size(); ++i) {
    Result<model::JobId> id = read_id(arguments[i]);
    if (!id) return error_of(id);
    ids.push_back(*id);
  }
  return ids;
}

}  // namespace

Result<void> Mapping::add(Verb verb,
                          const Arguments& arguments,
                          engine::Sequence sequence,
                          engine::RequestBatch& batch) {
  Result<void> added = read(verb, arguments, batch);
  if (added) [[likely]]
    batch.requests.back().sequence = sequence;
  return added;
}

Result<void> Mapping::read(Verb verb, const Arguments& arguments, engine::RequestBatch& batch) {
  switch (verb) {
    case Verb::push:
      return push(arguments, batch);
    case Verb::pull:
      return pull(arguments, batch);
    case Verb::ack:
      return ack(arguments, batch);
    case Verb::fail:
      return fail_job(arguments, batch);
    case Verb::release:
      return release(arguments, batch);
    case Verb::extend:
      return extend(arguments, batch);
    case Verb::progress:
      return progress(arguments, batch);
    case Verb::cancel:
      return by_id<model::Cancel>(arguments, batch);
    case Verb::job:
      return by_id<model::GetJob>(arguments, batch);
    case Verb::await:
      return await(arguments, batch);
    case Verb::jobs:
      return jobs(arguments, batch);
    case Verb::queue:
      return queue(arguments, batch);
    case Verb::dead:
      return dead(arguments, batch);
    case Verb::publish:
      return publish(arguments, batch);
    case Verb::exchange:
    case Verb::bind:
    case Verb::unbind:
      return read_routing(verb, arguments, batch);
    case Verb::info:
      batch.requests.emplace_back().command = model::GetStats{};
      return {};
    case Verb::backup:
    case Verb::ping:
    case Verb::echo:
    case Verb::hello:
    case Verb::auth:
    case Verb::select:
    case Verb::client:
    case Verb::command:
    case Verb::config:
    case Verb::quit:
    case Verb::reset:
    case Verb::unknown:
      break;
  }
  return fail(ErrorCode::unknown, "not a command for the engine");
}

Result<void> Mapping::push(const Arguments& arguments, engine::RequestBatch& batch) {
  const ByteView queue = arguments[1];
  if (queue != good_queue_) [[unlikely]] {
    Result<void> checked = check_queue(queue);
    if (!checked) return checked;
  }
  Result<model::Push> job = read_job(arguments, 2, batch);
  if (!job) return error_of(job);
  job->queue = queue;
  // The first alternative of a fresh Command is a Push.
  *std::get_if<model::Push>(&batch.requests.emplace_back().command) = *job;
  return {};
}

Result<void> Mapping::publish(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<model::Push> job = read_job(arguments, 3, batch);
  if (!job) return error_of(job);
  batch.requests.emplace_back().command = model::Publish{arguments[1], arguments[2], *job, nullptr};
  return {};
}

/// The type, the payload and the options.
Result<model::Push> Mapping::read_job(const Arguments& arguments,
                                      std::size_t from,
                                      engine::RequestBatch& batch) const {
  Result<ByteView> type = read_name("type", arguments[from], model::type_bytes_max);
  if (!type) return error_of(type);
  const ByteView payload = arguments[from + 1];
  if (payload.size() > limits_.payload_bytes_max) {
    return too_long("payload", payload.size(), limits_.payload_bytes_max);
  }
  const model::PushOptions* options = nullptr;
  if (arguments.size() > from + 2) {
    model::PushOptions& read_options = batch.options.emplace_back();
    Result<void> read = read_push_options(arguments, from + 2, limits_, read_options);
    if (!read) {
      batch.options.pop_back();
      return error_of(read);
    }
    options = &read_options;
  }
  return model::Push{{}, *type, payload, options};
}

Result<void> Mapping::pull(const Arguments& arguments, engine::RequestBatch& batch) {
  std::size_t at = 1;
  // The first argument is always a queue: one that is called "count" can be pulled from.
  do {
    ++at;
  } while (at < arguments.size() && !is_pull_option(arguments[at]));
  const std::size_t queues_end = at;
  if (queues_end - 1 > model::pull_queues_max) {
    return fail(ErrorCode::too_big,
                fmt::format("PULL: {} queues (limit {})", queues_end - 1, model::pull_queues_max));
  }
  model::Pull pull;
  for (; at < arguments.size(); at += 2) {
    if (at + 1 == arguments.size()) {
      return fail(ErrorCode::arg, fmt::format("PULL: {} needs a value", shown(arguments[at])));
    }
    Result<void> read = read_pull_option(arguments[at], arguments[at + 1], pull);
    if (!read) return read;
  }
  for (std::size_t i = 1; i < queues_end; ++i) {
    if (arguments[i] == good_queue_) continue;
    Result<void> checked = check_queue(arguments[i]);
    if (!checked) return checked;
  }
  std::vector<ByteView>& queues = batch.queue_lists.emplace_back();
  queues.reserve(queues_end - 1);
  for (std::size_t i = 1; i < queues_end; ++i)
    queues.push_back(arguments[i]);
  pull.queues = &queues;
  batch.requests.emplace_back().command = pull;
  return {};
}

Result<void> Mapping::queue(const Arguments& arguments, engine::RequestBatch& batch) {
  const ByteView word = arguments[1];
  if (is_word(word, "LIST") && arguments.size() == 2) {
    batch.requests.emplace_back().command = model::ListQueues{};
    return {};
  }
  if (arguments.size() < 3) return tl::unexpected<Error>(wrong_count(Verb::queue));
  const ByteView name = arguments[2];
  Result<void> checked = check_queue(name);
  if (!checked) return checked;
  if (is_word(word, "SET")) {
    if (arguments.size() < 5 || arguments.size() % 2 == 0) {
      return tl::unexpected<Error>(wrong_count(Verb::queue));
    }
    auto change = std::make_shared<model::PolicyChange>();
    for (std::size_t i = 3; i < arguments.size(); i += 2) {
      Result<void> set = gateway::set_policy_field(*change, arguments[i], arguments[i + 1]);
      if (!set) return set;
    }
    batch.requests.emplace_back().command.emplace<model::SetQueue>(name, std::move(change));
    return {};
  }
  if (is_word(word, "DELETE")) {
    const bool is_forced = arguments.size() == 4 && is_word(arguments[3], "FORCE");
    if (arguments.size() > 3 && !is_forced) {
      return bad_argument("option of QUEUE DELETE", arguments[3], "FORCE");
    }
    batch.requests.emplace_back().command = model::DeleteQueue{name, is_forced};
    return {};
  }
  if (arguments.size() != 3) return tl::unexpected<Error>(wrong_count(Verb::queue));
  model::Command& command = batch.requests.emplace_back().command;
  if (is_word(word, "GET")) {
    command = model::GetQueue{name};
  } else if (is_word(word, "PAUSE")) {
    command = model::PauseQueue{name, true};
  } else if (is_word(word, "RESUME")) {
    command = model::PauseQueue{name, false};
  } else if (is_word(word, "PURGE")) {
    command = model::PurgeQueue{name};
  } else {
    batch.requests.pop_back();
    return bad_argument("QUEUE", word, "LIST, GET, SET, PAUSE, RESUME, PURGE, DELETE");
  }
  return {};
}

Result<void> Mapping::dead(const Arguments& arguments, engine::RequestBatch& batch) {
  const ByteView word = arguments[1];
  const ByteView name = arguments[2];
  Result<void> checked = check_queue(name);
  if (!checked) return checked;
  if (is_word(word, "LIST")) {
    model::ListJobs list;
    list.queue = name;
    list.state = model::JobState::dead;
    for (std::size_t at = 3; at < arguments.size(); at += 2) {
      const bool is_option = is_word(arguments[at], "CURSOR") || is_word(arguments[at], "COUNT");
      if (!is_option || at + 1 == arguments.size()) {
        return bad_argument("option of DEAD LIST", arguments[at], "CURSOR id, COUNT n");
      }
      Result<void> read = read_list_option(arguments[at], arguments[at + 1], list);
      if (!read) return read;
    }
    batch.requests.emplace_back().command = list;
    return {};
  }
  Result<std::vector<model::JobId>> ids = read_ids(arguments, 3);
  if (!ids) return error_of(ids);
  if (is_word(word, "REDRIVE")) {
    batch.requests.emplace_back().command.emplace<model::RedriveDead>(name, std::move(*ids));
  } else if (is_word(word, "DELETE")) {
    batch.requests.emplace_back().command.emplace<model::DeleteDead>(name, std::move(*ids));
  } else {
    return bad_argument("DEAD", word, "LIST, REDRIVE, DELETE");
  }
  return {};
}

Result<void> Mapping::jobs(const Arguments& arguments, engine::RequestBatch& batch) {
  Result<void> checked = check_queue(arguments[1]);
  if (!checked) return checked;
  model::ListJobs list;
  list.queue = arguments[1];
  for (std::size_t at = 2; at < arguments.size(); at += 2) {
    if (at + 1 == arguments.size()) {
      return fail(ErrorCode::arg, fmt::format("JOBS: {} needs a value", shown(arguments[at])));
    }
    Result<void> read = read_list_option(arguments[at], arguments[at + 1], list);
    if (!read) return read;
  }
  batch.requests.emplace_back().command = list;
  return {};
}

Result<void> Mapping::check_queue(ByteView name) {
  if (!model::is_name(name)) return tl::unexpected<Error>(gateway::bad_queue_name(name));
  good_queue_ = name;
  return {};
}

Error Mapping::refused(const resp::Refusal& refusal) {
  switch (refusal.kind) {
    case resp::Refusal::Kind::quotes:
      return {ErrorCode::arg, "unbalanced quotes in an inline command"};
    case resp::Refusal::Kind::arguments:
      return {ErrorCode::too_big,
              fmt::format("the command has {} arguments (limit {})", refusal.value, refusal.limit)};
    case resp::Refusal::Kind::command_bytes:
      return {ErrorCode::too_big,
              fmt::format("{}: the command has more than {} bytes (limit {})",
                          refusal.command,
                          refusal.value - 1,
                          refusal.limit)};
    case resp::Refusal::Kind::argument_bytes:
      break;
  }
  const Verb verb = find_verb(refusal.command);
  const bool is_payload = (verb == Verb::push && refusal.argument == 3) ||
                          (verb == Verb::publish && refusal.argument == 4);
  const bool is_result = verb == Verb::ack && refusal.argument == 4;
  return {
      ErrorCode::too_big,
      fmt::format("{}: {} bytes (limit {})",
                  is_payload ? std::string("payload")
                  : is_result
                      ? std::string("RESULT")
                      : fmt::format("argument {} of {}", refusal.argument, shown(refusal.command)),
                  refusal.value,
                  refusal.limit)};
}

}  // namespace sluice::native
