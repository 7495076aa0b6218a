// The methods of the classes connection, channel and access (amqp0-9-1.xml; update-secret is
// RabbitMQ's): an aggregate each, its fields in the order and of the types they have on the wire.
// Bits are bools. arguments.h reads and writes all of them from this description alone.
//
// A method that was decoded views the frame it came in.
#pragma once

#include "wire/amqp/fields.h"

#include <cstdint>

namespace sluice::amqp {

struct ConnectionStart {
  static constexpr MethodId id{10, 10};
  static constexpr ByteView name = "connection.start";
  std::uint8_t version_major = 0;
  std::uint8_t version_minor = 0;
  Table server_properties{};
  LongString mechanisms{};  ///< Space-separated, as the locales.
  LongString locales{};
};

struct ConnectionStartOk {
  static constexpr MethodId id{10, 11};
  static constexpr ByteView name = "connection.start-ok";
  Table client_properties{};
  ShortString mechanism{};
  LongString
      response;  ///< Of PLAIN: NUL user NUL password; of AMQPLAIN: a table without its length.
  ShortString locale{};
};

struct ConnectionSecure {
  static constexpr MethodId id{10, 20};
  static constexpr ByteView name = "connection.secure";
  LongString challenge{};
};

struct ConnectionSecureOk {
  static constexpr MethodId id{10, 21};
  static constexpr ByteView name = "connection.secure-ok";
  LongString response{};
};

struct ConnectionTune {
  static constexpr MethodId id{10, 30};
  static constexpr ByteView name = "connection.tune";
  std::uint16_t channel_max = 0;  ///< 0: no limit of its own, as for frame_max.
  std::uint32_t frame_max = 0;
  std::uint16_t heartbeat = 0;  ///< Seconds; 0: none.
};

struct ConnectionTuneOk {
  static constexpr MethodId id{10, 31};
  static constexpr ByteView name = "connection.tune-ok";
  std::uint16_t channel_max = 0;
  std::uint32_t frame_max = 0;
  std::uint16_t heartbeat = 0;
};

struct ConnectionOpen {
  static constexpr MethodId id{10, 40};
  static constexpr ByteView name = "connection.open";
  ShortString virtual_host{};
  ShortString capabilities{};  ///< Reserved, as insist. pika sets that.
  bool insist = false;
};

struct ConnectionOpenOk {
  static constexpr MethodId id{10, 41};
  static constexpr ByteView name = "connection.open-ok";
  ShortString known_hosts{};
};

struct ConnectionClose {
  static constexpr MethodId id{10, 50};
  static constexpr ByteView name = "connection.close";
  std::uint16_t reply_code = 0;
  ShortString reply_text{};
  std::uint16_t class_id = 0;  ///< Of the method that is to blame, or 0.
  std::uint16_t method_id = 0;
};

struct ConnectionCloseOk {
  static constexpr MethodId id{10, 51};
  static constexpr ByteView name = "connection.close-ok";
};

struct ConnectionBlocked {
  static constexpr MethodId id{10, 60};
  static constexpr ByteView name = "connection.blocked";
  ShortString reason{};
};

struct ConnectionUnblocked {
  static constexpr MethodId id{10, 61};
  static constexpr ByteView name = "connection.unblocked";
};

struct ConnectionUpdateSecret {
  static constexpr MethodId id{10, 70};
  static constexpr ByteView name = "connection.update-secret";
  LongString new_secret{};
  ShortString reason{};
};

struct ConnectionUpdateSecretOk {
  static constexpr MethodId id{10, 71};
  static constexpr ByteView name = "connection.update-secret-ok";
};

struct ChannelOpen {
  static constexpr MethodId id{20, 10};
  static constexpr ByteView name = "channel.open";
  ShortString out_of_band{};  ///< Reserved.
};

struct ChannelOpenOk {
  static constexpr MethodId id{20, 11};
  static constexpr ByteView name = "channel.open-ok";
  LongString channel_id{};  ///< Reserved.
};

struct ChannelFlow {
  static constexpr MethodId id{20, 20};
  static constexpr ByteView name = "channel.flow";
  bool active = false;
};

struct ChannelFlowOk {
  static constexpr MethodId id{20, 21};
  static constexpr ByteView name = "channel.flow-ok";
  bool active = false;
};

struct ChannelClose {
  static constexpr MethodId id{20, 40};
  static constexpr ByteView name = "channel.close";
  std::uint16_t reply_code = 0;
  ShortString reply_text{};
  std::uint16_t class_id = 0;
  std::uint16_t method_id = 0;
};

struct ChannelCloseOk {
  static constexpr MethodId id{20, 41};
  static constexpr ByteView name = "channel.close-ok";
};

struct AccessRequest {
  static constexpr MethodId id{30, 10};
  static constexpr ByteView name = "access.request";
  ShortString realm{};
  bool exclusive = false;
  bool passive = false;
  bool active = false;
  bool write = false;
  bool read = false;
};

struct AccessRequestOk {
  static constexpr MethodId id{30, 11};
  static constexpr ByteView name = "access.request-ok";
  std::uint16_t ticket = 0;
};

}  // namespace sluice::amqp
