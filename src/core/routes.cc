// Routes: see routes.h.
#include "core/routes.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace sluice::core {
namespace {

model::Answer refusal(Error error) {
  return std::make_unique<Error>(std::move(error));
}

model::Answer refusal(ErrorCode code, std::string message) {
  return refusal(Error{code, std::move(message)});
}

std::string quoted(ByteView name) {
  return '"' + std::string(name) + '"';
}

model::ExchangeInfo info(const Router::Node& node) {
  return {node.name, node.exchange, node.bindings.size(), {}};
}

/// What of two exchanges differs, as a sentence.
std::string difference(const model::Exchange& is, const model::Exchange& wanted) {
  const auto differs = [](const char* what, std::string_view a, std::string_view b) {
    return std::string(what) + " is " + std::string(a) + ", not " + std::string(b);
  };
  const auto flag = [&](const char* what, bool a) {
    return differs(what, a ? "true" : "false", a ? "false" : "true");
  };
  if (is.kind != wanted.kind) return differs("its kind", name(is.kind), name(wanted.kind));
  if (is.is_durable != wanted.is_durable) return flag("durable", is.is_durable);
  if (is.is_auto_delete != wanted.is_auto_delete) return flag("auto-delete", is.is_auto_delete);
  if (is.is_internal != wanted.is_internal) return flag("internal", is.is_internal);
  if (is.alternate != wanted.alternate) {
    return differs("its alternate exchange", quoted(is.alternate), quoted(wanted.alternate));
  }
  return "its arguments are others";
}

}  // namespace

// -- Commands. -----------------------------------------------------------------------------------

model::Answer Routes::apply(const model::RoutingCommand& command, Output& out) {
  return std::visit([&](const auto& each) { return change(each, out); }, command);
}

model::Answer Routes::change(const model::PutExchange& put, Output& out) {
  if (const Router::Node* node = router_.find(put.exchange)) {
    if (node->exchange == *put.as) return model::Done{};
    return refusal(ErrorCode::exists,
                   "exchange " + quoted(put.exchange) +
                       " exists and is different: " + difference(node->exchange, *put.as));
  }
  if (Result<void> named = check_name("exchange", put.exchange); !named) {
    return refusal(named.error());
  }
  if (!put.as->alternate.empty()) {
    if (Result<void> named = check_name("alternate exchange", put.as->alternate); !named) {
      return refusal(named.error());
    }
  }
  if (Result<void> fits =
          check_size("arguments", put.as->arguments.size(), model::binding_bytes_max);
      !fits) {
    return refusal(fits.error());
  }
  if (router_.exchange_count() >= limits_.exchanges_max) {
    return refusal(ErrorCode::busy,
                   "there are " + std::to_string(router_.exchange_count()) +
                       " exchanges already (limit " + std::to_string(limits_.exchanges_max) +
                       "); delete some or raise exchanges_max");
  }
  if (Result<void> room = check_memory_(); !room) return refusal(room.error());
  Router::Node& node = router_.add(put.exchange, *put.as);
  node.home = out.here();
  put_exchange(*out.facts, node.index, node.name, node.exchange);
  return model::Done{};
}

model::Answer Routes::change(const model::DeleteExchange& remove, Output& out) {
  const Result<Router::Node*> node = known(remove.exchange);
  if (!node) return refusal(node.error());
  if (remove.if_unused && !(*node)->bindings.empty()) {
    return refusal(ErrorCode::busy,
                   "exchange " + quoted(remove.exchange) + " is in use: it has " +
                       std::to_string((*node)->bindings.size()) + " bindings");
  }
  this->remove(**node, out);
  return model::Done{};
}

/// With those that were there for bindings to it only.
void Routes::remove(Router::Node& node, Output& out) {
  Router::Node* next = &node;
  for (; next != nullptr; next = router_.abandoned()) {
    put_exchange_gone(*out.facts, next->index);
    router_.remove(*next);
  }
}

void Routes::remove_queue(QueueIndex queue, Output& out) {
  router_.forget_queue(queue);
  if (Router::Node* node = router_.abandoned()) remove(*node, out);
}

void Routes::boot(Output& out) {
  std::vector<std::string> transient;
  for (const auto& [name, index] : router_.names()) {
    if (!router_.find(index)->exchange.is_durable) transient.push_back(name);
  }
  for (const std::string& name : transient) {
    if (Router::Node* node = router_.find(ByteView(name))) remove(*node, out);
  }
}

/// The one found last is looked at first: messages come in runs for one queue.
inline const Queue* Routes::find_queue(ByteView name) {
  const Queue* last = last_found_ < queues_.size() ? queues_[last_found_].get() : nullptr;
  if (last != nullptr && last->name == name) return last;
  const auto found = names_.find(name);
  if (found == names_.end()) return nullptr;
  last_found_ = found->second;
  return queues_[last_found_].get();
}

