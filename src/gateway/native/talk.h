// For tests: a conversation without a socket: what is said to it, and what it asks of the engine.
#pragma once

#include "gateway/native/conversation.h"
#include "gateway/native/fake_port.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::native {

/// A conversation, and what it asked for.
class Talk {
 public:
  explicit Talk(ConversationOptions options = {}) : conversation(port, facts, &counters, options) {}

  /// What is answered at once. Requests for the engine are added to `batches`.
  std::string say(ByteView bytes) {
    conversation.input().append(bytes);
    return consume();
  }

  std::string consume() {
    engine::RequestBatch batch = conversation.consume();
    for (const engine::Request& request : batch.requests)
      sequences.push_back(request.sequence);
    if (!batch.requests.empty()) batches.push_back(std::move(batch));
    return take_output();
  }

  std::string answer(std::size_t index, model::Answer answer) {
    std::vector<engine::SessionReply> replies;
    replies.push_back({sequences.at(index), std::move(answer)});
    conversation.answer(std::move(replies));
    return take_output();
  }

  std::string take_output() {
    std::string output(conversation.output().view());
    conversation.output().clear();
    return output;
  }

  template <class Command>
  const Command& last() {
    return std::get<Command>(batches.back().requests.back().command);
  }

  FakePort port;
  Facts facts;
  gateway::Counters counters;
  Conversation conversation;
  std::vector<engine::RequestBatch> batches;
  std::vector<engine::Sequence> sequences;
};

}  // namespace sluice::native
