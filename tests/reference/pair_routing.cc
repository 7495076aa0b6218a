// Pair: what histories do with exchanges, and how the answers are compared.
#include "reference/pair.h"

#include <array>

namespace sluice::reference {
namespace {

constexpr std::array<ByteView, 4> exchange_names{"e0", "e1", "e2", "e3"};
constexpr std::array<ByteView, 4> queue_names{"q0", "q1", "q2", "q3"};
constexpr std::array<ByteView, 6> keys{"a", "b", "a.b", "a.b.a", "", "q1"};
constexpr std::array<ByteView, 8> patterns{"a", "b", "#", "*", "a.*", "a.#", "#.b.#", "*.b.#"};

template <std::size_t N>
ByteView one_of(const std::array<ByteView, N>& all, Choices& choices) {
  return all[choices.pick(all.size())];
}

}  // namespace

void Pair::publish(const model::Push& job, Choices& choices) {
  model::PushOptions options = *job.options;
  if (choices.one_in(2)) options.headers.emplace_back("color", choices.one_in(2) ? "red" : "blue");
  model::Publish command;
  command.exchange = choices.one_in(6) ? ByteView() : one_of(exchange_names, choices);
  command.key = one_of(keys, choices);
  command.job = {{}, job.type, job.payload, &options};
  const std::vector<ByteView> more{one_of(keys, choices), one_of(keys, choices)};
  if (choices.one_in(4)) command.more_keys = &more;
  apply(command);
}

void Pair::change_routing(Choices& choices) {
  model::RoutingCommand command;
  switch (choices.pick(8)) {
    case 0:
    case 1:
      return put_exchange(choices);
    case 2:
      command = model::DeleteExchange{one_of(exchange_names, choices), choices.one_in(2)};
      break;
    case 3:
      command = model::Unbind{binding(choices)};
      break;
    case 4:
      command = model::ListExchanges{};
      if (choices.one_in(2)) command = model::GetExchange{one_of(exchange_names, choices)};
      break;
    default:
      command = model::Bind{binding(choices)};
      break;
  }
  apply(command);
}

void Pair::put_exchange(Choices& choices) {
  auto exchange = std::make_shared<model::Exchange>();
  exchange->kind = static_cast<model::ExchangeKind>(choices.pick(model::exchange_kind_count));
  exchange->is_durable = !choices.one_in(4);
  exchange->is_auto_delete = choices.one_in(4);
  exchange->is_internal = choices.one_in(8);
  if (choices.one_in(4)) exchange->alternate = std::string(one_of(exchange_names, choices));
  apply(model::RoutingCommand(model::PutExchange{one_of(exchange_names, choices), exchange}));
}

std::shared_ptr<model::Binding> Pair::binding(Choices& choices) {
  auto binding = std::make_shared<model::Binding>();
  binding->exchange = one_of(exchange_names, choices);
  binding->is_to_exchange = choices.one_in(4);
  binding->destination =
      binding->is_to_exchange ? one_of(exchange_names, choices) : one_of(queue_names, choices);
  binding->key = one_of(patterns, choices);
  if (choices.one_in(2)) binding->headers.emplace_back("trace", "");
  if (choices.one_in(2)) binding->headers.emplace_back("color", "red");
  binding->is_any_enough = choices.one_in(2);
  return binding;
}

void Pair::learn(const model::Routed& routed) {
  if (routed.first.value != 0) ids_.push_back(routed.first);
  if (routed.others == nullptr) return;
  ids_.insert(ids_.end(), routed.others->begin(), routed.others->end());
}

}  // namespace sluice::reference
