// Error and Result<T>: how Sluice says that something did not happen, on both sides of the wire.
//
//   sluice::Result<std::string> id = client.push(...);
//   if (!id) std::cerr << id.error().message;
//
// An Error is a stable code of the catalogue below and a sentence for a person: what happened, to
// which thing, the limit that was met and the next step. Thread-safe as any value is.
#pragma once

#include <tl/expected.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

/// The catalogue. The names of the first group travel as RESP error codes and are stable.
enum class ErrorCode : std::uint8_t {
  // Said by the server.
  stale,        ///< STALE: the lease token is not the current one; somebody else owns the job now.
  no_job,       ///< NOJOB: no job with this id (never was, or finished and no longer kept).
  no_queue,     ///< NOQUEUE: no queue of this name.
  no_exchange,  ///< NOEXCHANGE: no exchange of this name.
  busy,     ///< BUSY: a limit (queue length, disk, memory) refuses new work for now; retry later.
  too_big,  ///< TOOBIG: a payload, header, name or list is larger than its limit.
  no_auth,  ///< NOAUTH: log in first.
  no_perm,  ///< NOPERM: this user may not do this.
  arg,      ///< ARG: an argument is missing, malformed or out of range.
  exists,   ///< EXISTS: the unique key is held by another job and the push asked to be rejected.
  unknown,  ///< ERR: the server does not know this command.
  // Said by the client library or the operating system.
  closed,     ///< The connection is gone and could not be re-established in time.
  timed_out,  ///< The deadline passed; the effect is unknown.
  cancelled,  ///< The caller cancelled the operation.
  protocol,   ///< The peer broke the protocol.
  io,         ///< The operating system failed us: disk, socket.
  corrupt,    ///< Stored data fails its checksum or its rules.
};

/// The code as it travels and as logs show it: "STALE", "NOJOB", ….
constexpr std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::stale:
      return "STALE";
    case ErrorCode::no_job:
      return "NOJOB";
    case ErrorCode::no_queue:
      return "NOQUEUE";
    case ErrorCode::no_exchange:
      return "NOEXCHANGE";
    case ErrorCode::busy:
      return "BUSY";
    case ErrorCode::too_big:
      return "TOOBIG";
    case ErrorCode::no_auth:
      return "NOAUTH";
    case ErrorCode::no_perm:
      return "NOPERM";
    case ErrorCode::arg:
      return "ARG";
    case ErrorCode::exists:
      return "EXISTS";
    case ErrorCode::unknown:
      return "ERR";
    case ErrorCode::closed:
      return "CLOSED";
    case ErrorCode::timed_out:
      return "TIMEDOUT";
    case ErrorCode::cancelled:
      return "CANCELLED";
    case ErrorCode::protocol:
      return "PROTOCOL";
    case ErrorCode::io:
      return "IO";
    case ErrorCode::corrupt:
      return "CORRUPT";
  }
  return "ERR";
}

struct Error {
  ErrorCode code{};
  std::string message;
};

/// Either a value or an Error; never thrown, never to be ignored.
template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(ErrorCode::arg, "…")` from a function that returns a Result.
[[gnu::cold]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace sluice
