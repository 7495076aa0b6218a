// The methods of the classes exchange and queue (amqp0-9-1.xml; Exchange.Bind and
// Exchange.Unbind are RabbitMQ's). See connection_methods.h.
//
// `ticket` is a leftover of access control in 0-8; servers ignore it.
#pragma once

#include "wire/amqp/fields.h"

#include <cstdint>

namespace sluice::amqp {

struct ExchangeDeclare {
  static constexpr MethodId id{40, 10};
  static constexpr ByteView name = "exchange.declare";
  std::uint16_t ticket = 0;
  ShortString exchange{};
  ShortString type{};
  bool passive = false;
  bool durable = false;
  bool auto_delete = false;
  bool internal = false;
  bool no_wait = false;
  Table arguments{};
};

struct ExchangeDeclareOk {
  static constexpr MethodId id{40, 11};
  static constexpr ByteView name = "exchange.declare-ok";
};

struct ExchangeDelete {
  static constexpr MethodId id{40, 20};
  static constexpr ByteView name = "exchange.delete";
  std::uint16_t ticket = 0;
  ShortString exchange{};
  bool if_unused = false;
  bool no_wait = false;
};

struct ExchangeDeleteOk {
  static constexpr MethodId id{40, 21};
  static constexpr ByteView name = "exchange.delete-ok";
};

struct ExchangeBind {
  static constexpr MethodId id{40, 30};
  static constexpr ByteView name = "exchange.bind";
  std::uint16_t ticket = 0;
  ShortString destination{};
  ShortString source{};
  ShortString routing_key{};
  bool no_wait = false;
  Table arguments{};
};

struct ExchangeBindOk {
  static constexpr MethodId id{40, 31};
  static constexpr ByteView name = "exchange.bind-ok";
};

struct ExchangeUnbind {
  static constexpr MethodId id{40, 40};
  static constexpr ByteView name = "exchange.unbind";
  std::uint16_t ticket = 0;
  ShortString destination{};
  ShortString source{};
  ShortString routing_key{};
  bool no_wait = false;
  Table arguments{};
};

struct ExchangeUnbindOk {
  static constexpr MethodId id{40, 51};
  static constexpr ByteView name = "exchange.unbind-ok";
};

struct QueueDeclare {
  static constexpr MethodId id{50, 10};
  static constexpr ByteView name = "queue.declare";
  std::uint16_t ticket = 0;
  ShortString queue{};
  bool passive = false;
  bool durable = false;
  bool exclusive = false;
  bool auto_delete = false;
  bool no_wait = false;
  Table arguments{};
};

struct QueueDeclareOk {
  static constexpr MethodId id{50, 11};
  static constexpr ByteView name = "queue.declare-ok";
  ShortString queue{};
  std::uint32_t message_count = 0;
  std::uint32_t consumer_count = 0;
};

struct QueueBind {
  static constexpr MethodId id{50, 20};
  static constexpr ByteView name = "queue.bind";
  std::uint16_t ticket = 0;
  ShortString queue{};
  ShortString exchange{};
  ShortString routing_key{};
  bool no_wait = false;
  Table arguments{};
};

struct QueueBindOk {
  static constexpr MethodId id{50, 21};
  static constexpr ByteView name = "queue.bind-ok";
};

struct QueuePurge {
  static constexpr MethodId id{50, 30};
  static constexpr ByteView name = "queue.purge";
  std::uint16_t ticket = 0;
  ShortString queue{};
  bool no_wait = false;
};

struct QueuePurgeOk {
  static constexpr MethodId id{50, 31};
  static constexpr ByteView name = "queue.purge-ok";
  std::uint32_t message_count = 0;
};

struct QueueDelete {
  static constexpr MethodId id{50, 40};
  static constexpr ByteView name = "queue.delete";
  std::uint16_t ticket = 0;
  ShortString queue{};
  bool if_unused = false;
  bool if_empty = false;
  bool no_wait = false;
};

struct QueueDeleteOk {
  static constexpr MethodId id{50, 41};
  static constexpr ByteView name = "queue.delete-ok";
  std::uint32_t message_count = 0;
};

struct QueueUnbind {
  static constexpr MethodId id{50, 50};
  static constexpr ByteView name = "queue.unbind";
  std::uint16_t ticket = 0;
  ShortString queue{};
  ShortString exchange{};
  ShortString routing_key{};
  Table arguments{};
};

struct QueueUnbindOk {
  static constexpr MethodId id{50, 51};
  static constexpr ByteView name = "queue.unbind-ok";
};

}  // namespace sluice::amqp
