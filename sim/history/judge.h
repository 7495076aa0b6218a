// The judgement over a history (RELIABILITY §3.3): what a client could see that Sluice promises not
// to happen. It errs on the side of the server: where two explanations are possible, it takes the
// innocent one.
//
//   lost          answered, and neither there nor accounted for at the end              D1 D3 D6
//   phantom       delivered, but never pushed, changed, or its push was refused         L3
//   dup-push      one push or one unique key, two jobs                                  L4 L5
//   undead        delivered again after its ack was answered                            D2
//   dup-delivery  delivered again with the same token, or before its delay was over     L2
//   two-owners    delivered while the lease of another ran                              F2 D5
//   stale-ok      an answer with an old token was taken                                 F1
//   refused       an answer with a current token was refused                            D5
//   token         not above all tokens of earlier starts                                D4
//   early         delivered before its delay was over, or what it waits for had ended   T1
//   reorder       two jobs of one producer overtook each other                          O1
//   starved       ready, and not delivered though nothing stood in the way              L1
//
// After a restart that may forget (Restart::forgets_from) what was answered since that moment may
// be gone, and ids and tokens may be given a second time. So tokens and ids are compared only
// between such restarts; that nothing appears that was not pushed, and that what is older is
// still there, holds across them.
#pragma once

#include "sim/history/history.h"

#include <map>
#include <string>
#include <vector>

namespace sluice::sim {

struct Finding {
  std::string verdict;
  Uid uid = 0;  ///< 0: of no single job.
  std::string what;
};

struct Judgement {
  std::vector<Finding> findings;
  std::uint64_t deliveries = 0;
  std::map<std::string, std::uint64_t> redeliveries;  ///< By reason.
};

Judgement judge(const History& history);

}  // namespace sluice::sim
