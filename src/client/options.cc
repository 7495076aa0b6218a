// The nouns of include/sluice/job.h, queue.h and value.h: setters that collect the words of a
// command, names of states, ids from text.

#include <sluice/job.h>
#include <sluice/queue.h>
#include <sluice/value.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 9> state_names = {"scheduled",
                                                         "waiting",
                                                         "ready",
                                                         "leased",
                                                         "retry",
                                                         "succeeded",
                                                         "dead",
                                                         "cancelled",
                                                         "expired"};

/// Durations travel as plain milliseconds.
std::string words_of(Duration duration) {
  return std::to_string(duration.count());
}

std::string_view name(OnConflict what) {
  switch (what) {
    case OnConflict::existing:
      return "existing";
    case OnConflict::replace:
      return "replace";
    case OnConflict::reject:
      return "reject";
  }
  return "existing";
}

/// Replaces the value behind `word`, or appends both: a setter that is called twice counts once.
void set_word(std::vector<std::string>& words, std::string word, std::string value) {
  for (std::size_t i = 0; i + 1 < words.size();) {  // A header is three words, all others two.
    if (words[i] == word) {
      words[i + 1] = std::move(value);
      return;
    }
    i += words[i] == "HEADER" ? 3u : 2u;
  }
  words.push_back(std::move(word));
  words.push_back(std::move(value));
}

Result<std::uint64_t> parse_id(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value == 0) {
    return sluice::fail(ErrorCode::arg,
                        "\"" + std::string(text.substr(0, 64)) +
                            "\" is not an id: a decimal number from 1 to 2^64-1");
  }
  return value;
}

}  // namespace

std::string_view name(JobState state) {
  return state_names[static_cast<std::size_t>(state)];
}

std::optional<JobState> job_state(std::string_view name) {
  const auto found = std::find(state_names.begin(), state_names.end(), name);
  if (found == state_names.end()) return std::nullopt;
  return static_cast<JobState>(found - state_names.begin());
}

template <class Tag>
Result<Id<Tag>> Id<Tag>::parse(std::string_view text) {
  return parse_id(text).map([](std::uint64_t number) { return Id<Tag>(number); });
}
template struct Id<JobIdName>;
template struct Id<LeaseTokenName>;

// -- Backoff.
// --------------------------------------------------------------------------------------

Backoff Backoff::exponential(Duration base) {
  return Backoff("exponential " + words_of(base));
}

Backoff Backoff::fixed(Duration delay) {
  return Backoff("fixed " + words_of(delay));
}

Backoff Backoff::linear(Duration step) {
  return Backoff("linear " + words_of(step));
}

Backoff Backoff::list(const std::vector<Duration>& delays) {
  std::string spec = "list";
  for (const Duration delay : delays)
    spec += " " + words_of(delay);
  return Backoff(std::move(spec));
}

Backoff Backoff::parse(std::string spec) {
  return Backoff(std::move(spec));
}

Backoff& Backoff::cap(Duration longest) {
  spec_ += " cap " + words_of(longest);
  return *this;
}

Backoff& Backoff::jitter(unsigned percent) {
  spec_ += " jitter " + std::to_string(percent) + "%";
  return *this;
}

// -- PushOptions.
// ----------------------------------------------------------------------------------

PushOptions& PushOptions::set(std::string word, std::string value) {
  set_word(words_, std::move(word), std::move(value));
  return *this;
}

PushOptions& PushOptions::delay(Duration until_ready) {
  return set("DELAY", words_of(until_ready));
}

PushOptions& PushOptions::at(std::chrono::system_clock::time_point when) {
  return set("AT", words_of(std::chrono::time_point_cast<Duration>(when).time_since_epoch()));
}

PushOptions& PushOptions::priority(unsigned higher_first) {
  return set("PRIORITY", std::to_string(higher_first));
}

PushOptions& PushOptions::max_attempts(unsigned count) {
  return set("ATTEMPTS", std::to_string(count));
}

PushOptions& PushOptions::backoff(const Backoff& backoff) {
  return set("BACKOFF", backoff.spec());
}

PushOptions& PushOptions::timeout(Duration lease) {
  return set("TIMEOUT", words_of(lease));
}

PushOptions& PushOptions::ttl(Duration until_expired) {
  return set("TTL", words_of(until_expired));
}

PushOptions& PushOptions::keep(Duration after_its_end) {
  return set("KEEP", words_of(after_its_end));
}

PushOptions& PushOptions::unique(std::string key) {
  unique_key_ = std::move(key);
  return *this;
}

