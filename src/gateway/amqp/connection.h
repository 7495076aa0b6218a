// Connection: an AMQP 0-9-1 client's connection as a Dialog: frames in, commands for the engine
// out; answers in, frames out.
//
//   frames.cc       bytes to frames to methods and contents; problems to Close
//   handshake.cc    Connection.Start to OpenOk, heartbeats, the end
//   exchanges.cc, queues.cc
//   publish.cc      publish, confirm, return, tx
//   consume.cc      consume, cancel, get, deliver, qos
//   acks.cc         ack, nack, reject, recover
//
// A method that is answered stalls the connection until then: nothing overtakes it. Publishes and
// acks stall nothing. A consumer is one Pull that waits, for as many jobs as the client may have.
#pragma once

#include "engine/port.h"
#include "gateway/amqp/broker.h"
#include "gateway/amqp/channel.h"
#include "gateway/amqp/connection_options.h"
#include "gateway/amqp/message.h"
#include "gateway/amqp/refusal.h"
#include "gateway/amqp/vhost.h"
#include "gateway/dialog.h"
#include "model/limits.h"
#include "wire/amqp/frame.h"
#include "wire/amqp/method.h"
#include "wire/amqp/writer.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::amqp {

class Connection final : public gateway::Dialog {
 public:
  /// `broker`, `port` and `options` outlive this.
  Connection(Broker&, engine::Port& port, const ConnectionOptions& options, ConnectionId id);

  void start(std::function<void()> wake) override;

  Buffer& input() override { return input_; }

  engine::RequestBatch consume() override { return collect(); }

  engine::RequestBatch take_requests() override { return collect(); }

  std::size_t answer_some(std::vector<engine::SessionReply>& replies,
                          std::size_t from,
                          std::size_t bytes) override;

  Buffer& output() override { return output_; }

  std::size_t unsent_bytes() const override { return output_.size(); }

  std::size_t buffered_bytes() const override;
  std::size_t outstanding() const override;
  gateway::End end() const override;

  bool has_only_waits() const override { return publishes_.empty() && then_ == nullptr; }

  void end_waits() override;
  void abandon() override;

  std::vector<model::Release> take_lost_leases() override { return {}; }

  std::vector<gateway::Chore> take_chores() override { return std::exchange(chores_, {}); }

  engine::RequestBatch last_requests() override { return std::exchange(batch_, {}); }

  bool has_spoken() const override { return stage_ >= Stage::running; }

  bool tick() override;

 private:
  enum class Stage : std::uint8_t { start, tune, open, running, closing, left, over, cut_off };

  /// A publish that the engine has not answered yet.
  struct Publish {
    std::uint16_t channel = 0;
    std::uint32_t incarnation = 0;
    bool is_confirmed = false;  ///< Its channel is in confirm mode; it has the next number there.
    bool is_answered = false;
    std::uint64_t number = 0;
    std::unique_ptr<Pending> returnable;  ///< Of a mandatory one.
  };

  using Then = std::function<void(model::Answer&)>;
  using ThenOnChannel = std::function<void(Channel&, model::Answer&)>;
  // frames.cc
  engine::RequestBatch collect();
  std::size_t parse();
  bool may_parse() const;
  bool must_wait(const Frame& frame) const;
  void take_frame(const Frame& frame);
  void take_on_connection(const Frame& frame);
  void take_on_channel(Channel& channel, const Frame& frame);
  void take_channel_open(const Frame& frame);
  void take_content(Channel& channel, const Frame& frame);
  void take_message(Channel& channel);
  void hand_over_bytes(std::size_t consumed);
  Channel* find_channel(std::uint16_t number);
  void close_channel(Channel& channel);
  void fail(Channel& channel, const Refusal& refusal);
  void fail(Channel& channel, ReplyCode code, std::string sentence);
  void fail_connection(ReplyCode code, ByteView sentence);
  void ask(model::Command command, Then then);
  void ask(const Channel& channel, model::Command command, ThenOnChannel then);
  void tell(model::Command command);
  ByteView keep(std::string text);

  template <Method M>
  void send(const Channel& channel, const M& method) {
    append_method(output_, channel.number, method);
  }

  // handshake.cc
  void open_protocol();
  void take_connection_method(const ClientMethod& method);
  void on(const ConnectionStartOk& start);
  void on(const ConnectionTuneOk& tune);
  void on(const ConnectionOpen& open);
  void log_in(std::vector<std::string> vhosts, const std::string&, ByteView mechanism, bool);
  bool has_room() const;
  void block();
  void unblock();
  void on(Channel& channel, const ChannelClose& close);
  void on(Channel& channel, const ChannelFlow& flow);
  void on(Channel& channel, const AccessRequest& request);
  void on(Channel& channel, const BasicPublish& publish);
  void on(Channel& channel, const BasicAck& ack);
  void on(Channel& channel, const BasicNack& nack);
  void on(Channel& channel, const BasicReject& reject);
  void on(Channel& channel, const BasicGet& get);
  void on(Channel& channel, const BasicQos& qos);
  void on(Channel& channel, const BasicConsume& consume);
  void on(Channel& channel, const BasicCancel& cancel);
  void on(Channel& channel, const BasicRecover& recover);
  void on(Channel& channel, const BasicRecoverAsync& recover);
  void on(Channel& channel, const ConfirmSelect& select);
  void on(Channel& channel, const TxSelect& select);
  void on(Channel& channel, const TxCommit& commit);
  void on(Channel& channel, const TxRollback& rollback);
  void on(Channel& channel, const QueueDeclare& declare);
  void on(Channel& channel, const QueueBind& bind);
  void on(Channel& channel, const QueueUnbind& unbind);
  void on(Channel& channel, const QueuePurge& purge);
  void on(Channel& channel, const QueueDelete& remove);
  void on(Channel& channel, const ExchangeDeclare& declare);
  void on(Channel& channel, const ExchangeDelete& remove);
  void on(Channel& channel, const ExchangeBind& bind);
  void on(Channel& channel, const ExchangeUnbind& unbind);

