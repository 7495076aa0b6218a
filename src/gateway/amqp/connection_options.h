// What the server decides for every connection of the AMQP gateway.
#pragma once

#include "model/limits.h"

#include <functional>
#include <string>

namespace sluice::amqp {

/// Whether this is somebody's name and password. May block: called on a thread for that.
using Login = std::function<bool(const std::string& user, const std::string& password)>;

struct ConnectionOptions {
  model::Limits limits;
  Login login;  ///< Null: guest with the password guest.
  /// Publishes without an answer beyond which no more are read.
  std::size_t outstanding_max = 10'000;
};

}  // namespace sluice::amqp
