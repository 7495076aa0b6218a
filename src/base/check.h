// check(): an invariant that holds unless our own code is wrong. On in every build. Not for bad
// input: that is a Result (base/result.h).
#pragma once

#include <boost/assert/source_location.hpp>

#include <cstdio>
#include <cstdlib>

namespace sluice {

/// Prints where and aborts. Out of line of check() to keep the hot path small.
[[noreturn, gnu::cold]] inline void broken(const boost::source_location& where) {
  std::fprintf(stderr,
               "%s:%u: invariant broken in %s\n",
               where.file_name(),
               where.line(),
               where.function_name());
  std::abort();
}

/// Aborts with file and line when `invariant` is false. One condition per call, so that the line
/// tells which one failed. A function, not a macro: the argument is always evaluated.
inline void check(bool invariant, boost::source_location where = BOOST_CURRENT_LOCATION) {
  if (!invariant) [[unlikely]]
    broken(where);
}

}  // namespace sluice
