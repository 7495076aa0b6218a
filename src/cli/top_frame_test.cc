// What `sluice top` shows for given samples.
#include "cli/top_frame.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

QueueInfo queue(std::string name, std::uint64_t pushed, std::uint64_t ready) {
  QueueInfo info;
  info.name = std::move(name);
  info.pushed_total = pushed;
  info.jobs[static_cast<std::size_t>(JobState::ready)] = ready;
  info.oldest_ready = 1500ms;
  return info;
}

Sample sample(std::vector<QueueInfo> queues, std::chrono::seconds at) {
  return {std::move(queues),
          {{"sluice_version", "0.1.0"}, {"uptime_in_seconds", "61"}},
          std::chrono::steady_clock::time_point(at)};
}

TEST(TopFrame, ShowsRatesBetweenTheSamplesBusiestFirst) {
  const auto lines = frame_lines(sample({queue("idle", 5, 5), queue("mail", 100, 0)}, 10s),
                                 sample({queue("idle", 5, 5), queue("mail", 5100, 3)}, 12s));
  EXPECT_EQ(lines.at(0), "sluice 0.1.0   up 1m1s");
  EXPECT_EQ(lines.at(1), "pushed 2.50k/s   pulled 0/s   done 0/s   failed 0/s   dead 0/s");
  EXPECT_TRUE(lines.at(title_line).starts_with("QUEUE")) << lines.at(title_line);
  EXPECT_TRUE(lines.at(title_line + 1).starts_with("mail ")) << lines.at(title_line + 1);
  EXPECT_NE(lines.at(title_line + 1).find("2.50k"), std::string::npos);
  EXPECT_TRUE(lines.at(title_line + 2).starts_with("idle ")) << lines.at(title_line + 2);
}

TEST(TopFrame, TakesACountThatWentDownAsARestart) {
  const auto frame =
      frame_json(sample({queue("mail", 1000, 0)}, 10s), sample({queue("mail", 10, 0)}, 11s));
  EXPECT_EQ(frame.at("queues").at(0).at("pushed_per_second").as_double(), 10.0);
}

TEST(TopFrame, CountsANewQueueFromZero) {
  const auto frame = frame_json(sample({}, 10s), sample({queue("new", 4, 4)}, 12s));
  EXPECT_EQ(frame.at("queues").at(0).at("pushed_per_second").as_double(), 2.0);
}

}  // namespace
}  // namespace sluice::cli
