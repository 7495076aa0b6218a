// Visit: bytes to requests, replies to bytes.
#include "sim/world/visit.h"

#include "sim/world/server.h"

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

/// A client that leaves more than this unread is not read from; one that leaves more than the
/// second is disconnected. Small, so that simulated clients reach them.
constexpr std::size_t unsent_bytes_high = 16u << 10;
constexpr std::size_t unsent_bytes_max = 256u << 10;
constexpr std::size_t outstanding_max = 64;

native::ConversationOptions conversation_options() {
  native::ConversationOptions options;
  options.outstanding_max = outstanding_max;
  return options;
}

}  // namespace

Visit::Visit(Server& server, const native::Facts& facts, std::shared_ptr<Connection> connection)
    : server_(server),
      connection_(std::move(connection)),
      conversation_(server, facts, nullptr, conversation_options()) {
  connection_->attach(Side::server, this);
}

void Visit::on_replies(std::vector<engine::SessionReply> replies) {
  server_.said(id_, std::move(replies));
}

void Visit::take_replies(std::vector<engine::SessionReply> replies) {
  if (!is_closed_ && conversation_.unsent_bytes() > unsent_bytes_max) close();
  if (is_closed_) {
    std::vector<model::Release> leases;
    for (const engine::SessionReply& reply : replies)
      gateway::collect_leases(reply.answer, leases);
    return server_.release(leases);
  }
  conversation_.answer(std::move(replies));
  server_.release(conversation_.take_lost_leases());
  on_room();
}

void Visit::on_bytes(ByteView bytes) {
  if (is_closed_ || is_draining_) return;
  conversation_.input().append(bytes);
  consume();
}

void Visit::on_finished() {
  if (!is_closed_) drain();
}

void Visit::on_broken() {
  close();
}

void Visit::on_room() {
  if (is_closed_) return;
  flush();
  if (!is_closed_ && !is_draining_ && !conversation_.input().empty()) consume();
}

void Visit::drain() {
  is_draining_ = true;
  flush();
}

void Visit::vanish(bool loses_bytes) {
  is_closed_ = true;
  if (loses_bytes) {
    connection_->reset(Side::server);
  } else {
    connection_->close(Side::server);
  }
}

void Visit::consume() {
  if (conversation_.is_over() || conversation_.unsent_bytes() > unsent_bytes_high) return;
  engine::RequestBatch batch = conversation_.consume();
  if (!batch.requests.empty()) server_.submit(id_, std::move(batch));
  flush();
}

void Visit::flush() {
  Buffer& output = conversation_.output();
  const std::size_t sent = connection_->send(Side::server, output.view());
  const std::size_t rest = output.size() - sent;
  if (sent > 0 && rest > 0) std::memmove(output.data(), output.data() + sent, rest);
  output.truncate(rest);
  end_if_done();
}

void Visit::end_if_done() {
  if (!is_draining_ && !conversation_.is_over()) return;
  if (conversation_.outstanding() > 0 && conversation_.has_only_waits()) {
    conversation_.end_waits();
    return flush();
  }
  if (conversation_.outstanding() == 0 && conversation_.unsent_bytes() == 0) close();
}

void Visit::close() {
  if (is_closed_) return;
  is_closed_ = true;
  connection_->close(Side::server);
  conversation_.abandon();
  const std::vector<model::Release> leases = conversation_.take_lost_leases();
  // The server forgets the visit: what it needs of it comes before.
  server_.release(leases);
  server_.detach(id_);
}

}  // namespace sluice::sim
