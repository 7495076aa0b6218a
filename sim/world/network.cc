// Connection: every message is an event at the moment of its arrival.
#include "sim/world/network.h"

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

/// A message this long at most comes byte by byte: longer ones would only cost time.
constexpr std::size_t crumbled_bytes_max = 200;

}  // namespace

Moment Connection::arrival(Half& to) {
  const Micros delay(random_.between(terms_.delay_min.count(), terms_.delay_max.count()));
  to.last_arrival = std::max({schedule_.now() + delay, to.last_arrival, to.stalled_until});
  return to.last_arrival;
}

std::size_t Connection::send(Side from, ByteView bytes) {
  Half& to = side_of(other(from));
  if (!is_open_) return bytes.size();  // As a socket does before it knows.
  const std::size_t room = terms_.window_bytes - std::min(terms_.window_bytes, to.under_way);
  const ByteView sent = bytes.substr(0, room);
  if (sent.empty()) return 0;
  to.under_way += sent.size();
  if (sent.size() <= crumbled_bytes_max && random_.chance(terms_.crumbs)) {
    for (const char byte : sent)
      send_piece(other(from), std::string(1, byte));
  } else {
    send_piece(other(from), std::string(sent));
  }
  return sent.size();
}

void Connection::send_piece(Side to, std::string bytes) {
  schedule_.at(arrival(side_of(to)), [self = shared_from_this(), to, bytes = std::move(bytes)] {
    Half& half = self->side_of(to);
    half.under_way -= bytes.size();
    if (half.end == nullptr) return;
    half.end->on_bytes(bytes);
    End* const sender = self->side_of(other(to)).end;
    if (sender != nullptr && self->is_open_) sender->on_room();
  });
}

void Connection::finish(Side from) {
  if (!is_open_) return;
  schedule_.at(arrival(side_of(other(from))), [self = shared_from_this(), to = other(from)] {
    End* const end = self->side_of(to).end;
    if (end != nullptr && self->is_open_) end->on_finished();
  });
}

void Connection::close(Side from) {
  side_of(from).end = nullptr;
  if (is_open_) end(from, arrival(side_of(other(from))));
}

void Connection::reset(Side from) {
  side_of(from).end = nullptr;
  if (!is_open_) return;
  const Micros delay(random_.between(0, terms_.delay_max.count()));
  end(from, schedule_.now() + delay);
}

void Connection::end(Side from, Moment when) {
  is_open_ = false;
  schedule_.at(when, [self = shared_from_this(), to = other(from)] {
    if (End* const end = std::exchange(self->side_of(to).end, nullptr)) end->on_broken();
  });
}

void Connection::stall(Side reader, Moment until) {
  side_of(reader).stalled_until = until;
}

}  // namespace sluice::sim
