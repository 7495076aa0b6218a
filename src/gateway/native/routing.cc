// EXCHANGE, BIND and UNBIND: see routing.h.
#include "gateway/native/routing.h"

#include "gateway/native/arguments.h"
#include "gateway/text.h"

#include <memory>
#include <utility>

namespace sluice::native {
namespace {

using gateway::is_word;
using resp::Arguments;

Result<void> read_set(const Arguments& arguments, engine::RequestBatch& batch) {
  if (arguments.size() < 4) return tl::unexpected<Error>(wrong_count(Verb::exchange));
  auto exchange = std::make_shared<model::Exchange>();
  const auto kind = model::exchange_kind(arguments[3]);
  if (!kind) {
    return bad_argument("kind of the exchange", arguments[3], "direct, fanout, topic, headers");
  }
  exchange->kind = *kind;
  for (std::size_t at = 4; at < arguments.size(); ++at) {
    if (is_word(arguments[at], "TRANSIENT")) {
      exchange->is_durable = false;
    } else if (is_word(arguments[at], "AUTODELETE")) {
      exchange->is_auto_delete = true;
    } else if (is_word(arguments[at], "INTERNAL")) {
      exchange->is_internal = true;
    } else if (is_word(arguments[at], "ALTERNATE") && at + 1 < arguments.size()) {
      exchange->alternate = std::string(arguments[++at]);
    } else {
      return bad_argument("option of EXCHANGE SET",
                          arguments[at],
                          "ALTERNATE exchange, TRANSIENT, AUTODELETE, INTERNAL");
    }
  }
  batch.requests.emplace_back().command =
      model::RoutingCommand(model::PutExchange{arguments[2], std::move(exchange)});
  return {};
}

Result<void> read_exchange(const Arguments& arguments, engine::RequestBatch& batch) {
  const ByteView word = arguments[1];
  model::RoutingCommand command;
  if (is_word(word, "LIST") && arguments.size() == 2) {
    command = model::ListExchanges{};
  } else if (arguments.size() < 3) {
    return tl::unexpected<Error>(wrong_count(Verb::exchange));
  } else if (is_word(word, "SET")) {
    return read_set(arguments, batch);
  } else if (is_word(word, "GET") && arguments.size() == 3) {
    command = model::GetExchange{arguments[2]};
  } else if (is_word(word, "DELETE")) {
    const bool if_unused = arguments.size() == 4 && is_word(arguments[3], "IFUNUSED");
    if (arguments.size() > 3 && !if_unused) {
      return bad_argument("option of EXCHANGE DELETE", arguments[3], "IFUNUSED");
    }
    command = model::DeleteExchange{arguments[2], if_unused};
  } else {
    return bad_argument("EXCHANGE", word, "LIST, GET, SET, DELETE");
  }
  batch.requests.emplace_back().command = std::move(command);
  return {};
}

Result<void> read_binding(const Arguments& arguments, bool is_new, engine::RequestBatch& batch) {
  auto binding = std::make_shared<model::Binding>();
  binding->exchange = arguments[1];
  binding->is_to_exchange = is_word(arguments[2], "EXCHANGE");
  if (!binding->is_to_exchange && !is_word(arguments[2], "QUEUE")) {
    return bad_argument("destination", arguments[2], "QUEUE name, EXCHANGE name");
  }
  binding->destination = arguments[3];
  for (std::size_t at = 4; at < arguments.size(); ++at) {
    const std::size_t left = arguments.size() - at - 1;
    if (is_word(arguments[at], "ANY")) {
      binding->is_any_enough = true;
    } else if (is_word(arguments[at], "ALL")) {
      binding->is_any_enough = false;
    } else if (is_word(arguments[at], "KEY") && left >= 1) {
      binding->key = arguments[++at];
    } else if (is_word(arguments[at], "HEADER") && left >= 2) {
      binding->headers.emplace_back(arguments[at + 1], arguments[at + 2]);
      at += 2;
    } else {
      return bad_argument(is_new ? "option of BIND" : "option of UNBIND",
                          arguments[at],
                          "KEY key, ALL, ANY, HEADER key value");
    }
  }
  model::RoutingCommand& command =
      batch.requests.emplace_back().command.emplace<model::RoutingCommand>();
  if (is_new) {
    command.emplace<model::Bind>(std::move(binding));
  } else {
    command.emplace<model::Unbind>(std::move(binding));
  }
  return {};
}

}  // namespace

Result<void> read_routing(Verb verb, const Arguments& arguments, engine::RequestBatch& batch) {
  if (verb == Verb::exchange) return read_exchange(arguments, batch);
  return read_binding(arguments, verb == Verb::bind, batch);
}

}  // namespace sluice::native
