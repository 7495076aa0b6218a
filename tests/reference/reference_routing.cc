// The reference queue: exchanges and bindings, as two lists that are searched.
#include "reference/reference.h"

#include <algorithm>

namespace sluice::reference {
namespace {

std::vector<std::string> words_of(ByteView text) {
  std::vector<std::string> words;
  if (text.empty()) return words;
  std::string word;
  for (const char letter : text) {
    if (letter == '.') {
      words.push_back(std::exchange(word, {}));
    } else {
      word += letter;
    }
  }
  words.push_back(word);
  return words;
}

/// Whether the words of a key from `k` on are what the words of a pattern from `p` on stand for.
bool fits(const std::vector<std::string>& pattern,
          std::size_t p,
          const std::vector<std::string>& key,
          std::size_t k) {
  if (p == pattern.size()) return k == key.size();
  if (pattern[p] == "#") {
    return fits(pattern, p + 1, key, k) || (k < key.size() && fits(pattern, p, key, k + 1));
  }
  if (k == key.size() || (pattern[p] != "*" && pattern[p] != key[k])) return false;
  return fits(pattern, p + 1, key, k + 1);
}

bool has_headers(const Route& route, const model::HeaderList& headers) {
  std::size_t found = 0;
  for (const auto& [name, value] : route.headers) {
    const bool is_there = std::any_of(headers.begin(), headers.end(), [&](const auto& header) {
      return header.first == name && (value.empty() || header.second == value);
    });
    if (is_there) ++found;
  }
  return route.is_any_enough ? found > 0 : found == route.headers.size();
}

bool wants(model::ExchangeKind kind,
           const Route& route,
           ByteView key,
           const model::HeaderList& headers) {
  switch (kind) {
    case model::ExchangeKind::direct:
      return route.key == key;
    case model::ExchangeKind::fanout:
      return true;
    case model::ExchangeKind::topic:
      return fits(words_of(route.key), 0, words_of(key), 0);
    case model::ExchangeKind::headers:
      return has_headers(route, headers);
  }
  return false;
}

Route route_of(const model::Binding& binding) {
  Route route{std::string(binding.exchange),
              std::string(binding.destination),
              binding.is_to_exchange,
              std::string(binding.key),
              {},
              binding.is_any_enough};
  for (const auto& [name, value] : binding.headers)
    route.headers.emplace_back(name, value);
  return route;
}

}  // namespace

const Exchange* Reference::find_exchange(ByteView name) const {
  const auto found = std::find_if(
      exchanges_.begin(), exchanges_.end(), [&](const auto& each) { return each.name == name; });
  return found == exchanges_.end() ? nullptr : &*found;
}

const Exchange* Reference::find_transient_exchange() const {
  const auto found = std::find_if(
      exchanges_.begin(), exchanges_.end(), [](const auto& each) { return !each.as.is_durable; });
  return found == exchanges_.end() ? nullptr : &*found;
}

void Reference::handle(const model::RoutingCommand& command) {
  std::visit([this](const auto& each) { change(each); }, command);
}

void Reference::change(const model::PutExchange& put) {
  if (const Exchange* known = find_exchange(put.exchange)) {
    return known->as == *put.as ? reply(model::Done{}) : refuse(ErrorCode::exists);
  }
  if (exchanges_.size() >= limits_.exchanges_max) return refuse(ErrorCode::busy);
  exchanges_.push_back({std::string(put.exchange), *put.as});
  reply(model::Done{});
}

void Reference::change(const model::DeleteExchange& gone) {
  if (find_exchange(gone.exchange) == nullptr) return refuse(ErrorCode::no_exchange);
  const bool is_used = std::any_of(routes_.begin(), routes_.end(), [&](const Route& route) {
    return route.exchange == gone.exchange;
  });
  if (gone.if_unused && is_used) return refuse(ErrorCode::busy);
  remove_exchange(std::string(gone.exchange));
  reply(model::Done{});
}

void Reference::remove_exchange(std::string name) {
  std::erase_if(exchanges_, [&](const Exchange& exchange) { return exchange.name == name; });
  std::erase_if(routes_, [&](const Route& route) { return route.exchange == name; });
  forget_routes(
      [&](const Route& route) { return route.is_to_exchange && route.destination == name; });
}

/// With the auto-delete exchanges that have lost their last binding.
void Reference::forget_routes(const std::function<bool(const Route&)>& is_gone) {
  std::set<std::string> losers;
  for (const Route& route : routes_) {
    if (is_gone(route)) losers.insert(route.exchange);
  }
  std::erase_if(routes_, is_gone);
  for (const std::string& name : losers) {
    const Exchange* exchange = find_exchange(name);
    const bool is_used = std::any_of(
        routes_.begin(), routes_.end(), [&](const Route& route) { return route.exchange == name; });
    if (exchange != nullptr && exchange->as.is_auto_delete && !is_used) remove_exchange(name);
  }
}

std::optional<ErrorCode> Reference::refusal(const model::Binding& binding) const {
  if (find_exchange(binding.exchange) == nullptr) return ErrorCode::no_exchange;
  if (binding.is_to_exchange) {
    if (find_exchange(binding.destination) == nullptr) return ErrorCode::no_exchange;
  } else if (const_cast<Reference*>(this)->find_queue(binding.destination) == nullptr) {
    return ErrorCode::no_queue;
  }
  return std::nullopt;
}

void Reference::change(const model::Bind& bind) {
  if (const auto why = refusal(*bind.binding)) return refuse(*why);
  Route route = route_of(*bind.binding);
  const bool is_known = std::count(routes_.begin(), routes_.end(), route) > 0;
  if (!is_known && routes_.size() >= limits_.bindings_max) return refuse(ErrorCode::busy);
  if (!is_known) routes_.push_back(std::move(route));
  reply(model::Counted{is_known ? 0u : 1u, false});
}

void Reference::change(const model::Unbind& unbind) {
  if (const auto why = refusal(*unbind.binding)) return refuse(*why);
  const Route route = route_of(*unbind.binding);
  const bool is_known = std::count(routes_.begin(), routes_.end(), route) > 0;
  forget_routes([&](const Route& each) { return each == route; });
  reply(model::Counted{is_known ? 1u : 0u, false});
}

model::ExchangeInfo Reference::info(const Exchange& exchange) const {
  model::ExchangeInfo info{exchange.name, exchange.as, 0, {}};
  for (const Route& route : routes_) {
    if (route.exchange != exchange.name) continue;
    ++info.binding_count;
    info.bindings.push_back({route.destination,
                             route.is_to_exchange,
                             route.key,
                             route.headers,
                             route.is_any_enough,
                             {}});
  }
  return info;
}

void Reference::change(const model::GetExchange& get) {
  const Exchange* exchange = find_exchange(get.exchange);
  if (exchange == nullptr) return refuse(ErrorCode::no_exchange);
  reply(std::make_unique<model::ExchangeInfo>(info(*exchange)));
}

void Reference::change(const model::ListExchanges&) {
  auto list = std::make_unique<model::ExchangeList>();
  for (const Exchange& exchange : exchanges_)
    list->exchanges.push_back(info(exchange));
  std::sort(list->exchanges.begin(), list->exchanges.end(), [](const auto& a, const auto& b) {
    return a.name < b.name;
  });
  reply(std::move(list));
}

/// Where a message goes from here on.
void Reference::reach(const Exchange& exchange,
                      const std::vector<std::string>& keys,
                      const model::HeaderList& headers,
                      std::set<std::string>& exchanges,
                      std::set<std::string>& queues) const {
  if (!exchanges.insert(exchange.name).second) return;
  bool is_wanted = false;
  for (const Route& route : routes_) {
    const auto is_wanted_for = [&](const std::string& key) {
      return wants(exchange.as.kind, route, key, headers);
    };
    if (route.exchange != exchange.name || std::none_of(keys.begin(), keys.end(), is_wanted_for)) {
      continue;
    }
    is_wanted = true;
    if (route.is_to_exchange) {
      reach(*find_exchange(route.destination), keys, headers, exchanges, queues);
    } else {
      queues.insert(route.destination);
    }
  }
  const Exchange* alternate = is_wanted ? nullptr : find_exchange(exchange.as.alternate);
  if (alternate != nullptr) reach(*alternate, keys, headers, exchanges, queues);
}

/// Of an exchange that there is, or of the default exchange.
std::set<std::string> Reference::queues_for(const std::string& exchange,
                                            const std::vector<std::string>& keys,
                                            const model::HeaderList& headers) const {
  std::set<std::string> queues;
  const Exchange* const known = find_exchange(exchange);
  if (known != nullptr) {
    std::set<std::string> visited;
    reach(*known, keys, headers, visited, queues);
    return queues;
  }
  for (const std::string& key : keys) {
    if (const_cast<Reference*>(this)->find_queue(key) != nullptr) queues.insert(key);
  }
  return queues;
}

void Reference::handle(const model::Publish& publish) {
  static const model::HeaderList none;
  const auto& headers = publish.job.options == nullptr ? none : publish.job.options->headers;
  std::vector<std::string> keys{std::string(publish.key)};
  if (publish.more_keys != nullptr) {
    keys.insert(keys.end(), publish.more_keys->begin(), publish.more_keys->end());
  }
  const Exchange* exchange = find_exchange(publish.exchange);
  if (exchange == nullptr && !publish.exchange.empty()) return refuse(ErrorCode::no_exchange);
  if (exchange != nullptr && exchange->as.is_internal) return refuse(ErrorCode::no_perm);
  const std::set<std::string> queues = queues_for(std::string(publish.exchange), keys, headers);
  model::Push push = publish.job;
  for (const std::string& queue : queues) {
    push.queue = queue;
    if (const auto why = refusal(push)) {
      bury_refused(push);
      return refuse(*why);
    }
  }
  model::Routed routed;
  bool is_promise = false;
  for (const std::string& queue : queues) {
    push.queue = queue;
    const model::Pushed pushed = put(push);
    const model::JobId id = pushed.id;
    is_promise = is_promise || !is_transient(pushed);
    if (routed.first.value == 0) {
      routed.first = id;
      continue;
    }
    if (routed.others == nullptr) routed.others = std::make_unique<std::vector<model::JobId>>();
    routed.others->push_back(id);
  }
  reply(std::move(routed));
  if (!is_promise) replies.back().needs = Position();
}

std::uint64_t Reference::record_bytes_beside_jobs() const {
  constexpr std::uint64_t of_key = 1 + 4 + 2 + 8 + 8;
  constexpr std::uint64_t of_exchange = 1 + 4 + 1 + 1 + 1 + 1 + 2;
  constexpr std::uint64_t of_binding = 1 + 4 + 4;
  constexpr std::uint64_t of_terms = 1 + 4 + 1 + 2 + 2;
  constexpr std::uint64_t of_header = 2 + 2;
  std::uint64_t bytes = 0;
  for (const auto& [name, held] : keys_)
    bytes += of_key + name.second.size();
  for (const Exchange& exchange : exchanges_) {
    const std::size_t texts = exchange.as.alternate.size() + exchange.as.arguments.size();
    bytes += of_exchange + exchange.name.size() + texts;
  }
  for (const Route& route : routes_) {
    bytes += of_binding + of_terms + route.key.size();
    for (const auto& [name, value] : route.headers)
      bytes += of_header + name.size() + value.size();
  }
  return bytes;
}

}  // namespace sluice::reference
