// Peer: a client's end of a connection: requests as RESP bytes, replies in their order. Everything
// goes into the history: what was asked, what was answered, and what never was.
#pragma once

#include "sim/history/history.h"
#include "sim/world/network.h"
#include "wire/resp/decoder.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::sim {

class World;

class Peer final : public End {
 public:
  /// The reply, or null if the connection broke before.
  using OnReply = std::function<void(const resp::Value*)>;

  Peer(World& world, int client) : world_(world), client_(client) {}

  ~Peer() override { reset(); }

  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// False: nobody listens.
  bool connect();

  bool is_connected() const { return connection_ != nullptr; }

  std::size_t outstanding() const { return outstanding_.size(); }

  /// Starts the record of a request, to be filled before ask(). Lives in the history.
  Operation& prepare(Act act);
  /// Sends the request that was prepared last. Requires is_connected().
  void ask(const std::vector<std::string>& words, OnReply on_reply);

  void reset();
  /// Sends no more, but still reads: what is under way is answered, then the server closes.
  void finish();
  void stall(Moment until);

  void on_bytes(ByteView bytes) override;

  void on_finished() override {}

  void on_broken() override { lose(); }

  void on_room() override { send(); }

 private:
  struct Outstanding {
    std::size_t operation;
    OnReply on_reply;
  };

  void send();
  void take(const resp::Value& reply);
  void lose();

  World& world_;
  int client_;
  std::shared_ptr<Connection> connection_;  ///< Shared with its events and the server's end.
  resp::Decoder decoder_;
  std::string input_;
  std::string output_;  ///< Not yet taken by the connection.
  std::deque<Outstanding> outstanding_;
  std::size_t prepared_ = 0;
  bool is_finished_ = false;
};

}  // namespace sluice::sim
