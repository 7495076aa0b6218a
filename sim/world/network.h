// Network: connections whose bytes take their time, come in pieces, and stop coming.
//
// Bytes of one direction arrive in order. What was sent before a connection broke may still arrive;
// nobody hears of it where his end is gone.
#pragma once

#include "base/bytes.h"
#include "sim/random.h"
#include "sim/world/schedule.h"

#include <array>
#include <memory>
#include <string>

namespace sluice::sim {

/// What one end of a connection hears. Never called from within a call to the connection.
class End {
 public:
  virtual ~End() = default;
  virtual void on_bytes(ByteView bytes) = 0;
  /// The other end will send no more, but still reads.
  virtual void on_finished() = 0;
  /// The connection is over.
  virtual void on_broken() = 0;
  /// Bytes were taken: there is room for more.
  virtual void on_room() = 0;
};

struct NetworkTerms {
  Micros delay_min{10};
  Micros delay_max{200};
  double crumbs = 0;                     ///< How often a message arrives byte by byte.
  std::size_t window_bytes = 64u << 10;  ///< Sent and not yet read, at most.
};

enum class Side : std::uint8_t { client = 0, server = 1 };

constexpr Side other(Side side) {
  return side == Side::client ? Side::server : Side::client;
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Schedule& schedule, Random random, NetworkTerms terms)
      : schedule_(schedule), random_(random), terms_(terms) {}

  /// Null: nobody listens any more.
  void attach(Side side, End* end) { side_of(side).end = end; }

  /// Sends as many of the bytes as there is room for; returns how many.
  std::size_t send(Side from, ByteView bytes);
  void finish(Side from);
  /// Ends it: everything that was sent before arrives, then the end.
  void close(Side from);
  /// Ends it at once; what is under way may or may not arrive.
  void reset(Side from);
  /// The reader takes nothing until then.
  void stall(Side reader, Moment until);

  bool is_open() const { return is_open_; }

 private:
  struct Half {
    End* end = nullptr;
    Moment last_arrival{0};  ///< Of what was sent to this side.
    Moment stalled_until{0};
    std::size_t under_way = 0;  ///< Bytes sent to this side and not arrived.
  };

  Half& side_of(Side side) { return halves_[static_cast<std::size_t>(side)]; }

  Moment arrival(Half& to);
  void send_piece(Side to, std::string bytes);
  void end(Side from, Moment when);

  Schedule& schedule_;
  Random random_;
  NetworkTerms terms_;
  std::array<Half, 2> halves_;
  bool is_open_ = true;
};

}  // namespace sluice::sim