  template <Method M>
  void on(Channel&, const M&) {  // Of no use on a channel that is open.
    fail_connection(ReplyCode::command_invalid, "unexpected method");
  }

  // exchanges.cc
  void make_exchange(Channel& channel, std::string name, const model::Exchange& as, bool no_wait);
  Allowed<std::shared_ptr<model::Binding>> binding_of(Table arguments);
  void change_binding(Channel& channel,
                      bool binds,
                      bool is_to_exchange,
                      ByteView source,
                      ByteView destination,
                      ByteView key,
                      Table arguments,
                      std::function<void(Channel&)> done);
  // queues.cc
  Allowed<std::string> named_queue(Channel& channel, ByteView name);
  void declare_queue(Channel&, const std::string& name, const QueueDeclare& declare);
  void make_queue(Channel&, const std::string& name, model::QueuePolicy policy, bool no_wait);
  void bind_by_name(Channel& channel, const model::QueueInfo& queue, bool no_wait);
  void queue_declared(Channel& channel, const model::QueueInfo& queue, bool no_wait);
  void delete_own_queue(const std::string& queue);
  // publish.cc
  void publish(Channel& channel, const BasicPublish& publish, const Content& content);
  void revoke(ByteView body);
  void answer_publishes(engine::Sequence first, std::size_t count, const model::Answer& answer);
  void answer_publish(Publish& publish, const model::Answer& answer);
  void refuse_publish(Channel& channel, const Error& error);
  void return_message(Channel& channel, const Pending& message);
  void send_confirms(Channel& channel);
  void finish_commit();
  // consume.cc
  Consumer* find_consumer(std::uint16_t slot);
  void begin_consume(Channel& channel, const BasicConsume& consume, const model::QueueInfo& queue);
  void consume_replies(Channel& channel, const BasicConsume& consume);
  std::uint16_t add_consumer(std::unique_ptr<Consumer> consumer);
  void pull(Consumer& consumer);
  void pull_hungry();
  std::uint32_t credit(const Consumer& consumer);
  void stop_pull(Consumer& consumer);
  void remove_consumer(std::uint16_t slot);
  void answer_pull(engine::Sequence sequence, model::Answer& answer);
  void deliver(Consumer& consumer, const model::Delivery& job);
  void take_back(const model::Answer& answer);
  void close_late_channels();
  void cancel_by_server(Consumer& consumer);
  // acks.cc
  template <class Use>
  void settle(Channel& channel, std::uint64_t tag, bool multiple, Use use);
  void settled(Channel& channel, const Unacked& message);
  void ack_job(Channel& channel, const Unacked& message);
  void reject_job(Channel& channel, const Unacked& message, bool requeue);
  void give_back(const Unacked& message);
  void recover(Channel& channel);

  Broker& broker_;
  engine::Port& port_;
  const ConnectionOptions& options_;
  const ConnectionId id_;
  std::string user_ = "guest";
  std::vector<std::string> vhosts_{"/"};  ///< That the user may open; which one it has opened:
  Vhost vhost_;
  Buffer input_;
  Buffer output_;
  Buffer scratch_;
  FrameParser parser_;
  Stage stage_ = Stage::start;
  bool has_protocol_ = false;
  MethodId current_{};  ///< The method that is being done, to name in a Close.
  std::uint32_t frame_max_ = frame_max_min;
  std::uint16_t channel_max_ = 0;
  std::uint16_t heartbeat_ = 0;
  std::uint32_t silent_seconds_ = 0;
  std::uint32_t ticks_ = 0;
  bool can_be_blocked_ = false;  ///< The client's capabilities.
  bool can_be_cancelled_ = false;
  bool is_blocked_ = false;
  bool is_held_ = false;        ///< The next frame waits for the answers to all publishes.
  engine::RequestBatch batch_;  ///< What the engine is to do next.
  std::size_t last_batch_ = 0;  ///< How many requests the last one had.
  Then then_;                   ///< What stalls the connection.
  std::uint32_t incarnations_ = 0;
  std::vector<std::unique_ptr<Channel>> channels_;  ///< By number; null: closed.
  engine::Sequence first_publish_ = 0;              ///< Sequence of publishes_.front().
  Ring<Publish> publishes_;
  std::uint16_t committing_ = 0;    ///< The channel whose transaction is under way.
  std::size_t acks_to_commit_ = 0;  ///< Not answered yet; rejects, too.
  std::vector<std::unique_ptr<Consumer>> consumers_;  ///< By slot; null: free.
  std::vector<std::uint16_t> hungry_;                 ///< Consumers that may want to pull.
  std::vector<std::string> own_queues_;               ///< Exclusive ones.
  std::vector<gateway::Chore> chores_;
};

}  // namespace sluice::amqp
