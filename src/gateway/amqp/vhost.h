// Vhost: a virtual host. They are one set of queues and exchanges: what is called "mail" in the
// virtual host "shop" is "shop/mail" to the core, the command line and "/", which sees everything.
// Names are put inside where methods come in and taken out where methods, messages and refusals go
// out; nothing between knows of it.
//
// Outside of "/" the default exchange is a real one, "shop/", to which each queue that is declared
// is bound with its name (as AMQP 0-9-1 §3.1.3.1 has it). So routing keys are never touched, and no
// key leads out of its virtual host.
#pragma once

#include "gateway/amqp/refusal.h"
#include "wire/amqp/method.h"

#include <functional>
#include <string>
#include <utility>

namespace sluice::amqp {

class Vhost {
 public:
  explicit Vhost(const std::string& name = "/") : prefix_(name == "/" ? "" : name + "/") {}

  bool is_root() const { return prefix_.empty(); }

  /// As the core knows it.
  std::string inside(ByteView name) const { return prefix_ + std::string(name); }

  /// As the client knows it.
  ByteView outside(ByteView name) const {
    return name.starts_with(prefix_) ? name.substr(prefix_.size()) : name;
  }

  /// The default exchange, as the core knows it; for "/" the core's own, which has no name.
  const std::string& default_exchange() const { return prefix_; }

  /// All names in the method are put inside; `keep` makes them live as long as the method is used.
  /// Refused: one is too long then.
  Allowed<void> put_inside(ClientMethod& method,
                           const std::function<ByteView(std::string)>& keep) const;

  /// A refusal in the client's words.
  std::string told(std::string sentence) const;

 private:
  std::string prefix_;
};

}  // namespace sluice::amqp
