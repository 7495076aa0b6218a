// Visit: one client's connection on the server's side. What gateway/session.h does with a
// socket, over a simulated connection and the same Conversation.
#pragma once

#include "engine/port.h"
#include "gateway/native/conversation.h"
#include "sim/world/network.h"

#include <memory>
#include <vector>

namespace sluice::sim {

class Server;

class Visit final : public engine::Session, public End {
 public:
  Visit(Server& server, const native::Facts& facts, std::shared_ptr<Connection> connection);

  /// Before anything else.
  void start(engine::SessionId id) { id_ = id; }

  engine::SessionId id() const { return id_; }

  void on_replies(std::vector<engine::SessionReply> replies) override;
  /// The same on the I/O thread.
  void take_replies(std::vector<engine::SessionReply> replies);

  void on_bytes(ByteView bytes) override;
  void on_finished() override;
  void on_broken() override;
  void on_room() override;

  /// Reads no more, closes when everything is answered.
  void drain();
  /// The server's process is gone.
  void vanish(bool loses_bytes);

 private:
  void consume();
  void flush();
  void end_if_done();
  void close();

  Server& server_;
  std::shared_ptr<Connection> connection_;  ///< Shared with its events and the other end.
  native::Conversation conversation_;
  engine::SessionId id_;
  bool is_closed_ = false;
  bool is_draining_ = false;
};

}  // namespace sluice::sim
