// One frame of `sluice top`, as text and as JSON: pure, from two samples of the server.
#pragma once

#include <sluice/queue.h>

#include <boost/json/object.hpp>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace sluice::cli {

/// What the server said at one moment.
struct Sample {
  std::vector<QueueInfo> queues;
  std::map<std::string, std::string> info;  ///< INFO.
  std::chrono::steady_clock::time_point time;
};

/// Of frame_lines(): where the titles of the table are.
inline constexpr std::size_t title_line = 3;

/// The screen, busiest queue first. Rates are per second between the two samples; a count that went
/// down (the server was restarted) counts as a start from 0.
std::vector<std::string> frame_lines(const Sample& before, const Sample& current);
boost::json::object frame_json(const Sample& before, const Sample& current);

}  // namespace sluice::cli
