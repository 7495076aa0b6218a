// Connection: frames, channels, and what ends them. See connection.h.
#include "gateway/amqp/connection.h"
#include "gateway/amqp/sequences.h"

#include <cstring>

namespace sluice::amqp {
namespace {

/// Of what was received while the connection is stalled; then no more is read.
constexpr std::size_t stalled_bytes_max = 1u << 20;

/// Whether a method belongs to the connection and not to a channel.
bool is_of_connection(MethodId id) {
  return id.class_id == ConnectionOpen::id.class_id;
}

}  // namespace

Connection::Connection(Broker& broker,
                       engine::Port& port,
                       const ConnectionOptions& options,
                       ConnectionId id)
    : broker_(broker), port_(port), options_(options), id_(id) {}

void Connection::start(std::function<void()> wake) {
  broker_.enter(id_, std::move(wake));
}

std::size_t Connection::buffered_bytes() const {
  return input_.capacity() + output_.capacity();
}

std::size_t Connection::outstanding() const {
  if (is_over()) return publishes_.size() + (then_ == nullptr ? 0 : 1);
  if (!may_parse() && input_.size() > stalled_bytes_max) return SIZE_MAX / 2;
  // An open connection waits for whatever comes.
  return publishes_.size() + (then_ == nullptr ? 0 : 1) + (stage_ >= Stage::running ? 1 : 0);
}

gateway::End Connection::end() const {
  switch (stage_) {
    case Stage::start:
    case Stage::tune:
    case Stage::open:
    case Stage::running:
    case Stage::closing:
      return gateway::End::none;
    case Stage::left:
      return gateway::End::by_client;
    case Stage::over:
      return gateway::End::agreed;
    case Stage::cut_off:
      return gateway::End::cut_off;
  }
  return gateway::End::agreed;
}

bool Connection::may_parse() const {
  if (is_over() || then_ != nullptr || is_blocked_) return false;
  return publishes_.empty() || (!is_held_ && publishes_.size() < options_.outstanding_max);
}

/// Whether what was published before it may have to say something first: that there is no such
/// exchange, that a message comes back. What the engine answers is said in order anyway.
inline bool Connection::must_wait(const Frame& frame) const {
  if (frame.type != FrameType::method || publishes_.empty()) return false;
  const MethodId id = method_id(frame.payload);
  return id == ConnectionClose::id || id == ChannelClose::id || id == ChannelFlow::id ||
         id == BasicQos::id || id == BasicCancel::id || id == BasicRecover::id ||
         id == ConfirmSelect::id || id == TxSelect::id || id == TxRollback::id;
}

engine::RequestBatch Connection::collect() {
  for (const std::uint16_t slot : broker_.take_activated(id_)) {
    if (Consumer* consumer = find_consumer(slot)) {
      consumer->is_active = true;
      hungry_.push_back(slot);
    }
  }
  const std::size_t done = parse();
  pull_hungry();
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (channel != nullptr && channel->assembler.is_busy()) channel->assembler.keep();
  }
  hand_over_bytes(done);
  batch_.is_patient = true;
  if (!batch_.requests.empty()) last_batch_ = batch_.requests.size();
  return std::exchange(batch_, {});
}

std::size_t Connection::parse() {
  std::size_t done = 0;
  while (may_parse()) {
    const Outcome outcome = parser_.next(input_.view().substr(done));
    is_held_ = outcome == Outcome::frame && must_wait(parser_.frame());
    if (is_held_) return done;  // It is parsed again.
    done += parser_.consumed();
    switch (outcome) {
      case Outcome::incomplete:
        return done;
      case Outcome::opened:
        open_protocol();
        break;
      case Outcome::frame:
        silent_seconds_ = 0;
        take_frame(parser_.frame());
        break;
      case Outcome::wrong_protocol:
        output_.append(protocol_header);
        stage_ = Stage::cut_off;
        return done;
      case Outcome::broken:
        current_ = {};
        fail_connection(parser_.problem().code, parser_.problem().sentence);
        // Nothing behind it makes sense, not even Close-Ok.
        stage_ = Stage::cut_off;
        return done;
    }
  }
  return done;
}

/// Gives the batch the bytes that its views point to; what was not consumed goes on in a new input.
void Connection::hand_over_bytes(std::size_t consumed) {
  if (consumed == 0) return;
  const ByteView rest = input_.view().substr(consumed);
  if (!batch_.requests.empty()) {
    Buffer next;
    next.append(rest);
    batch_.bytes = std::move(input_);
    input_ = std::move(next);
    return;
  }
  if (!rest.empty()) std::memmove(input_.data(), rest.data(), rest.size());
  input_.truncate(rest.size());
}

