// ClientMethod: what the payload of a method frame from a client says (AMQP 0-9-1 §4.2.4).
//
//   class: 2 octets   method: 2   arguments
//
//   const Parsed<ClientMethod> method = decode_method(frame.payload);
//   if (!method) close(reply_text(method.error()), method_id(frame.payload));
//   std::visit(handler, *method);
#pragma once

#include "base/bytes.h"
#include "wire/amqp/basic_methods.h"
#include "wire/amqp/connection_methods.h"
#include "wire/amqp/fields.h"
#include "wire/amqp/queue_methods.h"
#include "wire/amqp/reply_code.h"

#include <variant>

namespace sluice::amqp {

/// All that a client may send. Looked up in this order: the frequent ones first.
using ClientMethod = std::variant<BasicPublish,
                                  BasicAck,
                                  BasicNack,
                                  BasicReject,
                                  BasicGet,
                                  BasicQos,
                                  BasicConsume,
                                  BasicCancel,
                                  BasicCancelOk,
                                  BasicRecover,
                                  BasicRecoverAsync,
                                  ConfirmSelect,
                                  TxSelect,
                                  TxCommit,
                                  TxRollback,
                                  QueueDeclare,
                                  QueueBind,
                                  QueueUnbind,
                                  QueuePurge,
                                  QueueDelete,
                                  ExchangeDeclare,
                                  ExchangeDelete,
                                  ExchangeBind,
                                  ExchangeUnbind,
                                  ChannelOpen,
                                  ChannelClose,
                                  ChannelCloseOk,
                                  ChannelFlow,
                                  ChannelFlowOk,
                                  ConnectionStartOk,
                                  ConnectionSecureOk,
                                  ConnectionTuneOk,
                                  ConnectionOpen,
                                  ConnectionClose,
                                  ConnectionCloseOk,
                                  ConnectionUpdateSecret,
                                  AccessRequest>;

/// What only a server sends.
using ServerMethod = std::variant<BasicDeliver,
                                  BasicReturn,
                                  BasicGetOk,
                                  BasicGetEmpty,
                                  BasicQosOk,
                                  BasicConsumeOk,
                                  BasicRecoverOk,
                                  ConfirmSelectOk,
                                  TxSelectOk,
                                  TxCommitOk,
                                  TxRollbackOk,
                                  QueueDeclareOk,
                                  QueueBindOk,
                                  QueueUnbindOk,
                                  QueuePurgeOk,
                                  QueueDeleteOk,
                                  ExchangeDeclareOk,
                                  ExchangeDeleteOk,
                                  ExchangeBindOk,
                                  ExchangeUnbindOk,
                                  ChannelOpenOk,
                                  ConnectionStart,
                                  ConnectionSecure,
                                  ConnectionTune,
                                  ConnectionOpenOk,
                                  ConnectionBlocked,
                                  ConnectionUnblocked,
                                  ConnectionUpdateSecretOk,
                                  AccessRequestOk>;

/// Views `payload`. Problems, all of them of the connection:
///   501 FRAME_ERROR      no room for a method's number
///   502 SYNTAX_ERROR     arguments cut short, too long or with a malformed table; RabbitMQ refuses
///                        the same, but says 501
///   503 COMMAND_INVALID  a method that only a server sends
///   540 NOT_IMPLEMENTED  unknown
Parsed<ClientMethod> decode_method(ByteView payload);

/// The number in front of the payload; {0, 0} if there is no room for it.
MethodId method_id(ByteView payload);

/// "basic.publish"; "unknown" for what is in neither list. For logs and messages.
ByteView method_name(MethodId id);

}  // namespace sluice::amqp