Result<Router::Node*> Routes::known(ByteView exchange) const {
  Router::Node* node = router_.find(exchange);
  if (node != nullptr) return node;
  return fail(ErrorCode::no_exchange, "there is no exchange " + quoted(exchange));
}

Result<BindingTerms> Routes::terms_of(const model::Binding& binding) const {
  BindingTerms terms;
  terms.to.is_exchange = binding.is_to_exchange;
  if (binding.is_to_exchange) {
    const Result<Router::Node*> node = known(binding.destination);
    if (!node) return tl::unexpected<Error>(node.error());
    terms.to.index = (*node)->index;
  } else {
    const auto queue = names_.find(binding.destination);
    if (queue == names_.end()) {
      return fail(ErrorCode::no_queue, "there is no queue " + quoted(binding.destination));
    }
    terms.to.index = queue->second;
  }
  if (Result<void> fits = check_size("key", binding.key.size(), model::routing_key_bytes_max);
      !fits) {
    return tl::unexpected<Error>(fits.error());
  }
  std::size_t bytes = binding.arguments.size();
  for (const auto& [name, value] : binding.headers)
    bytes += name.size() + value.size();
  if (Result<void> fits = check_size("headers and arguments", bytes, model::binding_bytes_max);
      !fits) {
    return tl::unexpected<Error>(fits.error());
  }
  if (binding.headers.size() > model::binding_headers_max) {
    return fail(ErrorCode::too_big,
                "headers: " + std::to_string(binding.headers.size()) + " (limit " +
                    std::to_string(model::binding_headers_max) + ")");
  }
  terms.key = binding.key;
  terms.headers = binding.headers;
  terms.is_any_enough = binding.is_any_enough;
  terms.arguments = binding.arguments;
  return terms;
}

model::Answer Routes::change(const model::Bind& bind, Output& out) {
  const Result<Router::Node*> node = known(bind.binding->exchange);
  if (!node) return refusal(node.error());
  const Result<BindingTerms> terms = terms_of(*bind.binding);
  if (!terms) return refusal(terms.error());
  const std::string encoded = encode(*terms);
  if ((*node)->bindings.contains(encoded)) return model::Counted{0, false};
  if (router_.binding_count() >= limits_.bindings_max) {
    return refusal(ErrorCode::busy,
                   "there are " + std::to_string(router_.binding_count()) +
                       " bindings already (limit " + std::to_string(limits_.bindings_max) +
                       "); remove some or raise bindings_max");
  }
  if (Result<void> room = check_memory_(); !room) return refusal(room.error());
  router_.bind(**node, *terms, out.here());
  put_binding(*out.facts, {(*node)->index, encoded});
  return model::Counted{1, false};
}

model::Answer Routes::change(const model::Unbind& unbind, Output& out) {
  const Result<Router::Node*> node = known(unbind.binding->exchange);
  if (!node) return refusal(node.error());
  const Result<BindingTerms> terms = terms_of(*unbind.binding);
  if (!terms) return refusal(terms.error());
  const ExchangeIndex index = (*node)->index;
  if (!router_.unbind(**node, *terms)) return model::Counted{0, false};
  put_binding_gone(*out.facts, {index, encode(*terms)});
  if (Router::Node* abandoned = router_.abandoned()) remove(*abandoned, out);
  return model::Counted{1, false};
}

// -- Looking. ------------------------------------------------------------------------------------

model::BindingInfo Routes::info(const BindingTerms& terms) const {
  model::BindingInfo info;
  info.is_to_exchange = terms.to.is_exchange;
  info.destination =
      terms.to.is_exchange ? router_.find(terms.to.index)->name : queues_[terms.to.index]->name;
  info.key = std::string(terms.key);
  for (const auto& [name, value] : terms.headers)
    info.headers.emplace_back(name, value);
  info.is_any_enough = terms.is_any_enough;
  info.arguments = std::string(terms.arguments);
  return info;
}

model::Answer Routes::change(const model::GetExchange& get, Output&) const {
  const Result<Router::Node*> node = known(get.exchange);
  if (!node) return refusal(node.error());
  auto found = std::make_unique<model::ExchangeInfo>(core::info(**node));
  for (const auto& [encoded, at] : (*node)->bindings) {
    if (found->bindings.size() == model::list_examined_max) break;
    found->bindings.push_back(info(*decode_binding(encoded)));
  }
  return found;
}