inline void Connection::take_frame(const Frame& frame) {
  if (frame.channel == 0) return take_on_connection(frame);
  if (stage_ == Stage::closing) return;
  if (stage_ != Stage::running) {
    return fail_connection(ReplyCode::channel_error, "a channel before connection.open-ok");
  }
  Channel* channel = find_channel(frame.channel);
  if (channel == nullptr) return take_channel_open(frame);
  if (!channel->is_closing && (channel->assembler.is_busy() || frame.type != FrameType::method)) {
    return take_content(*channel, frame);
  }
  if (frame.type == FrameType::method) take_on_channel(*channel, frame);
}

void Connection::take_on_connection(const Frame& frame) {
  if (frame.type == FrameType::heartbeat) return;
  current_ = {};
  if (frame.type != FrameType::method) {
    return fail_connection(ReplyCode::unexpected_frame, "content on channel 0");
  }
  current_ = method_id(frame.payload);
  const Parsed<ClientMethod> method = decode_method(frame.payload);
  if (!method) return fail_connection(method.error().code, method.error().sentence);
  if (!is_of_connection(current_)) {
    return fail_connection(ReplyCode::channel_error, "a method of a channel on channel 0");
  }
  take_connection_method(*method);
}

void Connection::take_channel_open(const Frame& frame) {
  current_ = {};
  if (frame.type != FrameType::method) {
    return fail_connection(ReplyCode::channel_error, "expected 'channel.open'");
  }
  current_ = method_id(frame.payload);
  const Parsed<ClientMethod> method = decode_method(frame.payload);
  if (!method) return fail_connection(method.error().code, method.error().sentence);
  // The answer to a Close that crossed with a Close of the client.
  if (std::holds_alternative<ChannelCloseOk>(*method)) return;
  if (!std::holds_alternative<ChannelOpen>(*method)) {
    return fail_connection(ReplyCode::channel_error, "expected 'channel.open'");
  }
  if (frame.channel > channel_max_) {
    return fail_connection(
        ReplyCode::not_allowed,
        fmt::format("channel {} is above channel_max ({})", frame.channel, channel_max_));
  }
  if (channels_.size() <= frame.channel) channels_.resize(std::size_t{frame.channel} + 1);
  channels_[frame.channel] =
      std::make_unique<Channel>(frame.channel, ++incarnations_, options_.limits.payload_bytes_max);
  send(*channels_[frame.channel], ChannelOpenOk{});
}

/// A method.
void Connection::take_on_channel(Channel& channel, const Frame& frame) {
  current_ = method_id(frame.payload);
  Parsed<ClientMethod> method = decode_method(frame.payload);
  if (!method) return fail_connection(method.error().code, method.error().sentence);
  if (is_of_connection(current_)) {
    return fail_connection(ReplyCode::command_invalid, "a method of the connection on a channel");
  }
  if (channel.is_closing) {
    const bool is_answer = std::holds_alternative<ChannelCloseOk>(*method);
    if (std::holds_alternative<ChannelClose>(*method)) send(channel, ChannelCloseOk{});
    if (is_answer || std::holds_alternative<ChannelClose>(*method)) {
      channels_[channel.number].reset();
    }
    return;
  }
  if (std::holds_alternative<ChannelOpen>(*method)) {
    return fail_connection(ReplyCode::channel_error, "second 'channel.open' seen");
  }
  if (!vhost_.is_root()) {
    const auto keeps = [this](std::string name) { return keep(std::move(name)); };
    if (const Allowed<void> fine = vhost_.put_inside(*method, keeps); !fine) {
      return fail(channel, fine.error());
    }
  }
  std::visit([&](const auto& each) { on(channel, each); }, *method);
}

void Connection::take_content(Channel& channel, const Frame& frame) {
  switch (channel.assembler.next(frame)) {
    case Assembled::more:
      return;
    case Assembled::content:
      current_ = BasicPublish::id;
      take_message(channel);
      // It may have been closed for the message.
      if (Channel* same = find_channel(frame.channel)) same->assembler.done();
      return;
    case Assembled::refused: {
      current_ = BasicPublish::id;
      const Problem problem = channel.assembler.problem();
      channel.assembler.done();
      if (closes_connection(problem.code)) return fail_connection(problem.code, problem.sentence);
      const std::string text = reply_text(problem);
      return fail(channel, problem.code, text.substr(text.find(" - ") + 3));
    }
  }
}

/// What the assembler holds itself is copied into the batch, whose input has the rest.
inline void Connection::take_message(Channel& channel) {
  const ContentAssembler& whole = channel.assembler;
  if (!whole.holds_bytes()) return publish(channel, whole.publish(), whole.content());
  BasicPublish method = whole.publish();
  Content content = whole.content();
  for (ByteView* each :
       {&method.exchange.bytes, &method.routing_key.bytes, &content.properties, &content.body})
    *each = keep(std::string(*each));
  publish(channel, method, content);
}

