// Peer: what goes out and what comes back.
#include "sim/clients/peer.h"

#include "base/check.h"
#include "sim/world/world.h"
#include "wire/resp/writer.h"

#include <utility>

namespace sluice::sim {

bool Peer::connect() {
  check(connection_ == nullptr);
  connection_ = world_.connect(*this);
  decoder_ = resp::Decoder();
  input_.clear();
  output_.clear();
  is_finished_ = false;
  return connection_ != nullptr;
}

Operation& Peer::prepare(Act act) {
  prepared_ = world_.history().invoke(act, client_, world_.now());
  return world_.history().operation(prepared_);
}

void Peer::ask(const std::vector<std::string>& words, OnReply on_reply) {
  check(is_connected());
  Buffer bytes;
  resp::append_array_header(bytes, words.size());
  for (const std::string& word : words)
    resp::append_bulk(bytes, word);
  outstanding_.push_back({prepared_, std::move(on_reply)});
  // A client that finished sends no more: its request is never answered.
  if (is_finished_) return;
  output_.append(bytes.view());
  send();
}

void Peer::send() {
  if (connection_ == nullptr || output_.empty()) return;
  output_.erase(0, connection_->send(Side::client, output_));
  if (output_.empty() && is_finished_) connection_->finish(Side::client);
}

void Peer::on_bytes(ByteView bytes) {
  input_.append(bytes);
  std::size_t done = 0;
  for (;;) {
    resp::Value value;
    const resp::Decoded outcome = decoder_.next(ByteView(input_).substr(done), value);
    done += decoder_.consumed();
    if (outcome == resp::Decoded::incomplete) break;
    if (outcome == resp::Decoded::broken || outstanding_.empty()) {
      world_.find("protocol", "a reply that is none, or to no request");
      return reset();
    }
    take(value);
    if (connection_ == nullptr) return;
  }
  input_.erase(0, done);
}

void Peer::take(const resp::Value& reply) {
  const Outstanding asked = std::move(outstanding_.front());
  outstanding_.pop_front();
  const Outcome outcome = reply.is_error() ? Outcome::refused : Outcome::ok;
  world_.history().answer(asked.operation, outcome, world_.now());
  if (reply.is_error()) {
    world_.history().operation(asked.operation).code = reply.text.substr(0, reply.text.find(' '));
  }
  if (asked.on_reply) asked.on_reply(&reply);
  world_.note_answer(asked.operation);
}

void Peer::reset() {
  if (connection_ == nullptr) return;
  connection_->reset(Side::client);
  lose();
}

void Peer::finish() {
  if (connection_ == nullptr || is_finished_) return;
  is_finished_ = true;
  for (const Outstanding& each : outstanding_)
    world_.history().operation(each.operation).was_cut_short = true;
  if (output_.empty()) connection_->finish(Side::client);
}

void Peer::stall(Moment until) {
  if (connection_ != nullptr) connection_->stall(Side::client, until);
}

void Peer::lose() {
  connection_ = nullptr;
  const auto lost = std::exchange(outstanding_, {});
  for (const Outstanding& each : lost) {
    world_.history().answer(each.operation, Outcome::unknown, world_.now());
    if (each.on_reply) each.on_reply(nullptr);
    world_.note_answer(each.operation);
  }
}

}  // namespace sluice::sim
