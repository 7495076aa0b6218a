// Facts that no core writes: fields that are unknown, too short or impossible. A checksum lets
// them through only if a program wrote them, a newer one or one with a mistake.
#include "core/facts.h"

#include "core/job.h"
#include "core/routing/binding_terms.h"
#include "model/limits.h"

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::core {
namespace {

// Offsets in a job_put and a job_changed (core/facts.h).
constexpr std::size_t state_at = 2;
constexpr std::size_t record_bytes_at = 12;
constexpr std::size_t record_queue_at = 24;

std::string record_of_a_job() {
  JobRecord record;
  record.id = model::JobId(1);
  record.type = "type";
  record.payload = "payload";
  Buffer out;
  put_job(out, record);
  return std::string(out.view());
}

std::string change_of_a_job(const JobChanged& changed = {}) {
  Buffer out;
  put_changed(out, changed);
  return std::string(out.view());
}

template <class T>
void overwrite(std::string& fact, std::size_t at, T value) {
  std::memcpy(fact.data() + at, &value, sizeof value);
}

/// What the reader says to one fact; empty if it takes it.
std::string refusal(ByteView fact) {
  const Result<Fact> read = FactReader(fact, Position(1, 64)).next();
  if (read) return {};
  EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  return read.error().message;
}

/// A tagged field of a record's details or, with a length of two bytes, of a policy.
template <class Length>
std::string field(std::uint8_t number, ByteView bytes) {
  Buffer out;
  out.append_raw(number);
  put_sized<Length>(out, bytes);
  return std::string(out.view());
}

std::string details_field(std::uint8_t number, ByteView bytes) {
  return field<std::uint32_t>(number, bytes);
}

bool are_details(ByteView bytes) {
  Details details;
  return read_details(bytes, Position(1, 64), details).has_value();
}

std::string policy_field(std::uint8_t number, ByteView bytes) {
  return field<std::uint16_t>(number, bytes);
}

TEST(Facts, AnUnknownStateIsRefused) {
  std::string record = record_of_a_job();
  record[state_at] = model::job_state_count - 1;
  EXPECT_EQ(refusal(record), "");
  record[state_at] = model::job_state_count;
  EXPECT_EQ(refusal(record), "a fact is malformed: job record has an unknown state");
  std::string change = change_of_a_job();
  change[state_at] = model::job_state_count - 1;
  EXPECT_EQ(refusal(change), "");
  change[state_at] = model::job_state_count;
  EXPECT_EQ(refusal(change), "a fact is malformed: job_changed has an unknown state");
}

TEST(Facts, AnUnknownDeathIsRefused) {
  constexpr std::size_t death_at = 3;
  JobChanged changed;
  changed.death = model::DeathReason::delivery_limit;
  std::string change = change_of_a_job(changed);
  EXPECT_EQ(refusal(change), "");
  ++change[death_at];
  EXPECT_EQ(refusal(change), "a fact is malformed: job_changed has an unknown death");
}

TEST(Facts, ARecordThatIsNotAsLongAsItSaysIsRefused) {
  std::string record = record_of_a_job();
  overwrite(record, record_bytes_at, static_cast<std::uint32_t>(record.size() + 1));
  EXPECT_EQ(refusal(record), "a fact is malformed: job record has a wrong length");
}

TEST(Facts, AQueueNumberThatNoLogCanHaveIsRefused) {
  std::string record = record_of_a_job();
  overwrite(record, record_queue_at, model::queue_count_max - 1);
  EXPECT_EQ(refusal(record), "");
  overwrite(record, record_queue_at, model::queue_count_max);
  EXPECT_EQ(refusal(record), "a fact is malformed: job record has an impossible queue");
  JobChanged changed;
  changed.queue = model::queue_count_max - 1;
  EXPECT_EQ(refusal(change_of_a_job(changed)), "");
  changed.queue = model::queue_count_max;
  EXPECT_EQ(refusal(change_of_a_job(changed)),
            "a fact is malformed: job_changed has an impossible queue");
  Buffer put;
  put_queue(put, model::queue_count_max, "mail", {});
  EXPECT_EQ(refusal(put.view()), "a fact is malformed: queue_put has an impossible queue");
}

constexpr std::size_t exchange_kind_at = 5;  ///< In an exchange_put.

std::string put_of_an_exchange(std::uint32_t index, ByteView name = "orders") {
  model::Exchange exchange;
  exchange.kind = model::ExchangeKind::headers;
  exchange.is_durable = false;
  exchange.alternate = "rest";
  exchange.arguments = "opaque";
  Buffer out;
  put_exchange(out, index, name, exchange);
  return std::string(out.view());
}

std::string terms_of_a_binding() {
  return encode({{3, true}, "key", {{"format", "pdf"}, {"pages", ""}}, true, "opaque"});
}

std::string put_of_a_binding(std::uint32_t exchange, ByteView terms) {
  Buffer out;
  put_binding(out, {exchange, terms});
  return std::string(out.view());
}

std::string end_of_a_binding(std::uint32_t exchange, ByteView terms) {
  Buffer out;
  put_binding_gone(out, {exchange, terms});
  return std::string(out.view());
}

TEST(Facts, AnExchangeIsReadAsItWasWritten) {
  for (unsigned flags = 0; flags < 8; ++flags) {
    model::Exchange exchange;
    exchange.kind = model::ExchangeKind::topic;
    exchange.is_durable = (flags & 1) != 0;
    exchange.is_auto_delete = (flags & 2) != 0;
    exchange.is_internal = (flags & 4) != 0;
    exchange.alternate = "rest";
    exchange.arguments = "opaque";
    Buffer out;
    put_exchange(out, 7, "orders", exchange);
    const Result<Fact> read = FactReader(out.view(), Position(1, 64)).next();
    ASSERT_TRUE(read);
    const auto& put = std::get<ExchangePut>(*read);
    EXPECT_EQ(put.index, 7u);
    EXPECT_EQ(put.name, "orders");
    EXPECT_EQ(put.exchange, exchange) << flags;
  }
}

TEST(Facts, ABindingIsReadAsItWasWritten) {
  const std::string encoded = terms_of_a_binding();
  const Result<BindingTerms> terms = decode_binding(encoded);
  ASSERT_TRUE(terms);
  EXPECT_EQ(terms->to, (Destination{3, true}));
  EXPECT_EQ(terms->key, "key");
  ASSERT_EQ(terms->headers.size(), 2u);
  EXPECT_EQ(terms->headers[0], (std::pair<ByteView, ByteView>("format", "pdf")));
  EXPECT_EQ(terms->headers[1], (std::pair<ByteView, ByteView>("pages", "")));
  EXPECT_TRUE(terms->is_any_enough);
  EXPECT_EQ(terms->arguments, "opaque");
  EXPECT_EQ(encode(*terms), encoded);
}

TEST(Facts, AnExchangeOfAnUnknownKindIsRefused) {
  std::string put = put_of_an_exchange(0);
  EXPECT_EQ(refusal(put), "");
  put[exchange_kind_at] = static_cast<char>(model::exchange_kind_count);
  EXPECT_EQ(refusal(put), "a fact is malformed: exchange_put has an unknown kind");
}

TEST(Facts, AnExchangeWithoutANameIsRefused) {
  EXPECT_EQ(refusal(put_of_an_exchange(0, "")), "a fact is malformed: exchange_put has no name");
}

TEST(Facts, AnExchangeNumberThatNoLogCanHaveIsRefused) {
  const std::string terms = terms_of_a_binding();
  constexpr std::uint32_t last = model::exchange_count_max - 1;
  EXPECT_EQ(refusal(put_of_an_exchange(last)), "");
  EXPECT_EQ(refusal(put_of_an_exchange(last + 1)),
            "a fact is malformed: exchange_put has an impossible number");
  EXPECT_EQ(refusal(put_of_a_binding(last, terms)), "");
  EXPECT_EQ(refusal(put_of_a_binding(last + 1, terms)),
            "a fact is malformed: a binding has an impossible exchange");
  EXPECT_EQ(refusal(end_of_a_binding(last, terms)), "");
  EXPECT_EQ(refusal(end_of_a_binding(last + 1, terms)),
            "a fact is malformed: a binding has an impossible exchange");
}

TEST(Facts, ExchangesAndBindingsCutAnywhereAreRefused) {
  Buffer gone;
  put_exchange_gone(gone, 5);
  const std::string terms = terms_of_a_binding();
  for (const std::string& fact : {put_of_an_exchange(5),
                                  std::string(gone.view()),
                                  put_of_a_binding(5, terms),
                                  end_of_a_binding(5, terms)}) {
    EXPECT_EQ(refusal(fact), "");
    for (std::size_t size = 1; size < fact.size(); ++size)
      EXPECT_NE(refusal(std::string(fact, 0, size)), "") << size;
  }
}

TEST(Facts, TermsThatAreShorterOrLongerThanTheySayAreRefused) {
  const std::string terms = terms_of_a_binding();
  for (std::size_t size = 0; size < terms.size(); ++size)
    EXPECT_FALSE(decode_binding(std::string(terms, 0, size))) << size;
  EXPECT_EQ(refusal(put_of_a_binding(5, terms + "x")),
            "a binding is cut short, or longer than it says");
  std::string many = encode({{3, false}, "", {}, false, {}});
  // flags, destination, length of the key: then the number of headers.
  overwrite(many, 6, std::uint16_t{0xffff});
  EXPECT_EQ(refusal(put_of_a_binding(5, many)), "a binding is cut short, or longer than it says");
}

TEST(Facts, ARecordThatIsReadAloneAndShorterThanItsHeadIsRefused) {
  const std::string record = record_of_a_job();
  EXPECT_TRUE(read_record(record));
  for (std::size_t size = 0; size < record.size(); ++size) {
    const Result<JobRecord> cut = read_record(ByteView(record).substr(0, size));
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error().code, ErrorCode::corrupt);
  }
}

TEST(Details, UnknownFieldsAreSkipped) {
  Details details;
  const std::string bytes = details_field(200, "of the future") + details_field(12, "ada");
  ASSERT_TRUE(read_details(bytes, Position(1, 64), details));
  EXPECT_EQ(details.worker, "ada");
}

TEST(Details, CutAnywhereButBetweenFieldsAreRefused) {
  const std::string first = details_field(12, "ada");
  const std::string both = first + details_field(13, "no luck");
  for (std::size_t size = 0; size <= both.size(); ++size) {
    const bool is_whole = size == 0 || size == first.size() || size == both.size();
    EXPECT_EQ(are_details(both.substr(0, size)), is_whole) << size;
  }
}

TEST(Details, AFieldThatIsTooShortForItsValueIsRefused) {
  const std::string eight(8, '\1');
  EXPECT_TRUE(are_details(details_field(3, eight)));
  EXPECT_FALSE(are_details(details_field(3, eight.substr(1)))) << "timeout";
  const std::string dependency(9, '\1');
  EXPECT_TRUE(are_details(details_field(9, dependency + dependency)));
  EXPECT_FALSE(are_details(details_field(9, dependency + eight))) << "waits_for";
  // time, state, attempt, sized8 worker, sized16 note
  const std::string event = eight + std::string(3, '\1') + std::string("\1w\1\0n", 5);
  EXPECT_TRUE(are_details(details_field(11, event)));
  EXPECT_FALSE(are_details(details_field(11, event.substr(0, event.size() - 1)))) << "event";
}

TEST(Policy, UnknownFieldsAreSkipped) {
  const Result<model::QueuePolicy> policy =
      read_policy(policy_field(200, "of the future") + policy_field(11, "graveyard"));
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->dead_letter, "graveyard");
}

