// The text of INFO: sections of name:value lines, as Redis clients and monitoring agents read them.
#pragma once

#include "base/time.h"
#include "engine/port.h"
#include "gateway/counters.h"
#include "gateway/native/facts.h"
#include "model/reply.h"

#include <string>
#include <vector>

namespace sluice::native {

struct InfoSources {
  const model::Stats& stats;
  const engine::Counters& engine;
  const gateway::Counters* gateway;  ///< Null: in the process of the client, without sockets.
  const Facts& facts;
  Time now;
};

/// `sections` in lower case; empty, "all", "everything" and "default" mean all of them. Sections
/// that do not exist are left out.
std::string info_text(const InfoSources& sources, const std::vector<std::string>& sections);

}  // namespace sluice::native
