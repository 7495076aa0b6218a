// Conversation: see conversation.h; its local commands are in local.cc.
#include "gateway/native/conversation.h"

#include "base/check.h"
#include "gateway/native/info.h"
#include "gateway/native/reply.h"
#include "gateway/text.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace sluice::native {
namespace {

/// Room for names, ids, keys and framing beside the largest payload and headers of one command.
constexpr std::size_t command_slack_bytes = 256u << 10;

resp::ParserLimits parser_limits(const model::Limits& limits) {
  resp::ParserLimits parser;
  parser.bulk_bytes_max = limits.payload_bytes_max;
  parser.command_bytes_max =
      std::size_t{limits.payload_bytes_max} + limits.headers_bytes_max + command_slack_bytes;
  return parser;
}

/// Whether the request may be answered long after it was applied.
bool can_wait(const model::Command& command) {
  if (const auto* pull = std::get_if<model::Pull>(&command)) return pull->wait.count() > 0;
  if (const auto* await = std::get_if<model::Await>(&command)) return await->wait.count() > 0;
  return false;
}

}  // namespace

Conversation::Conversation(engine::Port& port,
                           const Facts& facts,
                           const gateway::Counters* counters,
                           ConversationOptions options)
    : port_(port),
      facts_(facts),
      counters_(counters),
      options_(options),
      parser_(parser_limits(options.limits)),
      mapping_(options.limits) {
  check(options.outstanding_max > 0);
}

engine::RequestBatch Conversation::consume() {
  engine::RequestBatch batch;
  std::size_t done = 0;
  bool has_more = !input_.empty();
  while (has_more && !is_over() && !is_full()) {
    const resp::Outcome outcome = parser_.next(input_.data() + done, input_.size() - done);
    done += parser_.consumed();
    switch (outcome) {
      case resp::Outcome::command:
        if (batch.requests.capacity() == 0) batch.requests.reserve(last_batch_ + 4);
        handle(parser_.arguments(), batch);
        break;
      case resp::Outcome::refused:
        reply_error(Mapping::refused(parser_.refusal()));
        break;
      case resp::Outcome::broken:
        reply_error("ERR", "Protocol error: " + std::string(parser_.problem()));
        end_ = gateway::End::cut_off;
        break;
      case resp::Outcome::incomplete:
        has_more = false;
        break;
    }
  }
  last_batch_ = batch.requests.size();
  if (is_over()) done = input_.size();
  hand_over_bytes(batch, done);
  return batch;
}

/// Gives the batch the bytes that its views point to; what was not consumed goes on in a new input.
void Conversation::hand_over_bytes(engine::RequestBatch& batch, std::size_t consumed) {
  if (consumed == 0) return;
  const ByteView rest = input_.view().substr(consumed);
  if (!batch.requests.empty()) {
    Buffer next;
    next.append(rest);
    batch.bytes = std::move(input_);
    input_ = std::move(next);
    return;
  }
  if (!rest.empty()) std::memmove(input_.data(), rest.data(), rest.size());
  input_.truncate(rest.size());
}

void Conversation::handle(const resp::Arguments& arguments, engine::RequestBatch& batch) {
  has_spoken_ = true;
  const Verb verb = find_verb(arguments[0]);
  if (verb == Verb::unknown) [[unlikely]]
    return unknown(arguments);
  if (!has_right_count(verb, arguments.size())) [[unlikely]]
    return reply_error(wrong_count(verb));
  if (!is_for_engine(verb)) return handle_local(verb, arguments, batch);
  const Result<void> added = mapping_.add(verb, arguments, next_sequence_, batch);
  if (!added) [[unlikely]]
    return reply_error(added.error());
  const engine::Sequence sequence = expect_answer();
  if ((verb == Verb::pull || verb == Verb::await) && can_wait(batch.requests.back().command)) {
    waiting_.push_back(sequence);
  }
}

engine::Sequence Conversation::expect_answer() {
  ++unanswered_;
  return next_sequence_++;
}

void Conversation::answer(std::vector<engine::SessionReply> replies) {
  answer_some(replies, 0, SIZE_MAX);
}

std::size_t Conversation::answer_some(std::vector<engine::SessionReply>& replies,
                                      std::size_t from,
                                      std::size_t bytes) {
  calendar_.reset();
  const std::size_t before = unsent_bytes();
  std::size_t at = from;
  while (at < replies.size() && (unsent_bytes() <= before || unsent_bytes() - before <= bytes)) {
    answer_one(replies[at]);
    ++at;
  }
  return at;
}

