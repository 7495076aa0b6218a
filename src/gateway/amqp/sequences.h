// Sequence numbers of an AMQP connection's requests: which kind of request was it.
//
//   00 number of the publish                    10 a method that waits for its answer
//   01 generation: 14 bits, slot: 16 bits
#pragma once

#include "engine/port.h"

#include <cstdint>

namespace sluice::amqp {

enum class SequenceKind : std::uint8_t { publish = 0, pull = 1, sync = 2 };

constexpr unsigned sequence_kind_shift = 30;
constexpr engine::Sequence publish_sequence_mask = (1u << sequence_kind_shift) - 1;
constexpr engine::Sequence sync_sequence = 2u << sequence_kind_shift;
constexpr std::uint16_t pull_generation_mask = 0x3FFF;

constexpr SequenceKind kind_of(engine::Sequence sequence) {
  return static_cast<SequenceKind>(sequence >> sequence_kind_shift);
}

constexpr engine::Sequence pull_sequence(std::uint16_t slot, std::uint16_t generation) {
  return 1u << sequence_kind_shift | engine::Sequence{generation} << 16 | slot;
}

constexpr std::uint16_t slot_of(engine::Sequence sequence) {
  return static_cast<std::uint16_t>(sequence);
}

constexpr std::uint16_t generation_of(engine::Sequence sequence) {
  return static_cast<std::uint16_t>(sequence >> 16 & pull_generation_mask);
}

}  // namespace sluice::amqp
