// The demo from its first process to its last.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace orders {

struct DemoOptions {
  std::size_t orders = 300;
  std::size_t customers = 32;
  std::chrono::milliseconds pause{100};  ///< Of a customer between two orders.
  bool has_chaos = false;           ///< kill -9 the server during the burst and during the work.
  bool is_once = false;             ///< End after the table.
  bool is_careless = false;         ///< See ShopConfig.
  std::filesystem::path directory;  ///< Empty: a temporary one, removed at the end.
  std::string sluice;               ///< Empty: the one beside this program, or on PATH.
};

/// Exit code: 0 when every accepted order is complete and nobody paid twice, 1 when not, 2 when the
/// demo could not run, 130 after Ctrl-C during the bursts.
int run_demo(const DemoOptions& options);

}  // namespace orders