PushOptions& PushOptions::window(Duration key_is_held) {
  window_ = words_of(key_is_held);
  return *this;
}

PushOptions& PushOptions::on_conflict(OnConflict what) {
  on_conflict_ = what;
  return *this;
}

PushOptions& PushOptions::after(JobId id) {
  words_.emplace_back("AFTER");
  words_.push_back(std::to_string(id.value));
  return *this;
}

PushOptions& PushOptions::after_any(JobId id) {
  words_.emplace_back("AFTER_ANY");
  words_.push_back(std::to_string(id.value));
  return *this;
}

PushOptions& PushOptions::header(std::string key, std::string value) {
  words_.emplace_back("HEADER");
  words_.push_back(std::move(key));
  words_.push_back(std::move(value));
  return *this;
}

std::vector<std::string> PushOptions::words() const {
  std::vector<std::string> words = words_;
  const auto add = [&words](std::string_view word, std::string_view value) {
    words.emplace_back(word);
    words.emplace_back(value);
  };
  // WINDOW and ONCONFLICT belong to UNIQUE and follow it. Without a key the server says so.
  if (!unique_key_.empty()) add("UNIQUE", unique_key_);
  if (!window_.empty()) add("WINDOW", window_);
  if (on_conflict_.has_value()) add("ONCONFLICT", name(*on_conflict_));
  return words;
}

bool PushOptions::is_repeatable() const {
  // With `reject` the repeat would be refused by the job that the first try made; with `replace` it
  // would get an id of its own, and the first job might be running.
  return !unique_key_.empty() &&
         on_conflict_.value_or(OnConflict::existing) == OnConflict::existing;
}

// -- Job, JobFilter.
// -------------------------------------------------------------------------------

std::string_view Job::header(std::string_view key) const {
  const auto found = std::find_if(
      headers.begin(), headers.end(), [key](const auto& header) { return header.first == key; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

JobFilter& JobFilter::set(std::string word, std::string value) {
  set_word(words_, std::move(word), std::move(value));
  return *this;
}

JobFilter& JobFilter::state(JobState only) {
  return set("STATE", std::string(name(only)));
}

JobFilter& JobFilter::type(std::string only) {
  return set("TYPE", std::move(only));
}

JobFilter& JobFilter::older(Duration age_min) {
  return set("OLDER", words_of(age_min));
}

JobFilter& JobFilter::newer(Duration age_max) {
  return set("NEWER", words_of(age_max));
}

JobFilter& JobFilter::cursor(JobId from) {
  return set("CURSOR", std::to_string(from.value));
}

JobFilter& JobFilter::count(unsigned jobs_max) {
  return set("COUNT", std::to_string(jobs_max));
}

// -- QueueChange.
// ----------------------------------------------------------------------------------

QueueChange& QueueChange::set(std::string field, std::string value) {
  set_word(words_, std::move(field), std::move(value));
  return *this;
}

QueueChange& QueueChange::priority(unsigned higher_first) {
  return set("priority", std::to_string(higher_first));
}

QueueChange& QueueChange::delay(Duration until_ready) {
  return set("delay", words_of(until_ready));
}

QueueChange& QueueChange::max_attempts(unsigned count) {
  return set("max_attempts", std::to_string(count));
}

QueueChange& QueueChange::backoff(const Backoff& backoff) {
  return set("backoff", backoff.spec());
}

QueueChange& QueueChange::timeout(Duration lease) {
  return set("timeout", words_of(lease));
}

QueueChange& QueueChange::ttl(Duration until_expired) {
  return set("ttl", words_of(until_expired));
}

QueueChange& QueueChange::keep(Duration after_its_end) {
  return set("keep", words_of(after_its_end));
}

QueueChange& QueueChange::keep_max(std::uint64_t jobs) {
  return set("keep_max", std::to_string(jobs));
}

QueueChange& QueueChange::max_length(std::uint64_t jobs) {
  return set("max_length", std::to_string(jobs));
}

QueueChange& QueueChange::drop_head() {
  return set("overflow", "drop_head");
}

QueueChange& QueueChange::reject_push() {
  return set("overflow", "reject");
}

QueueChange& QueueChange::dead_letter(std::string queue) {
  return set("dead_letter", std::move(queue));
}

// -- Value.
// ----------------------------------------------------------------------------------------

const Value* Value::find(std::string_view key) const {
  if (const Map* fields = map()) {
    for (const auto& [name, value] : *fields) {
      if (const std::string* text = name.text(); text != nullptr && *text == key) return &value;
    }
  }
  return nullptr;
}

}  // namespace sluice
