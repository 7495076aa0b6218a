// Reading single arguments of native commands: each function names the argument in its error, with
// the value that was sent and what is allowed.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "model/job.h"
#include "model/limits.h"
#include "wire/resp/parser.h"

#include <cstdint>

namespace sluice::native {

/// "name is "value"; allowed: …" as an ARG error.
tl::unexpected<Error> bad_argument(ByteView name, ByteView value, ByteView allowed);
/// "name has N bytes (limit M)" as a TOOBIG error.
tl::unexpected<Error> too_long(ByteView name, std::size_t bytes, std::size_t limit);

Result<std::uint64_t> read_number(ByteView name,
                                  ByteView value,
                                  std::uint64_t min,
                                  std::uint64_t max);
Result<Duration> read_duration(ByteView name, ByteView value, Duration min, Duration max);
Result<model::JobId> read_id(ByteView value);
Result<model::LeaseToken> read_token(ByteView value);
/// Not empty, at most `limit` bytes, no control characters.
Result<ByteView> read_name(ByteView name, ByteView value, std::size_t limit);

/// Reads the options of a PUSH from argument `from` on. The views of the result are those of
/// `arguments`.
Result<void> read_push_options(const resp::Arguments& arguments,
                               std::size_t from,
                               const model::Limits& limits,
                               model::PushOptions& options);

/// Copies the error of one result into another kind of result.
template <class T>
tl::unexpected<Error> error_of(Result<T>& failed) {
  return tl::unexpected<Error>(std::move(failed.error()));
}

}  // namespace sluice::native
