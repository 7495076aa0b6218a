// The worker of the orders shop: a handler for each of the three jobs.
#pragma once

#include "shop/api.h"

namespace orders {

/// Runs jobs until SIGTERM, then lets the running ones end.
int run_order_worker(int ready_fd, const ShopConfig& shop);

}  // namespace orders