TEST(Policy, CutAnywhereButBetweenFieldsIsRefused) {
  const std::string first = policy_field(11, "graveyard");
  const std::string both = first + policy_field(12, "\1");
  for (std::size_t size = 0; size <= both.size(); ++size) {
    const bool is_whole = size == 0 || size == first.size() || size == both.size();
    EXPECT_EQ(read_policy(both.substr(0, size)).has_value(), is_whole) << size;
  }
}

TEST(Policy, AFieldThatIsTooShortForItsValueIsRefused) {
  model::Backoff steps;
  steps.kind = model::Backoff::Kind::list;
  steps.list = {Duration(10), Duration(20)};
  Buffer backoff;
  put_backoff(backoff, steps);
  const Result<model::QueuePolicy> whole = read_policy(policy_field(4, backoff.view()));
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->backoff, steps);
  for (std::size_t size = 0; size < backoff.size(); ++size)
    EXPECT_FALSE(read_policy(policy_field(4, backoff.view().substr(0, size)))) << size;
}

TEST(Policy, ThatCannotBeReadMakesItsQueueUnreadable) {
  Buffer put;
  put.append_raw(FactKind::queue_put);
  put.append_raw(QueueIndex{0});
  put_sized<std::uint8_t>(put, "mail");
  put_sized<std::uint16_t>(put, policy_field(1, "\1") + "x");
  EXPECT_EQ(refusal(put.view()), "a queue's policy is cut short");
}

}  // namespace
}  // namespace sluice::core
