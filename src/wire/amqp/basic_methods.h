// The methods of the classes basic, confirm and tx (amqp0-9-1.xml; Basic.Nack and
// Confirm.Select are RabbitMQ's). See connection_methods.h.
//
// A content follows Basic.Publish, Basic.Return, Basic.Deliver and Basic.GetOk: content.h.
#pragma once

#include "wire/amqp/fields.h"

#include <cstdint>

namespace sluice::amqp {

struct BasicQos {
  static constexpr MethodId id{60, 10};
  static constexpr ByteView name = "basic.qos";
  std::uint32_t prefetch_size = 0;  ///< Octets; 0: no limit, as for the count.
  std::uint16_t prefetch_count = 0;
  bool global = false;
};

struct BasicQosOk {
  static constexpr MethodId id{60, 11};
  static constexpr ByteView name = "basic.qos-ok";
};

struct BasicConsume {
  static constexpr MethodId id{60, 20};
  static constexpr ByteView name = "basic.consume";
  std::uint16_t ticket = 0;
  ShortString queue{};
  ShortString consumer_tag{};
  bool no_local = false;
  bool no_ack = false;
  bool exclusive = false;
  bool no_wait = false;
  Table arguments{};
};

struct BasicConsumeOk {
  static constexpr MethodId id{60, 21};
  static constexpr ByteView name = "basic.consume-ok";
  ShortString consumer_tag{};
};

struct BasicCancel {
  static constexpr MethodId id{60, 30};
  static constexpr ByteView name = "basic.cancel";
  ShortString consumer_tag{};
  bool no_wait = false;
};

struct BasicCancelOk {
  static constexpr MethodId id{60, 31};
  static constexpr ByteView name = "basic.cancel-ok";
  ShortString consumer_tag{};
};

struct BasicPublish {
  static constexpr MethodId id{60, 40};
  static constexpr ByteView name = "basic.publish";
  std::uint16_t ticket = 0;
  ShortString exchange{};
  ShortString routing_key{};
  bool mandatory = false;
  bool immediate = false;
};

struct BasicReturn {
  static constexpr MethodId id{60, 50};
  static constexpr ByteView name = "basic.return";
  std::uint16_t reply_code = 0;
  ShortString reply_text{};
  ShortString exchange{};
  ShortString routing_key{};
};

struct BasicDeliver {
  static constexpr MethodId id{60, 60};
  static constexpr ByteView name = "basic.deliver";
  ShortString consumer_tag{};
  std::uint64_t delivery_tag = 0;
  bool redelivered = false;
  ShortString exchange{};
  ShortString routing_key{};
};

struct BasicGet {
  static constexpr MethodId id{60, 70};
  static constexpr ByteView name = "basic.get";
  std::uint16_t ticket = 0;
  ShortString queue{};
  bool no_ack = false;
};

struct BasicGetOk {
  static constexpr MethodId id{60, 71};
  static constexpr ByteView name = "basic.get-ok";
  std::uint64_t delivery_tag = 0;
  bool redelivered = false;
  ShortString exchange{};
  ShortString routing_key{};
  std::uint32_t message_count = 0;
};

struct BasicGetEmpty {
  static constexpr MethodId id{60, 72};
  static constexpr ByteView name = "basic.get-empty";
  ShortString cluster_id{};  ///< Reserved.
};

struct BasicAck {
  static constexpr MethodId id{60, 80};
  static constexpr ByteView name = "basic.ack";
  std::uint64_t delivery_tag = 0;
  bool multiple = false;
};

struct BasicReject {
  static constexpr MethodId id{60, 90};
  static constexpr ByteView name = "basic.reject";
  std::uint64_t delivery_tag = 0;
  bool requeue = false;
};

struct BasicRecoverAsync {
  static constexpr MethodId id{60, 100};
  static constexpr ByteView name = "basic.recover-async";
  bool requeue = false;
};

struct BasicRecover {
  static constexpr MethodId id{60, 110};
  static constexpr ByteView name = "basic.recover";
  bool requeue = false;
};

struct BasicRecoverOk {
  static constexpr MethodId id{60, 111};
  static constexpr ByteView name = "basic.recover-ok";
};

struct BasicNack {
  static constexpr MethodId id{60, 120};
  static constexpr ByteView name = "basic.nack";
  std::uint64_t delivery_tag = 0;
  bool multiple = false;
  bool requeue = false;
};

struct ConfirmSelect {
  static constexpr MethodId id{85, 10};
  static constexpr ByteView name = "confirm.select";
  bool no_wait = false;
};

struct ConfirmSelectOk {
  static constexpr MethodId id{85, 11};
  static constexpr ByteView name = "confirm.select-ok";
};

struct TxSelect {
  static constexpr MethodId id{90, 10};
  static constexpr ByteView name = "tx.select";
};

struct TxSelectOk {
  static constexpr MethodId id{90, 11};
  static constexpr ByteView name = "tx.select-ok";
};

struct TxCommit {
  static constexpr MethodId id{90, 20};
  static constexpr ByteView name = "tx.commit";
};

struct TxCommitOk {
  static constexpr MethodId id{90, 21};
  static constexpr ByteView name = "tx.commit-ok";
};

struct TxRollback {
  static constexpr MethodId id{90, 30};
  static constexpr ByteView name = "tx.rollback";
};

struct TxRollbackOk {
  static constexpr MethodId id{90, 31};
  static constexpr ByteView name = "tx.rollback-ok";
};

}  // namespace sluice::amqp