Channel* Connection::find_channel(std::uint16_t number) {
  return number < channels_.size() ? channels_[number].get() : nullptr;
}

void Connection::on(Channel& channel, const ChannelClose& /*close*/) {
  close_channel(channel);
  send(channel, ChannelCloseOk{});
  channels_[channel.number].reset();
}

void Connection::on(Channel& channel, const ChannelFlow& flow) {
  if (!flow.active) return fail_connection(ReplyCode::not_implemented, "active=false");
  send(channel, ChannelFlowOk{true});
}

void Connection::on(Channel& channel, const AccessRequest& /*request*/) {
  send(channel, AccessRequestOk{1});
}

/// Its consumers leave, and what was not acked is ready again.
void Connection::close_channel(Channel& channel) {
  while (!channel.consumers.empty())
    remove_consumer(channel.consumers.back());
  for (const Unacked& message : channel.unacked) {
    if (!message.is_settled) give_back(message);
  }
  channel.unacked.clear();
  if (channel.transaction) {
    for (const Unacked& message : channel.transaction->acks)
      give_back(message);
    for (const auto& [message, requeue] : channel.transaction->rejects)
      give_back(message);
    channel.transaction.reset();
  }
  if (!channel.reply_queue.empty()) delete_own_queue(channel.reply_queue);
  channel.confirms.clear();
}

void Connection::fail(Channel& channel, const Refusal& refusal) {
  fail(channel, refusal.code, refusal.sentence);
}

void Connection::fail(Channel& channel, ReplyCode code, std::string sentence) {
  if (closes_connection(code)) return fail_connection(code, sentence);
  if (channel.is_closing || stage_ != Stage::running) return;
  close_channel(channel);
  channel.is_closing = true;
  channel.assembler.done();
  const std::string text = reply_text(code, vhost_.told(std::move(sentence)));
  send(channel,
       ChannelClose{
           static_cast<std::uint16_t>(code), {text}, current_.class_id, current_.method_id});
}

void Connection::fail_connection(ReplyCode code, ByteView sentence) {
  if (stage_ >= Stage::closing) return;
  const std::string text = reply_text(code, vhost_.told(std::string(sentence)));
  append_method(
      output_,
      0,
      ConnectionClose{
          static_cast<std::uint16_t>(code), {text}, current_.class_id, current_.method_id});
  // A client that has not opened the connection may not understand more (RabbitMQ hangs up, too).
  stage_ = stage_ == Stage::running ? Stage::closing : Stage::cut_off;
  ticks_ = 0;
}

// -- The engine. ---------------------------------------------------------------------------------

/// Nothing more is read until the answer is there.
void Connection::ask(model::Command command, Then then) {
  batch_.requests.emplace_back(sync_sequence, std::move(command));
  then_ = std::move(then);
}

void Connection::ask(const Channel& channel, model::Command command, ThenOnChannel then) {
  ask(std::move(command),
      [this,
       number = channel.number,
       incarnation = channel.incarnation,
       method = current_,
       then = std::move(then)](model::Answer& answer) {
        Channel* same = find_channel(number);
        if (same == nullptr || same->incarnation != incarnation || same->is_closing) return;
        if (stage_ != Stage::running) return;
        current_ = method;
        then(*same, answer);
      });
}

/// Nobody waits for it, whatever becomes of it.
void Connection::tell(model::Command command) {
  batch_.requests.emplace_back(engine::Sequence{0}, std::move(command), false);
}

ByteView Connection::keep(std::string text) {
  return batch_.strings.emplace_front(std::move(text));
}

std::size_t Connection::answer_some(std::vector<engine::SessionReply>& replies,
                                    std::size_t from,
                                    std::size_t bytes) {
  const std::size_t enough = output_.size() + bytes;
  std::size_t at = from;
  for (; at < replies.size() && output_.size() <= enough; ++at) {
    engine::SessionReply& reply = replies[at];
    switch (kind_of(reply.sequence)) {
      case SequenceKind::publish:
        answer_publishes(reply.sequence, reply.count, reply.answer);
        break;
      case SequenceKind::pull:
        answer_pull(reply.sequence, reply.answer);
        break;
      case SequenceKind::sync:
        if (const Then then = std::exchange(then_, nullptr)) then(reply.answer);
        break;
    }
  }
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (channel != nullptr && channel->is_confirming) send_confirms(*channel);
  }
  return at;
}

}  // namespace sluice::amqp