void Conversation::answer_one(engine::SessionReply& reply) {
  const engine::Sequence place = reply.sequence - next_reply_;
  const bool is_known =
      place < outstanding() && (place >= held_.size() || held_[place].kind == Held::Kind::missing);
  // Not known: a lease for a wait that end_waits() has answered in the meantime.
  if (!is_known) return lose(reply.answer);
  --unanswered_;
  if (!waiting_.empty()) forget_wait(reply.sequence);
  if (place > 0) {
    if (held_.size() <= place) held_.resize(place + 1);
    Held& held = held_[place];
    held.kind = Held::Kind::answer;
    held.bytes = sizeof(Held) + held_bytes(reply.answer);
    held_bytes_ += held.bytes;
    held.answer = std::move(reply.answer);
    return;
  }
  render_next(reply.answer);
  if (!held_.empty()) {
    held_.pop_front();
    flush_held();
  }
}

/// Renders the reply to next_reply_ and moves on.
void Conversation::render_next(const model::Answer& answer) {
  resp::Writer writer(output_, reply_version_);
  if (const auto* stats = std::get_if<std::unique_ptr<model::Stats>>(&answer)) [[unlikely]] {
    const auto asked = std::find_if(infos_.begin(), infos_.end(), [this](const auto& info) {
      return info.first == next_reply_;
    });
    check(asked != infos_.end());
    const InfoSources sources{**stats, port_.counters(), counters_, facts_, port_.now().time};
    writer.verbatim(info_text(sources, asked->second));
    infos_.erase(asked);
  } else if (has_times(answer)) {
    render(writer, answer, calendar());
  } else {
    static constexpr Calendar timeless{Now{}};
    render(writer, answer, timeless);
  }
  ++next_reply_;
}

/// Renders what was held and is next now.
void Conversation::flush_held() {
  while (!held_.empty() && held_.front().kind != Held::Kind::missing) {
    Held& held = held_.front();
    held_bytes_ -= held.bytes;
    if (held.kind == Held::Kind::text) {
      output_.append(held.text);
      reply_version_ = held.version_after;
      ++next_reply_;
    } else {
      render_next(held.answer);
    }
    held_.pop_front();
  }
}

void Conversation::answer_backup(const BackupOrder& order, const Result<engine::BackupDone>& done) {
  --unanswered_;
  scratch_.clear();
  resp::Writer writer(scratch_, order.version);
  if (done) {
    writer.map(2);
    writer.bulk("bytes");
    writer.integer(static_cast<std::int64_t>(done->bytes));
    writer.bulk("segments");
    writer.integer(static_cast<std::int64_t>(done->segments));
  } else {
    writer.error(name(done.error().code), done.error().message);
  }
  hold_text(order.sequence, order.version, scratch_.view());
  flush_held();
}

void Conversation::end_waits() {
  check(has_only_waits());
  std::vector<engine::SessionReply> replies;
  replies.reserve(waiting_.size());
  for (const engine::Sequence sequence : waiting_) {
    replies.push_back({sequence, model::Nothing{}});
  }
  answer(std::move(replies));
}

void Conversation::abandon() {
  for (const Held& held : held_)
    lose(held.answer);
  held_.clear();
  held_bytes_ = 0;
  end_ = gateway::End::agreed;
}

void Conversation::lose(const model::Answer& answer) {
  gateway::collect_leases(answer, lost_leases_);
}

void Conversation::forget_wait(engine::Sequence sequence) {
  const auto at = std::lower_bound(
      waiting_.begin(), waiting_.end(), sequence, [this](engine::Sequence a, engine::Sequence b) {
        return a - next_reply_ < b - next_reply_;
      });
  if (at != waiting_.end() && *at == sequence) waiting_.erase(at);
}

void Conversation::hold_text(engine::Sequence sequence, resp::Version version, ByteView text) {
  const engine::Sequence place = sequence - next_reply_;
  check(place < outstanding());
  if (held_.size() <= place) held_.resize(place + 1);
  Held& held = held_[place];
  check(held.kind == Held::Kind::missing);
  held.kind = Held::Kind::text;
  held.version_after = version;
  held.text = text;
  held.bytes = sizeof(Held) + text.size();
  held_bytes_ += held.bytes;
}

const Calendar& Conversation::calendar() {
  if (!calendar_) calendar_.emplace(port_.now());
  return *calendar_;
}

std::vector<gateway::Chore> Conversation::take_chores() {
  std::vector<gateway::Chore> chores;
  for (BackupOrder& order : take_backups()) {
    chores.emplace_back([this, &port = port_, order = std::move(order)] {
      Result<engine::BackupDone> done = port.backup(order.directory);
      return [this, order, done = std::move(done)] { answer_backup(order, done); };
    });
  }
  return chores;
}

}  // namespace sluice::native
