// Outcome: what a handler decides about its job.
//
//   co_return Outcome::done("42");                       // succeeded, with a result
//   co_return Outcome::retry_after(30s, "rate limited"); // failed; again in 30 s, not by backoff
//   co_return Outcome::release();                        // not my turn: back to the queue,
//   uncounted co_return Outcome::dead("no such customer");         // no attempt can succeed throw
//   std::runtime_error("smtp: connection refused"); // failed; again after the job's backoff
//
// A handler need not return an Outcome: nothing means done(); a string, a described struct or what
// else Boost.JSON can convert is the result; a Result with an error is a failure.
#pragma once

#include <sluice/job.h>
#include <sluice/payload.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

namespace sluice {

class Outcome {
 public:
  enum class Kind : std::uint8_t { done, failed, retry, released, dead };

  /// ACK. `result` is what the job's readers get, up to the server's limit (16 MiB).
  static Outcome done(std::string result = {}) { return {Kind::done, std::move(result), {}}; }

  /// ACK with a result as JSON text.
  template <class T>
  static Outcome json(const T& result) {
    return done(encode(result));
  }

  /// FAIL: another attempt after the job's backoff, or dead when its attempts are used up.
  static Outcome failed(std::string reason) { return {Kind::failed, std::move(reason), {}}; }

  /// FAIL … RETRY: counts an attempt, the next one comes after `delay`.
  static Outcome retry_after(Duration delay, std::string reason = "the handler asked for a retry") {
    return {Kind::retry, std::move(reason), delay};
  }

  /// RELEASE: back to its place in the queue, or after `delay`; the attempt does not count.
  static Outcome release(Duration delay = Duration{0}) { return {Kind::released, {}, delay}; }

  /// FAIL … DEAD: no further attempt; the job is kept as a dead letter.
  static Outcome dead(std::string reason) { return {Kind::dead, std::move(reason), {}}; }

  Kind kind() const { return kind_; }

  /// The result of done(), else the reason.
  const std::string& text() const { return text_; }

  Duration delay() const { return delay_; }

 private:
  Outcome(Kind kind, std::string text, Duration delay)
      : kind_(kind), text_(std::move(text)), delay_(delay) {}

  Kind kind_;
  std::string text_;
  Duration delay_;
};

/// "done", "failed", ….
std::string_view name(Outcome::Kind kind);

namespace detail {

template <class T>
inline constexpr bool is_error_or = false;
template <class T>
inline constexpr bool is_error_or<Result<T>> = true;

/// The outcome that a handler's return value stands for.
template <class T>
Outcome to_outcome(T value) {
  if constexpr (std::same_as<T, Outcome>) {
    return value;
  } else if constexpr (is_error_or<T>) {
    if (!value)
      return Outcome::failed(std::string(name(value.error().code)) + ": " + value.error().message);
    if constexpr (std::is_void_v<typename T::value_type>) {
      return Outcome::done();
    } else {
      return to_outcome(std::move(*value));
    }
  } else if constexpr (std::convertible_to<T, std::string>) {
    return Outcome::done(std::string(std::move(value)));
  } else {
    return Outcome::json(value);
  }
}

}  // namespace detail
}  // namespace sluice
