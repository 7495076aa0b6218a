// A Reply's values as Results: error replies and missing ones become errors.
#pragma once

#include "client/decode.h"
#include "client/pipeline.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace sluice::client {

template <class T>
using Decode = Result<T> (*)(resp::Value&);

/// The result of command `index` of a request.
template <class T>
Result<T> result_at(Reply& reply, std::size_t index, Decode<T> decode) {
  if (index >= reply.values.size()) {
    if (reply.problem.has_value()) return tl::unexpected<Error>(*reply.problem);
    return sluice::fail(ErrorCode::protocol, "a reply is missing");
  }
  resp::Value& value = reply.values[index];
  if (value.is_error()) return tl::unexpected<Error>(error_of_line(value.text));
  return decode(value);
}

template <class T>
void append_results(std::vector<Result<T>>& to, Reply& reply, std::size_t count, Decode<T> decode) {
  for (std::size_t i = 0; i < count; ++i)
    to.push_back(result_at<T>(reply, i, decode));
}

}  // namespace sluice::client
