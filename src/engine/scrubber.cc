// Scrubber: one pass after the other over all segments, each spread over the period.
#include "engine/scrubber.h"

#include "base/check.h"

#include <algorithm>
#include <utility>

namespace sluice::engine {
namespace {

/// While it waits with a segment half read, the space of that cannot be freed: so it waits no
/// longer for each MiB.
constexpr auto held_wait_max = std::chrono::seconds(1);

}  // namespace

Scrubber::Scrubber(io::Directory& directory,
                   Duration period,
                   List list,
                   Counters& counters,
                   std::function<void(const std::string&)> on_event)
    : directory_(directory),
      period_(period),
      list_(std::move(list)),
      counters_(counters),
      on_event_(std::move(on_event)),
      thread_([this] { run(); }) {}

Scrubber::~Scrubber() {
  check(!thread_.joinable());
}

void Scrubber::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopping_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Scrubber::run() {
  do {
    pass_began_ = Clock::now();
  } while (pass() && wait_until(pass_began_ + period_));
}

/// False: told to stop.
bool Scrubber::pass() {
  const std::vector<journal::Log::Extent> extents = list_();
  pass_done_ = 0;
  pass_bytes_ = 0;
  for (const journal::Log::Extent& extent : extents)
    pass_bytes_ += extent.bytes;
  for (const journal::Log::Extent& extent : extents) {
    const std::uint64_t done_before = pass_done_;
    verify(extent);
    pass_done_ = done_before + extent.bytes;
    if (!wait_until(due())) return false;
  }
  return true;
}

void Scrubber::verify(const journal::Log::Extent& extent) {
  if (reported_.contains(extent.file)) return;
  const auto on_verified = [this](std::uint64_t bytes) {
    counters_.scrubbed_bytes_total.fetch_add(bytes, std::memory_order_relaxed);
    pass_done_ += bytes;
    return wait_until(std::min(due(), Clock::now() + held_wait_max));
  };
  const Result<void> verified = journal::verify_segment(directory_, extent, on_verified);
  if (verified) return;
  // Cleaning may have removed it since it was listed.
  const std::vector<journal::Log::Extent> left = list_();
  const auto same = [&extent](const journal::Log::Extent& other) {
    return other.file == extent.file;
  };
  if (std::any_of(left.begin(), left.end(), same)) report(extent.file, verified.error());
}

/// When what is done of the pass is to be done.
Scrubber::Clock::time_point Scrubber::due() const {
  const double part = static_cast<double>(pass_done_) / static_cast<double>(pass_bytes_);
  return pass_began_ + std::chrono::duration_cast<Clock::duration>(period_ * std::min(part, 1.0));
}

/// False: told to stop.
bool Scrubber::wait_until(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_until(lock, until, [this] { return is_stopping_; });
}

void Scrubber::report(const std::string& file, const Error& error) {
  reported_.insert(file);
  counters_.damaged_segments_total.fetch_add(1, std::memory_order_relaxed);
  if (on_event_) on_event_("event=journal_damaged level=error reason=\"" + error.message + "\"");
}

}  // namespace sluice::engine
