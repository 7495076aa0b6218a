// Scrubber: reads the whole journal again, slowly, and says where it has rotted (RELIABILITY S5).
//
// A job that waits for weeks is read when it is delivered, and cleaning reads a segment when it is
// old. Until then nobody would notice a disk that loses bits, and the last good backup may be gone
// by then. So a thread of its own reads every segment from the device once in `period`, paced so
// that it is never in anyone's way, and verifies what recovery would verify. It changes nothing.
#pragma once

#include "engine/port.h"
#include "io/directory.h"
#include "journal/log.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sluice::engine {

class Scrubber {
 public:
  /// Names what of the log is durable now.
  using List = std::function<std::vector<journal::Log::Extent>()>;

  /// `directory` and `counters` outlive this. `list` and `on_event` are called on the scrubber's
  /// thread; `on_event` once for each segment that is damaged or cannot be read.
  Scrubber(io::Directory& directory,
           Duration period,
           List list,
           Counters& counters,
           std::function<void(const std::string&)> on_event);
  /// Requires stop().
  ~Scrubber();

  /// Joins the thread, at the latest after the MiB that it is reading.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  bool pass();
  void verify(const journal::Log::Extent& extent);
  Clock::time_point due() const;
  bool wait_until(Clock::time_point until);
  void report(const std::string& file, const Error& error);

  io::Directory& directory_;
  const Duration period_;
  List list_;
  Counters& counters_;
  std::function<void(const std::string&)> on_event_;
  std::set<std::string> reported_;  ///< Segments that were told of; they stay as they are.
  Clock::time_point pass_began_;
  std::uint64_t pass_bytes_ = 0;  ///< To be read in this pass,
  std::uint64_t pass_done_ = 0;   ///< and read so far.
  std::mutex mutex_;              ///< Guards is_stopping_.
  std::condition_variable stopping_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::engine
