// Channel and Consumer: what a connection remembers of each. Plain state; connection.h acts on it.
#pragma once

#include "model/job.h"
#include "wire/amqp/assembler.h"

#include <boost/circular_buffer.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::amqp {

/// A queue whose length and elements are a load away; std::deque computes both for each publish.
template <class T>
using Ring = boost::circular_buffer<T>;

/// With twice the room if there is none left.
template <class T>
void append(Ring<T>& ring, T element) {
  if (ring.full()) ring.set_capacity(std::max<std::size_t>(16, 2 * ring.capacity()));
  ring.push_back(std::move(element));
}

/// An empty one gives its memory back.
template <class T>
void rest(Ring<T>& ring) {
  if (ring.empty()) ring.set_capacity(0);
}

/// A message that the client has and has not answered for yet.
struct Unacked {
  std::uint64_t tag = 0;
  model::JobId job;
  model::LeaseToken token;
  std::optional<std::uint16_t> consumer;  ///< Its slot; none: Basic.Get, or it was cancelled.
  bool is_settled = false;                ///< Answered out of order; goes when it is the first.
  std::uint32_t since = 0;                ///< Seconds of the connection's life.
  bool is_counted = false;                ///< In unsettled: a consumer's, even of one that left.
};

/// What is known of a publish that is to be confirmed.
enum class Confirm : std::uint8_t { open, taken, refused };

/// A publish or an answer of a transaction, until it is committed.
struct Pending {
  std::string exchange;
  std::string routing_key;
  bool is_mandatory = false;
  std::string properties;
  std::string body;
};

struct Transaction {
  std::vector<Pending> publishes;
  std::vector<Unacked> acks;
  std::vector<std::pair<Unacked, bool>> rejects;  ///< And whether to requeue.
};

struct Channel {
  explicit Channel(std::uint16_t channel_number,
                   std::uint32_t its_incarnation,
                   std::uint64_t body_bytes_max)
      : number(channel_number), incarnation(its_incarnation), assembler(body_bytes_max) {}

  std::uint16_t number;
  std::uint32_t incarnation;  ///< Tells it from one of the same number that was closed.
  ContentAssembler assembler;
  bool is_closing = false;  ///< Channel.Close was sent: all but its answer is dropped.
  std::string last_queue;   ///< Declared last: what "" means.
  // Publishing.
  bool is_confirming = false;
  std::uint64_t first_open_confirm = 1;  ///< Publish number of confirms.front().
  Ring<Confirm> confirms;
  std::optional<Transaction> transaction;
  std::string reply_queue;  ///< Of direct reply-to.
  // Consuming.
  std::uint64_t next_tag = 1;
  std::deque<Unacked> unacked;
  std::uint32_t unsettled = 0;           ///< Of consumers, for the channel's own limit.
  std::uint16_t prefetch = 0;            ///< Of consumers to come; 0: no limit.
  std::uint16_t total_prefetch = 0;      ///< Of all of them together.
  std::vector<std::uint16_t> consumers;  ///< Under a total_prefetch, who had the last comes last.
};

struct Consumer {
  std::uint16_t channel = 0;
  std::uint16_t slot = 0;
  std::string tag;
  std::string queue;
  bool is_no_ack = false;
  bool is_auto_delete = false;   ///< The queue goes with its last consumer.
  bool is_active = true;         ///< False: another one is the single active consumer.
  std::uint32_t granted = 0;     ///< What its pull may still bring.
  std::uint16_t generation = 0;  ///< Of that pull.
  std::uint16_t prefetch = 0;
  std::uint32_t unsettled = 0;
  std::int32_t rank = 0;
  std::uint32_t timeout_seconds = 0;  ///< For an answer to each of its messages; 0: any time.
};

/// A name that no client would choose: `prefix` and 22 characters.
std::string made_up_name(ByteView prefix);

}  // namespace sluice::amqp
