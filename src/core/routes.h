// Routes: the exchanges of a core as commands change them and as the log keeps them, around the
// Router, which only knows where a message goes.
#pragma once

#include "core/facts.h"
#include "core/output.h"
#include "core/queue.h"
#include "core/routing/router.h"
#include "model/command.h"
#include "model/limits.h"

#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace sluice::core {

class Routes {
 public:
  /// Who publishes: internal exchanges take nothing from clients.
  enum class From : std::uint8_t { client, server };

  /// `names` and `queues` are the core's; they outlive this. `check_memory` says why nothing that
  /// takes memory is let in now, if so.
  Routes(const model::Limits& limits,
         const QueueNames& names,
         const Queues& queues,
         std::function<Result<void>()> check_memory)
      : limits_(limits), names_(names), queues_(queues), check_memory_(std::move(check_memory)) {}

  /// Does what the command asks and writes the facts. An error has changed nothing.
  model::Answer apply(const model::RoutingCommand& command, Output& out);
  /// The queues that the message goes to, each once, by name. Errors: `no_exchange`; `no_perm`: the
  /// exchange takes nothing from clients; `too_big`: a key. Valid until the next call.
  Result<std::span<const QueueIndex>> queues_for(const model::Publish& publish,
                                                 From from = From::client);
  /// The queue is removed: so are the bindings to it, and the exchanges that were there for them.
  void remove_queue(QueueIndex queue, Output& out);
  /// A new start: exchanges that are not durable are gone.
  void boot(Output& out);

  std::size_t memory_bytes() const { return router_.memory_bytes(); }

  std::size_t live_bytes() const { return router_.live_bytes(); }

  // Recovery and cleaning, as in Core.
  /// False: the fact is not about exchanges.
  bool restore(const Fact& fact, Position at);

  void restore_queue_gone(QueueIndex queue) { router_.forget_queue(queue); }

  Result<void> finish_restore();
  void carry(const ExchangePut& put, Position at, Output& out);
  void carry(const BindingPut& put, Position at, Output& out);
  /// One line for each thing that is durable. For Core::dump().
  std::string dump() const;

 private:
  model::Answer change(const model::PutExchange& put, Output& out);
  model::Answer change(const model::DeleteExchange& remove, Output& out);
  model::Answer change(const model::Bind& bind, Output& out);
  model::Answer change(const model::Unbind& unbind, Output& out);
  model::Answer change(const model::GetExchange& get, Output& out) const;
  model::Answer change(const model::ListExchanges& list, Output& out) const;
  const Queue* find_queue(ByteView name);
  Result<Router::Node*> known(ByteView exchange) const;
  Result<BindingTerms> terms_of(const model::Binding& binding) const;
  model::BindingInfo info(const BindingTerms& terms) const;
  void remove(Router::Node& node, Output& out);

  const model::Limits& limits_;
  const QueueNames& names_;
  const Queues& queues_;
  const std::function<Result<void>()> check_memory_;
  Router router_;
  std::vector<Address> addresses_;   ///< Of the message that is being routed.
  std::vector<QueueIndex> reached_;  ///< By it.
  QueueIndex last_found_ = 0;        ///< By name.
};

}  // namespace sluice::core