model::Answer Routes::change(const model::ListExchanges&, Output&) const {
  auto list = std::make_unique<model::ExchangeList>();
  for (const auto& [name, index] : router_.names())
    list->exchanges.push_back(core::info(*router_.find(index)));
  return list;
}

// -- Publishing. ---------------------------------------------------------------------------------

Result<std::span<const QueueIndex>> Routes::queues_for(const model::Publish& publish, From from) {
  Router::Node* exchange = nullptr;
  if (!publish.exchange.empty()) {
    const Result<Router::Node*> node = known(publish.exchange);
    if (!node) return tl::unexpected<Error>(node.error());
    exchange = *node;
    if (exchange->exchange.is_internal && from == From::client) {
      return fail(ErrorCode::no_perm,
                  "exchange " + quoted(publish.exchange) +
                      " is internal: it takes only what other exchanges give it");
    }
  }
  const model::HeaderList* headers = publish.headers;
  if (headers == nullptr && publish.job.options != nullptr) headers = &publish.job.options->headers;
  addresses_.assign(1, {publish.key, headers});
  if (publish.more_keys != nullptr) {
    for (const ByteView key : *publish.more_keys)
      addresses_.push_back({key, headers});
  }
  for (const Address& address : addresses_) {
    Result<void> fits = check_size("key", address.key.size(), model::routing_key_bytes_max);
    if (!fits) return tl::unexpected<Error>(fits.error());
  }
  reached_.clear();
  if (exchange != nullptr) {
    Budget budget(model::routing_steps_max);
    reached_ = router_.route(*exchange, addresses_, budget);
    if (budget.is_exhausted()) {
      return fail(ErrorCode::too_big,
                  "key: its way through exchange " + quoted(publish.exchange) + " has more than " +
                      std::to_string(model::routing_steps_max) +
                      " steps; use bindings with fewer # or headers");
    }
  } else {
    for (const Address& address : addresses_) {
      if (const Queue* named = find_queue(address.key)) reached_.push_back(named->index);
    }
  }
  if (reached_.size() < 2) return std::span<const QueueIndex>(reached_);
  // By name, each once: keys that reach the same queue stand beside each other.
  std::sort(reached_.begin(), reached_.end(), [this](QueueIndex a, QueueIndex b) {
    return queues_[a]->name < queues_[b]->name;
  });
  reached_.erase(std::unique(reached_.begin(), reached_.end()), reached_.end());
  return std::span<const QueueIndex>(reached_);
}

// -- Recovery and cleaning. ----------------------------------------------------------------------

bool Routes::restore(const Fact& fact, Position at) {
  if (const auto* exchange = std::get_if<ExchangePut>(&fact)) {
    router_.restore_exchange(exchange->index, exchange->name, exchange->exchange, at);
  } else if (const auto* exchange_gone = std::get_if<ExchangeGone>(&fact)) {
    router_.restore_removal(exchange_gone->index);
  } else if (const auto* binding = std::get_if<BindingPut>(&fact)) {
    router_.restore_binding(binding->exchange, binding->terms, at);
  } else if (const auto* binding_gone = std::get_if<BindingGone>(&fact)) {
    router_.restore_unbinding(binding_gone->exchange, binding_gone->terms);
  } else {
    return false;
  }
  return true;
}

Result<void> Routes::finish_restore() {
  return router_.finish_restore([this](QueueIndex index) {
    return index < queues_.size() && queues_[index] != nullptr && !queues_[index]->name.empty();
  });
}

void Routes::carry(const ExchangePut& put, Position at, Output& out) {
  Router::Node* node = router_.find(put.index);
  if (node == nullptr || node->home != at) return;
  node->home = out.here();
  put_exchange(*out.facts, node->index, node->name, node->exchange);
}

void Routes::carry(const BindingPut& put, Position at, Output& out) {
  Router::Node* node = router_.find(put.exchange);
  if (node == nullptr) return;
  const auto binding = node->bindings.find(std::string(put.terms));
  if (binding == node->bindings.end() || binding->second != at) return;
  binding->second = out.here();
  put_binding(*out.facts, put);
}

std::string Routes::dump() const {
  std::ostringstream text;
  for (const auto& [name, index] : router_.names()) {
    const Router::Node& node = *router_.find(index);
    text << "exchange " << index << ' ' << name << ' ' << model::name(node.exchange.kind)
         << node.exchange.is_durable << node.exchange.is_auto_delete << node.exchange.is_internal
         << ' ' << node.exchange.alternate << ' ' << node.exchange.arguments << '\n';
    for (const auto& [terms, at] : node.bindings)
      text << "binding " << index << ' ' << std::hash<std::string>{}(terms) << '\n';
  }
  return text.str();
}

}  // namespace sluice::core
