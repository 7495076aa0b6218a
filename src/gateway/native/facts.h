// What INFO, HELLO and the metrics say about the server around the core: set once at start.
#pragma once

#include "base/time.h"
#include "gateway/counters.h"

#include <string>

namespace sluice::native {

struct Facts {
  std::string version = "0.1.0";
  std::string data_directory;
  std::string sync = "always";
  std::string address;                      ///< host:port, once the gateway listens.
  Time started;                             ///< Of the engine's clock.
  const gateway::Counters* amqp = nullptr;  ///< Null: it is not served.
};

}  // namespace sluice::native
