// MemoryLog: the frames that a core wrote, with their positions, in small segments; what the
// journal is to the engine, without a disk.
#pragma once

#include "core/output.h"

#include <map>
#include <string>
#include <vector>

namespace sluice::reference {

class MemoryLog final : public core::RecordReader {
 public:
  struct Frame {
    Position at;
    std::size_t size = 0;
  };

  /// Where the next frame begins.
  Position end() const { return {segment_, offset_}; }

  void append(ByteView bytes) {
    if (bytes.empty()) return;
    frames_.push_back({end(), bytes.size()});
    std::string& segment = segments_[segment_];
    segment.resize(offset_);
    segment.append(bytes);
    offset_ += static_cast<std::uint32_t>(bytes.size());
    if (offset_ >= segment_bytes) roll();
  }

  /// Begins a new segment.
  void roll() {
    ++segment_;
    offset_ = header_bytes;
  }

  Result<ByteView> read(Position at, std::size_t size) override {
    const auto found = segments_.find(at.segment());
    if (found == segments_.end() || at.offset() + size > found->second.size()) {
      return fail(ErrorCode::corrupt, "no such bytes");
    }
    return ByteView(found->second).substr(at.offset(), size);
  }

  ByteView bytes(const Frame& frame) { return *read(frame.at, frame.size); }

  const std::vector<Frame>& frames() const { return frames_; }

  /// Frames of the oldest segment; none while it is the only one.
  std::vector<Frame> oldest() const {
    std::vector<Frame> found;
    if (frames_.empty() || frames_.front().at.segment() == segment_) return found;
    for (const Frame& frame : frames_) {
      if (frame.at.segment() == frames_.front().at.segment()) found.push_back(frame);
    }
    return found;
  }

  void drop_oldest() {
    const std::size_t count = oldest().size();
    segments_.erase(frames_.front().at.segment());
    frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(count));
  }

 private:
  static constexpr std::uint32_t segment_bytes = 4096;
  static constexpr std::uint32_t header_bytes = 64;

  std::map<std::uint32_t, std::string> segments_;
  std::vector<Frame> frames_;
  std::uint32_t segment_ = 1;
  std::uint32_t offset_ = header_bytes;
};

}  // namespace sluice::reference
