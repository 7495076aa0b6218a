// What the server decides for every connection of the AMQP gateway.
#pragma once

#include "model/limits.h"

#include <functional>
#include <string>
#include <vector>

namespace sluice::amqp {

/// The virtual hosts that the user of this name and password may open; none: there is nobody. May
/// block: called on a thread for that.
using Login =
    std::function<std::vector<std::string>(const std::string& user, const std::string& password)>;

struct ConnectionOptions {
  model::Limits limits;
  Login login;                      ///< Null: guest with the password guest, in "/".
  std::vector<std::string> vhosts;  ///< All of them but "/".
  /// Publishes without an answer beyond which no more are read.
  std::size_t outstanding_max = 10'000;
};

}  // namespace sluice::amqp
