// Virtual hosts: see vhost.h.
#include "gateway/amqp/vhost.h"

#include "gateway/amqp/message.h"
#include "model/limits.h"

#include <type_traits>
#include <variant>

namespace sluice::amqp {

Allowed<void> Vhost::put_inside(ClientMethod& method,
                                const std::function<ByteView(std::string)>& keep) const {
  if (is_root()) return {};
  Allowed<void> fine;
  const auto put = [&](ShortString& name) {
    // The addresses of direct reply-to are everywhere the same.
    if (name.bytes.empty() || name.bytes == direct_reply_to) return;
    std::string whole = inside(name.bytes);
    if (whole.size() > model::queue_name_bytes_max) {
      fine = forbid(ReplyCode::precondition_failed,
                    fmt::format("a name has {} bytes with its virtual host (limit {}): '{}'",
                                whole.size(),
                                model::queue_name_bytes_max,
                                name.bytes));
      return;
    }
    name.bytes = keep(std::move(whole));
  };
  std::visit(
      [&](auto& each) {
        if constexpr (std::is_same_v<std::decay_t<decltype(each)>, BasicPublish>) {
          const bool is_reply = each.routing_key.bytes.starts_with(direct_reply_to);
          put(each.exchange);
          if (each.exchange.bytes.empty() && !is_reply) each.exchange.bytes = keep(prefix_);
        } else {
          if constexpr (requires { each.queue; }) put(each.queue);
          if constexpr (requires { each.exchange; }) put(each.exchange);
          if constexpr (requires { each.source; }) put(each.source);
          if constexpr (requires { each.destination; }) put(each.destination);
        }
      },
      method);
  return fine;
}

std::string Vhost::told(std::string sentence) const {
  if (is_root()) return sentence;
  const auto replace = [&sentence](const std::string& from, const std::string& by) {
    for (std::size_t at = sentence.find(from); at != std::string::npos;
         at = sentence.find(from, at + by.size())) {
      sentence.replace(at, from.size(), by);
    }
  };
  replace("'" + prefix_, "'");
  replace("\"" + prefix_, "\"");
  replace("in vhost '/'", "in vhost '" + prefix_.substr(0, prefix_.size() - 1) + "'");
  return sentence;
}

}  // namespace sluice::amqp
