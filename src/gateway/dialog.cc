// Dialog: see dialog.h.
#include "gateway/dialog.h"

namespace sluice::gateway {

void collect_leases(const model::Answer& answer, std::vector<model::Release>& leases) {
  const auto* delivered = std::get_if<std::unique_ptr<model::Delivered>>(&answer);
  if (delivered == nullptr) return;
  for (const model::Delivery& job : (*delivered)->jobs) {
    leases.push_back({job.id, job.token, Duration(0)});
  }
}

}  // namespace sluice::gateway
