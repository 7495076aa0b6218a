// Headers of a job as they are stored: key and value, each behind a 32-bit length, repeated.
#pragma once

#include "base/codec.h"
#include "model/job.h"

namespace sluice::model {

inline void put_header(Buffer& out, ByteView key, ByteView value) {
  put_sized<std::uint32_t>(out, key);
  put_sized<std::uint32_t>(out, value);
}

/// Calls `visit(key, value)` for each header of an encoded list.
template <class Visit>
void for_each_header(ByteView encoded, Visit visit) {
  Reader reader(encoded);
  while (reader.ok() && !reader.at_end()) {
    const ByteView key = reader.sized<std::uint32_t>();
    const ByteView value = reader.sized<std::uint32_t>();
    if (reader.ok()) visit(key, value);
  }
}

}  // namespace sluice::model
